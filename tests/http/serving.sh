# Read by the tests that start the program as a server.

# url_of LOG [PID]: prints the address that a server says in its log, waiting
# for it; fails with the log when the server has ended or says nothing.
url_of() {
    for _ in $(seq 200); do
        sed -n 's/.* on \(http:[^ ]*\) .*/\1/p' "$1" | grep . && return
        [ -z "${2-}" ] || kill -0 "$2" 2>/dev/null || break
        sleep 0.1
    done
    cat "$1" >&2
    return 1
}
