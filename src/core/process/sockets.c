#include "process/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"

static bool
same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family) {
        return false;
    }
    if (a->ss_family == AF_INET) {
        const struct sockaddr_in *x = (const void *)a, *y = (const void *)b;
        return x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr;
    }
    const struct sockaddr_in6 *x = (const void *)a, *y = (const void *)b;
    return x->sin6_port == y->sin6_port && x->sin6_scope_id == y->sin6_scope_id &&
           memcmp(&x->sin6_addr, &y->sin6_addr, sizeof x->sin6_addr) == 0;
}

static in_port_t
port_of(const struct sockaddr_storage *a)
{
    return a->ss_family == AF_INET ? ((const struct sockaddr_in *)(const void *)a)->sin_port
                                   : ((const struct sockaddr_in6 *)(const void *)a)->sin6_port;
}

static bool
is_any6(const struct sockaddr_storage *a)
{
    return a->ss_family == AF_INET6 &&
           memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr, &in6addr_any, sizeof in6addr_any) == 0;
}

/* A bound socket, or negative errno. `alone`: nobody else may have the address (SO_REUSEPORT would share it silently). */
static int
bind_one(const struct sockaddr_storage *addr, socklen_t len, bool alone)
{
    const int yes = 1, no = 0;
    int       fd = socket(addr->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0) {
        return -errno;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0 ||
        (!alone && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes) < 0) ||
        (is_any6(addr) && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no) < 0) ||
        bind(fd, (const struct sockaddr *)addr, len) < 0) {
        int err = -errno;
        close(fd);
        return err;
    }
    return fd;
}

/* A machine without IPv6: "any" then means any IPv4 address. */
static int
bind_any(struct sockaddr_storage *addr, socklen_t *len, bool alone)
{
    int fd = bind_one(addr, *len, alone);

    if ((fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL) && is_any6(addr)) {
        struct sockaddr_in      four = {.sin_family = AF_INET, .sin_port = port_of(addr)};
        struct sockaddr_storage other = {0};
        memcpy(&other, &four, sizeof four);
        int fd4 = bind_one(&other, sizeof four, alone);
        if (fd4 >= 0) {
            *addr = other;
            *len = sizeof four;
        }
        return fd4 >= 0 ? fd4 : fd;
    }
    return fd;
}

static int
bind_patiently(struct sockaddr_storage *addr, socklen_t *len, unsigned patience_ms)
{
    const struct timespec pause = {0, 20 * 1000 * 1000};

    for (unsigned waited_ms = 0;; waited_ms += 20) {
        int fd = bind_any(addr, len, true);
        if (fd >= 0) {
            close(fd);
            return 0;
        }
        if (fd != -EADDRINUSE || waited_ms >= patience_ms) {
            return fd;
        }
        (void)nanosleep(&pause, NULL);
    }
}

static const struct sp_socket *
find(const struct sp_sockets *s, const struct sockaddr_storage *addr)
{
    for (unsigned i = 0; s != NULL && i < s->count; i++) {
        if (same_address(&s->at[i].addr, addr)) {
            return &s->at[i];
        }
    }
    return NULL;
}

static bool
port_is_ours(const struct sp_sockets *s, const struct sockaddr_storage *addr)
{
    for (unsigned i = 0; s != NULL && i < s->count; i++) {
        if (s->at[i].fds != NULL && port_of(&s->at[i].addr) == port_of(addr)) {
            return true;
        }
    }
    return false;
}

static int
init_socket(struct sp_socket *k, const struct sp_plan_listener *l, unsigned workers)
{
    k->addr = l->addr;
    k->addr_len = l->addr_len;
    k->backlog = l->backlog;
    k->address = strdup(l->address);
    k->where = strdup(l->where);
    k->fds = malloc(workers * sizeof *k->fds);
    for (unsigned w = 0; k->fds != NULL && w < workers; w++) {
        k->fds[w] = -1;
    }
    return k->address == NULL || k->where == NULL || k->fds == NULL ? -ENOMEM : 0;
}

static int
fill(struct sp_sockets *s, struct sp_socket *k, const struct sp_socket *old, unsigned old_workers,
     const struct sp_sockets *had, unsigned patience_ms)
{
    if (old != NULL) {
        k->addr = old->addr; /* "any" may have become IPv4 */
        k->addr_len = old->addr_len;
    } else if (!port_is_ours(had, &k->addr) &&
               !port_is_ours(&(struct sp_sockets){s->at, (unsigned)(k - s->at), 0}, &k->addr)) {
        int err = bind_patiently(&k->addr, &k->addr_len, patience_ms);
        if (err < 0) {
            return err;
        }
    }
    k->listening = old != NULL && old->listening;
    for (unsigned w = 0; w < s->workers; w++) {
        if (old != NULL && w < old_workers && old->fds[w] >= 0) {
            k->fds[w] = fcntl(old->fds[w], F_DUPFD_CLOEXEC, 3);
            if (k->fds[w] < 0) {
                return -errno;
            }
        } else {
            k->fds[w] = bind_any(&k->addr, &k->addr_len, false);
            if (k->fds[w] < 0) {
                return k->fds[w];
            }
            k->listening = false;
        }
    }
    return 0;
}

