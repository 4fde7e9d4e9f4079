#!/bin/sh
# quern optimize from the outside, when things go wrong: a clear message, the
# right status, nothing half-written, the source as it was.
set -u
root=${QUERN_SOURCE_DIR:-$(dirname "$0")/../..}
quern=${QUERN_BUILD_DIR:-$root/build/release}/bin/quern
model=$root/tests/data/models/llama
dir=$(mktemp -d) || exit 1
mounted=
trap '[ -z "$mounted" ] || umount "$mounted"; rm -rf "$dir"' EXIT
bad=0

fail() {
    echo "FAIL: $*"
    bad=1
}

optimize() {
    "$quern" optimize --threads 1 --quiet "$@" >"$dir/out" 2>"$dir/err"
}

# refused STATUS WORD ARGS...: the status, the word in the message, and nothing
# of the output directory
refused() {
    status=$1 word=$2
    shift 2
    optimize --output-dir "$dir/no" "$@"
    rc=$?
    [ $rc = "$status" ] || fail "$*: status $rc, not $status"
    grep -q -- "$word" "$dir/err" || fail "$*: $(cat "$dir/err")"
    [ -e "$dir/no" ] && fail "$*: left the directory"
    [ -e "$dir/no.partial" ] && fail "$*: left a partial directory"
    rm -rf "$dir/no" "$dir/no.partial"
}

