#include "fleet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "clock.h"

#define SCRATCH_BYTES (256u * 1024u)
#define EVENTS        256
#define PER_SOURCE    20000u

static int
addr_parse(struct sp_fleet *f)
{
    struct sockaddr_in  *v4 = (struct sockaddr_in *)&f->addr;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&f->addr;

    if (inet_pton(AF_INET, f->o->host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(f->o->port);
        f->addr_len = sizeof *v4;
        return 0;
    }
    if (inet_pton(AF_INET6, f->o->host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(f->o->port);
        f->addr_len = sizeof *v6;
        return 0;
    }
    fprintf(stderr, "spload: --host wants an address, not \"%s\"\n", f->o->host);
    return -EINVAL;
}

static int
descriptors_raise(unsigned total)
{
    struct rlimit limit;
    rlim_t        need = (rlim_t)total + 64;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return -errno;
    }
    if (limit.rlim_cur >= need) {
        return 0;
    }
    limit.rlim_cur = need;
    if (limit.rlim_max < need) {
        limit.rlim_max = need;
    }
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        fprintf(stderr, "spload: %u connections need %llu descriptors: %s\n", total, (unsigned long long)need,
                strerror(errno));
        return -EMFILE;
    }
    return 0;
}

int
sp_fleet_init(struct sp_fleet *f, const struct sp_options *o, unsigned total, const struct sp_fleet_calls *calls,
              void *ctx, const volatile sig_atomic_t *stop)
{
    struct epoll_event event = {.events = EPOLLIN};
    bool               lean = o->scenario == SP_IDLE || o->scenario == SP_HANDSHAKE;

    memset(f, 0, sizeof *f);
    f->o = o;
    f->calls = calls;
    f->ctx = ctx;
    f->stop = stop;
    f->total = total;
    f->concurrency = o->concurrency;
    f->connect_rate = o->connect_rate;
    f->epfd = f->timerfd = -1;
    if (addr_parse(f) != 0 || descriptors_raise(total) != 0) {
        return -EINVAL;
    }
    if (o->tls) {
        f->tls = sp_client_tls(o->cafile, o->cert, o->key, o->groups, lean);
        if (f->tls == NULL) {
            return -EINVAL;
        }
    }
    f->clients = calloc(total, sizeof *f->clients);
    f->scratch = malloc(SCRATCH_BYTES);
    f->epfd = epoll_create1(EPOLL_CLOEXEC);
    f->timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (f->clients == NULL || f->scratch == NULL || f->epfd < 0 || f->timerfd < 0 ||
        epoll_ctl(f->epfd, EPOLL_CTL_ADD, f->timerfd, &event) != 0) {
        fputs("spload: out of memory or descriptors\n", stderr);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < total; i++) {
        f->clients[i].fd = -1;
        f->clients[i].index = i;
    }
    f->now_ns = f->pinged_ns = f->launched_ns = sp_clock_now_ns();
    return 0;
}

static void
error_note(struct sp_fleet *f, const struct sp_client *c, const char *what, int rc)
{
    unsigned long tls = ERR_peek_last_error();
    char          text[160] = "";

    if (f->error[0] != '\0') {
        return;
    }
    if (rc == -EPROTO && tls != 0) {
        ERR_error_string_n(tls, text, sizeof text);
    } else if (rc != 0) {
        snprintf(text, sizeof text, "%s", strerror(-rc));
    }
    snprintf(f->error, sizeof f->error, "client %u: %s%s%s", c->index, what, text[0] != '\0' ? ": " : "", text);
}

/* The connection is over, and not because we wanted it. */
static void
client_lose(struct sp_fleet *f, struct sp_client *c, const char *what, int rc)
{
    if (c->state == SP_CLIENT_CLOSED) {
        return;
    }
    error_note(f, c, what, rc);
    if (c->state == SP_CLIENT_READY) {
        f->lost++;
    } else {
        f->failed++;
        f->pending--;
    }
    sp_client_close(c);
}

void
sp_fleet_flush(struct sp_fleet *f, struct sp_client *c)
{
    int rc = sp_client_flush(c);

    c->written_ns = f->now_ns;
    if (rc != 0) {
        client_lose(f, c, "write", rc);
    }
}

