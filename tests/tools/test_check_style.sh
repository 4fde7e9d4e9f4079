# Each fault that check-style judges, seeded into a small tree, must be found
# by its own message; the tree without it must pass.
set -u
root=${QUERN_SOURCE_DIR:-$(dirname "$0")/../..}
tree=$(mktemp -d) || exit 1
trap 'rm -rf "$tree"' EXIT
failed=0
tab=$(printf '\t')

put() { # put FILE LINE...
    mkdir -p "$tree/$(dirname "$1")"
    file=$tree/$1
    shift
    printf '%s\n' "$@" >"$file"
}

good_tree() {
    rm -rf "${tree:?}"/*
    cp "$root/.clang-format" "$tree"
    put src/base/README.md '# base'
    put src/base/a.h '#ifndef A_H' '#define A_H' 'int a(int x);' '#endif'
    put src/base/a.c '#include "base/a.h"' '' 'int a(int x)' '{' \
        '    return x;' '}'
    put tests/data/b.txt "data may hold ${tab}tabs"
}

expect() { # expect FILE:LINE MESSAGE: the fault and only it is reported
    out=$("$root/tools/check-style" "$tree" 2>/dev/null)
    rc=$?
    n=$(printf '%s\n' "$out" | grep -c '^[^ ]')
    case $rc:$n:$out in
    1:1:"$1: "*"$2"*) ;;
    *)
        printf 'FAIL: wanted "%s: %s", status %s, got:\n%s\n' \
            "$1" "$2" "$rc" "$out"
        failed=1
        ;;
    esac
    good_tree
}

good_tree
if ! out=$("$root/tools/check-style" "$tree" 2>&1); then
    printf 'FAIL: a good tree was refused:\n%s\n' "$out"
    failed=1
fi

long=$(printf 'x%.0s' $(seq 97))
put src/base/c.h "/* $long */"
expect src/base/c.h:1 '103 columns'

umlauts=$(printf '\303\244%.0s' $(seq 90))
put src/base/c.h "/* $umlauts */"
if ! "$root/tools/check-style" "$tree" >/dev/null 2>&1; then
    echo "FAIL: a line of 96 characters in 186 bytes was refused"
    failed=1
fi

seq -f '/* %g */' 1501 >"$tree/src/base/c.h"
expect src/base/c.h:1501 'longer than 1500'

put src/base/NOTES.md "a${tab}b"
expect src/base/NOTES.md:1 'a tab'

word=TO; word=${word}DO
put src/base/c.h "/* $word: more */"
expect src/base/c.h:1 'finish it'

put src/base/c.h '#if 0' 'int c;' '#endif'
expect src/base/c.h:1 'dead code'

put src/base/c.c 'int c(void);' 'int c(void)' '{' '#ifdef X' \
    '    return 1;' '#endif' '    return 0;' '}'
expect src/base/c.c:4 'inside a function body'

slash=/
put src/base/NOTES.md "see ${slash}root${slash}x"
expect src/base/NOTES.md:1 'a path of one machine'

put src/text/README.md '# text'
put src/text/a.c 'extern int c;'
expect src/text/a.c:1 'same file name as src/base/a.c'

put src/text/c.c 'extern int c;'
expect src/text:1 'no README.md'

put src/base/c.h 'size_t c(void);'
expect src/base/c.h:1 'does not compile alone'

if clang-format-14 --version >/dev/null 2>&1; then
    put src/base/c.h 'int  c;'
    expect src/base/c.h:1 'clang-format'
fi
exit $failed
