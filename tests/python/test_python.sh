# The Python binding, where there is a Python 3 (of Debian if there is one) and
# the library is not made for a sanitizer, which another program cannot load.
set -u
root=${QUERN_SOURCE_DIR:-$(dirname "$0")/../..}
build=${QUERN_BUILD_DIR:-$root/build/release}
python=/usr/bin/python3
[ -x "$python" ] || python=$(command -v python3) || {
    echo "skipped: no python3"
    exit 77
}
if nm -D "$build/lib/libquern.so" | grep -q -E '__(asan|tsan|ubsan)_'; then
    echo "skipped: the library is built for a sanitizer"
    exit 77
fi
PYTHONDONTWRITEBYTECODE=1 QUERN_SOURCE_DIR=$root QUERN_BUILD_DIR=$build \
    exec "$python" "$root/tests/python/binding.py"
