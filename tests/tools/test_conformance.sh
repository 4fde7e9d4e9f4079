# tools/conformance: the page it makes of rows, what --check finds, and
# whether the page of this tree says only what is true.
set -u
root=${QUERN_SOURCE_DIR:-$(dirname "$0")/../..}
build=${QUERN_BUILD_DIR:-$root/build/release}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
bad=0

fail() {
    echo "FAIL: $*"
    bad=1
}

mkdir -p "$dir/tree/tools" "$dir/tree/docs" "$dir/build/conformance"
cp "$root/tools/conformance" "$dir/tree/tools/"
tool=$dir/tree/tools/conformance
page=$dir/tree/docs/conformance.md
printf 'Fruit\tapple\t3\t3\tgreen\nFruit\tpear\t1\t4\tno stem\n' \
    >"$dir/build/conformance/a.tsv"
printf 'Trees\toak\t2\t2\t\n' >"$dir/build/conformance/b.tsv"

"$tool" "$dir/build" >/dev/null || fail "no page"
grep -q '^| apple | 3 | 3 | green |$' "$page" || fail "no row of a pass"
grep -q '^1 of 2 complete' "$page" || fail "no count"
sed -n '/Not yet/,$p' "$page" | grep -q 'pear' || fail "pear is not left over"
"$tool" --check "$dir/build" >/dev/null || fail "a fresh page is called stale"

sed 's/| pear | 1/| pear | 2/' "$page" >"$page.new" && mv "$page.new" "$page"
"$tool" --check "$dir/build" >"$dir/out" && fail "a false claim passes"
grep -q 'claims 2 of 4, it is 1 of 4' "$dir/out" || fail "claim is not named"
"$tool" "$dir/build" >/dev/null
printf 'Fruit\tapple\t3\t3\tgreen\nFruit\tpear\t4\t4\t\n' \
    >"$dir/build/conformance/a.tsv"
"$tool" --check "$dir/build" | grep -q 'became better' || fail "no remark"
printf 'Fruit\tapple\t3\t3\tgreen\n' >"$dir/build/conformance/a.tsv"
"$tool" --check "$dir/build" | grep -q 'pear: no test' || fail "missing row"
# A program that was built since: what it said is not judged, nor written.
mkdir "$dir/build/tests"
: >"$dir/build/tests/a"
chmod +x "$dir/build/tests/a"
touch -d '1 hour ago' "$dir/build/conformance/a.tsv"
"$tool" --check "$dir/build" >/dev/null
[ $? = 77 ] || fail "rows of another build are judged"
touch "$dir/build/conformance/a.tsv"
"$tool" --check "$dir/build" | grep -q 'pear: no test' || fail "no rows any more"
printf 'Fruit\tpear\t1\t4\tno stem\n' >"$dir/build/conformance/c.tsv"
"$tool" --check "$dir/build" >/dev/null || fail "a program that is gone counts"
"$tool" "$dir/build" >/dev/null
grep -q pear "$page" && fail "a stale row is on the page"
rm -r "$dir/build/tests"
rm "$dir/build/conformance"/*.tsv
"$tool" --check "$dir/build" >/dev/null
[ $? = 77 ] || fail "no rows, and yet a verdict"

"$root/tools/conformance" --check "$build"
case $? in
0) ;;
77) echo "skipped: no rows of this build" ;;
*) bad=1 ;;
esac
exit $bad