void
sp_fleet_finish(struct sp_fleet *f, struct sp_client *c)
{
    uint8_t *p;

    if (c->state == SP_CLIENT_CLOSED || c->state == SP_CLIENT_NEW) {
        return;
    }
    if (c->state != SP_CLIENT_READY) {
        f->pending--;
    } else if ((p = sp_client_room(c, 2)) != NULL) {
        p[0] = SP_DISCONNECT << 4;
        p[1] = 0;
        sp_client_wrote(c, 2);
        (void)sp_client_flush(c);
    }
    sp_client_close(c);
}

static void
connect_send(struct sp_fleet *f, struct sp_client *c)
{
    struct sp_fleet_plan plan = {.qos = 0};
    uint8_t             *p = sp_client_room(c, 256);
    size_t               n = 0;

    f->calls->plan(f->ctx, c->index, &plan);
    if (p != NULL) {
        n = sp_wire_connect_write(p, 256, f->o->v5, plan.client_id, f->o->keepalive_s);
    }
    if (n == 0) {
        client_lose(f, c, "CONNECT", -ENOMEM);
        return;
    }
    sp_client_wrote(c, n);
    c->state = SP_CLIENT_CONNACK;
    sp_fleet_flush(f, c);
}

static void
ready_now(struct sp_fleet *f, struct sp_client *c)
{
    c->state = SP_CLIENT_READY;
    f->pending--;
    f->ready++;
    if (f->calls->ready != NULL) {
        f->calls->ready(f->ctx, c);
    }
}

static void
on_connack(struct sp_fleet *f, struct sp_client *c, const struct sp_packet *packet)
{
    struct sp_fleet_plan plan = {.qos = 0};
    struct sp_connack    ack;
    uint8_t             *p;
    size_t               n;

    if (c->state != SP_CLIENT_CONNACK || sp_wire_connack_read(packet, f->o->v5, &ack) != 0) {
        client_lose(f, c, "unexpected or bad CONNACK", 0);
        return;
    }
    if (ack.reason != 0 || ack.max_qos < f->o->qos) {
        char text[48];

        snprintf(text, sizeof text, "CONNACK 0x%02x, maximum QoS %u", ack.reason, ack.max_qos);
        client_lose(f, c, text, 0);
        return;
    }
    c->receive_max = ack.receive_max;
    f->calls->plan(f->ctx, c->index, &plan);
    if (plan.filter[0] == '\0') {
        ready_now(f, c);
        return;
    }
    p = sp_client_room(c, sizeof plan.filter + 16);
    n = p == NULL ? 0 : sp_wire_subscribe_write(p, sizeof plan.filter + 16, f->o->v5, 1, plan.filter, plan.qos);
    if (n == 0) {
        client_lose(f, c, "SUBSCRIBE", -ENOMEM);
        return;
    }
    sp_client_wrote(c, n);
    c->state = SP_CLIENT_SUBACK;
}

static void
on_suback(struct sp_fleet *f, struct sp_client *c, const struct sp_packet *packet)
{
    uint16_t id;
    uint8_t  reason;

    if (c->state != SP_CLIENT_SUBACK || sp_wire_ack_read(packet, f->o->v5, &id, &reason) != 0) {
        client_lose(f, c, "unexpected or bad SUBACK", 0);
    } else if (reason >= 0x80 || reason < f->o->qos) {
        char text[32];

        snprintf(text, sizeof text, "SUBACK 0x%02x", reason);
        client_lose(f, c, text, 0);
    } else {
        ready_now(f, c);
    }
}

static void
on_disconnect(struct sp_fleet *f, struct sp_client *c, const struct sp_packet *packet)
{
    char text[48];

    snprintf(text, sizeof text, "the server sent DISCONNECT 0x%02x", packet->len > 0 ? packet->body[0] : 0);
    client_lose(f, c, text, 0);
}

static void
packet_dispatch(struct sp_fleet *f, struct sp_client *c, const struct sp_packet *packet)
{
    struct sp_publish publish;
    uint16_t          id;
    uint8_t           reason;

    switch (packet->first >> 4) {
    case SP_PUBLISH:
        if (sp_wire_publish_read(packet, f->o->v5, &publish) != 0) {
            client_lose(f, c, "bad PUBLISH", 0);
        } else if (f->calls->publish != NULL) {
            f->calls->publish(f->ctx, c, &publish);
        }
        break;
    case SP_PUBACK:
        if (sp_wire_ack_read(packet, f->o->v5, &id, &reason) != 0) {
            client_lose(f, c, "bad PUBACK", 0);
        } else if (f->calls->acked != NULL) {
            f->calls->acked(f->ctx, c, id, reason);
        }
        break;
    case SP_CONNACK:
        on_connack(f, c, packet);
        break;
    case SP_SUBACK:
        on_suback(f, c, packet);
        break;
    case SP_PINGRESP:
        break;
    case SP_DISCONNECT:
        on_disconnect(f, c, packet);
        break;
    default:
        client_lose(f, c, "unexpected packet", 0);
        break;
    }
}

