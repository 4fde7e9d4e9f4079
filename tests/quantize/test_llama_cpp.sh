#!/bin/sh
# What quern optimize writes as GGUF, read by llama.cpp (node-llama-cpp from
# npm, pinned): the same ids for a text, the same greedy tokens. Skipped with a
# message where there is no node, no registry or no model.
set -eu

skip() {
    echo "skipped: $1"
    exit 77
}

quern=$QUERN_BUILD_DIR/bin/quern
model=${QUERN_DEFAULT_MODEL:-$QUERN_SOURCE_DIR/models/quern-14m.gguf}
shared=${QUERN_SHARED:-$QUERN_SOURCE_DIR/../shared}
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

# one SOURCE TEXT IDS SLACK OPTIONS...: the case of one file
one() {
    out=$work/$n source=$1 text=$2 ids=$3 slack=$4
    shift 4
    "$quern" optimize --model "$source" --output-dir "$out" --quiet \
        --report-tokens 0 "$@" >/dev/null
    if [ -n "$text" ]; then
        ids=$("$quern" tokenize "$out/model.gguf" "$text" | tr ' ' ',')
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
    ' "$out/model.gguf" "$text" "$ids" "$want" "$slack" >>"$work/cases.json"
    n=$((n + 1))
}

# one_type SOURCE TEXT IDS SLACK TYPE
one_type() {
    one "$1" "$2" "$3" "$4" --method gguf --quant-type "$5"
}

mill="Once upon a time there was a mill"
one_type "$model" "$mill" "" 0 f16
one_type "$model" "$mill" "" 0.3 q8_0
one_type "$model" "$mill" "" 0.3 q4_k_m
# a type for each tensor, of two layers (all take a minute)
one "$model" "$mill" "" 0.3 --method auto --format gguf --target-bits 5 \
    --calibration-samples 2 --only "blk.1.*" --only "blk.6.*"
for family in llama gpt2; do
    [ -d "$shared/goldens/models/$family" ] || continue
    one_type "$shared/goldens/models/$family" "" 5,17,3,99,42,7 0 f16
    one_type "$shared/goldens/models/$family" "" 5,17,3,99,42,7 0.3 q4_0
done
[ -d "$shared/goldens/models/gpt2" ] || echo "skipped: gpt2 (no shared data)"
stories=$shared/data/models/hf/stories260K
if [ -d "$stories" ]; then
    one "$stories" "$mill" "" 0.3 --method auto --format gguf --target-bits 8 \
        --calibration-samples 2
fi
printf ']' >>"$work/cases.json"
QUERN=$quern node greedy.mjs "$work/cases.json"
echo "$n files agree with llama.cpp"
