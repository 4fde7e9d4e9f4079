#!/bin/sh
# The web page of the real program in a real browser: Debian's chromium, driven
# by playwright-core (npm, pinned). Skipped with a message where one of them is
# missing. Screenshots go to build/artifacts/web.
set -eu

skip() {
    echo "skipped: $1"
    exit 77
}

case $(basename "$QUERN_BUILD_DIR") in
asan | tsan | ubsan) skip "the release build is tried, not a slow one" ;;
esac
quern=$QUERN_BUILD_DIR/bin/quern
model=${QUERN_DEFAULT_MODEL:-$QUERN_SOURCE_DIR/models/quern-14m.gguf}
[ -x "$quern" ] || skip "the program is not built"
[ -r "$model" ] || skip "the built-in model is not in models/"
command -v node >/dev/null && command -v npm >/dev/null ||
    skip "node and npm are not installed"
# The same engine without the desktop around it takes three quarters of the time.
browser=$(command -v chromium-headless-shell || command -v chromium ||
    command -v chromium-browser) ||
    skip "chromium is not installed (apt-get install chromium-headless-shell)"

# The packages stay in the build folder from one run to the next.
dir=$QUERN_BUILD_DIR/web-page
mkdir -p "$dir"
cp "$QUERN_SOURCE_DIR/tests/web/browser/"* "$dir"
cd "$dir"
if ! cmp -s package.json installed.json; then
    timeout 90 npm install --no-audit --no-fund --loglevel=error \
        >npm.log 2>&1 || skip "npm cannot fetch playwright-core (npm.log)"
    cp package.json installed.json
fi
shots=$QUERN_SOURCE_DIR/build/artifacts/web
mkdir -p "$shots"
rm -f "$shots"/*.png

servers=
trap 'kill $servers 2>/dev/null || :' EXIT
. "$QUERN_SOURCE_DIR/tests/http/serving.sh"
# start LOG: a server; sets `started` to its number. One thread of it for each of
# the two cases that go at once.
start() {
    "$quern" serve --model "$model" --port 0 --served-model-name quern-14m \
        --threads 1 --access-log none 2>"$1" &
    started=$!
    servers="$servers $started"
}
start one.log
one=$started
start two.log
two=$started
# 60 tokens/s instead of thousands, whatever the machine
QUERN_CPU=ref start slow_one.log
slow_one=$started
QUERN_CPU=ref start slow_two.log
slow_two=$started
QUERN_API_KEYS=test:page-key-1 start locked.log
locked_url=$(url_of locked.log $started)
node page.mjs "$browser" "$shots" "$locked_url" \
    "$(url_of one.log $one),$(url_of slow_one.log $slow_one)" \
    "$(url_of two.log $two),$(url_of slow_two.log $slow_two)"
