#include "net/conn.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/net_state.h"

#define LOOK_AGAIN_MS 3600000u /* at a certificate's end; the clock may be set meanwhile */

const char *
sp_conn_peer(const struct sp_conn *c, char *dst, size_t cap)
{
    return sp_address_print((const struct sockaddr *)c->peer, dst, cap);
}

/* -- lists -- */

static void
pending_add(struct sp_conn *c)
{
    struct sp_net *n = sp_conn_net(c);

    c->next_pending = NULL;
    c->prev_pending = n->pending_end;
    *n->pending_end = c;
    n->pending_end = &c->next_pending;
    n->npending++;
    n->stats.pending = n->npending;
}

void
sp_conn_pending_remove(struct sp_conn *c)
{
    struct sp_net *n = sp_conn_net(c);

    if (c->prev_pending == NULL) {
        return;
    }
    *c->prev_pending = c->next_pending;
    if (c->next_pending != NULL) {
        c->next_pending->prev_pending = c->prev_pending;
    } else {
        n->pending_end = c->prev_pending;
    }
    c->prev_pending = NULL;
    n->npending--;
    n->stats.pending = n->npending;
    if ((n->not_accepting & SP_NET_HANDSHAKES) != 0 && n->npending < n->limits.max_handshakes) {
        sp_net_accept_unblock(n, SP_NET_HANDSHAKES);
    }
}

void
sp_conn_touch(struct sp_conn *c)
{
    struct sp_net *n = sp_conn_net(c);

    if (c->touched || c->state == SP_CONN_DEAD) {
        return;
    }
    c->touched = true;
    c->next_touched = NULL;
    *n->touched_end = c;
    n->touched_end = &c->next_touched;
}

void
sp_conn_pause(struct sp_conn *c)
{
    if (c->paused < UINT16_MAX) {
        c->paused++; /* the event goes when it next fires: a short pause costs nothing */
    }
}

void
sp_conn_resume(struct sp_conn *c)
{
    struct sp_net *n = sp_conn_net(c);

    if (c->paused == 0 || --c->paused > 0 || c->state != SP_CONN_OPEN) {
        return;
    }
    sp_conn_watch(c, !c->ended, c->writing);
    if (c->tail_bytes > 0 && !c->resumed) {
        c->resumed = true;
        c->next_resumed = NULL;
        *n->resumed_end = c;
        n->resumed_end = &c->next_resumed;
    }
}

/* -- events and timers -- */

static void on_event(evutil_socket_t fd, short what, void *arg);

void
sp_conn_watch(struct sp_conn *c, bool read, bool write)
{
    short now = (short)(event_get_events(&c->ev) & (EV_READ | EV_WRITE)),
          want = (short)((read ? EV_READ : 0) | (write ? EV_WRITE : 0));

    c->writing = write;
    if (event_pending(&c->ev, EV_READ | EV_WRITE, NULL) == 0) {
        now = 0;
    }
    if (now == want) {
        return;
    }
    if (now != 0) {
        (void)event_del(&c->ev);
    }
    if (want != 0 && (event_assign(&c->ev, c->process->base, c->fd, (short)(want | EV_PERSIST), on_event, c) < 0 ||
                      event_add(&c->ev, NULL) < 0)) {
        sp_log(SP_LOG_ALERT, "the event loop refuses a descriptor");
    }
}

/* How long until this connection must be looked at; UINT64_MAX: never. */
static uint64_t
due_in(const struct sp_conn *c)
{
    const struct sp_net_limits *l = &sp_conn_net(c)->limits;
    uint64_t                    now = sp_clock_ms(), wall = sp_clock_wall_ms(), due = UINT64_MAX;
    int64_t                     end;

    switch ((enum sp_conn_state)c->state) {
    case SP_CONN_ACCEPTED:
    case SP_CONN_HANDSHAKE:
        due = c->opened_ms + (uint64_t)l->handshake_timeout_ms;
        break;
    case SP_CONN_OPEN:
        if (c->writing) {
            due = c->progress_ms + (uint64_t)l->send_timeout_ms;
        }
        break;
    case SP_CONN_CLOSING:
        due = c->progress_ms + SP_NET_CLOSE_MS;
        break;
    case SP_CONN_LINGER:
        due = c->progress_ms + SP_NET_LINGER_MS;
        break;
    case SP_CONN_DEAD:
        return UINT64_MAX;
    }
    due = due == UINT64_MAX ? due : due > now ? due - now : 0;
    if (c->state == SP_CONN_OPEN && c->identity->not_after > 0) {
        end = c->identity->not_after >= INT64_MAX / 1000 ? INT64_MAX : (c->identity->not_after + 1) * 1000;
        if (end <= (int64_t)wall) {
            return 0;
        }
        due = (uint64_t)end - wall < due ? (uint64_t)end - wall : due;
        due = due > LOOK_AGAIN_MS ? LOOK_AGAIN_MS : due;
    }
    return due;
}

