#!/bin/sh
# Clients that others wrote, from npm and pinned, against the real program.
# Skipped with a message where there is no node, no registry or no model.
set -eu

skip() {
    echo "skipped: $1"
    exit 77
}

quern=$QUERN_BUILD_DIR/bin/quern
model=${QUERN_DEFAULT_MODEL:-$QUERN_SOURCE_DIR/models/quern-14m.gguf}
[ -x "$quern" ] || skip "the program is not built"
[ -r "$model" ] || skip "the built-in model is not in models/"
command -v node >/dev/null && command -v npm >/dev/null ||
    skip "node and npm are not installed"

# The packages stay in the build folder from one run to the next.
dir=$QUERN_BUILD_DIR/npm-clients
mkdir -p "$dir"
cp "$QUERN_SOURCE_DIR/tests/http/clients/"* "$dir"
cd "$dir"
if ! cmp -s package.json installed.json; then
    timeout 200 npm install --no-audit --no-fund --loglevel=error \
        >npm.log 2>&1 || skip "npm cannot fetch the clients (npm.log)"
    cp package.json installed.json
fi

log=$dir/server.log
: >"$log"
QUERN_API_KEYS=test:clients-key "$quern" serve --model "$model" --port 0 \
    --served-model-name quern-test --max-queue 8 --access-log none \
    --tool-call-parser hermes 2>"$log" &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || :' EXIT

. "$QUERN_SOURCE_DIR/tests/http/serving.sh"
url=$(url_of "$log" $server)
node clients.mjs "$url" clients-key quern-test

# and it ends as it should
trap - EXIT
kill -TERM $server
wait $server
