# Every command of `quern --help` with its defaults on the built-in model: what it
# cannot do without is given, and what alone decides how long it takes. A command
# that is not in the table below fails, so that a new one comes in.
set -u
root=${QUERN_SOURCE_DIR:-$(dirname "$0")/../..}
quern=${QUERN_BUILD_DIR:-$root/build/release}/bin/quern
case ${QUERN_BUILD_DIR-} in
*san) echo "skipped: the release build is tried, not a slow one"; exit 77 ;;
esac
[ -x "$quern" ] || { echo "skipped: no program was built"; exit 77; }
[ -r "$root/models/quern-14m.gguf" ] || { echo "skipped: no model"; exit 77; }
unset QUERN_MODEL QUERN_DEFAULT_MODEL
dir=$(mktemp -d) || exit 1
server=
trap 'kill $server 2>/dev/null || :; rm -rf "$dir"' EXIT
. "$root/tests/http/serving.sh"
cd "$dir" || exit 1
bad=0

# ok COMMAND...: it ends with 0 and prints something.
ok() {
    if ! "$quern" "$@" </dev/null >out 2>err || ! [ -s out ]; then
        echo "FAIL: quern $*"
        cat out err
        bad=1
    fi
}

for _ in 1 2 3 4 5 6 7 8; do
    echo "Once upon a time a miller had a mill by the river, and the mill ground."
done >text
echo '[{"role": "user", "content": "What is 2 + 3?"}]' >messages
"$quern" serve --port 0 2>log &
server=$!
url=$(url_of log $server) || { echo "FAIL: quern serve"; cat log; exit 1; }
"$quern" --help | sed -n '/^Commands/,/^Try/s/^  \([a-z]*\( serve\)\{0,1\}\)  .*/\1/p' |
    tr ' ' - >commands
[ "$(wc -l <commands)" -ge 15 ] || { echo "FAIL: commands"; bad=1; }
while read -r command; do
    case $command in
    run) ok run --prompt "The mill" ;;
    chat) echo "What is 2 + 3?" | "$quern" chat >out 2>err && grep -q 5 out ||
        { echo "FAIL: quern chat"; bad=1; } ;;
    serve) ;; # runs already
    pull) ;; # wants a network
    info) ok info ;;
    optimize) ok optimize --model builtin --output small --method gguf ;;
    eval) ok eval --text text ;;
    synth) "$quern" synth --shape gpt2 --layers 1 --output synthetic 2>err &&
        [ -s synthetic/config.json ] || { echo "FAIL: quern synth"; cat err; bad=1; } ;;
    bench) ok bench --repeats 1 --warmup 0 --tokens 2 ;;
    bench-serve) ok bench serve --url "$url" --num-prompts 2 --random-output-len 4 ;;
    doctor) ok doctor ;;
    tokenize) ok tokenize builtin "The mill" ;;
    detokenize) ok detokenize builtin 5 6 ;;
    template) ok template builtin --messages messages ;;
    logits) "$quern" logits --token-ids 1,2,3 --output l.safetensors >out 2>err &&
        [ -s l.safetensors ] || { echo "FAIL: quern logits"; cat err; bad=1; } ;;
    *)
        echo "FAIL: quern $command is not tried here"
        bad=1
        ;;
    esac
done <commands
exit $bad