static void
certificate_ended(struct sp_conn *c)
{
    static struct sp_log_limit limit;
    char                       peer[64], when[48];

    (void)sp_clock_rfc3339(when, (uint64_t)c->identity->not_after * 1000);
    memcpy(when + 19, "Z", 2); /* whole seconds, as a refused handshake's line has them */
    sp_log_limited(&limit, 20, SP_LOG_NOTICE,
                   "peer=%s closed: certificate expired: subject=\"%s\" serial=%s not_after=%s",
                   sp_conn_peer(c, peer, sizeof(peer)), c->identity->subject.p, c->identity->serial_hex.p, when);
    sp_conn_net(c)->stats.credential_closes++;
    if (c->protocol->farewell != NULL) {
        c->protocol->farewell(c, SP_CLOSE_CREDENTIAL);
    }
    sp_conn_close(c, SP_CLOSE_CREDENTIAL);
}

static void
stalled(struct sp_conn *c)
{
    static struct sp_log_limit limit;
    char                       peer[64], name[128];

    sp_log_limited(
        &limit, 20, SP_LOG_NOTICE, "peer=%s client=%s cut off: it accepts no output (send_timeout), %zu bytes wait",
        sp_conn_peer(c, peer, sizeof(peer)), sp_str_escape(name, sizeof(name), c->identity->name), c->out.bytes);
    sp_conn_net(c)->stats.stalled++;
    sp_conn_kill(c, SP_CLOSE_TIMEOUT);
}

static void
on_timer(struct sp_timer *t, void *arg)
{
    static struct sp_log_limit limit;
    struct sp_conn            *c = arg;
    char                       peer[64];

    (void)t;
    sp_net_turn(sp_conn_net(c));
    if (due_in(c) > 0) {
        sp_conn_set_timer(c);
        return;
    }
    switch ((enum sp_conn_state)c->state) {
    case SP_CONN_ACCEPTED:
    case SP_CONN_HANDSHAKE:
        sp_log_limited(&limit, 5, SP_LOG_INFO, "peer=%s cut off: its TLS handshake has not ended (handshake_timeout)",
                       sp_conn_peer(c, peer, sizeof(peer)));
        sp_conn_net(c)->stats.handshake_timeouts++;
        sp_conn_kill(c, SP_CLOSE_TIMEOUT);
        break;
    case SP_CONN_OPEN:
        if (c->writing && sp_clock_ms() - c->progress_ms >= (uint64_t)sp_conn_net(c)->limits.send_timeout_ms) {
            stalled(c);
        } else {
            certificate_ended(c);
        }
        break;
    case SP_CONN_CLOSING:
    case SP_CONN_LINGER:
        sp_conn_kill(c, SP_CLOSE_TIMEOUT);
        break;
    case SP_CONN_DEAD:
        break;
    }
}

void
sp_conn_set_timer(struct sp_conn *c)
{
    uint64_t due = due_in(c);

    if (due == UINT64_MAX) { /* one that is armed finds nothing to do */
        return;
    }
    if (!sp_timer_armed(&c->timer) ||
        c->timer.due_ms > sp_clock_ms() + due) { /* one that comes too early arms itself again */
        sp_timer_arm(c->process->wheel, &c->timer, due, on_timer, c);
    }
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
    struct sp_conn *c = arg;

    (void)fd;
    sp_net_turn(sp_conn_net(c));
    if ((what & EV_WRITE) != 0 && c->state != SP_CONN_DEAD) {
        sp_conn_write(c);
    }
    if ((what & EV_READ) == 0) {
        return;
    }
    if (c->state == SP_CONN_ACCEPTED || c->state == SP_CONN_HANDSHAKE) {
        sp_tls_handshake(c);
    } else if (c->state != SP_CONN_DEAD) {
        sp_conn_read(c);
    }
}

/* -- life -- */

static void
link_conn(struct sp_net *n, struct sp_conn *c)
{
    c->next = n->conns;
    c->prev = &n->conns;
    if (c->next != NULL) {
        c->next->prev = &c->next;
    }
    n->conns = c;
    n->count++;
    n->stats.connections = n->count;
}

static void
unlink_conn(struct sp_net *n, struct sp_conn *c)
{
    if (n->sweep.next == c) {
        n->sweep.next = c->next;
    }
    *c->prev = c->next;
    if (c->next != NULL) {
        c->next->prev = c->prev;
    }
    n->count--;
    n->stats.connections = n->count;
    sp_net_accept_unblock(n, SP_NET_NO_FDS);
    if (n->count < n->limits.max_connections) {
        sp_net_accept_unblock(n, SP_NET_FULL);
    }
}

