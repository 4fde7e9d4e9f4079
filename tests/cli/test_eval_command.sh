# quern eval from the outside: what it prints, its mistakes, its statuses.
set -u
root=${QUERN_SOURCE_DIR:-$(dirname "$0")/../..}
quern=${QUERN_BUILD_DIR:-$root/build/release}/bin/quern
data=$root/tests/data/eval
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
bad=0

fail() {
    echo "FAIL: $*"
    bad=1
}

# usage WORDS... : called wrongly, and told how to call it
usage() {
    "$quern" eval "$@" >"$dir/out" 2>"$dir/err"
    [ $? = 2 ] || fail "not a usage error: $*"
    [ -s "$dir/out" ] && fail "something on stdout: $*"
}

# failed TEXT WORDS... : status 1, and the message says TEXT
failed() {
    text=$1
    shift
    "$quern" eval "$@" >"$dir/out" 2>"$dir/err"
    [ $? = 1 ] || fail "not status 1: $*"
    grep -qF -- "$text" "$dir/err" || fail "no \"$text\": $(cat "$dir/err")"
}

printf 'Once upon a time there lived a baker. She loved the rain.\n' >"$dir/t"
"$quern" eval --text "$dir/t" -t 1 >"$dir/out" || fail "text: status $?"
grep -q '^  perplexity ' "$dir/out" || fail "no perplexity"
"$quern" eval builtin --text "$dir/t" -t 1 --base-exact -o json \
    --positions "$dir/p.csv" --save-logits "$dir/l" >"$dir/out" ||
    fail "json: status $?"
grep -q '"base":{.*"exact":true.*"kl":{"mean":[0-9]' "$dir/out" ||
    fail "json: $(cat "$dir/out")"
scored=$(sed 's/.*"scored":\([0-9]*\).*/\1/' "$dir/out")
[ "$(wc -l <"$dir/p.csv")" = $((scored + 1)) ] || fail "lines of the csv"
# a disk that is full: the file of positions that there was, or none, never a part
said=$(trap '' XFSZ && ulimit -f 0 && "$quern" eval --text "$dir/t" -t 1 \
    --positions "$dir/full.csv" 2>&1) && fail "a full disk, and no error"
echo "$said" | grep -q full.csv || fail "a full disk: $said"
[ -e "$dir/full.csv" ] && fail "a full disk leaves a part of the positions"
"$quern" eval --text "$dir/t" -t 1 --base-logits "$dir/l" -o markdown \
    >"$dir/out" || fail "stored base: status $?"
grep -q '^| KL, mean | ' "$dir/out" || fail "no KL in the markdown"
"$quern" eval --compare builtin builtin --text "$dir/t" -t 1 --no-speed \
    >"$dir/out" || fail "compare: status $?"
[ "$(grep -c '^quern-14m.gguf .* 8\.5' "$dir/out")" = 2 ] ||
    fail "compare: $(cat "$dir/out")"
"$quern" eval --task piqa --data "$data/piqa.jsonl" -t 1 >"$dir/out" ||
    fail "task: status $?"
grep -q '^  acc_norm ' "$dir/out" || fail "no acc_norm"

usage
usage --text "$dir/t" --task arc --data x
usage --task arc
usage --task none --data x
usage --compare builtin builtin
usage --compare builtin --text "$dir/t"
usage builtin builtin --text "$dir/t"
usage --text "$dir/t" --base-exact --base-logits "$dir/l"
usage --task arc --data x --base builtin
failed "$dir/none" --text "$dir/none"
: >"$dir/empty"
failed "$dir/empty is empty" --text "$dir/empty"
failed "--context" --text "$dir/t" --context 900
failed "$dir/t:1" --task arc --data "$dir/t"
failed "the base" --text "$dir/t" --base "$dir/none"
# what is found before anything is measured
failed "/nowhere/x" --text "$dir/t" --positions /nowhere/x -m "$dir/none"
failed "/nowhere/x" --text "$dir/t" --save-logits /nowhere/x -m "$dir/none"
failed "/nowhere/x" --task piqa --data "$data/piqa.jsonl" --samples /nowhere/x \
    -m "$dir/none"
failed "$dir/model" --compare builtin "$dir/model" --text "$dir/none" --no-speed
# beyond what the model was made for, which is told
yes 'Once upon a time there lived a baker.' | head -150 >"$dir/long"
"$quern" eval --text "$dir/long" -t 1 --context 1100 >"$dir/out" 2>"$dir/err" ||
    fail "a long context: status $?"
grep -q 'made for 1024 tokens' "$dir/err" || fail "a long context is not told"
exit $bad
