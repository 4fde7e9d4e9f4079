# Each breach of the include law, seeded into a small tree, must be found; the
# same tree without it must pass. Run by ctest, or: sh test_check_deps.sh
set -u
tools=${QUERN_SOURCE_DIR:-$(dirname "$0")/../..}/tools
tree=$(mktemp -d) || exit 1
trap 'rm -rf "$tree"' EXIT
failed=0

put() { # put FILE LINE...
    mkdir -p "$tree/$(dirname "$1")"
    file=$tree/$1
    shift
    printf '%s\n' "$@" >"$file"
}

good_tree() {
    rm -rf "$tree/src" "$tree/apps"
    put src/base/str.c '#include "base/str.h"' '#include "quern.h"' \
        '#include <string.h>' '#include <jansson.h>'
    put src/text/bpe.c '#include "base/str.h"' '#include "text/bpe.h"' \
        '#include "bpe.h"' '#include <pcre2.h>'
    put src/backend/registry.c '#include "backend/backend.h"'
    put src/backend/cpu/x86/dot_avx2.c '#include "backend/cpu/ops.h"' \
        '#include "backend/backend.h"' '#include <immintrin.h>'
    put src/model/forward.c '#include "backend/backend.h"' \
        '#include "ckpt/ckpt.h"'
    put src/engine/api.c '#include "model/model.h"' '#include "ckpt/ckpt.h"'
    put apps/cli/run.c '#include "quern.h"' '#include "base/str.h"' \
        '#include "cli/opt.h"'
    put apps/cli/synth.c '#include "ckpt/ckpt.h"'
    put apps/cli/synth_shapes.c '#include "ckpt/ckpt.h"'
}

expect_pass() {
    if ! out=$("$tools/check-deps" "$tree" 2>&1); then
        printf 'FAIL: a lawful tree was refused:\n%s\n' "$out"
        failed=1
    fi
}

expect_breach() { # expect_breach FILE INCLUDE
    good_tree
    put "$1" '/* x */' "#include $2"
    out=$("$tools/check-deps" "$tree" 2>&1)
    rc=$?
    case $rc:$out in
    1:*"$1:2: "*) ;;
    *)
        printf 'FAIL: %s in %s: status %s\n%s\n' "$2" "$1" "$rc" "$out"
        failed=1
        ;;
    esac
}

good_tree
expect_pass
expect_breach src/base/a.c '"tensor/dtype.h"'
expect_breach src/tensor/a.c '"ckpt/ckpt.h"'
expect_breach src/tensor/a.c '<jansson.h>'
expect_breach src/text/a.c '"tensor/dtype.h"'
expect_breach src/ckpt/a.c '"text/tokenizer.h"'
expect_breach src/ckpt/a.c '<pcre2.h>'
expect_breach src/backend/a.c '"backend/cpu/ops.h"'
expect_breach src/backend/a.c '<immintrin.h>'
expect_breach src/backend/cpu/a.c '"backend/cuda/ops.h"'
expect_breach src/backend/cpu/ref/a.c '"model/model.h"'
expect_breach src/model/a.c '"engine/api.h"'
expect_breach src/model/a.c '"backend/cpu/ops.h"'
expect_breach src/model/a.c '"text/tokenizer.h"'
expect_breach src/engine/a.c '"cli/opt.h"'
expect_breach src/text/a.c '"../ckpt/ckpt.h"'
expect_breach apps/cli/a.c '"ckpt/ckpt.h"'
expect_breach apps/cli/synthesis.c '"ckpt/ckpt.h"'
expect_breach apps/cli/a.c '"engine/api.h"'
expect_breach src/newfolder/a.c '"base/str.h"'

rm -rf "$tree/src" "$tree/apps"
if "$tools/check-deps" "$tree" >/dev/null 2>&1; then
    echo "FAIL: an empty tree passed"
    failed=1
fi
exit $failed
