# Links of every page lead somewhere, every code that the program and the server
# can print has an entry in docs/troubleshooting.md, the Chinese pages say what
# the English do (tools/twins), and tools/site finds what is broken, and makes
# pages where python3-markdown is there.
set -u
root=$QUERN_SOURCE_DIR
python=/usr/bin/python3
[ -x "$python" ] || python=$(command -v python3) || {
    echo "skipped: no python3"
    exit 77
}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
bad=0

fail() {
    echo "FAIL: $*"
    bad=1
}

"$python" "$root/tools/site" --check || bad=1

# Faults in a small tree.
mkdir -p "$dir/tree/tools" "$dir/tree/docs"
cp "$root/tools/site" "$dir/tree/tools"
printf '# A `b` title\n[x](docs/y.md#the-end) [z](docs) `[no](link)`\n' \
    >"$dir/tree/README.md"
printf '# Y\n\n```sh\n[no](link)\n# no-heading\n```\n## The end\n' \
    >"$dir/tree/docs/y.md"
cp "$dir/tree/docs/y.md" "$dir/tree/docs/README.md"
"$python" "$dir/tree/tools/site" --check >"$dir/out" ||
    fail "a good tree is refused: $(cat "$dir/out")"
printf '[a](gone.md) [b](y.md#no-heading)\n[c](../../etc)\n' \
    >>"$dir/tree/docs/y.md"
"$python" "$dir/tree/tools/site" --check >"$dir/out" &&
    fail "broken links pass"
for line in 'docs/y.md:8: docs/gone.md is not there' \
    'docs/y.md:8: docs/y.md has no heading #no-heading' 'docs/y.md:9: '; do
    grep -q "^$line" "$dir/out" || fail "not found: $line"
done

# Chinese pages; and each way in which one can stay behind.
"$python" "$root/tools/twins" || bad=1
mkdir -p "$dir/pages/tools" "$dir/pages/docs/zh"
cp "$root/tools/twins" "$dir/pages/tools"
printf '# A\n```sh run\necho a # a\n```\n' >"$dir/pages/README.md"
printf '# 甲\n```sh run\necho a # 甲\n```\n' >"$dir/pages/README.zh.md"
cp "$dir/pages/README.md" "$dir/pages/docs/b.md"
cp "$dir/pages/README.zh.md" "$dir/pages/docs/zh/b.md"
twins() {
    (cd "$dir/pages" && "$python" tools/twins "$@") >"$dir/out"
}
twins && fail "a twin that was never marked passes"
twins --mark README.zh.md docs/zh/b.md
twins || fail "twins are refused: $(cat "$dir/out")"
twins --mark docs/b.md 2>/dev/null && fail "an English page is marked as a twin"
cp "$dir/pages/docs/zh/b.md" "$dir/pages/docs/zh/a.md"
printf '\n<!-- after docs/a.md 0123456789ab -->\n' | cat "$dir/pages/docs/b.md" - \
    >"$dir/pages/docs/a.md"
twins --mark docs/zh/a.md
twins && fail "an English page with the hash of a twin passes"
rm "$dir/pages/docs/a.md" "$dir/pages/docs/zh/a.md"
sed -i 's/# A/# B/' "$dir/pages/README.md"
sed -i 's/echo a/echo b/' "$dir/pages/docs/zh/b.md"
: >"$dir/pages/docs/c.md"
twins && fail "twins that differ pass"
for line in 'README.zh.md: README.md has changed since' \
    'docs/zh/b.md: block 1 is not that' 'docs/zh/c.md: is missing'; do
    grep -q "^$line" "$dir/out" || fail "not found: $line: $(cat "$dir/out")"
done

# Codes: of the library, and of the server's errors.
sed -n 's/^ *QN_\(E[A-Z]*\) = -.*/\1/p' "$root/include/quern.h" >"$dir/codes"
[ "$(wc -l <"$dir/codes")" -ge 9 ] || fail "codes of quern.h"
cat "$root"/apps/server/*.c | tr '\n' ' ' | grep -oE \
    '(qn_call_fail\( *[a-z>-]*call, *[0-9]{3}, |code = |429 [?] "[a-z_]*" *: )"[a-z_]+"|429 [?] "[a-z_]+"' |
    grep -oE '"[a-z_]+"' | tr -d '"' | sort -u >"$dir/http"
[ "$(wc -l <"$dir/http")" -ge 9 ] || fail "codes of the server: $(cat "$dir/http")"
while read -r code; do
    for page in docs docs/zh; do
        grep -q "^##* $code\$" "$root/$page/troubleshooting.md" ||
            fail "$page/troubleshooting.md: no entry $code"
    done
done <<END
$(cat "$dir/codes" "$dir/http")
END

if "$python" -c 'import markdown' 2>/dev/null; then
    "$python" "$root/tools/site" "$dir/site" >"$dir/out" || cat "$dir/out"
    grep -q '<table>' "$dir/site/docs/README.html" || fail "no page"
    grep -q 'class="language-sh"' "$dir/site/docs/install.html" ||
        fail "no code block"
    grep -ohE 'href="[^"#:]+\.html' "$dir/site/docs/README.html" |
        sed 's/href="//' | while read -r to; do
        [ -s "$dir/site/docs/$to" ] || echo "$to"
    done >"$dir/missing"
    [ -s "$dir/missing" ] && fail "the site lacks $(cat "$dir/missing")"
    grep -qE '<script( src="[^"]*"| data-up="[^"]*")+></script>' \
        "$dir/site/docs/faq.html" || fail "the site's search is not loaded"
    grep -rlE '<script>|<style>| on[a-z]+="' "$dir/site" --include='*.html' |
        head -1 >"$dir/out"
    [ -s "$dir/out" ] && fail "a script or a style inline: $(cat "$dir/out")"
    if command -v node >/dev/null; then # WORDS LANGUAGE PAGE: the first that is found
        while read -r words language page; do
            got=$(cd "$dir/site" && node -e 'global.window = {};
require("./search_index.js");
const [words, language] = process.argv.slice(1);
const hit = require("./search.js").find(window.QUERN_INDEX,
  words.replace(/_/g, " "), language)[0];
console.log(hit ? hit.page : "nothing")' "$words" "$language")
            case $got in
            "$page"*) ;;
            *) fail "the search for $words finds $got" ;;
            esac
        done <<END
aarch64_emulator en docs/install.html#for-aarch64
EUNSUP en docs/troubleshooting.html#eunsup
EUNSUP zh docs/zh/troubleshooting.html#eunsup
仪表盘 zh docs/zh/web-page.html
no-such-word-anywhere-at-all en nothing
END
    fi
else
    echo "skipped: making the site (python3-markdown is not here)"
fi
exit $bad
