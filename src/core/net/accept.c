/* Taking connections in: limits first, bounded work in a turn, and a way out when there are no descriptors left. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/net_state.h"

#define ACCEPTS_A_TURN 64
#define FDS_PAUSE_MS   250u
#define CAP_PAUSE_MS   100u

/* -- per address -- */

struct address_count {
    uint32_t count;
    uint8_t  n;
    char     bytes[16];
};

static struct sp_str
address_key(const struct sockaddr *addr, char bytes[16])
{
    if (addr->sa_family == AF_INET) {
        memcpy(bytes, &((const struct sockaddr_in *)(const void *)addr)->sin_addr, 4);
        return (struct sp_str){bytes, 4};
    }
    if (addr->sa_family == AF_INET6) {
        const struct in6_addr *a = &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(a)) {
            memcpy(bytes, &a->s6_addr[12], 4);
            return (struct sp_str){bytes, 4};
        }
        memcpy(bytes, a, 8); /* a host has a /64 to itself */
        return (struct sp_str){bytes, 8};
    }
    return (struct sp_str){NULL, 0};
}

/* Counts one more; false: there are too many. Counted whether there is a limit or not, for one may come with a reload. */
static bool
address_new(struct sp_net *n, const struct sockaddr *addr)
{
    char                  bytes[16];
    struct sp_str         key = address_key(addr, bytes);
    struct address_count *a = key.n == 0 ? NULL : sp_map_get(&n->addresses, key);

    if (key.n == 0) {
        return true;
    }
    if (a == NULL) {
        a = calloc(1, sizeof(*a));
        if (a == NULL) {
            return false;
        }
        memcpy(a->bytes, key.p, key.n);
        if (sp_map_put(&n->addresses, (struct sp_str){a->bytes, key.n}, a, NULL) < 0) {
            free(a);
            return false;
        }
    }
    if (n->limits.max_per_address != SP_OFF && a->count >= n->limits.max_per_address) {
        return false;
    }
    a->count++;
    return true;
}

void
sp_net_address_gone(struct sp_net *n, const struct sp_conn *c)
{
    char                  bytes[16];
    struct sp_str         key = address_key((const struct sockaddr *)c->peer, bytes);
    struct address_count *a = key.n == 0 ? NULL : sp_map_get(&n->addresses, key);

    if (a != NULL && --a->count == 0) {
        (void)sp_map_remove(&n->addresses, key);
        free(a);
    }
}

/* -- limits -- */

void
sp_net_on_accept_timer(struct sp_timer *t, void *arg)
{
    (void)t;
    sp_net_turn(arg);
    sp_net_accept_unblock(arg, SP_NET_NO_FDS | SP_NET_HANDSHAKES);
}

/* No descriptor left: tells one peer by closing, then waits for somebody to go. */
static void
out_of_descriptors(struct sp_listening *l, int err)
{
    static struct sp_log_limit limit;
    struct sp_net             *n = l->net;
    int                        fd;

    sp_log_limited(&limit, 1, SP_LOG_CRIT, "%s: cannot accept: %s; %u connections are open, accepting pauses",
                   l->conf->address, strerror(err), n->count);
    if (n->reserve_fd >= 0) {
        (void)close(n->reserve_fd);
        fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            (void)close(fd);
            n->stats.refused++;
        }
        n->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (n->reserve_fd < 0) {
            n->reserve_fd = dup(l->fd); /* where files may not be opened any more */
        }
    }
    sp_net_accept_block(n, SP_NET_NO_FDS, FDS_PAUSE_MS);
}

/* Over the cap: the oldest unfinished handshake goes if it has had its time; else newcomers wait in the backlog. */
static bool
room_for_handshake(struct sp_listening *l)
{
    static struct sp_log_limit limit;
    struct sp_net             *n = l->net;
    char                       peer[64];

    if (l->conf->trust == NULL || n->npending < n->limits.max_handshakes) {
        return true;
    }
    if (n->pending == NULL || sp_clock_ms() - n->pending->opened_ms < SP_NET_OLD_MS) {
        sp_net_accept_block(n, SP_NET_HANDSHAKES, CAP_PAUSE_MS);
        return false;
    }
    sp_log_limited(&limit, 5, SP_LOG_WARN,
                   "%s: %u unfinished handshakes (max_handshakes): the oldest is cut off, peer=%s", l->conf->address,
                   n->npending, sp_conn_peer(n->pending, peer, sizeof(peer)));
    n->stats.handshake_timeouts++;
    sp_conn_kill(n->pending, SP_CLOSE_TIMEOUT);
    return true;
}

static bool
room(struct sp_listening *l)
{
    static struct sp_log_limit limit;
    struct sp_net             *n = l->net;

    if (n->count >= n->limits.max_connections) {
        sp_log_limited(&limit, 1, SP_LOG_WARN, "%s: %u connections (worker_connections): accepting pauses",
                       l->conf->address, n->count);
        sp_net_accept_block(n, SP_NET_FULL, 0);
        return false;
    }
    return room_for_handshake(l);
}

/* After a commit, before the worker has passed the new sockets. */
static bool
current(struct sp_listening *l)
{
    struct sp_snapshot            *now = l->net->process->snapshot;
    const struct sp_listener_conf *conf = l->snapshot == now ? l->conf : sp_listener_successor(now, l->conf);

    if (conf != NULL && l->snapshot != now) {
        sp_snapshot_unref(l->snapshot);
        l->snapshot = sp_snapshot_ref(now);
        l->conf = conf;
    }
    return conf != NULL;
}

static void
take(struct sp_listening *l, int fd, const struct sockaddr *addr, socklen_t len)
{
    static struct sp_log_limit limit;
    char                       text[64];
    const int                  yes = 1;

    l->net->stats.accepted++;
    if (!address_new(l->net, addr)) {
        sp_log_limited(&limit, 5, SP_LOG_WARN,
                       "peer=%s refused: too many connections from its address (max_connections_per_address)",
                       sp_address_print(addr, text, sizeof(text)));
        l->net->stats.refused++;
        (void)close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)); /* writes are gathered here already */
    sp_conn_create(l, fd, addr, len);
}

void
sp_net_on_accept(evutil_socket_t listener, short what, void *arg)
{
    struct sp_listening    *l = arg;
    struct sockaddr_storage addr;

    (void)what;
    sp_net_turn(l->net);
    if (!current(l)) {
        return;
    }
    for (int i = 0; i < ACCEPTS_A_TURN && l->added && room(l); i++) {
        socklen_t len = sizeof(addr);
        int       fd;
        addr.ss_family = AF_UNSPEC;
        fd = accept4(listener, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take(l, fd, (const struct sockaddr *)&addr, len);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            out_of_descriptors(l, errno);
            return;
        } else if (errno == EAGAIN) {
            return;
        } /* else that connection is gone already: ECONNABORTED, EPROTO and the like */
    }
}
