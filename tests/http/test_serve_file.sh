#!/bin/sh
# A model whose embedding stays in its file, and what the server says of itself
# when somebody writes over that file.
set -eu

quern=$QUERN_BUILD_DIR/bin/quern
model=${QUERN_DEFAULT_MODEL:-$QUERN_SOURCE_DIR/models/quern-14m.gguf}
[ -x "$quern" ] || { echo "skipped: the program is not built"; exit 77; }
[ -r "$model" ] || { echo "skipped: no model in models/"; exit 77; }
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }

fail() {
    echo "$1"
    exit 1
}

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$quern" optimize --model "$model" --method rtn --bits 4 --quantize-head \
    --output "$dir/m" >/dev/null 2>&1
"$quern" info --model "$dir/m" | grep -q 'left in the file  *3.00 MiB' ||
    fail "its embedding does not stay: $("$quern" info --model "$dir/m")"

: >"$dir/log"
"$quern" serve --model "$dir/m" --port 0 --access-log "$dir/access" \
    2>"$dir/log" &
server=$!
trap 'kill $server 2>/dev/null || :; rm -rf "$dir"' EXIT
. "$QUERN_SOURCE_DIR/tests/http/serving.sh"
url=$(url_of "$dir/log" $server) || fail "it does not start"

# PATH [BODY]: status and answer
ask() {
    python3 -c 'import sys, urllib.request as u, urllib.error as e
body = sys.argv[2].encode() if len(sys.argv) > 2 else None
r = u.Request(sys.argv[1], body, {"Content-Type": "application/json"})
try:
    a = u.urlopen(r)
except e.HTTPError as x:
    a = x
print(a.status, a.read().decode())' "$url$1" ${2:+"$2"}
}

prompt='{"prompt": "Once upon a time", "max_tokens": 4}'
ask /v1/completions "$prompt" | grep -q '^200' || fail "no answer"
touch "$dir/m/model.safetensors"
ask /v1/completions "$prompt" | grep -q '^200' ||
    fail "no answer when the file was only touched"
ask /health | grep -q '^200 {"status":"ok"}' || fail "$(ask /health)"

cp "$dir/m/model.safetensors" "$dir/kept"
dd if=/dev/zero of="$dir/m/model.safetensors" bs=64k count=200 \
    conv=notrunc 2>/dev/null
ask /v1/completions "$prompt" >"$dir/answer"
grep -q '^500 .*"the engine failed; the server.s log says why (request ' \
    "$dir/answer" || fail "written over: $(cat "$dir/answer")"
grep -qF "$dir" "$dir/answer" && fail "a path: $(cat "$dir/answer")"
for path in /health /ready; do
    ask $path | grep -q '^503 {"status":"failing"}' || fail "$path: $(ask $path)"
done
ask /v2/health/live | grep -q '^503 {"live":false}' || fail "KServe's live"
id=$(sed 's/.*(request \([0-9a-f]*\)).*/\1/' "$dir/answer")
grep -q "request $id: engine step: .*open the model again" "$dir/log" ||
    fail "the log does not say so: $(cat "$dir/log")"

# the same bytes again: whoever still asks has an answer, and all is well
cat "$dir/kept" >"$dir/m/model.safetensors"
ask /v1/completions "$prompt" >"$dir/answer"
grep -q '^200' "$dir/answer" || fail "written back: $(cat "$dir/answer")"
ask /health | grep -q '^200 {"status":"ok"}' || fail "$(ask /health)"

# in the middle of a stream: its last event says so, and so does the access log
python3 -c 'import sys, urllib.request as u
body = b"""{"prompt": "Once", "max_tokens": 900, "ignore_eos": true, "stream": true}"""
a = u.urlopen(u.Request(sys.argv[1] + "/v1/completions", body,
                        {"X-Request-Id": "cut-short"}))
a.readline()
with open(sys.argv[2], "r+b") as f:
    f.write(bytes(12 << 20))
print(a.status, a.read().decode())' "$url" "$dir/m/model.safetensors" \
    >"$dir/answer"
grep -q '^200 ' "$dir/answer" || fail "no stream: $(cat "$dir/answer")"
grep -q '^data: {"error":{"message":"the engine failed; .*(request cut-short)' \
    "$dir/answer" || fail "no error: $(tail -c 500 "$dir/answer")"
for _ in $(seq 50); do
    grep -q '"id":"cut-short"' "$dir/access" && break
    sleep 0.1
done
ask /metrics >"$dir/metrics"
grep -q '^quern_engine_failing.* 1$' "$dir/metrics" ||
    fail "metrics do not say that it fails: $(grep failing "$dir/metrics")"
grep -q '^quern_completions_total.*finished_reason="error"} [1-9]' \
    "$dir/metrics" || fail "errors: $(grep finished "$dir/metrics")"
grep -q '"id":"cut-short",.*"status":200,.*"error":"engine_failed"' \
    "$dir/access" || fail "the access log: $(cat "$dir/access")"
[ "$(grep -c '"error"' "$dir/access")" = 1 ] ||
    fail "errors that are none: $(cat "$dir/access")"

kill -TERM $server
wait $server || fail "SIGTERM: exit status $?"
trap 'rm -rf "$dir"' EXIT
