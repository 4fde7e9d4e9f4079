/* The client of `quern bench serve` against a server of a few lines. */
#include "testing.h"

#include "base/clock.h"
#include "cli/shot.h"

#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY ((size_t)8 << 20) /* more than sockets hold */

static const char refusal[] =
    "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\n"
    "Connection: close\r\nContent-Length: 0\r\n\r\n";
static const char answer[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    "Connection: close\r\n\r\n"
    "data: {\"choices\":[{\"text\":\"a\"}],\"usage\":{\"prompt_tokens\":3,"
    "\"completion_tokens\":1}}\n\ndata: [DONE]\n\n";

typedef struct server {
    int fd;
    bool lingers; /* keeps the connection of whom it refuses */
    int held;
    size_t n_read; /* of the request that it answers */
} server;

/* The head of a request only, and whether it came. */
static bool read_head(int fd)
{
    char c;
    size_t seen = 0;
    while (seen < 4 && read(fd, &c, 1) == 1)
        seen = c == "\r\n\r\n"[seen] ? seen + 1 : c == '\r';
    return seen == 4;
}

/* Refuses the first as soon as it knows the head, answers the second. */
static void *serve(void *arg)
{
    server *s = arg;
    char buf[65536];
    int fd = accept(s->fd, NULL, NULL);
    assert_true(read_head(fd));
    assert_int_equal(write(fd, refusal, sizeof refusal - 1),
                     sizeof refusal - 1);
    if (s->lingers)
        s->held = fd;
    else
        close(fd);
    fd = accept(s->fd, NULL, NULL);
    if (fd < 0)
        return NULL;
    assert_true(read_head(fd));
    while (s->n_read < BODY) {
        ssize_t n = read(fd, buf, sizeof buf);
        if (n <= 0)
            break;
        s->n_read += (size_t)n;
    }
    assert_int_equal(write(fd, answer, sizeof answer - 1), sizeof answer - 1);
    close(fd);
    return NULL;
}

static void run(server *s, int retries, double timeout, qn_shot_result *r)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof a;
    pthread_t thread;
    qn_shot_target t = {.host = "127.0.0.1", .path = "/v1/completions"};
    s->held = -1;
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, n), 0);
    assert_int_equal(listen(s->fd, 4), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &n), 0);
    snprintf(t.port, sizeof t.port, "%d", ntohs(a.sin_port));
    assert_int_equal(pthread_create(&thread, NULL, serve, s), 0);
    char *body = test_malloc(BODY);
    memset(body, ' ', BODY);
    qn_shot shot = {.body = body,
                    .n = BODY,
                    .timeout = timeout,
                    .n_out = 1,
                    .retries = retries};
    qn_shot_run(&t, &shot, qn_now_ns(), r);
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(s->fd);
    if (s->held >= 0)
        close(s->held);
    test_free(body);
}

/* A refusal that comes while the body is still on its way counts as one, and
 * the request is sent again. */
static void test_refused_early(void **state)
{
    (void)state;
    server s = {0};
    qn_shot_result r;
    run(&s, 3, 60, &r);
    assert_int_equal(r.end, QN_SHOT_OK);
    assert_int_equal(r.n_retries, 1);
    assert_int_equal(r.n_out, 1);
    assert_int_equal(s.n_read, BODY);
    free(r.gaps);
    s = (server){0};
    run(&s, 0, 60, &r);
    assert_int_equal(r.end, QN_SHOT_REFUSED);
    assert_int_equal(r.status, 429);
    free(r.gaps);
}

/* A server that reads no further and says nothing more does not hold the
 * client beyond its time. */
static void test_time_of_sending(void **state)
{
    (void)state;
    server s = {.lingers = true};
    qn_shot_result r;
    uint64_t t0 = qn_now_ns();
    run(&s, 0, 0.5, &r);
    assert_int_equal(r.end, QN_SHOT_REFUSED);
    assert_true(qn_now_ns() - t0 < 30000000000ull);
    free(r.gaps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_early),
        cmocka_unit_test(test_time_of_sending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
