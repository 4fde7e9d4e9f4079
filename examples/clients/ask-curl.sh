#!/bin/sh
# curl alone: the answer as server-sent events, -N so that nothing is held back.
set -eu
question=${1-What is 17 + 25?}
curl -sSfN "${QUERN_URL-http://127.0.0.1:8000}/v1/chat/completions" \
    -H "Authorization: Bearer ${QUERN_API_KEY-none}" \
    -H 'Content-Type: application/json' \
    -d "{\"messages\": [{\"role\": \"user\", \"content\": \"$question\"}],
         \"temperature\": 0, \"stream\": true}"