before=$(cksum "$model"/*)

# what does not go together
refused 2 'which model' --method rtn
refused 2 'given twice' --model "$model" "$dir"
refused 1 'no quantization method' --model "$model" --method hqq
refused 1 '4 bits, not 3' --model "$model" --bits 3
refused 1 'double quantization' --model "$model" --method fp8 --double-quant
refused 1 'one target' --model "$model" --method auto
refused 1 'method auto' --model "$model" --method rtn --target-bits 4
refused 1 'chooses the bits' --model "$model" --method auto --target-bits 4 \
    --bits 4
refused 1 'activation order' --model "$model" --method awq --desc-act
refused 1 'has no "nf4"' --model "$model" --method gguf --quant-type nf4
refused 1 'gguf' --model "$model" --method rtn --rule v_proj=q8_0
refused 1 'quant-type says q8_0' --model "$model" --method Q4_K_M \
    --quant-type q8_0
refused 1 'have types' --model "$model" --method rtn --quant-type q4_k
refused 1 'compressed-tensors has 2 to 8' --model "$model" --method gptq --bits 5
refused 1 'there are f32, f16' --model "$model" --method gguf --rule v_proj=8
refused 1 'names of modules' --model "$model" --skip-modules '*'
refused 1 'does not calibrate' --model "$model" --method rtn \
    --calibration "$model/config.json"
refused 1 'there is none' --model "$model" --method gptq --calibration-split x
refused 1 'there is none' --model "$model" --method gguf --quant-type q4_k \
    --importance --calibration-split x
refused 1 'vocabulary\|tokenizer' --model "$model" --method gptq --group-size 32
refused 1 'nothing-here' --model "$dir/nothing-here"
refused 1 'quantized already' \
    --model "$root/tests/data/models_quant/opt_bnb_fp4_dq" --method rtn

# what was not done as it was asked for is told
"$quern" optimize --model "$model" --output-dir "$dir/told" --threads 1 \
    --skip k_prj --report-tokens 0 >/dev/null 2>"$dir/err" ||
    fail "--skip k_prj: $(cat "$dir/err")"
grep -q -- '--skip k_prj: no module' "$dir/err" ||
    fail "a pattern that fits nothing: $(cat "$dir/err")"
grep -q 'no module has such a name' "$dir/told/metadata.json" ||
    fail "metadata.json does not say it"
"$quern" optimize --model "$model" --output-dir "$dir/fitted" --threads 1 \
    --method gguf --quant-type q4_k --report-tokens 0 >/dev/null 2>"$dir/err" ||
    fail "q4_k: $(cat "$dir/err")"
grep -q 'blocks do not fill' "$dir/err" ||
    fail "rows of 64 in q4_k: $(cat "$dir/err")"

# a source that is cut short
mkdir "$dir/cut"
cp "$model/config.json" "$dir/cut"
head -c 100000 "$model/model.safetensors" >"$dir/cut/model.safetensors"
for method in bitsandbytes rtn gguf; do
    refused 1 'model.safetensors' --model "$dir/cut" --method $method
done

# an output that cannot be
: >"$dir/file"
optimize --model "$model" --output-dir "$dir/file" && fail "onto a file"
grep -q 'not a directory' "$dir/err" || fail "onto a file: $(cat "$dir/err")"
mkdir "$dir/full" && : >"$dir/full/something"
optimize --model "$model" --output-dir "$dir/full" && fail "onto other files"
grep -q 'not empty' "$dir/err" || fail "onto other files: $(cat "$dir/err")"
[ "$(ls "$dir/full")" = something ] || fail "onto other files: changed them"
ln -s "$dir/nothing-here" "$dir/link"
optimize --model "$model" --output-dir "$dir/link" && fail "onto a link"
grep -q 'leads nowhere' "$dir/err" || fail "onto a link: $(cat "$dir/err")"
mkdir "$dir/behind" && ln -sfn "$dir/behind" "$dir/link"
optimize --model "$model" --output-dir "$dir/link" ||
    fail "behind a link: $(cat "$dir/err")"
[ -L "$dir/link" ] && [ -f "$dir/behind/model.safetensors" ] ||
    fail "behind a link: nothing is there"
optimize --model "$model" --output-dir /proc/quern && fail "into /proc"
grep -q '/proc/quern' "$dir/err" || fail "into /proc: $(cat "$dir/err")"

# a full disk, and one that is read-only
mkdir "$dir/disk"
if [ "$(id -u)" = 0 ] &&
    mount -t tmpfs -o size=64k quern-test "$dir/disk" 2>"$dir/err"; then
    mounted=$dir/disk
    for method in bitsandbytes gguf; do
        optimize --model "$model" --output-dir "$dir/disk/out" \
            --method $method --bits 8 && fail "$method: onto a full disk"
        grep -q 'no space left: .* are to be written' "$dir/err" ||
            fail "$method, full disk: $(cat "$dir/err")"
        [ -z "$(ls -A "$dir/disk")" ] ||
            fail "$method, full disk: left $(ls -A "$dir/disk")"
    done
    mount -o remount,ro "$dir/disk"
    optimize --model "$model" --output-dir "$dir/disk/out" &&
        fail "onto a read-only disk"
    grep -q 'Read-only' "$dir/err" || fail "read-only: $(cat "$dir/err")"
    umount "$mounted" && mounted=
else
    echo "skipped: full and read-only disks (no right to mount one)"
fi

# a text of documents is another text than the same bytes in one piece (minutes
# under a sanitizer, where test_samples reads documents, too)
if ! grep -qE '__(asan|tsan|ubsan)_' "$quern"; then
    printf '%s\n' "Once upon a time a dog ran in the garden until sunset." \
        '<|endoftext|>' "A bird sang on the mill, and the miller was glad." \
        >"$dir/text"
    for split in '' '<|endoftext|>'; do
        optimize --model "$root/models/quern-14m.gguf" --method gguf \
            --quant-type iq4_nl --importance --report-tokens 0 \
            --output-dir "$dir/split-${split:+by}" --calibration "$dir/text" \
            --calibration-samples 2 --calibration-length 16 \
            ${split:+--calibration-split "$split"} ||
            fail "--calibration-split '$split': $(cat "$dir/err")"
    done
    grep -q '"calibration_split": "<|endoftext|>"' "$dir/split-by/metadata.json" ||
        fail "metadata.json does not say how the text was split"
    cmp -s "$dir/split-/model.gguf" "$dir/split-by/model.gguf" &&
        fail "--calibration-split changes nothing"
fi

# killed in the middle: no directory of that name, and the next run works. One thread
# that encodes q4_k is slow enough to be caught.
"$quern" synth --shape gpt2 --layers 2 --output "$dir/big" --quiet \
    >/dev/null 2>&1 || fail "synth: status $?"
"$quern" optimize --model "$dir/big" --output-dir "$dir/killed" --method gguf \
    --quant-type q4_k --threads 1 --quiet >/dev/null 2>&1 &
pid=$!
for _ in $(seq 100); do
    [ -d "$dir/killed.partial" ] && break
    sleep 0.05
done
kill -KILL $pid 2>/dev/null
wait $pid 2>/dev/null
[ -e "$dir/killed" ] && fail "killed, and there is a directory"
[ -d "$dir/killed.partial" ] || fail "killed too late to tell anything"
optimize --model "$model" --output-dir "$dir/killed" ||
    fail "after a killed run: $(cat "$dir/err")"
[ -e "$dir/killed.partial" ] && fail "what a killed run left is still there"
[ -s "$dir/killed/metadata.json" ] || fail "no metadata.json"

# stopped before anything was saved: that is said, and nothing is left. A shell without
# job control starts it deaf to SIGINT, so it is another signal that asks.
"$quern" optimize --model "$dir/big" --output-dir "$dir/stopped" --method gguf \
    --quant-type q4_k --threads 1 --quiet >/dev/null 2>"$dir/err" &
pid=$!
for _ in $(seq 100); do
    [ -d "$dir/stopped.partial" ] && break
    sleep 0.05
done
kill -TERM $pid 2>/dev/null
wait $pid
[ $? = 130 ] || fail "stopped: another status"
grep -q "before anything was saved" "$dir/err" || fail "stopped: $(cat "$dir/err")"
[ -e "$dir/stopped.partial" ] && fail "stopped: something is left"

[ "$(cksum "$model"/*)" = "$before" ] || fail "the source was changed"
exit $bad
