# What README and the guides mark as runnable runs, and prints what they say
# (tools/run-docs), which itself finds a block that fails or prints otherwise.
set -u
root=$QUERN_SOURCE_DIR
build=$QUERN_BUILD_DIR
python=/usr/bin/python3
[ -x "$python" ] || python=$(command -v python3) || {
    echo "skipped: no python3"
    exit 77
}
[ -x "$build/bin/quern" ] || { echo "skipped: no program was built"; exit 77; }
command -v curl >/dev/null || { echo "skipped: no curl"; exit 77; }
if nm -D "$build/lib/libquern.so" | grep -q -E '__(asan|tsan|ubsan)_'; then
    echo "skipped: the library is built for a sanitizer"
    exit 77
fi
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
bad=0

fail() {
    echo "FAIL: $*"
    bad=1
}

printf '```sh run\necho a 1 ms; printf b >file\n```\n```output like\na 25 s\n```
```python run\nprint(open("file").read())\n```\n```output\nb\n```
```sh run\nprintf "x\\ny\\nz"\n```\n```output part\nx\nz\n```\n' >"$dir/good.md"
"$python" "$root/tools/run-docs" --build "$build" "$dir/good.md" >"$dir/out" ||
    fail "a good page: $(cat "$dir/out")"
grep -q '^run-docs: 3 blocks of 1 pages, 0 faults' "$dir/out" ||
    fail "not all blocks were run: $(cat "$dir/out")"
for change in 's/a 25/c 25/' 's/^b$/c/' 's/^z$/w/' 's/echo a/false; echo a/'; do
    sed "$change" "$dir/good.md" >"$dir/wrong.md"
    "$python" "$root/tools/run-docs" --build "$build" "$dir/wrong.md" \
        >/dev/null && fail "a wrong page passes: $change"
done
cp "$dir/wrong.md" "$dir/wrong2.md"
sed 's/^b$/c/' "$dir/good.md" >"$dir/update.md"
"$python" "$root/tools/run-docs" --update --build "$build" "$dir/update.md" \
    >/dev/null && "$python" "$root/tools/run-docs" --build "$build" \
    "$dir/update.md" >/dev/null || fail "--update does not mend a page"

cd "$root" || exit 1
# The Chinese pages have the same blocks (tools/twins).
pages=$(grep -lE '^ *```(sh|python) run' README.md docs/*.md \
    configs/*.md examples/*.md examples/clients/*.md deploy/*.md 2>/dev/null)
[ "$(echo "$pages" | wc -l)" -ge 3 ] || fail "pages that run: $pages"
# shellcheck disable=SC2086 # file names hold no blanks
"$python" tools/run-docs --build "$build" $pages || bad=1
exit $bad
