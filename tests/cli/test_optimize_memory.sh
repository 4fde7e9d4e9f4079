#!/bin/sh
# What quern optimize keeps in memory: 1.2 times the largest layer in f32, and
# activations. The model is four layers and an output head that is ten times a
# layer: neither the network nor the head fits.
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

# Kibibytes. A layer of these shapes has 15,728,640 weights, whose f32 take
# 61,440. Activations: logits of the report's 32 tokens (151,936 each) for the
# source and for a piece of the other, keys and streams of 512 tokens. The
# program with its vocabulary needs no more than the rest.
layer=$((15728640 * 4 / 1024))
logits=$((32 * 151936 * 4 / 1024))
streams=16384
program=32768
bound=$((layer * 12 / 10 + logits + streams + program))

"$quern" synth --shape qwen3-0.6b --layers 4 --output "$dir/m" \
    >"$dir/log" 2>&1 || { cat "$dir/log"; exit 1; }

peak() {
    name=$1
    shift
    "$quern" optimize --model "$dir/m" --output-dir "$dir/$name" --threads 2 \
        --report-tokens 32 --method "$@" >"$dir/log" 2>&1 &
    pid=$!
    most=0
    while kill -0 $pid 2>/dev/null; do
        now=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' /proc/$pid/status \
            2>/dev/null)
        [ "${now:-0}" -gt "$most" ] && most=$now
        sleep 0.05
    done
    wait $pid || { echo "FAIL: $name: $(cat "$dir/log")"; bad=1; }
    echo "$name: $most KiB of $bound"
    [ "$most" -gt 0 ] && [ "$most" -le $bound ] ||
        { echo "FAIL: $name: $most KiB, at most $bound"; bad=1; }
    rm -rf "$dir/$name"
}

text="--calibration-samples 4 --calibration-length 128"
peak nf4 nf4
peak gptq gptq $text
peak awq awq $text
peak auto auto --target-bits 4.25 $text
exit $bad
