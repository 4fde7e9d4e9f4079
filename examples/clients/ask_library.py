#!/usr/bin/env python3
"""The binding: the model in this process, no server."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "../../python"))
import quern

question = sys.argv[1] if len(sys.argv) > 1 else "What is 17 + 25?"
with quern.Model(sys.argv[2] if len(sys.argv) > 2 else None) as model:
    for event in model.chat([{"role": "user", "content": question}],
                            temperature=0, stream=True):
        print(event.text, end="", flush=True)
print()
