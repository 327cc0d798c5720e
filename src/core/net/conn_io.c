/* Bytes in and out: everything the socket has goes to the protocol in one call, all output leaves in one write. */
#include <errno.h>
#include <event2/event.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/bus.h"
#include "net/net_state.h"

#define IOVECS     64
#define TAIL_FIRST 64u

/* -- input -- */

static bool
tail_reserve(struct sp_conn *c, size_t n)
{
    size_t capacity = c->tail_capacity == 0 ? TAIL_FIRST : c->tail_capacity;
    char  *more;

    if (n <= c->tail_capacity) {
        return true;
    }
    while (capacity < n) {
        capacity *= 2;
    }
    if (capacity > UINT32_MAX || (more = realloc(c->tail, capacity)) == NULL) {
        return false;
    }
    c->tail = more;
    c->tail_capacity = (uint32_t)capacity;
    return true;
}

static void
tail_drop(struct sp_conn *c)
{
    free(c->tail);
    c->tail = NULL;
    c->tail_bytes = c->tail_capacity = 0;
}

/* What the protocol did not consume is kept: n bytes at p, which may lie in the tail itself. */
static bool
tail_keep(struct sp_conn *c, const char *p, size_t n)
{
    if (n == 0) {
        tail_drop(c);
        return true;
    }
    if (p >= c->tail && c->tail != NULL && p < c->tail + c->tail_capacity) {
        memmove(c->tail, p, n);
    } else {
        if (!tail_reserve(c, n)) {
            return false;
        }
        memcpy(c->tail, p, n);
    }
    c->tail_bytes = (uint32_t)n;
    return true;
}

static void
tail_too_long(struct sp_conn *c)
{
    static struct sp_log_limit limit;
    char                       peer[64];

    sp_log_limited(&limit, 10, SP_LOG_INFO, "peer=%s closed: %u bytes of an incomplete packet, more than it may have",
                   sp_conn_peer(c, peer, sizeof(peer)), c->tail_bytes);
    tail_drop(c);
    sp_conn_close(c, SP_CLOSE_PROTOCOL);
}

static void
offer(struct sp_conn *c, const char *p, size_t n)
{
    ssize_t took = c->protocol->input(c, p, n);

    if (c->state != SP_CONN_OPEN) { /* it closed: the rest is nobody's */
        tail_drop(c);
        return;
    }
    if (took < 0 || (size_t)took > n) {
        tail_drop(c);
        sp_conn_close(c, SP_CLOSE_PROTOCOL);
        return;
    }
    if (!tail_keep(c, p + took, n - (size_t)took)) {
        sp_log(SP_LOG_CRIT, "out of memory for input");
        sp_conn_kill(c, SP_CLOSE_PROTOCOL);
        return;
    }
    if (c->paused == 0 && c->protocol->tail_limit != NULL && c->tail_bytes > c->protocol->tail_limit(c)) {
        tail_too_long(c);
    }
}

void
sp_conn_input(struct sp_conn *c, size_t n)
{
    char *fresh = sp_conn_net(c)->in + SP_NET_TAIL_COPY;

    sp_conn_net(c)->stats.bytes_in += (int64_t)n;
    if (c->paused > 0 || c->tail_bytes > SP_NET_TAIL_COPY) {
        if (!tail_reserve(c, c->tail_bytes + n)) {
            sp_log(SP_LOG_CRIT, "out of memory for input");
            sp_conn_kill(c, SP_CLOSE_PROTOCOL);
            return;
        }
        memcpy(c->tail + c->tail_bytes, fresh, n);
        c->tail_bytes += (uint32_t)n;
        if (c->paused == 0) {
            offer(c, c->tail, c->tail_bytes);
        }
        return;
    }
    if (c->tail_bytes > 0) {
        memcpy(fresh - c->tail_bytes, c->tail, c->tail_bytes);
    }
    offer(c, fresh - c->tail_bytes, c->tail_bytes + n);
}

/* The peer has ended its side. What waits for it is still tried once. */
void
sp_conn_end(struct sp_conn *c)
{
    if (c->state == SP_CONN_OPEN && c->paused > 0 && c->tail_bytes > 0) {
        c->ended = true; /* it is paused over what it said before: that comes first */
        sp_conn_watch(c, false, c->writing);
        return;
    }
    c->peer_done = true;
    sp_conn_write(c);
    sp_conn_kill(c, SP_CLOSE_PEER);
}

void
sp_conn_offer_tail(struct sp_conn *c)
{
    if (c->state == SP_CONN_OPEN && c->paused == 0 && c->tail_bytes > 0 && sp_conn_fresh(c)) {
        offer(c, c->tail, c->tail_bytes);
    }
    if (c->ended && c->state == SP_CONN_OPEN && c->paused == 0) {
        sp_conn_end(c);
    }
}

static void
read_open(struct sp_conn *c)
{
    struct sp_net *n = sp_conn_net(c);
    bool           tls = c->ssl != NULL;
    char          *to = tls ? n->rx : n->in + SP_NET_TAIL_COPY;
    size_t         room = tls ? SP_NET_RX : SP_NET_READ, total = 0;
    ssize_t        got;

    if (c->paused > 0 || c->ended) {
        sp_conn_watch(c, false, c->writing);
        return;
    }
    if (!sp_conn_fresh(c)) {
        return;
    }
    if (c->resumed) { /* first what it was paused over: whoever is paused again and again would else gather more and more */
        sp_conn_offer_tail(c);
        if (c->state != SP_CONN_OPEN || c->paused > 0) {
            return;
        }
    }
    do {
        got = recv(c->fd, to, room, 0);
        if (got <= 0) {
            break;
        }
        n->stats.reads++;
        total += (size_t)got;
        if (tls) {
            n->rx_at = 0;
            n->rx_end = (size_t)got;
            if (sp_tls_input(c) < 0) {
                sp_conn_end(c);
                return;
            }
        } else {
            sp_conn_input(c, (size_t)got);
        }
    } while (c->state == SP_CONN_OPEN && c->paused == 0 && (size_t)got == room && total < SP_NET_READ_TURN);
    if (got == 0) {
        sp_conn_end(c);
    } else if (got < 0 && errno != EAGAIN && errno != EINTR) {
        sp_conn_kill(c, SP_CLOSE_PEER);
    }
}

