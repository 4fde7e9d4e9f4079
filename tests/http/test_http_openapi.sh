#!/bin/sh
# Every kind of answer against OpenAI's own description of its API. Skipped
# with a message without that document (../shared), python3-jsonschema or
# python3-yaml.
set -eu

skip() {
    echo "skipped: $1"
    exit 77
}

quern=$QUERN_BUILD_DIR/bin/quern
model=${QUERN_DEFAULT_MODEL:-$QUERN_SOURCE_DIR/models/quern-14m.gguf}
spec=$QUERN_SOURCE_DIR/../shared/data/conformance/openai-openapi/openapi.yaml
[ -x "$quern" ] || skip "the program is not built"
[ -r "$model" ] || skip "the built-in model is not in models/"
[ -r "$spec" ] || skip "no shared data"
python3 -c 'import jsonschema, yaml' 2>/dev/null ||
    skip "python3-jsonschema and python3-yaml are not installed"

log=$(mktemp)
QUERN_API_KEYS=test:openapi-key "$quern" serve --model "$model" --port 0 \
    --served-model-name quern-test --max-queue 2 --batch-size 4 \
    --tool-call-parser hermes --access-log none 2>"$log" &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || :; rm -f "$log"' EXIT
. "$QUERN_SOURCE_DIR/tests/http/serving.sh"
url=$(url_of "$log" $server)
python3 "$QUERN_SOURCE_DIR/tests/http/openapi.py" "$spec" "$url" openapi-key \
    quern-test
