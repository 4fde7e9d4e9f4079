#!/bin/sh
# What quern optimize keeps in memory: 1.2 times the largest layer in f32, and
# what is of the text, by metadata.json. The model is four layers and an output
# head that is ten times a layer: neither the network nor the head fits; its
# weights are bf16, or f32, of which a layer fills the bound alone.
set -u
root=${QUERN_SOURCE_DIR:-$(dirname "$0")/../..}
quern=${QUERN_BUILD_DIR:-$root/build/release}/bin/quern
if grep -qE '__(asan|tsan|ubsan)_' "$quern"; then
    echo "skipped: what sanitizers keep is not the program's"
    exit 77
fi
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
bad=0

# number KEY: of the metadata.json that was written last
number() {
    sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" "$dir/o/metadata.json"
}

# Bytes. The layer's weights (keys, values and what they are multiplied by:
# 15,728,640) are known; so is what a text of this length needs, nearly, lest the
# program hide its memory there. The program itself: what nf4 takes, which
# reads no text here and has a few pieces of rows at a time.
layer=$((15728640 * 4))
text_most=$((64 << 20))
program=0

peak() {
    name=$1 from=$(date +%s)
    shift
    "$quern" optimize --output-dir "$dir/o" --threads 2 --method "$@" \
        >"$dir/log" 2>&1 || { echo "FAIL: $name: $(cat "$dir/log")"; bad=1; return; }
    most=$(number peak_bytes) text=$(number text_bytes)
    is=$(number largest_layer_f32_bytes)
    bound=$((layer * 12 / 10 + text + program))
    echo "$name: $(($(date +%s) - from)) s, $((most >> 10)) KiB of $((bound >> 10)), text $((text >> 10))"
    [ "$is" -ge $layer ] && [ "$is" -le $((layer + 65536)) ] ||
        { echo "FAIL: $name: a layer of $is bytes, not $layer"; bad=1; }
    [ "$text" -le $text_most ] ||
        { echo "FAIL: $name: $text bytes of text, at most $text_most"; bad=1; }
    [ "$most" -gt 0 ] && [ "$most" -le $bound ] ||
        { echo "FAIL: $name: $most bytes, at most $bound"; bad=1; }
    rm -rf "$dir/o"
}

reads="--calibration-samples 4 --calibration-length 128 --report-tokens 0"
for type in bf16 f32; do
    "$quern" synth --shape qwen3-0.6b --layers 4 --dtype $type \
        --output "$dir/m" >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }
    [ $program = 0 ] && peak nf4 nf4 --model "$dir/m" --report-tokens 0 &&
        program=$most
    peak "nf4 of $type, with a report" nf4 --model "$dir/m" --report-tokens 32
    peak "gptq of $type" gptq --model "$dir/m" $reads
    peak "awq of $type" awq --model "$dir/m" $reads
    [ $type = bf16 ] || # takes long
        peak "auto of $type" auto --target-bits 4.25 --model "$dir/m" $reads
    rm -rf "$dir/m"
done
exit $bad
