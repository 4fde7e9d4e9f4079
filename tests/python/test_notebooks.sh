# The notebooks run headless without error and are of their sources.
set -u
root=$QUERN_SOURCE_DIR
python=/usr/bin/python3
[ -x "$QUERN_BUILD_DIR/bin/quern" ] || { echo "skipped: no program"; exit 77; }
if ! "$python" -c 'import nbconvert, ipykernel, matplotlib, numpy' 2>/dev/null
then
    echo "skipped: jupyter-nbconvert, python3-ipykernel or python3-matplotlib" \
        "is not here"
    exit 77
fi
if nm -D "$QUERN_BUILD_DIR/lib/libquern.so" | grep -q -E '__(asan|tsan|ubsan)_'
then
    echo "skipped: the library is built for a sanitizer"
    exit 77
fi
[ -s "$root/notebooks/01_model_optimization.ipynb" ] || {
    echo "FAIL: no notebooks; run notebooks/make"
    exit 1
}
PYTHONDONTWRITEBYTECODE=1 exec "$python" "$root/notebooks/make" --check
