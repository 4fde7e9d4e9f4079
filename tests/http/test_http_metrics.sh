#!/bin/sh
# /metrics as Prometheus reads it: promtool has nothing to say. Skipped with a
# message where there is no promtool (Debian: prometheus) or no model.
set -eu

skip() {
    echo "skipped: $1"
    exit 77
}

quern=$QUERN_BUILD_DIR/bin/quern
model=${QUERN_DEFAULT_MODEL:-$QUERN_SOURCE_DIR/models/quern-14m.gguf}
promtool=${PROMTOOL:-promtool}
[ -x "$quern" ] || skip "the program is not built"
[ -r "$model" ] || skip "the built-in model is not in models/"
command -v "$promtool" >/dev/null || skip "promtool is not installed"

dir=$(mktemp -d)
: >"$dir/log"
"$quern" serve --model "$model" --port 0 --access-log none 2>"$dir/log" &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || :; rm -rf "$dir"' \
    EXIT
. "$QUERN_SOURCE_DIR/tests/http/serving.sh"
url=$(url_of "$dir/log" $server)
"$quern" bench serve --url "$url" --num-prompts 4 --random-output-len 4 \
    >/dev/null
python3 -c 'import sys, urllib.request as u
print(u.urlopen(sys.argv[1] + "/metrics").read().decode(), end="")' "$url" \
    >"$dir/metrics"
"$promtool" check metrics <"$dir/metrics"
grep -q '^quern_request_prompt_tokens_sum{.*} 512$' "$dir/metrics" || {
    echo "four prompts of 128 tokens were not counted"
    exit 1
}
