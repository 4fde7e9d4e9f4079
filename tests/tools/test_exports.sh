# The functions of quern.h, the list in cmake/quern.map and the symbols that
# libquern.so exports must be one and the same set; names of the library that
# programs rely on then change on purpose only. Under a sanitizer the compiler
# adds symbols of its own, so only names with our prefix count.
set -u
root=${QUERN_SOURCE_DIR:-$(dirname "$0")/../..}
build=${QUERN_BUILD_DIR:-$root/build/release}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
LC_ALL=C
export LC_ALL

tr '\n' ' ' <"$root/include/quern.h" | sed 's/QN_API/\n&/g' |
    sed -n -E 's/^QN_API [^(;]*[ *](qn_[a-z0-9_]+) *\(.*/\1/p' |
    sort >"$dir/header"
sed -n -E 's/^ *(qn_[a-z0-9_]+);.*/\1/p' "$root/cmake/quern.map" |
    sort >"$dir/map"
if ! [ -s "$dir/header" ]; then
    echo "FAIL: no QN_API function found in quern.h"
    exit 1
fi
if ! diff "$dir/header" "$dir/map" >"$dir/diff"; then
    echo "FAIL: cmake/quern.map (>) does not list what quern.h declares (<)"
    cat "$dir/diff"
    exit 1
fi

nm -D --defined-only "$build/lib/libquern.so" |
    sed -n -E 's/^[0-9a-f]+ [A-Z] (qn_[a-z0-9_]+)@.*/\1/p' |
    sort >"$dir/library"
if ! diff "$dir/header" "$dir/library" >"$dir/diff"; then
    echo "FAIL: quern.h (<) and the symbols of libquern.so (>) differ"
    cat "$dir/diff"
    exit 1
fi
