/* The same request gives the same text through HTTP, alone or in any mix:
 * clients in parallel ask for kinds in random order, streamed or whole, and
 * some leave in the middle. */
#include "web.h"

#include <pthread.h>
#include <unistd.h>

enum {
    N_CLIENTS = 6,
    N_ROUNDS = 25
};

static const struct kind {
    const char *path, *fields, *text; /* text: where it is in the answer */
} kinds[] = {
    {"/v1/completions",
     "\"prompt\":\"Once upon a time\",\"temperature\":0,\"max_tokens\":20",
     "choices.0.text"},
    {"/v1/completions",
     "\"prompt\":\"Once upon a time\",\"seed\":7,\"max_tokens\":30,"
     "\"temperature\":1.2,\"top_p\":0.9",
     "choices.0.text"},
    {"/v1/completions",
     "\"prompt\":\"Once upon a time there was a miller who had\",\"seed\":8,"
     "\"max_tokens\":12,\"top_k\":20,\"repetition_penalty\":1.3",
     "choices.0.text"},
    {"/v1/completions",
     "\"prompt\":\"The river\",\"n\":3,\"seed\":9,\"max_tokens\":10",
     "choices.2.text"},
    {"/v1/chat/completions",
     "\"messages\":[{\"role\":\"user\",\"content\":\"Tell me of the mill.\"}],"
     "\"seed\":3,\"max_tokens\":40",
     "choices.0.message.content"},
    {"/v1/chat/completions",
     "\"messages\":[{\"role\":\"system\",\"content\":\"Be brief, always, and "
     "never speak of the weather or of what the river carries.\"},{\"role\":"
     "\"user\",\"content\":\"Why is the sky blue?\"}],\"temperature\":0,"
     "\"max_tokens\":24,\"stop\":[\" the\"]",
     "choices.0.message.content"},
};
enum {
    N_KINDS = sizeof kinds / sizeof *kinds
};

static char *alone[N_KINDS];

static int stop(void **state)
{
    web_stop(state);
    for (int i = 0; i < N_KINDS; i++)
        free(alone[i]);
    return 0;
}

static char *ask(const struct kind *k, const char *more)
{
    char body[1024];
    snprintf(body, sizeof body, "{%s%s}", k->fields, more);
    return web_request(k->path, body);
}

/* The text of the choice that the kind looks at, out of a stream. */
static char *text_of_stream(const struct kind *k, const char *body)
{
    int index = k->text[8] - '0';
    char *text = calloc(1, 8192);
    web_events e = web_split_events(body);
    for (size_t i = 0; i + 1 < e.n; i++) {
        json_t *c = json_loads(e.v[i], 0, NULL);
        json_t *choice = json_array_get(json_object_get(c, "choices"), 0);
        json_t *s = json_object_get(choice, "text");
        if (!s)
            s = json_object_get(json_object_get(choice, "delta"), "content");
        if (s && json_integer_value(json_object_get(choice, "index")) == index)
            strcat(text, json_string_value(s));
        json_decref(c);
    }
    web_events_free(&e);
    return text;
}

typedef struct client {
    pthread_t thread;
    uint32_t state;
    int wrong;
} client;

static uint32_t draw(client *c, uint32_t n)
{
    c->state = c->state * 1664525 + 1013904223;
    return (c->state >> 8) % n;
}

static void one(client *c)
{
    uint32_t i = draw(c, N_KINDS), how = draw(c, 3);
    const struct kind *k = &kinds[i];
    char *text = ask(k, how ? ",\"stream\":true" : "");
    int fd = web_connect();
    web_sends(fd, text);
    free(text);
    if (draw(c, 4) == 0) { /* leaves at some time */
        web_sleep(draw(c, 50) * 0.001);
        close(fd);
        return;
    }
    web_reply r = web_read(fd, 300);
    close(fd);
    char *got = NULL;
    if (r.status == 200)
        got = how ? text_of_stream(k, r.body) : strdup(web_str(&r, k->text));
    if (!got || strcmp(got, alone[i]) != 0) {
        print_message("kind %u: %s, expected %s\n", i, got ? got : r.body,
                      alone[i]);
        c->wrong++;
    }
    free(got);
    web_free(&r);
}

static void *run(void *arg)
{
    client *c = arg;
    for (int i = 0; i < N_ROUNDS; i++)
        one(c);
    return NULL;
}

static void test_mix(void **state)
{
    (void)state;
    web_start(NULL);
    for (int i = 0; i < N_KINDS; i++) {
        char *text = ask(&kinds[i], "");
        int fd = web_connect();
        web_sends(fd, text);
        web_reply r = web_read(fd, 300);
        assert_int_equal(r.status, 200);
        alone[i] = strdup(web_str(&r, kinds[i].text));
        web_free(&r);
        close(fd);
        free(text);
    }
    client clients[N_CLIENTS] = {{0}};
    for (uint32_t i = 0; i < N_CLIENTS; i++) {
        clients[i].state = i * 77 + 1;
        pthread_create(&clients[i].thread, NULL, run, &clients[i]);
    }
    for (int i = 0; i < N_CLIENTS; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_int_equal(clients[i].wrong, 0);
    }
    assert_true(web_metric_becomes("quern_requests_running", 0, 5));
    assert_true(web_metric_becomes("quern_kv_cache_used_ratio", 0, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_mix, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
