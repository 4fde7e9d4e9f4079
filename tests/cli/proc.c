#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <termios.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 120000
#define PTY_PATIENCE_MS 60000

static long long now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (long long)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* In the child. Environment variables of whoever runs the tests stay out, and
 * signals that are ignored where tests run in the background. */
static void become_quern(const char *const *args)
{
    char path[4096];
    char *argv[64] = {path};
    if (!getenv("QUERN_TEST_KEEP_SIGNALS"))
        signal(SIGINT, SIG_DFL);
    snprintf(path, sizeof path, "%s/bin/quern", qn_test_build_dir());
    for (int i = 0; args[i] && i < 62; i++)
        argv[i + 1] = (char *)(uintptr_t)args[i];
    if (!getenv("QUERN_TEST_KEEP"))
        unsetenv("QUERN_MODEL");
    execv(path, argv);
    fprintf(stderr, "cannot run %s: %s\n", path, strerror(errno));
    _exit(127);
}

static int status_of(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void add(char **buf, size_t *n, const char *p, size_t k)
{
    *buf = realloc(*buf, *n + k + 1);
    assert_non_null(*buf);
    memcpy(*buf + *n, p, k);
    *n += k;
    (*buf)[*n] = 0;
}

/* One read of a pipe that is ready; false: it is at its end. */
static bool drain(int fd, char **buf, size_t *n)
{
    char part[8192];
    ssize_t k = read(fd, part, sizeof part);
    if (k <= 0)
        return k < 0 && errno == EINTR;
    add(buf, n, part, (size_t)k);
    return true;
}

static void talk(qn_proc *p, pid_t pid, int in, int out, int err,
                 const char *input)
{
    size_t left = input ? strlen(input) : 0;
    long long end = now_ms() + PATIENCE_MS;
    struct pollfd fds[3] = {{in, POLLOUT, 0},
                            {out, POLLIN, 0},
                            {err, POLLIN, 0}};
    while (fds[1].fd >= 0 || fds[2].fd >= 0) {
        if (fds[0].fd >= 0 && left == 0) {
            close(fds[0].fd);
            fds[0].fd = -1;
        }
        if (poll(fds, 3, 1000) < 0)
            continue;
        if (now_ms() > end) {
            kill(pid, SIGKILL);
            fail_msg("quern did not end; so far: %s%s", p->out, p->err);
        }
        if (fds[0].fd >= 0 && fds[0].revents) {
            ssize_t k = write(fds[0].fd, input, left);
            left = k < 0 ? 0 : left - (size_t)k;
            input += k < 0 ? 0 : k;
        }
        if (fds[1].fd >= 0 && fds[1].revents && !drain(out, &p->out, &p->n_out))
            fds[1].fd = -1;
        if (fds[2].fd >= 0 && fds[2].revents && !drain(err, &p->err, &p->n_err))
            fds[2].fd = -1;
    }
    if (fds[0].fd >= 0)
        close(fds[0].fd);
}

void qn_proc_run(qn_proc *p, const char *input, const char *const *args)
{
    int in[2], out[2], err[2], status;
    *p = (qn_proc){0};
    add(&p->out, &p->n_out, "", 0);
    add(&p->err, &p->n_err, "", 0);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    signal(SIGPIPE, SIG_IGN);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGPIPE, SIG_DFL);
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(err[1], 2);
        become_quern(args);
    }
    close(in[0]);
    close(out[1]);
    close(err[1]);
    talk(p, pid, in[1], out[0], err[0], input);
    close(out[0]);
    close(err[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    p->status = status_of(status);
}

void qn_proc_free(qn_proc *p)
{
    free(p->out);
    free(p->err);
    *p = (qn_proc){0};
}

void qn_proc_same(const char *input, const char *const *args, const char *want)
{
    qn_proc p;
    qn_proc_run(&p, input, args);
    assert_int_equal(p.status, 0);
    assert_string_equal(p.out, want);
    qn_proc_free(&p);
}

void qn_proc_has_out(const qn_proc *p, const char *text)
{
    if (!strstr(p->out, text))
        fail_msg("no \"%s\" on stdout:\n%s\nstderr:\n%s", text, p->out, p->err);
}

void qn_proc_has_err(const qn_proc *p, const char *text)
{
    if (!strstr(p->err, text))
        fail_msg("no \"%s\" on stderr:\n%s\nstdout:\n%s", text, p->err, p->out);
}

pid_t qn_proc_start(const char *out_path, const char *const *args)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int out = open(out_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(out, 1);
        dup2(null, 2);
        become_quern(args);
    }
    return pid;
}