/* Handle every whole packet of the n bytes in the scratch buffer: what is left, moved to its start, or negative. */
static ssize_t
scratch_parse(struct sp_fleet *f, struct sp_client *c, size_t n)
{
    size_t at = 0;

    for (;;) {
        struct sp_packet packet;
        ssize_t          used = sp_wire_next(f->scratch + at, n - at, &packet);

        if (used == 0) {
            break;
        }
        if (used < 0) {
            client_lose(f, c, "bad remaining length", 0);
            return -EPROTO;
        }
        packet_dispatch(f, c, &packet);
        if (c->state == SP_CLIENT_CLOSED) {
            return -ECONNRESET;
        }
        at += (size_t)used;
    }
    memmove(f->scratch, f->scratch + at, n - at);
    return (ssize_t)(n - at);
}

static int
rest_keep(struct sp_fleet *f, struct sp_client *c, size_t n)
{
    if (n != c->rest_len) {
        uint8_t *p = n == 0 ? NULL : realloc(c->rest, n);

        if (n == 0) {
            free(c->rest);
        } else if (p == NULL) {
            return -ENOMEM;
        }
        c->rest = p;
        c->rest_len = n;
    }
    if (n > 0) {
        memcpy(c->rest, f->scratch, n);
    }
    return 0;
}

/* Read until the socket (and OpenSSL) is empty: data inside OpenSSL raises no event. */
static void
client_read(struct sp_fleet *f, struct sp_client *c)
{
    size_t  have = c->rest_len;
    ssize_t n;

    if (have > 0) {
        memcpy(f->scratch, c->rest, have);
    }
    for (;;) {
        size_t space = SCRATCH_BYTES - have;

        n = space == 0 ? -EMSGSIZE : sp_client_read(c, f->scratch + have, space);
        if (n <= 0) {
            break;
        }
        ssize_t left = scratch_parse(f, c, have + (size_t)n);

        if (left < 0) {
            return;
        }
        have = (size_t)left;
        if (c->ssl == NULL && (size_t)n < space) {
            n = 0;
            break;
        }
    }
    if (n < 0) {
        client_lose(f, c, "read", (int)n);
    } else if (rest_keep(f, c, have) != 0) {
        client_lose(f, c, "read", -ENOMEM);
    } else if (sp_client_pending(c) > 0 && (c->armed & EPOLLOUT) == 0) {
        sp_fleet_flush(f, c);
    }
}

static void
client_progress(struct sp_fleet *f, struct sp_client *c)
{
    int rc;

    if (c->state == SP_CLIENT_CONNECTING) {
        rc = sp_client_connected(c);
        if (rc != 0) {
            client_lose(f, c, "connect", rc);
            return;
        }
        if (c->ssl == NULL) {
            connect_send(f, c);
            return;
        }
        c->state = SP_CLIENT_HANDSHAKE;
    }
    rc = sp_client_handshake(c);
    if (rc < 0) {
        client_lose(f, c, "TLS handshake", rc);
    } else if (rc == 1) {
        connect_send(f, c);
    }
}

static void
client_event(struct sp_fleet *f, struct sp_client *c, uint32_t events)
{
    if (c->state <= SP_CLIENT_HANDSHAKE) {
        client_progress(f, c);
        return;
    }
    if ((events & EPOLLOUT) != 0 && c->state != SP_CLIENT_CLOSED) {
        sp_fleet_flush(f, c);
        if (c->state == SP_CLIENT_READY && sp_client_pending(c) == 0 && f->calls->writable != NULL) {
            f->calls->writable(f->ctx, c);
        }
    }
    if ((events & ~(uint32_t)EPOLLOUT) != 0 && c->state != SP_CLIENT_CLOSED) {
        client_read(f, c);
    }
}

