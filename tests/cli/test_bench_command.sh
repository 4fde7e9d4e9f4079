# quern bench and quern synth from the outside: formats, comparing, statuses.
set -u
root=${QUERN_SOURCE_DIR:-$(dirname "$0")/../..}
quern=${QUERN_BUILD_DIR:-$root/build/release}/bin/quern
model=$root/tests/data/models/llama
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
bad=0

fail() {
    echo "FAIL: $*"
    bad=1
}

bench() {
    "$quern" bench --model "$model" --prefill 8 --depths 0 --batches 2 \
        --repeats 2 --tokens 2 --threads 2 --quiet "$@"
}

bench >"$dir/table" || fail "table: status $?"
grep -q '^decode 2 at 0 .*tok/s .*% of' "$dir/table" || fail "no decode row"
grep -q '^One answer: 8 input tokens, 2 output tokens, [0-9.]* s, ' "$dir/table" ||
    fail "no line of one answer"
bench -o csv >"$dir/csv" || fail "csv: status $?"
[ "$(head -1 "$dir/csv")" = name,unit,median,min,max,bound,fraction ] ||
    fail "head of the csv"
bench -o markdown | grep -q '^| prefill 8 | ' || fail "no row in the markdown"
bench -o json >"$dir/before.json" || fail "json: status $?"
bench --compare "$dir/before.json" --tolerance 100 >"$dir/cmp" ||
    fail "compare: status $?"
grep -q '^load .*ms' "$dir/cmp" || fail "no comparison"
# what was far faster before is slower now
sed -E 's/("(median|fraction)": )([0-9])/\19\3/' "$dir/before.json" \
    >"$dir/fast.json"
bench --compare "$dir/fast.json" >"$dir/cmp" 2>"$dir/err"
[ $? = 1 ] || fail "slower, and not status 1"
grep -q slower "$dir/err" || fail "slower, and not said"
bench --compare "$dir/nothing.json" >/dev/null 2>&1 && fail "no such file"
# what cannot be compared with is found before anything is measured
for text in '{' '{}' '[]'; do
    echo "$text" >"$dir/none.json"
    "$quern" bench --model "$dir/none" --compare "$dir/none.json" \
        >"$dir/out" 2>"$dir/err" && fail "no report, and status 0: $text"
    grep -q none.json "$dir/err" || fail "no report: $(cat "$dir/err")"
done
bench --isa ref >/dev/null || fail "--isa"
# The built-in model by the defaults, but for repeats: its context is short.
"$quern" bench --repeats 1 --tokens 8 >"$dir/table" 2>"$dir/err" ||
    fail "built-in model: status $?"
grep -q 'context of 1024: at [0-9]* instead of 1024' "$dir/err" ||
    fail "a depth beyond the context is not told"

# Tokens that no sequence has room for are no measurement.
"$quern" bench --repeats 5 --tokens 400 --prefill 8 --depths 0 --batches 1 \
    >"$dir/table" 2>"$dir/err" && fail "more tokens than the context: status 0"
grep -q 'more than the model.s context of 1024; choose fewer' "$dir/err" ||
    fail "more tokens than the context are not told"

[ "$("$quern" synth --list | wc -l)" -ge 20 ] || fail "list of shapes"
"$quern" synth --shape gpt2 2>/dev/null
[ $? = 2 ] || fail "synth without --output is a usage error"
"$quern" synth --shape gpt3 --output "$dir/x" 2>/dev/null
[ $? = 2 ] || fail "an unknown shape is a usage error"
"$quern" synth --shape opt-350m --layers 1 --output "$dir/opt" 2>/dev/null ||
    fail "synth: status $?"
"$quern" run --model "$dir/opt" --prompt "the mill" -n 3 --quiet >"$dir/out" ||
    fail "what synth wrote does not run"
[ -s "$dir/out" ] || fail "no text"
exit $bad