int qn_proc_wait(pid_t pid)
{
    int status;
    long long end = now_ms() + PATIENCE_MS;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (now_ms() > end) {
            kill(pid, SIGKILL);
            fail_msg("quern did not end");
        }
        usleep(5000);
    }
    return status_of(status);
}

/* ---- a terminal ---------------------------------------------------------- */

void qn_pty_open(qn_pty *t, const char *const *args)
{
    struct winsize size = {.ws_row = 50, .ws_col = 200};
    *t = (qn_pty){0};
    add(&t->seen, &t->n, "", 0);
    t->pid = forkpty(&t->fd, NULL, NULL, &size);
    assert_true(t->pid >= 0);
    if (t->pid == 0) {
        setenv("TERM", "xterm", 1);
        setenv("LC_ALL", "C.UTF-8", 1);
        become_quern(args);
    }
}

void qn_pty_send(qn_pty *t, const char *keys)
{
    size_t n = strlen(keys);
    assert_int_equal(write(t->fd, keys, n), (ssize_t)n);
}

void qn_pty_expect(qn_pty *t, const char *text)
{
    long long end = now_ms() + PTY_PATIENCE_MS;
    const char *at;
    while (!(at = strstr(t->seen + t->from, text))) {
        struct pollfd p = {t->fd, POLLIN, 0};
        bool over = now_ms() > end;
        if (poll(&p, 1, 500) > 0 && !drain(t->fd, &t->seen, &t->n))
            over = true;
        if (over && !strstr(t->seen + t->from, text)) {
            kill(t->pid, SIGKILL);
            fail_msg("no \"%s\" on the terminal; there was:\n%s", text,
                     t->seen);
        }
    }
    t->from = (size_t)(at - t->seen) + strlen(text);
}

/* Keys that come before the editor has taken the terminal over mean something
 * else: the prompt is written first. */
void qn_pty_at_prompt(qn_pty *t)
{
    struct termios tio = {0};
    const char *no = getenv("NO_COLOR");
    qn_pty_expect(t, no && *no ? "> " : "\033[1m>\033[0m ");
    for (int i = 0; i < 4000; i++) {
        assert_int_equal(tcgetattr(t->fd, &tio), 0);
        if (!(tio.c_lflag & ICANON))
            return;
        usleep(5000);
    }
    fail_msg("no prompt: the terminal stays cooked");
}

int qn_pty_close(qn_pty *t)
{
    long long end = now_ms() + PTY_PATIENCE_MS;
    for (;;) {
        struct pollfd p = {t->fd, POLLIN, 0};
        if (poll(&p, 1, 500) > 0 && !drain(t->fd, &t->seen, &t->n))
            break;
        if (now_ms() > end) {
            struct termios tio = {0};
            tcgetattr(t->fd, &tio);
            kill(t->pid, SIGKILL);
            fail_msg("the program does not end (the terminal is %s); there "
                     "was:\n%s",
                     tio.c_lflag & ICANON ? "cooked" : "raw", t->seen);
        }
    }
    close(t->fd);
    int status;
    assert_int_equal(waitpid(t->pid, &status, 0), t->pid);
    free(t->seen);
    return status_of(status);
}