static uint32_t
source_of(const struct sp_fleet *f, unsigned index)
{
    unsigned sources = f->o->sources != 0 ? f->o->sources : (f->total + PER_SOURCE - 1) / PER_SOURCE;

    return sources <= 1 ? 0 : 0x7f000001u + index % sources;
}

/* Start what may start; the time when the next one may, UINT64_MAX when that depends on others. */
static uint64_t
clients_launch(struct sp_fleet *f)
{
    while (f->started < f->total && f->pending < f->concurrency) {
        struct sp_client *c = &f->clients[f->started];
        int               rc;

        if (f->connect_rate > 0) {
            uint64_t due = f->launched_ns + f->started * (SP_NS_PER_S / f->connect_rate);

            if (due > f->now_ns) {
                return due;
            }
        }
        f->started++;
        f->pending++;
        rc = sp_client_open(c, f->epfd, (const struct sockaddr *)&f->addr, f->addr_len, source_of(f, c->index), f->tls);
        if (rc != 0) {
            client_lose(f, c, "socket", rc);
        }
    }
    return UINT64_MAX;
}

/* PINGREQ to whoever was silent for half the keep-alive time; looked at once a second. */
static void
clients_ping(struct sp_fleet *f)
{
    uint64_t half_ns = f->o->keepalive_s * SP_NS_PER_S / 2;

    if (f->now_ns - f->pinged_ns < SP_NS_PER_S) {
        return;
    }
    f->pinged_ns = f->now_ns;
    for (unsigned i = 0; f->o->keepalive_s > 0 && i < f->started; i++) {
        struct sp_client *c = &f->clients[i];
        uint8_t          *p;

        if (c->state == SP_CLIENT_READY && f->now_ns - c->written_ns >= half_ns && (p = sp_client_room(c, 2)) != NULL) {
            p[0] = SP_PINGREQ << 4;
            p[1] = 0;
            sp_client_wrote(c, 2);
            sp_fleet_flush(f, c);
        }
    }
}

static int
timer_set(struct sp_fleet *f, uint64_t deadline_ns)
{
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(deadline_ns / SP_NS_PER_S), .tv_nsec = (long)(deadline_ns % SP_NS_PER_S)}};

    if (deadline_ns <= f->now_ns) {
        return 0;
    }
    if (deadline_ns != f->timer_ns) {
        timerfd_settime(f->timerfd, TFD_TIMER_ABSTIME, &when, NULL);
        f->timer_ns = deadline_ns;
    }
    return -1;
}

void
sp_fleet_turn(struct sp_fleet *f, uint64_t deadline_ns)
{
    struct epoll_event events[EVENTS];
    uint64_t           launch_ns = clients_launch(f);
    int n = epoll_wait(f->epfd, events, EVENTS, timer_set(f, deadline_ns < launch_ns ? deadline_ns : launch_ns));

    f->now_ns = sp_clock_now_ns();
    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == NULL) {
            uint64_t ticks;

            (void)!read(f->timerfd, &ticks, sizeof ticks);
            f->timer_ns = 0;
        } else {
            client_event(f, events[i].data.ptr, events[i].events);
        }
    }
    clients_ping(f);
}

int
sp_fleet_gather(struct sp_fleet *f)
{
    uint64_t progress_ns = f->launched_ns = f->now_ns = sp_clock_now_ns();
    unsigned ready = f->ready;

    while (f->ready < f->total) {
        if (*f->stop != 0) {
            return -EINTR;
        }
        if (f->failed + f->lost > 0) {
            return -ECONNREFUSED;
        }
        sp_fleet_turn(f, f->now_ns + 100 * SP_NS_PER_MS);
        if (f->ready != ready) {
            ready = f->ready;
            progress_ns = f->now_ns;
        } else if (f->now_ns - progress_ns > f->o->connect_ms * SP_NS_PER_MS) {
            snprintf(f->error, sizeof f->error, "only %u of %u clients got ready", ready, f->total);
            return -ETIMEDOUT;
        }
    }
    return 0;
}

void
sp_fleet_free(struct sp_fleet *f)
{
    for (unsigned i = 0; f->clients != NULL && i < f->started; i++) {
        sp_fleet_finish(f, &f->clients[i]);
    }
    free(f->clients);
    free(f->scratch);
    SSL_CTX_free(f->tls);
    if (f->epfd >= 0) {
        close(f->epfd);
    }
    if (f->timerfd >= 0) {
        close(f->timerfd);
    }
}