static int
complain(char **error, const struct sp_socket *k, const char *what, int err)
{
    if (asprintf(error, "%s: error: cannot %s %s: %s\n", k->where == NULL ? "?" : k->where, what,
                 k->address == NULL ? "?" : k->address, strerror(-err)) < 0) {
        *error = NULL;
    }
    return err;
}

int
sp_sockets_open(const struct sp_plan *plan, const struct sp_sockets *had, unsigned patience_ms, struct sp_sockets **out,
                char **error)
{
    unsigned           workers = had != NULL ? had->workers : plan->workers;
    struct sp_sockets *s;

    if (plan->workers > workers) {
        workers = plan->workers;
    }
    int err = sp_sockets_empty(workers, &s);
    if (err < 0) {
        return err;
    }
    s->at = calloc(plan->nlisteners + 1u, sizeof *s->at);
    if (s->at == NULL) {
        sp_sockets_close(s);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < plan->nlisteners; i++) {
        struct sp_socket       *k = &s->at[s->count++];
        const struct sp_socket *old = find(had, &plan->listeners[i].addr);
        err = init_socket(k, &plan->listeners[i], workers);
        if (err == 0) {
            err = fill(s, k, old, had == NULL ? 0 : had->workers, had, patience_ms);
        }
        if (err < 0) {
            (void)complain(error, k, "listen on", err);
            sp_sockets_close(s);
            return err;
        }
    }
    *out = s;
    return 0;
}

int
sp_sockets_listen(struct sp_sockets *s, char **error)
{
    for (unsigned i = 0; i < s->count; i++) {
        struct sp_socket *k = &s->at[i];
        /* also those that listen already: the backlog may have changed */
        for (unsigned w = 0; w < s->workers; w++) {
            if (k->fds[w] >= 0 && listen(k->fds[w], k->backlog) < 0) {
                return complain(error, k, "listen on", -errno);
            }
        }
        k->listening = true;
    }
    return 0;
}

void
sp_sockets_close(struct sp_sockets *s)
{
    if (s == NULL) {
        return;
    }
    for (unsigned i = 0; i < s->count; i++) {
        for (unsigned w = 0; s->at[i].fds != NULL && w < s->workers; w++) {
            if (s->at[i].fds[w] >= 0) {
                close(s->at[i].fds[w]);
            }
        }
        free(s->at[i].fds);
        free(s->at[i].address);
        free(s->at[i].where);
    }
    free(s->at);
    free(s);
}

void
sp_sockets_of(const struct sp_sockets *s, unsigned worker, int *fds)
{
    for (unsigned i = 0; i < s->count; i++) {
        fds[i] = worker < s->workers ? s->at[i].fds[worker] : -1;
    }
}

int
sp_sockets_empty(unsigned workers, struct sp_sockets **out)
{
    struct sp_sockets *s = calloc(1, sizeof *s);

    if (s == NULL) {
        return -ENOMEM;
    }
    s->workers = workers;
    *out = s;
    return 0;
}

int
sp_sockets_adopt(struct sp_sockets *s, unsigned worker, int fd)
{
    struct sockaddr_storage addr = {0};
    socklen_t               len = sizeof addr;

    if (worker >= s->workers || getsockname(fd, (struct sockaddr *)&addr, &len) < 0 ||
        (addr.ss_family != AF_INET && addr.ss_family != AF_INET6)) {
        close(fd);
        return -EINVAL;
    }
    struct sp_socket *k = (struct sp_socket *)(uintptr_t)find(s, &addr);
    if (k == NULL) {
        struct sp_socket       *more = realloc(s->at, (s->count + 1) * sizeof *more);
        struct sp_plan_listener l = {
            .addr = addr, .addr_len = len, .address = (char *)"inherited", .where = (char *)"inherited"};
        if (more == NULL) {
            close(fd);
            return -ENOMEM;
        }
        s->at = more;
        k = &s->at[s->count];
        *k = (struct sp_socket){.listening = true};
        s->count++;
        if (init_socket(k, &l, s->workers) < 0) {
            close(fd);
            return -ENOMEM;
        }
    }
    if (k->fds[worker] >= 0) {
        close(k->fds[worker]);
    }
    k->fds[worker] = fd;
    return 0;
}
