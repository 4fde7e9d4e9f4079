/* interrupt.c - see interrupt.h. */
#include "cli/interrupt.h"

#include <poll.h>
#include <signal.h>
#include <string.h>

static volatile sig_atomic_t asked, final;

static void on_signal(int sig)
{
    if (asked) { /* nobody listens: end as if we had not watched */
        signal(sig, SIG_DFL);
        raise(sig);
    }
    asked = 1;
    if (sig == SIGTERM)
        final = 1;
}

/* Without SA_RESTART: a read that waits for a person gives up. What was ignored
 * stays so: a shell without job control ignores SIGINT for what it runs in the
 * background, where Ctrl-C is meant for another. */
static void watch(int sig)
{
    struct sigaction sa;
    if (sigaction(sig, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN)
        return;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = on_signal;
    sigemptyset(&sa.sa_mask);
    sigaction(sig, &sa, NULL);
}

void qn_interrupt_watch(void)
{
    watch(SIGINT);
    watch(SIGTERM);
}

bool qn_interrupted(void)
{
    return asked != 0;
}

bool qn_interrupt_final(void)
{
    return final != 0;
}

void qn_interrupt_clear(void)
{
    asked = 0;
}

bool qn_interrupt_wait(int fd)
{
    sigset_t ours, before;
    struct pollfd p = {fd, POLLIN, 0};
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    sigprocmask(SIG_BLOCK, &ours, &before);
    int n = -1;
    while (!asked && n < 0)
        n = ppoll(&p, 1, NULL, &before);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return !asked;
}
