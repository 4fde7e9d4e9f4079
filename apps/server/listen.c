/* listen.c - listening sockets. */
#include "base/compiler.h"
#include "server/server_int.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024

static int port_of(int fd)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    char port[16];
    if (getsockname(fd, (struct sockaddr *)&a, &n) < 0 ||
        getnameinfo((struct sockaddr *)&a, n, NULL, 0, port, sizeof port,
                    NI_NUMERICSERV) != 0)
        return 0;
    int p = 0;
    return sscanf(port, "%d", &p) == 1 ? p : 0;
}

static int bind_one(const struct addrinfo *ai)
{
    int fd = socket(ai->ai_family,
                    ai->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    ai->ai_protocol);
    if (fd < 0)
        return -1;
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int e = errno;
    close(fd);
    errno = e;
    return -1;
}

static const char *remedy_of(int e)
{
    return e == EADDRNOTAVAIL ? "this machine's addresses are what --host takes"
           : e == EACCES      ? "ports below 1024 are root's; choose another "
                                "with --port"
                              : "choose another with --port";
}

int qn_listen_tcp(const char *host, int port, int *fd, int *bound_port,
                  qn_err *err)
{
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                    *list = NULL;
    int rc = getaddrinfo(host, service, &hints, &list);
    if (rc != 0)
        return qn_fail(err, QN_EINVAL, "cannot listen on %s: %s", host,
                       gai_strerror(rc));
    int s = -1, e = 0;
    for (struct addrinfo *ai = list; ai && s < 0; ai = ai->ai_next) {
        s = bind_one(ai);
        e = errno;
    }
    freeaddrinfo(list);
    if (s < 0)
        return qn_fail(err, QN_EIO, "cannot listen on %s, port %d: %s; %s",
                       host, port, strerror(e), remedy_of(e));
    *fd = s;
    *bound_port = port_of(s);
    return 0;
}

/* A socket file that nobody answers on is left over from a crash. */
static int clear_path(const struct sockaddr_un *a, qn_err *err)
{
    struct stat st;
    if (lstat(a->sun_path, &st) < 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return qn_fail(err, QN_EINVAL, "%s exists and is not a socket",
                       a->sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool alive = fd >= 0 &&
                 connect(fd, (const struct sockaddr *)a, sizeof *a) == 0;
    if (fd >= 0)
        close(fd);
    if (alive)
        return qn_fail(err, QN_EINVAL, "%s: another server listens there",
                       a->sun_path);
    unlink(a->sun_path);
    return 0;
}

int qn_listen_unix(const char *path, unsigned mode, int *fd, qn_err *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof a.sun_path)
        return qn_fail(err, QN_EINVAL, "%s: longer than %zu bytes", path,
                       sizeof a.sun_path - 1);
    memcpy(a.sun_path, path, strlen(path) + 1);
    QN_TRY(clear_path(&a, err));
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0)
        return qn_fail(err, QN_EIO, "%s: %s", path, strerror(errno));
    /* before listen(): nobody can connect while the mode is wider */
    if (bind(s, (struct sockaddr *)&a, sizeof a) < 0 || chmod(path, mode) < 0 ||
        listen(s, BACKLOG) < 0) {
        int rc = qn_fail(err, QN_EIO, "cannot listen on %s: %s", path,
                         strerror(errno));
        close(s);
        return rc;
    }
    *fd = s;
    return 0;
}
