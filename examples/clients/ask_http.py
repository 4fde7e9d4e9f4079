#!/usr/bin/env python3
"""Python's own library: no package to install."""
import json
import os
import sys
import urllib.request

request = urllib.request.Request(
    os.environ.get("QUERN_URL", "http://127.0.0.1:8000") + "/v1/chat/completions",
    json.dumps({
        "messages": [{"role": "user", "content":
                      sys.argv[1] if len(sys.argv) > 1 else "What is 17 + 25?"}],
        "temperature": 0,
        "stream": True,
    }).encode(),
    {"Content-Type": "application/json",
     "Authorization": "Bearer " + os.environ.get("QUERN_API_KEY", "none")})

with urllib.request.urlopen(request) as events:
    for line in events:
        if not line.startswith(b"data: {"):
            continue
        for choice in json.loads(line[6:])["choices"]:
            print(choice["delta"].get("content") or "", end="", flush=True)
print()
