#!/bin/sh
# How `quern serve` begins and ends: signals, sockets that a crash has left.
# Skipped with a message without python3 or a model.
set -eu

skip() {
    echo "skipped: $1"
    exit 0
}

quern=$QUERN_BUILD_DIR/bin/quern
model=${QUERN_DEFAULT_MODEL:-$QUERN_SOURCE_DIR/models/quern-14m.gguf}
[ -x "$quern" ] || skip "the program is not built"
[ -r "$model" ] || skip "the built-in model is not in models/"
command -v python3 >/dev/null || skip "python3 is not installed"
exec python3 "$QUERN_SOURCE_DIR/tests/http/signals.py" "$quern" "$model"