/* Nobody wants these bytes, but closing a socket with unread input makes an RST, which destroys a last DISCONNECT. */
static void
read_away(struct sp_conn *c)
{
    ssize_t got = recv(c->fd, sp_conn_net(c)->in, SP_NET_READ, 0);

    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got > 0) {
        c->drained_bytes += (uint32_t)got;
    }
    if (got > 0 && c->drained_bytes <= SP_NET_LINGER_MAX) {
        return;
    }
    if (c->state == SP_CONN_LINGER || got < 0) {
        sp_conn_kill(c, SP_CLOSE_PEER);
        return;
    }
    c->peer_done = got == 0;
    sp_conn_watch(c, false, c->writing);
}

void
sp_conn_read(struct sp_conn *c)
{
    if (c->state == SP_CONN_OPEN) {
        read_open(c);
    } else {
        read_away(c);
    }
}

/* -- output -- */

ssize_t
sp_conn_send(struct sp_conn *c, const struct iovec *iov, int count)
{
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)count};
    ssize_t       n;

    do {
        n = sendmsg(c->fd, &m, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno == EAGAIN || errno == ENOBUFS ? 0 : -errno;
    }
    sp_conn_net(c)->stats.writes++;
    sp_conn_net(c)->stats.bytes_out += n;
    if (n > 0) {
        c->progress_ms = sp_clock_ms();
    }
    return n;
}

static int
send_wire(struct sp_conn *c)
{
    struct iovec iov = {c->wire + c->wire_at, c->wire_end - c->wire_at};
    ssize_t      n = sp_conn_send(c, &iov, 1);

    if (n < 0) {
        return (int)n;
    }
    c->wire_at += (uint32_t)n;
    if (c->wire_at == c->wire_end) {
        free(c->wire);
        c->wire = NULL;
        c->wire_at = c->wire_end = 0;
    }
    return 0;
}

/* One step. Bytes of `out` that went, 0 when the socket is full, negative errno. */
static ssize_t
write_plain(struct sp_conn *c)
{
    struct iovec iov[IOVECS];
    int          count = sp_outq_peek(&c->out, iov, IOVECS);
    ssize_t      n = sp_conn_send(c, iov, count);

    if (n > 0) {
        sp_outq_drain(&c->out, &c->process->outq_pool, (size_t)n);
    }
    return n;
}

static ssize_t
write_tls(struct sp_conn *c)
{
    size_t before = c->out.bytes;
    int    err = sp_tls_encrypt(c);

    if (err == 0) {
        err = sp_tls_send(c);
    }
    return err < 0 ? err : (ssize_t)(before - c->out.bytes);
}

static int
write_some(struct sp_conn *c)
{
    size_t  total = 0;
    ssize_t n = 1;

    if (c->wire != NULL) {
        int err = send_wire(c);
        if (err < 0) {
            return err;
        }
    }
    while (n > 0 && c->wire == NULL && c->out.bytes > 0 && total < SP_NET_WRITE_TURN) {
        n = c->ssl != NULL ? write_tls(c) : write_plain(c);
        total += n > 0 ? (size_t)n : 0;
    }
    return n < 0 ? (int)n : 0;
}

static void
watch_output(struct sp_conn *c, bool blocked)
{
    if (blocked == c->writing) {
        return;
    }
    if (blocked) {
        c->progress_ms = sp_clock_ms(); /* from now on it waits */
    }
    sp_conn_watch(c, event_pending(&c->ev, EV_READ, NULL) != 0, blocked);
    sp_conn_set_timer(c);
}

void
sp_conn_write(struct sp_conn *c)
{
    bool blocked;

    if (c->state == SP_CONN_HANDSHAKE) { /* the rest of a flight */
        if (c->wire != NULL && send_wire(c) < 0) {
            sp_conn_kill(c, SP_CLOSE_PEER);
        } else {
            watch_output(c, c->wire != NULL);
        }
        return;
    }
    if (c->state != SP_CONN_OPEN && c->state != SP_CONN_CLOSING) {
        return;
    }
    c->over_high = c->over_high || c->out.bytes > SP_CONN_HIGH_BYTES;
    if (c->process->bus != NULL) {
        sp_bus_publish(c->process->bus);
    }
    if (write_some(c) < 0) {
        sp_conn_kill(c, SP_CLOSE_PEER);
        return;
    }
    blocked = c->out.bytes > 0 || c->wire != NULL;
    watch_output(c, blocked);
    if (c->over_high && c->out.bytes < SP_CONN_LOW_BYTES) {
        c->over_high = false;
        if (c->state == SP_CONN_OPEN && c->protocol->drained != NULL) {
            c->protocol->drained(c);
        }
    }
    if (!blocked && c->state == SP_CONN_CLOSING) {
        if (c->opened) { /* closed() comes from the flush, never from inside the protocol's own calls */
            sp_conn_touch(c);
        } else {
            sp_conn_finish(c);
        }
    }
}
