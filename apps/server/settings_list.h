/* settings_list.h - every setting of the server, once.
 *
 * X(field, name, kind, low, high, default, help): a field of qn_settings, a
 * flag of `quern serve` and a key of configs/serving_config.json. Kinds are
 * those of the command line: TEXT and FILE (strings), INT, SIZE (bytes), REAL
 * (seconds), FLAG. A default of NULL is unset, 0 or false. */
#ifndef QN_SERVER_SETTINGS_LIST_H
#define QN_SERVER_SETTINGS_LIST_H

#define QN_SETTINGS_LISTEN(X)                                        \
    X(host, "host", TEXT, 0, 0, "127.0.0.1",                         \
      "Address to listen on; empty: none.")                          \
    X(port, "port", INT, 0, 65535, "8000",                           \
      "Port to listen on; 0: any free one.")                         \
    X(unix_socket, "unix-socket", FILE, 0, 0, NULL,                  \
      "Listen on this socket file, too.")                            \
    X(admin_socket, "admin-socket", FILE, 0, 0, NULL,                \
      "Socket file of the admin routes; without it there are none.") \
    X(tls_cert, "tls-cert", FILE, 0, 0, NULL,                        \
      "Certificate chain (PEM): serve HTTPS.")                       \
    X(tls_key, "tls-key", FILE, 0, 0, NULL, "Its private key (PEM).")

#define QN_SETTINGS_ACCESS(X)                                               \
    X(served_model_name, "served-model-name", TEXT, 0, 0, NULL,             \
      "The model's name in the API; without it the last part of its path.") \
    X(api_key_file, "api-key-file", FILE, 0, 0, NULL,                       \
      "API keys, one per line, `name:key` or `key`."                        \
      " More in QUERN_API_KEYS, separated by commas.")                      \
    X(share_prefixes, "share-prefixes", FLAG, 0, 0, NULL,                   \
      "Keys share cached beginnings of prompts with one another; one can"   \
      " tell by the time of an answer what another has asked.")             \
    X(tool_call_parser, "tool-call-parser", TEXT, 0, 0, "auto",             \
      "How the model writes calls of tools: auto (as its chat template"     \
      " shows), hermes, mistral, llama3_json, apriel, deepseek_v31 or"      \
      " none.")                                                             \
    X(reasoning_parser, "reasoning-parser", TEXT, 0, 0, "none",             \
      "How the model thinks aloud: think (<think> and </think>), channels"  \
      " (gpt-oss) or none; chats have it as reasoning_content then.")       \
    X(allowed_host, "allowed-host", TEXT, 0, 0, NULL,                       \
      "Names besides localhost that requests to a loopback address without" \
      " API keys may be addressed to, separated by commas.")                \
    X(cors_origin, "cors-origin", TEXT, 0, 0, NULL,                         \
      "Origins that web pages may ask from, separated by commas.")          \
    X(web, "web", FLAG, 0, 0, "true",                                       \
      "Answer / with a page to chat and to watch the server.")              \
    X(lenient_fields, "lenient-fields", FLAG, 0, 0, NULL,                   \
      "Log unknown request fields instead of refusing them.")               \
    X(access_log, "access-log", FILE, 0, 0, "-",                            \
      "File of the access log; - is standard error, none is none.")         \
    X(log_prompts, "log-prompts", FLAG, 0, 0, NULL,                         \
      "Write the beginning of request bodies to the access log.")           \
    X(log_level, "log-level", INT, 0, 3, "2",                               \
      "0: errors, 1: warnings, 2: requests, 3: everything.")                \
    X(vllm_metrics, "vllm-metrics", FLAG, 0, 0, NULL,                       \
      "Repeat metrics under the names that vLLM uses.")

#define QN_SETTINGS_LIMITS(X)                                                 \
    X(max_model_len, "max-length", INT, 0, 2147483647, NULL,                  \
      "Longest prompt and completion together, in tokens; 0: what the model " \
      "and the KV cache allow.")                                              \
    X(max_body, "max-body", SIZE, 1024, 1073741824, "4M",                     \
      "Bytes of a request's body.")                                           \
    X(body_memory, "body-memory", SIZE, 1024, 1099511627776.0, "64M",         \
      "Bytes of all bodies that are held at once.")                           \
    X(max_header, "max-header", SIZE, 2048, 1048576, "32K",                   \
      "Bytes of a request's header, and memory of an idle connection.")       \
    X(max_connections, "max-connections", INT, 1, 1000000, "1024",            \
      "Connections; when there are more, the one that has been idle for "     \
      "longest is closed.")                                                   \
    X(max_per_key, "max-requests-per-key", INT, 0, 1000000, NULL,             \
      "Generations in progress per API key; 0: no limit.")                    \
    X(max_queue, "max-queue", INT, 1, 1000000, "128",                         \
      "Requests that wait for the engine; others get 429.")                   \
    X(max_prompts, "max-prompts", INT, 1, 4096, "64",                         \
      "Prompts in one completion request.")                                   \
    X(max_n, "max-n", INT, 1, 4096, "16", "Highest n and best_of.")           \
    X(max_stop, "max-stop", INT, 0, 64, "16", "Stop strings in a request.")   \
    X(max_logprobs, "max-logprobs", INT, 0, 1024, "20",                       \
      "Highest logprobs and top_logprobs.")                                   \
    X(max_tokens, "max-tokens", INT, 0, 2147483647, NULL,                     \
      "Highest max_tokens of a request; 0: what fits.")                       \
    X(default_max_tokens, "default-max-tokens", INT, 1, 2147483647, "2048",   \
      "max_tokens of a chat request that names none.")                        \
    X(stream_buffer, "stream-buffer", SIZE, 4096, 1073741824, "64K",          \
      "Bytes that a client may lag behind before its request is paused.")

#define QN_SETTINGS_TIMES(X)                                                   \
    X(header_timeout, "header-timeout", REAL, 0, 1e6, "10",                    \
      "Seconds from accept to the end of the header.")                         \
    X(body_timeout, "body-timeout", REAL, 0, 1e6, "60",                        \
      "Seconds for a request's body.")                                         \
    X(idle_timeout, "idle-timeout", REAL, 0, 1e6, "75",                        \
      "Seconds from one request to the next on a connection.")                 \
    X(stall_timeout, "stall-timeout", REAL, 0, 1e6, "30",                      \
      "Seconds that a client may not read before it is cut off.")              \
    X(queue_timeout, "queue-timeout", REAL, 0, 1e6, "60",                      \
      "Seconds that a request waits for the engine before it gets 503; 0: no " \
      "limit.")                                                                \
    X(request_timeout, "request-timeout", REAL, 0, 1e6, "600",                 \
      "Seconds for a whole request; 0: no limit.")                             \
    X(keep_alive, "keep-alive", REAL, 0, 1e6, "10",                            \
      "Seconds of silence before a comment keeps a stream open.")              \
    X(drain_timeout, "drain-timeout", REAL, 0, 1e6, "30",                      \
      "Seconds that running requests get after SIGTERM.")

#define QN_SETTINGS_ALL(X) \
    QN_SETTINGS_LISTEN(X)  \
    QN_SETTINGS_ACCESS(X)  \
    QN_SETTINGS_LIMITS(X)  \
    QN_SETTINGS_TIMES(X)

#endif
