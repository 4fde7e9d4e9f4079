# What `cmake --install` puts into an empty folder works from there: the
# program, the built-in model, the library by pkg-config, manual, completion.
set -eu
root=$QUERN_SOURCE_DIR
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT

fail() {
    echo "FAILED: $*"
    exit 1
}

[ -x "$QUERN_BUILD_DIR/bin/quern" ] || fail "no program was built"
built=$(QUERN_DEFAULT_MODEL= "$QUERN_BUILD_DIR/examples/complete" "" "The mill")
[ -n "$built" ] || fail "the example in the build folder says nothing"

cmake --install "$QUERN_BUILD_DIR" --prefix "$prefix" >"$prefix/log" 2>&1 ||
    { cat "$prefix/log"; fail "cmake --install"; }
for f in bin/quern include/quern.h share/quern/models/quern-14m.gguf \
    share/man/man1/quern.1 share/man/man1/quern-run.1 \
    share/bash-completion/completions/quern share/zsh/site-functions/_quern; do
    [ -s "$prefix/$f" ] || fail "$f is not installed"
done

text=$(env -u QUERN_DEFAULT_MODEL "$prefix/bin/quern" run -q -n 8 "The mill")
[ -n "$text" ] || fail "the installed program says nothing"
path=$(env -u QUERN_DEFAULT_MODEL "$prefix/bin/quern" info --json)
case $path in
*"$prefix"/*share/quern/models/quern-14m.gguf*) ;;
*) fail "the installed program took another model: $path" ;;
esac

lib=$(dirname "$(find "$prefix" -name quern.pc)")
if nm -D "$lib/../libquern.so" | grep -q '__[atu][sb]*san_'; then
    echo "skipped: a library with sanitizers cannot be linked plainly"
    exit 0
fi
PKG_CONFIG_PATH=$lib
export PKG_CONFIG_PATH
flags=$(pkg-config --cflags --libs quern)
# shellcheck disable=SC2086 # flags are words
for program in complete ask_all; do
    "${CC:-cc}" -std=c17 -Wall -Wextra -Werror "$root/examples/$program.c" \
        -o "$prefix/$program" $flags "-Wl,-rpath,$(dirname "$lib")"
done
text=$(env -u QUERN_DEFAULT_MODEL "$prefix/complete" "" "The mill")
[ "$text" = "$built" ] || fail "installed library: '$text', built: '$built'"
! "$prefix/complete" /nowhere/model 2>"$prefix/err" >"$prefix/out" ||
    fail "a model that is not there opens"
grep -q /nowhere/model "$prefix/err" || fail "its message does not name it"

# Into one file, with whatever is in the header: nothing that it needs is left
# out of quern.pc.
{
    echo '#include <quern.h>'
    echo 'typedef void (*function)(void);'
    echo 'function all[] = {'
    grep -o 'qn_[a-z_]*;' "$root/cmake/quern.map" |
        sed 's/\(.*\);/    (function)\1,/'
    echo '};'
    echo 'int main(void) { return all[0] == 0; }'
} >"$prefix/all.c"
# shellcheck disable=SC2046 # flags are words
"${CC:-cc}" -std=c17 "$prefix/all.c" -o "$prefix/all" \
    $(pkg-config --static --cflags --libs quern | sed 's/-lquern/-l:libquern.a/')
"$prefix/all" || fail "the program with the static library does not run"
! "$prefix/complete" "" "" 2>"$prefix/err" >"$prefix/out" ||
    fail "an empty prompt succeeds"
[ -s "$prefix/err" ] || fail "an empty prompt is not told"
env -u QUERN_DEFAULT_MODEL "$prefix/ask_all" "" "What is 2 + 3?" \
    'Say "no".' >"$prefix/out" || fail "ask_all"
grep -q '2 + 3 = 5' "$prefix/out" || fail "ask_all: $(cat "$prefix/out")"

# So linked, a program has to be told where the model is.
# shellcheck disable=SC2046 # flags are words
"${CC:-cc}" "$root/examples/complete.c" -o "$prefix/alone" \
    $(pkg-config --static --cflags --libs quern | sed 's/-lquern/-l:libquern.a/')
! ldd "$prefix/alone" | grep -q libquern || fail "linked with the library"
text=$(QUERN_DEFAULT_MODEL=$prefix/share/quern/models/quern-14m.gguf \
    "$prefix/alone" "" "The mill")
[ "$text" = "$built" ] || fail "the archive says '$text'"
echo "installed, linked, run"
