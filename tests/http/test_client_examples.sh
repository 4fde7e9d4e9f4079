# The programs of examples/clients against the real server: each prints the
# answer. Those of npm use the packages that test_npm_clients fetched.
set -eu

quern=$QUERN_BUILD_DIR/bin/quern
model=$QUERN_SOURCE_DIR/models/quern-14m.gguf
clients=$QUERN_SOURCE_DIR/examples/clients
[ -x "$quern" ] || { echo "skipped: the program is not built"; exit 77; }
[ -r "$model" ] || { echo "skipped: no model in models/"; exit 77; }
python=/usr/bin/python3
[ -x "$python" ] || python=python3

dir=$(mktemp -d)
QUERN_API_KEYS=test:example-key "$quern" serve --model "$model" --port 0 \
    --access-log none 2>"$dir/log" &
server=$!
trap 'kill $server 2>/dev/null || :; rm -rf "$dir"' EXIT
. "$QUERN_SOURCE_DIR/tests/http/serving.sh"
url=$(url_of "$dir/log" $server)

QUERN_URL=$url QUERN_API_KEY=example-key PYTHONDONTWRITEBYTECODE=1
QUERN_LIBRARY=$QUERN_BUILD_DIR/lib/libquern.so
export QUERN_URL QUERN_API_KEY QUERN_LIBRARY PYTHONDONTWRITEBYTECODE
bad=0

# The text of a stream, or what is no stream as it is.
text() {
    if grep -q '^data: ' "$1"; then
        sed -n 's/.*"content":"\([^"]*\)".*/\1/p' "$1" | tr -d '\n'
    else
        cat "$1"
    fi
}

# answers NAME COMMAND...: the answer is in what it prints.
answers() {
    name=$1
    shift
    if ! timeout 60 "$@" "What is 17 + 25?" >"$dir/out" 2>"$dir/err" ||
        ! text "$dir/out" | grep -q '42'; then
        echo "FAIL: $name"
        cat "$dir/out" "$dir/err"
        bad=1
    fi
}

if command -v curl >/dev/null; then
    answers ask-curl.sh sh "$clients/ask-curl.sh"
else
    echo "skipped: ask-curl.sh (no curl)"
fi
answers ask_http.py "$python" "$clients/ask_http.py"
if nm -D "$QUERN_LIBRARY" | grep -q -E '__(asan|tsan|ubsan)_'; then
    echo "skipped: ask_library.py (a library for a sanitizer)"
else
    answers ask_library.py "$python" "$clients/ask_library.py"
fi

# What the examples name has to be what the tests of clients try.
grep -E '^    "' "$clients/package.json" | tr -d ' ,' | while read -r line; do
    grep -qF "$line" "$(dirname "$0")/clients/package.json" ||
        tr -d ' ' <"$(dirname "$0")/clients/package.json" | grep -qF "$line" ||
        echo "$line"
done >"$dir/versions"
if [ -s "$dir/versions" ]; then
    echo "FAIL: examples/clients/package.json has other versions:"
    cat "$dir/versions"
    bad=1
fi
modules=$QUERN_BUILD_DIR/npm-clients/node_modules
if ! command -v node >/dev/null || ! [ -d "$modules/openai" ]; then
    echo "skipped: clients of npm (no node, or test_npm_clients fetched none)"
    exit $bad
fi
mkdir "$dir/npm"
cp "$clients/"*.mjs "$clients/package.json" "$dir/npm"
ln -s "$modules" "$dir/npm/node_modules"
for example in openai huggingface ai-sdk langchain; do
    answers $example.mjs node "$dir/npm/$example.mjs"
done
exit $bad
