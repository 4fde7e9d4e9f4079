# What stands in the tree and is made from tables is what the tables make of it
# now (tools/generate), the schemas have every option that the help has, and
# the configurations hold against schema and program.
set -u
root=$QUERN_SOURCE_DIR
quern=$QUERN_BUILD_DIR/bin/quern
python=/usr/bin/python3
[ -x "$python" ] || python=python3
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
bad=0

fail() {
    echo "FAIL: $*"
    bad=1
}

[ -x "$quern" ] || { echo "skipped: no program was built"; exit 77; }
"$root/tools/generate" --check "$QUERN_BUILD_DIR" || bad=1

# A changed file is found, and mended.
mkdir -p "$dir/tree"
cp -r "$root/tools" "$root/configs" "$root/docs" "$root/include" "$dir/tree"
sed -i 's/"minimum"/"maximum"/' "$dir/tree/configs/schema/run.json"
sed -i '/"port"/d' "$dir/tree/configs/serving_config.json"
"$dir/tree/tools/generate" --check "$QUERN_BUILD_DIR" >"$dir/out" &&
    fail "a changed schema passes"
grep -q '^configs/schema/run.json is not up to date' "$dir/out" ||
    fail "the changed schema is not named: $(cat "$dir/out")"
grep -q '^configs/serving_config.json' "$dir/out" ||
    fail "the key that is missing is not found"
"$dir/tree/tools/generate" "$QUERN_BUILD_DIR" >/dev/null
cmp "$root/configs/schema/run.json" "$dir/tree/configs/schema/run.json" || bad=1

for pair in run:inference optimize:quantization serve:serving; do
    command=${pair%:*}
    config=$root/configs/${pair#*:}_config.json
    schema=$root/configs/schema/$command.json
    for name in $("$quern" "$command" --help |
        sed -n 's/^  [ -][ a-zA-Z][ ,] --\(\[no-\]\)\{0,1\}\([a-z0-9-]*\).*/\2/p'); do
        case $name in config | check-config | help) continue ;; esac
        grep -q "^    \"$name\": {" "$schema" ||
            fail "$schema has no option --$name"
    done
    "$quern" "$command" --config "$config" --check-config >"$dir/out" ||
        fail "$config is refused"
    grep -q '(file)$' "$dir/out" || fail "$config sets nothing"
done

cat >"$dir/validate.py" <<'END'
import json, sys
import jsonschema
root = sys.argv[1] + "/configs/"
for command, name in (("run", "inference"), ("optimize", "quantization"),
                      ("serve", "serving")):
    schema = json.load(open(root + "schema/%s.json" % command))
    config = json.load(open(root + name + "_config.json"))
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(config, schema)
    for wrong in ({"no_such_key": 1}, {"threads": "many"}, {"threads": -1}):
        try:
            jsonschema.validate({**config, **wrong}, schema)
        except jsonschema.ValidationError:
            continue
        sys.exit("%s: takes %r" % (command, wrong))
END
if "$python" -c 'import jsonschema' 2>/dev/null; then
    "$python" "$dir/validate.py" "$root" || fail "schema and configuration"
else
    echo "skipped: validation (python3-jsonschema is not here)"
fi
"$quern" serve --tls-cert a.pem --check-config >/dev/null 2>&1 &&
    fail "--check-config takes a certificate without a key"
"$quern" run --system x --check-config >/dev/null 2>&1 &&
    fail "--check-config takes --system without --chat"
exit $bad
