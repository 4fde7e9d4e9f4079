/* ask_all.c - several questions at once, through the chat template; one thread.
 *
 *     cc ask_all.c -o ask_all $(pkg-config --cflags --libs quern)
 *     ./ask_all MODEL "What is 2 + 3?" "What is a KV cache?"
 *
 * Shows what complete.c leaves out: messages, requests that share every step,
 * what ended each, its error and its figures, and Ctrl-C. */
#include <quern.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_QUESTIONS 16

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

/* The question as JSON: [{"role": "user", "content": "..."}]. */
static char *messages_of(const char *question)
{
    char *json = malloc(6 * strlen(question) + 64), *p = json;
    if (!json)
        return NULL;
    p += sprintf(p, "[{\"role\": \"user\", \"content\": \"");
    for (const char *q = question; *q; q++)
        if (*q == '"' || *q == '\\' || (unsigned char)*q < ' ')
            p += sprintf(p, "\\u%04x", (unsigned char)*q);
        else
            *p++ = *q;
    strcpy(p, "\"}]");
    return json;
}

/* Question -> template -> token ids -> a request that waits for its turn. */
static int submit(qn_engine *engine, const qn_model *model,
                  const char *question, qn_request **out, qn_err *err)
{
    char *messages = messages_of(question), *prompt = NULL;
    int32_t *ids = NULL;
    size_t n;
    qn_request_params p;

    qn_request_params_default(&p);
    qn_sampling_from_model(model, &p.sampling);
    p.sampling.temperature = 0;
    p.max_new_tokens = 200;
    p.skip_special = true;
    p.answer = true; /* a text of its own, not the prompt's sequel */
    int rc = !messages ? QN_ENOMEM
                       : qn_chat_render(model, messages, NULL, true, NULL,
                                        &prompt, &n, err);
    if (rc == 0) /* the template has written the special tokens */
        rc = qn_tokenize(model, prompt, n, false, true, &ids, &p.n_prompt, err);
    if (rc == 0) {
        p.prompt = ids; /* copied by submit */
        rc = qn_request_submit(engine, &p, out, err);
    }
    free(messages);
    qn_free(prompt);
    qn_free(ids);
    return rc;
}

/* Takes what has come; an answer is printed when it has ended. */
static void take(qn_request *r, const char *question, char **text)
{
    qn_event ev;
    qn_err why;
    qn_request_stats s;

    while (qn_request_next(r, &ev)) {
        size_t had = *text ? strlen(*text) : 0;
        char *more = realloc(*text, had + ev.text_len + 1);
        if (!more)
            abort();
        memcpy(more + had, ev.text, ev.text_len);
        more[had + ev.text_len] = '\0';
        *text = more;
        if (ev.finish == QN_FINISH_NONE)
            continue;
        printf("%s\n%s\n", question, *text);
        qn_request_get_stats(r, &s);
        if (qn_request_error(r, &why))
            printf("(error %d: %s)\n", why.code, why.msg);
        else if (ev.finish == QN_FINISH_CANCEL)
            printf("(interrupted)\n");
        else if (ev.finish == QN_FINISH_LENGTH)
            printf("(cut: longest length)\n");
        printf("%d tokens read, %d written, the first after %.0f ms\n\n",
               s.n_prompt, s.n_completion, s.ttft_ms);
    }
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 && *argv[1] ? argv[1] : NULL;
    qn_model *model = NULL;
    qn_engine *engine = NULL;
    qn_request *requests[MAX_QUESTIONS] = {0};
    char *texts[MAX_QUESTIONS] = {0};
    qn_err err = {0};
    int n = 0, rc;

    if (argc < 3 || argc - 2 > MAX_QUESTIONS) {
        fprintf(stderr, "usage: ask_all MODEL QUESTION... (at most %d)\n",
                MAX_QUESTIONS);
        return 2;
    }
    signal(SIGINT, on_interrupt);
    rc = qn_model_open(&model, path, NULL, &err);
    if (rc == 0)
        rc = qn_engine_new(&engine, model, NULL, &err);
    for (; rc == 0 && n < argc - 2; n++)
        rc = submit(engine, model, argv[2 + n], &requests[n], &err);
    while (rc >= 0 && (rc = qn_engine_step(engine, &err)) >= 0) {
        for (int i = 0; i < n; i++) {
            if (interrupted)
                qn_request_cancel(requests[i]);
            take(requests[i], argv[2 + i], &texts[i]);
        }
        if (rc == 0)
            break; /* nothing runs and nothing waits */
    }
    if (rc < 0)
        fprintf(stderr, "ask_all: %s\n", err.msg);
    for (int i = 0; i < n; i++) {
        qn_request_free(requests[i]);
        free(texts[i]);
    }
    qn_engine_free(engine);
    qn_model_close(model);
    return rc < 0;
}
