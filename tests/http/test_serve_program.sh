#!/bin/sh
# The program itself: quern serve with the configuration that comes with it,
# load from quern bench serve, and an end by SIGTERM.
set -eu

quern=$QUERN_BUILD_DIR/bin/quern
model=${QUERN_DEFAULT_MODEL:-$QUERN_SOURCE_DIR/models/quern-14m.gguf}
config=$QUERN_SOURCE_DIR/configs/serving_config.json
[ -x "$quern" ] || { echo "skipped: the program is not built"; exit 77; }

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
echo 'name:short' >"$dir/keys"
"$quern" serve --api-key-file "$dir/keys" --check-config >/dev/null 2>&1 &&
    fail "--check-config takes a key of five characters"
echo 'name:long-enough' >"$dir/keys"
"$quern" serve --api-key-file "$dir/keys" --check-config >/dev/null ||
    fail "--check-config does not take a key"
"$quern" serve --tls-cert a.pem --port 0 2>/dev/null &&
    fail "a certificate without a key is taken"
[ -r "$model" ] || { echo "skipped: no model in models/"; exit 77; }

: >"$dir/log"
"$quern" serve --config "$config" --model "$model" --port 0 \
    --access-log "$dir/access" 2>"$dir/log" &
server=$!
trap 'kill $server 2>/dev/null || :; rm -rf "$dir"' EXIT
. "$QUERN_SOURCE_DIR/tests/http/serving.sh"
url=$(url_of "$dir/log" $server) || fail "it does not start"

"$quern" bench serve --url "$url" --num-prompts 20 --max-concurrency 4 \
    --random-input-len 30 --random-output-len 8 --output-format json \
    >"$dir/result"
grep -q '"completed": 20, "failed": 0,.*"total_input_tokens": 600,' \
    "$dir/result" || fail "not all requests were answered: $(cat "$dir/result")"
grep -q '"total_output_tokens": 160,' "$dir/result" ||
    fail "not all tokens came: $(cat "$dir/result")"
# a line is written when the connection is done with, after the last byte
for _ in $(seq 50); do
    [ "$(grep -c '"status":200' "$dir/access")" -ge 20 ] && break
    sleep 0.1
done
[ "$(grep -c '"status":200' "$dir/access")" = 20 ] ||
    fail "the access log does not have them all"
if command -v python3 >/dev/null; then # probes are not logged, if all is well
    python3 -c 'import sys, urllib.request as u
for path in "/ready", "/metrics", "/v1/models":
    u.urlopen(sys.argv[1] + path).read()' "$url"
    for _ in $(seq 50); do
        grep -q '"/v1/models","status":200' "$dir/access" && break
        sleep 0.1
    done
    grep -q '"/v1/models","status":200' "$dir/access" ||
        fail "the access log does not have /v1/models"
    grep -E '"/(ready|metrics)"' "$dir/access" && fail "a probe is logged"
fi
grep -q '"prompt"' "$dir/access" && fail "the access log has prompts"

# a trace, ten times as fast; its fourth row asks for more than fits
cat >"$dir/trace.csv" <<'ROWS'
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,37,4
2023-11-16 18:15:47.6805900,39,10
2023-11-16 18:15:48.2,87,5
2023-11-16 18:15:48.3,9000,5
ROWS
"$quern" bench serve --url "$url" --trace "$dir/trace.csv" --trace-speed 10 \
    --output-format json >"$dir/result" 2>"$dir/told"
grep -q '^request 3 of seed .*prompt 9000.*completion 5).*status 400, .*context' \
    "$dir/told" || fail "what failed is not told: $(cat "$dir/told")"
grep -q '"completed": 3, "failed": 1,.*"failed_status": 1,' "$dir/result" ||
    fail "trace: $(cat "$dir/result")"
grep -q '"total_input_tokens": 163, "total_output_tokens": 19,' \
    "$dir/result" || fail "trace: $(cat "$dir/result")"
"$quern" bench serve --url "$url" --trace "$dir/trace.csv" --trace-speed 100 \
    --max-model-len 256 | grep -q '^Successful requests: *4$' ||
    fail "trace: not cut to the model's length"

# an open loop whose clients leave; the server goes on
"$quern" bench serve --url "$url" --num-prompts 20 --request-rate 100 \
    --random-output-len 500 --abort-part 1 --abort-within 0.01 \
    --output-format json >"$dir/result"
grep -q '"failed": 0,.*"aborted": 20,' "$dir/result" ||
    fail "clients that leave: $(cat "$dir/result")"
"$quern" bench serve --url http://127.0.0.1:1 --num-prompts 2 \
    >"$dir/result" 2>&1 && fail "no server, and yet no error"
grep -q 'no connection to http://127.0.0.1:1: Connection refused; start' \
    "$dir/result" || fail "$(cat "$dir/result")"
"$quern" bench serve --url "$url/other/v1/" --num-prompts 2 \
    >"$dir/result" 2>&1 && fail "no such route, and yet no error"
grep -q "answers with status 404: .*POST /other/v1/completions" \
    "$dir/result" || fail "$(cat "$dir/result")"

# who is refused comes again when the server says, if it is told to; answers are
# long, so that all four have come before the first is over
: >"$dir/log2"
"$quern" serve --model "$model" --port 0 --batch-size 1 --max-queue 1 \
    --access-log none 2>"$dir/log2" &
narrow=$!
trap 'kill $server $narrow 2>/dev/null || :; rm -rf "$dir"' EXIT
url2=$(url_of "$dir/log2" $narrow) || fail "it does not start with a queue of 1"
"$quern" bench serve --url "$url2" --num-prompts 4 --request-rate 10000 \
    --random-output-len 400 >"$dir/result"
grep -q '^  a server refuses what its queue has no room for' "$dir/result" ||
    fail "a full queue: $(cat "$dir/result")"
"$quern" bench serve --url "$url2" --num-prompts 4 --request-rate 10000 \
    --random-output-len 400 --retries 100 --output-format json >"$dir/result"
grep -q '"completed": 4, "failed": 0,.*"retries": [1-9]' "$dir/result" ||
    fail "retries: $(cat "$dir/result")"
kill $narrow
wait $narrow || fail "SIGTERM, a queue of 1: exit status $?"
trap 'kill $server 2>/dev/null || :; rm -rf "$dir"' EXIT

# SIGHUP reads keys again (there are none) and the server stays
kill -HUP $server
"$quern" bench serve --url "$url" --num-prompts 1 >/dev/null
grep -q '"message":"reloaded"' "$dir/log" || sleep 1
grep -q '"message":"reloaded"' "$dir/log" || fail "SIGHUP: $(cat "$dir/log")"

kill -TERM $server
wait $server || fail "SIGTERM: exit status $?"
trap 'rm -rf "$dir"' EXIT
