#!/bin/sh
# The program of the arm64 build under the emulator: on every level of kernels
# it writes what x86-64 writes, and it picks the best level of a processor.
set -eu

quern=$QUERN_BUILD_DIR/bin/quern
model=${QUERN_DEFAULT_MODEL:-$QUERN_SOURCE_DIR/models/quern-14m.gguf}
[ -n "${QUERN_EMULATOR:-}" ] || { echo "skipped: no qemu-aarch64"; exit 77; }
[ -x "$quern" ] || { echo "skipped: the program is not built"; exit 77; }
[ -r "$model" ] || { echo "skipped: no model in models/"; exit 77; }

fail() {
    echo "$1"
    exit 1
}
run() {
    $QUERN_EMULATOR "$quern" "$@"
}

# best level of a processor, as quern doctor names it
for pair in max:bf16 cortex-a72:neon neoverse-n1:dotprod; do
    got=$(QEMU_CPU=${pair%:*} run doctor --json |
        sed -n 's/.*"isa":"\([a-z0-9]*\)".*/\1/p')
    [ "$got" = "${pair#*:}" ] || fail "${pair%:*} is taken for $got"
done

want='A KV cache is the memory in which a language model keeps the'
for level in ref neon dotprod i8mm bf16; do
    got=$(QUERN_CPU=$level run run --model "$model" -q --threads 2 \
        --temperature 0 --max-new-tokens 16 --chat 'What is a KV cache?')
    [ "$got" = "$want" ] || fail "$level writes $got"
done
echo "1 passed, 0 failed"
