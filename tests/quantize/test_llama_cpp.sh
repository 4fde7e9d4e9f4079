#!/bin/sh
# What quern optimize writes as GGUF, read by llama.cpp (node-llama-cpp from
# npm, pinned): the same ids for a text, the same greedy tokens. Skipped with a
# message where there is no node, no registry or no model.
set -eu

skip() {
    echo "skipped: $1"
    exit 0
}

quern=$QUERN_BUILD_DIR/bin/quern
model=${QUERN_DEFAULT_MODEL:-$QUERN_SOURCE_DIR/models/quern-14m.gguf}
shared=${QUERN_SHARED:-$QUERN_SOURCE_DIR/../shared}/goldens/models
[ -x "$quern" ] || skip "the program is not built"
[ -r "$model" ] || skip "the built-in model is not in models/"
command -v node >/dev/null && command -v npm >/dev/null ||
    skip "node and npm are not installed"
[ "$(uname -sm)" = "Linux x86_64" ] || skip "llama.cpp is pinned for x86-64"

# The package stays in the build folder from one run to the next.
dir=$QUERN_BUILD_DIR/npm-llama-cpp
mkdir -p "$dir"
cp "$QUERN_SOURCE_DIR/tests/quantize/llama_cpp/"* "$dir"
cd "$dir"
if ! cmp -s package.json installed.json; then
    timeout 90 npm install --omit=optional --ignore-scripts --no-audit \
        --no-fund --loglevel=error >npm.log 2>&1 ||
        skip "npm cannot fetch node-llama-cpp (npm.log)"
    cp package.json installed.json
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '[' >"$work/cases.json"
n=0

# one SOURCE TYPE TEXT IDS SLACK: the case of one file
one() {
    out=$work/$n
    "$quern" optimize --model "$1" --output-dir "$out" --method gguf \
        --quant-type "$2" --quiet >/dev/null
    ids=$4
    if [ -n "$3" ]; then
        ids=$("$quern" tokenize "$out/model.gguf" "$3" | tr ' ' ',')
    fi
    want=$("$quern" run --model "$out/model.gguf" --token-ids "$ids" \
        --max-new-tokens 20 --ignore-eos --temperature 0 --exact --quiet \
        --output-format json)
    [ $n = 0 ] || printf ',' >>"$work/cases.json"
    node -e '
        const [file, text, ids, run, slack] = process.argv.slice(1);
        const want = JSON.parse(run).token_ids;
        console.log(JSON.stringify({file, text: text || null,
            ids: ids.split(",").map(Number), want, slack: Number(slack)}));
    ' "$out/model.gguf" "$3" "$ids" "$want" "$5" >>"$work/cases.json"
    n=$((n + 1))
}

one "$model" f16 "Once upon a time there was a mill" "" 0
one "$model" q8_0 "Once upon a time there was a mill" "" 0.3
one "$model" q4_k_m "Once upon a time there was a mill" "" 0.3
for family in llama gpt2; do
    [ -d "$shared/$family" ] || continue
    one "$shared/$family" f16 "" 5,17,3,99,42,7 0
    one "$shared/$family" q4_0 "" 5,17,3,99,42,7 0.3
done
[ -d "$shared/gpt2" ] || echo "skipped: gpt2 (no shared data)"
printf ']' >>"$work/cases.json"
QUERN=$quern node greedy.mjs "$work/cases.json"
echo "$n files agree with llama.cpp"
