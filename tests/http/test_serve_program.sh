#!/bin/sh
# The program itself: quern serve with the configuration that comes with it,
# load from quern bench serve, and an end by SIGTERM.
set -eu

quern=$QUERN_BUILD_DIR/bin/quern
model=${QUERN_DEFAULT_MODEL:-$QUERN_SOURCE_DIR/models/quern-14m.gguf}
config=$QUERN_SOURCE_DIR/configs/serving_config.json
[ -x "$quern" ] || { echo "skipped: the program is not built"; exit 0; }

fail() {
    echo "$1"
    exit 1
}

"$quern" serve --config "$config" --check-config | grep -q '^port .*file' ||
    fail "the configuration is not taken"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
echo '{"prot": 8000}' >"$dir/wrong.json"
"$quern" serve --config "$dir/wrong.json" --check-config 2>/dev/null &&
    fail "an unknown key is taken"
"$quern" serve --tls-cert a.pem --port 0 2>/dev/null &&
    fail "a certificate without a key is taken"
[ -r "$model" ] || { echo "skipped: no model in models/"; exit 0; }

"$quern" serve --config "$config" --model "$model" --port 0 \
    --access-log "$dir/access" 2>"$dir/log" &
server=$!
trap 'kill $server 2>/dev/null || :; rm -rf "$dir"' EXIT
url=
for _ in $(seq 200); do
    url=$(sed -n 's/.* on \(http:[^ ]*\) .*/\1/p' "$dir/log")
    [ -n "$url" ] && break
    sleep 0.1
done
[ -n "$url" ] || fail "it does not start: $(cat "$dir/log")"

"$quern" bench serve --url "$url" --num-prompts 20 --max-concurrency 4 \
    --random-input-len 30 --random-output-len 8 --output-format json \
    >"$dir/result"
grep -q '"completed": 20, "failed": 0,.*"total_input_tokens": 600,' \
    "$dir/result" || fail "not all requests were answered: $(cat "$dir/result")"
grep -q '"total_output_tokens": 160,' "$dir/result" ||
    fail "not all tokens came: $(cat "$dir/result")"
[ "$(grep -c '"status":200' "$dir/access")" = 20 ] ||
    fail "the access log does not have them all"
grep -q '"prompt"' "$dir/access" && fail "the access log has prompts"

kill -TERM $server
wait $server || fail "SIGTERM: exit status $?"
trap 'rm -rf "$dir"' EXIT
