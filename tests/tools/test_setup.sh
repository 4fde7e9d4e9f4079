# tools/setup.sh asks apt for what is missing and for nothing else, and says what
# to do where a package is not found. apt and dpkg are stand-ins.
set -u
setup=$QUERN_SOURCE_DIR/tools/setup.sh
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
bad=0

fail() {
    echo "FAIL: $*"
    bad=1
}

# stand_in NAME: a program that does what standard input says.
mkdir bin
stand_in() {
    { echo '#!/bin/sh' && cat; } >"bin/$1"
    chmod +x "bin/$1"
}
# Of its arguments, those that $installed names are there.
stand_in dpkg-query <<'END'
for p in "$@"; do
    case " $installed " in *" $p "*) printf 'installed ' ;; esac
done
END
stand_in id <<'END'
echo 0
END
stand_in apt-get <<'END'
echo "$*" >>asked
[ "$1" = update ] || [ -z "${fault-}" ] || { echo "E: $fault"; exit 100; }
END
# need PACKAGE...: what ./start does with its list.
need() {
    rm -f asked
    # shellcheck disable=SC2016 # for the inner shell
    PATH=$dir/bin:$PATH sh -eu -c \
        '. "$0"; need_packages "for a test" "$@"; echo "went on"' \
        "$setup" "$@" >out 2>&1
}

export installed= fault=
installed="cmake libcurl4-gnutls-dev" need cmake \
    "libcurl4-openssl-dev|libcurl4-gnutls-dev" || fail "all there: $(cat out)"
[ ! -e asked ] || fail "apt was asked for what is there: $(cat asked)"

installed="cmake" need cmake ninja-build \
    "libcurl4-openssl-dev|libcurl4-gnutls-dev" || fail "one missing: $(cat out)"
grep -qx 'install -y .* ninja-build libcurl4-openssl-dev' asked ||
    fail "apt was asked for $(cat asked)"
grep -q 'went on' out || fail "does not go on: $(cat out)"

fault="Unable to locate package ninja-build" need ninja-build &&
    fail "goes on without a package"
grep -q "component 'universe'" out || fail "not found, no remedy: $(cat out)"
grep -q "E: Unable to locate" out || fail "apt's words are lost: $(cat out)"

fault="Could not get lock" need ninja-build && fail "goes on without packages"
grep -q 'universe' out && fail "another fault has the remedy: $(cat out)"

exit $bad