void
sp_conn_create(struct sp_listening *l, int fd, const struct sockaddr *addr, socklen_t len)
{
    struct sp_net  *n = l->net;
    struct sp_conn *c = calloc(1, sizeof(*c));
    socklen_t       size = len > sizeof(struct sockaddr) ? len : (socklen_t)sizeof(struct sockaddr);

    if (c != NULL) {
        c->peer = calloc(1, size);
    }
    if (c == NULL || c->peer == NULL) {
        goto fail;
    }
    memcpy(c->peer, addr, len < size ? len : size);
    if (len < sizeof(addr->sa_family)) {
        c->peer->ss_family = AF_UNSPEC;
    }
    c->process = n->process;
    c->protocol = l->protocol;
    c->listener = l->conf;
    c->fd = fd;
    c->opened_ms = c->progress_ms = sp_clock_ms();
    if (sp_net_id_add(n, c) < 0) {
        goto fail;
    }
    c->snapshot = sp_snapshot_ref(l->snapshot);
    link_conn(n, c);
    (void)event_assign(&c->ev, n->process->base, fd, EV_READ | EV_PERSIST, on_event, c);
    sp_conn_watch(c, true, false);
    if (c->listener->trust == NULL) {
        sp_conn_open(c, sp_identities_anonymous(n->identities));
    } else {
        c->state = SP_CONN_ACCEPTED;
        pending_add(c);
        sp_conn_set_timer(c);
    }
    return;
fail:
    if (c != NULL) {
        free(c->peer);
    }
    free(c);
    (void)close(fd);
    n->stats.refused++;
}

void
sp_conn_open(struct sp_conn *c, struct sp_identity *identity)
{
    sp_conn_pending_remove(c);
    sp_identity_unref(c->identity);
    c->identity = identity;
    c->state = SP_CONN_OPEN;
    c->progress_ms = sp_clock_ms();
    if (c->protocol->open(c) < 0) {
        sp_conn_close(c, SP_CLOSE_PROTOCOL);
        return;
    }
    c->opened = true;
    sp_conn_set_timer(c);
}

void
sp_conn_call_closed(struct sp_conn *c)
{
    if (c->opened) {
        c->opened = false;
        if (c->protocol->closed != NULL) {
            c->protocol->closed(c, (enum sp_close_why)c->why);
        }
        c->session = NULL;
    }
}

void
sp_conn_close(struct sp_conn *c, enum sp_close_why why)
{
    if (c->state >= SP_CONN_CLOSING) {
        return;
    }
    if (c->state < SP_CONN_OPEN) {
        sp_conn_kill(c, why);
        return;
    }
    c->state = SP_CONN_CLOSING;
    c->closing = true;
    c->why = (uint8_t)why;
    c->progress_ms = sp_clock_ms();
    sp_conn_set_timer(c);
    sp_conn_touch(c);
}

static void
drop_input(struct sp_conn *c)
{
    free(c->tail);
    c->tail = NULL;
    c->tail_bytes = c->tail_capacity = 0;
}

void
sp_conn_finish(struct sp_conn *c)
{
    if (c->ssl != NULL) {
        sp_tls_end(c);
        if (c->state == SP_CONN_DEAD) {
            return;
        }
    }
    drop_input(c);
    if (c->peer_done || shutdown(c->fd, SHUT_WR) < 0) {
        sp_conn_kill(c, (enum sp_close_why)c->why);
        return;
    }
    c->state = SP_CONN_LINGER;
    sp_conn_net(c)->lingering++;
    c->progress_ms = sp_clock_ms();
    sp_conn_watch(c, true, false);
    sp_conn_set_timer(c);
}

void
sp_conn_kill(struct sp_conn *c, enum sp_close_why why)
{
    struct sp_net *n = sp_conn_net(c);

    if (c->state == SP_CONN_DEAD) {
        return;
    }
    if (!c->closing) {
        c->closing = true;
        c->why = (uint8_t)why;
    }
    n->lingering -= c->state == SP_CONN_LINGER;
    c->state = SP_CONN_DEAD;
    sp_conn_call_closed(c);
    sp_conn_pending_remove(c);
    (void)event_del(&c->ev);
    sp_timer_cancel(&c->timer);
    SSL_free(c->ssl);
    c->ssl = NULL;
    (void)close(c->fd);
    c->fd = -1;
    sp_outq_clear(&c->out, &c->process->outq_pool);
    drop_input(c);
    free(c->wire);
    c->wire = NULL;
    c->wire_at = c->wire_end = 0;
    unlink_conn(n, c);
    sp_net_id_remove(n, c);
    sp_net_address_gone(n, c);
    c->next = n->dead; /* somebody up the stack may hold it still */
    n->dead = c;
}

void
sp_conn_free_dead(struct sp_net *n)
{
    struct sp_conn *c, *alive = NULL;

    while ((c = n->dead) != NULL) {
        n->dead = c->next;
        if (c->touched || c->resumed) { /* on a list of the next turn */
            c->next = alive;
            alive = c;
            continue;
        }
        sp_identity_unref(c->identity);
        sp_snapshot_unref(c->snapshot);
        free(c->peer);
        free(c);
    }
    n->dead = alive;
}
