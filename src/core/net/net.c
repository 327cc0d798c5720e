#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/net_state.h"

#define PROTOCOLS_MAX 16
#define TRIM_CLOSED   1000u /* connections: what they had is worth a walk through the heap */
#define TRIM_EVERY_MS 10000u
#define ROUNDS_MAX    8 /* of a flush: what is touched by what is touched … */

/* Every struct sp_net is one of these: sp_net_start makes it. */
struct owned_net {
    struct sp_net   net;
    struct sp_timer trim_timer;
    uint64_t        trimmed_ms; /* 0: never */
    size_t          closed;     /* connections, since then */
};

static const struct sp_protocol *protocols[PROTOCOLS_MAX];

int
sp_protocol_register(const struct sp_protocol *p)
{
    for (int i = 0; i < PROTOCOLS_MAX; i++) {
        if (protocols[i] == NULL) {
            protocols[i] = p;
            return 0;
        }
        if (strcmp(protocols[i]->name, p->name) == 0) {
            return protocols[i] == p ? 0 : -EEXIST;
        }
    }
    return -ENOSPC;
}

const struct sp_protocol *
sp_protocol_find(const char *name)
{
    for (int i = 0; i < PROTOCOLS_MAX && protocols[i] != NULL; i++) {
        if (strcmp(protocols[i]->name, name) == 0) {
            return protocols[i];
        }
    }
    return NULL;
}

/* -- ids -- */

static size_t
id_slot(const struct sp_net *n, uint64_t id)
{
    return (size_t)id & (n->ids_capacity - 1); /* a counter: no two neighbours in one slot until it has gone round */
}

static void
id_place(struct sp_net *n, struct sp_conn *c)
{
    size_t i = id_slot(n, c->id);

    while (n->ids[i] != NULL) {
        i = (i + 1) & (n->ids_capacity - 1);
    }
    n->ids[i] = c;
}

int
sp_net_id_add(struct sp_net *n, struct sp_conn *c)
{
    if (2 * (n->nids + 1) > n->ids_capacity) {
        size_t           was = n->ids_capacity, now = was == 0 ? 256 : 2 * was;
        struct sp_conn **old = n->ids, **more = calloc(now, sizeof(struct sp_conn *));
        if (more == NULL) {
            return -ENOMEM;
        }
        n->ids = more;
        n->ids_capacity = now;
        for (size_t i = 0; i < was; i++) {
            if (old[i] != NULL) {
                id_place(n, old[i]);
            }
        }
        free(old);
    }
    c->id =
        (uint64_t)n->process->slot << 56 | (uint64_t)(n->process->epoch & 0xffff) << 40 | (++n->last_id & 0xffffffffff);
    id_place(n, c);
    n->nids++;
    return 0;
}

static size_t
id_find(const struct sp_net *n, uint64_t id)
{
    size_t i;

    if (n->ids_capacity == 0) {
        return SIZE_MAX;
    }
    for (i = id_slot(n, id); n->ids[i] != NULL; i = (i + 1) & (n->ids_capacity - 1)) {
        if (n->ids[i]->id == id) {
            return i;
        }
    }
    return SIZE_MAX;
}

void
sp_net_id_remove(struct sp_net *n, struct sp_conn *c)
{
    size_t mask = n->ids_capacity - 1, hole = id_find(n, c->id), i;

    if (hole == SIZE_MAX || n->ids[hole] != c) {
        return;
    }
    n->ids[hole] = NULL;
    n->nids--;
    for (i = (hole + 1) & mask; n->ids[i] != NULL; i = (i + 1) & mask) { /* close the gap */
        size_t home = id_slot(n, n->ids[i]->id);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            n->ids[hole] = n->ids[i];
            n->ids[i] = NULL;
            hole = i;
        }
    }
}

struct sp_conn *
sp_net_find(struct sp_net *n, uint64_t id)
{
    size_t i = id_find(n, id);

    return i == SIZE_MAX || n->ids[i]->state != SP_CONN_OPEN ? NULL : n->ids[i];
}

/* -- turns -- */

void
sp_net_turn(struct sp_net *n)
{
    if (!n->turn_begun) {
        n->turn_begun = true;
        sp_clock_update();
    }
}

void
sp_net_wake(struct sp_net *n)
{
    event_active(&n->wake, EV_TIMEOUT, 1);
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    sp_net_turn(arg);
}

static struct sp_conn *
take_touched(struct sp_net *n)
{
    struct sp_conn *all = n->touched;

    n->touched = NULL;
    n->touched_end = &n->touched;
    return all;
}

static struct sp_conn *
take_resumed(struct sp_net *n)
{
    struct sp_conn *all = n->resumed;

    n->resumed = NULL;
    n->resumed_end = &n->resumed;
    return all;
}

static void
flush_round(struct sp_net *n)
{
    struct sp_conn *next;

    for (struct sp_conn *c = take_resumed(n); c != NULL; c = next) {
        next = c->next_resumed;
        c->resumed = false;
        sp_conn_offer_tail(c);
    }
    for (struct sp_conn *c = take_touched(n); c != NULL; c = next) {
        next = c->next_touched;
        c->touched = false;
        if (c->state == SP_CONN_CLOSING) {
            sp_conn_call_closed(c);
        }
        sp_conn_write(c);
    }
}

/* -- memory of the closed -- */

static void
trim(struct owned_net *o)
{
    o->closed = 0;
    o->trimmed_ms = sp_clock_ms();
    (void)malloc_trim(
        0); /* the threshold of malloc gives back the heap's end only; among a crowd's leavings live others */
}

static void
on_trim_timer(struct sp_timer *t, void *arg)
{
    (void)t;
    trim(arg);
}

static void
free_dead(struct sp_net *n)
{
    struct owned_net *o = (struct owned_net *)n;
    size_t            before = 0, after = 0;

    if (n->dead == NULL) {
        return;
    }
    for (const struct sp_conn *c = n->dead; c != NULL; c = c->next) {
        before++;
    }
    sp_conn_free_dead(n);
    for (const struct sp_conn *c = n->dead; c != NULL; c = c->next) {
        after++;
    }
    o->closed += before - after;
    if (o->closed < TRIM_CLOSED || sp_timer_armed(&o->trim_timer)) {
        return;
    }
    uint64_t ago_ms = sp_clock_ms() - o->trimmed_ms;
    if (o->trimmed_ms == 0 || ago_ms >= TRIM_EVERY_MS) {
        trim(o);
    } else {
        sp_timer_arm(n->process->wheel, &o->trim_timer, TRIM_EVERY_MS - ago_ms, on_trim_timer, o);
    }
}

void
sp_net_flush(struct sp_net *n)
{
    if (n->sweep.running) {
        sp_net_sweep_step(n);
    }
    for (int i = 0; i < ROUNDS_MAX && (n->touched != NULL || n->resumed != NULL); i++) {
        flush_round(n);
    }
    if (n->touched != NULL || n->resumed != NULL || n->sweep.running) {
        sp_net_wake(n);
    }
    free_dead(n);
    if (n->drain.running) {
        sp_net_drain_check(n);
    }
    n->turn_begun = false;
    n->turn_ns = 0;
}

/* -- life -- */

void
sp_net_use_limits(struct sp_net *n)
{
    if (n->limits_generation != n->process->snapshot->generation || n->limits.max_connections == 0) {
        sp_net_limits_read(n->process->snapshot, &n->limits);
        n->limits_generation = n->process->snapshot->generation;
    }
}

static int
allocate(struct sp_net *n)
{
    n->rx = malloc(SP_NET_RX);
    n->tx = malloc(SP_NET_TX);
    n->record = malloc(SP_NET_RECORD);
    n->in = malloc(SP_NET_TAIL_COPY + SP_NET_READ);
    return n->rx == NULL || n->tx == NULL || n->record == NULL || n->in == NULL ? -ENOMEM : 0;
}

int
sp_net_start(struct sp_process *p, struct sp_net **out)
{
    struct owned_net *o = calloc(1, sizeof(*o));
    struct sp_net    *n = &o->net;
    int               err;

    if (o == NULL) {
        return -ENOMEM;
    }
    /* One loop, many small and equal objects: one arena, and what a burst of handshakes took goes back to the system. */
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 19);
    (void)mallopt(M_TOP_PAD, 1 << 18);
    n->process = p;
    n->pending_end = &n->pending;
    n->touched_end = &n->touched;
    n->resumed_end = &n->resumed;
    n->not_accepting = SP_NET_OFF;
    n->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC); /* without one it works too */
    err = allocate(n);
    if (err == 0) {
        err = event_assign(&n->wake, p->base, -1, 0, on_wake, n) < 0 ? -EINVAL : 0;
    }
    if (err == 0) {
        err = sp_identities_create(&n->identities);
    }
    if (err == 0) {
        err = sp_tls_start(n);
    }
    if (err < 0) {
        sp_net_stop(n);
        return err;
    }
    sp_net_use_limits(n);
    *out = n;
    return 0;
}

static void
stop_listening(struct sp_net *n)
{
    for (unsigned i = 0; i < n->nlistening; i++) {
        struct sp_listening *l = &n->listening[i];
        if (l->added) {
            (void)event_del(&l->ev);
        }
        if (l->fd >= 0) {
            (void)close(l->fd);
        }
        sp_snapshot_unref(l->snapshot);
    }
    free(n->listening);
    n->listening = NULL;
    n->nlistening = 0;
}

static void
free_addresses(struct sp_net *n)
{
    struct sp_map_entry *e;
    size_t               pos = 0;

    while ((e = sp_map_next(&n->addresses, &pos)) != NULL) {
        free(e->value);
    }
    sp_map_clear(&n->addresses);
}

void
sp_net_stop(struct sp_net *n)
{
    if (n == NULL) {
        return;
    }
    stop_listening(n);
    sp_timer_cancel(&n->accept_timer);
    sp_timer_cancel(&n->drain_timer);
    sp_timer_cancel(&((struct owned_net *)n)->trim_timer);
    while (n->conns != NULL) {
        sp_conn_kill(n->conns, SP_CLOSE_SHUTDOWN);
    }
    for (struct sp_conn *c = take_touched(n); c != NULL; c = c->next_touched) {
        c->touched = false;
    }
    for (struct sp_conn *c = take_resumed(n); c != NULL; c = c->next_resumed) {
        c->resumed = false;
    }
    sp_conn_free_dead(n);
    if (event_initialized(&n->wake)) {
        (void)event_del(&n->wake);
    }
    sp_tls_stop(n);
    sp_identities_destroy(n->identities);
    free_addresses(n);
    if (n->reserve_fd >= 0) {
        (void)close(n->reserve_fd);
    }
    free(n->ids);
    free(n->rx);
    free(n->tx);
    free(n->record);
    free(n->in);
    free(n);
}

unsigned
sp_net_count(const struct sp_net *n)
{
    return n->count - n->lingering;
}

const struct sp_net_stats *
sp_net_stats(const struct sp_net *n)
{
    return &n->stats;
}

/* -- listeners -- */

static void
watch_listeners(struct sp_net *n)
{
    for (unsigned i = 0; i < n->nlistening; i++) {
        struct sp_listening *l = &n->listening[i];
        bool                 want = n->not_accepting == 0 && l->protocol != NULL;
        if (want != l->added && (want ? event_add(&l->ev, NULL) : event_del(&l->ev)) == 0) {
            l->added = want;
        }
    }
}

int
sp_net_listen(struct sp_net *n, const int *fds, unsigned count)
{
    const struct sp_listener_conf *conf = n->process->snapshot->listeners;
    struct sp_listening           *all = calloc(count + 1u, sizeof(*all));

    if (all == NULL) {
        return -ENOMEM;
    }
    stop_listening(n);
    sp_net_use_limits(n);
    n->listening = all;
    for (unsigned i = 0; i < count; i++, conf = conf == NULL ? NULL : conf->next) {
        struct sp_listening *l = &all[n->nlistening++];
        l->net = n;
        l->fd = fds[i];
        l->snapshot = sp_snapshot_ref(n->process->snapshot);
        l->conf = conf;
        l->protocol = conf == NULL ? NULL : sp_protocol_find(conf->protocol);
        if (l->protocol == NULL ||
            event_assign(&l->ev, n->process->base, l->fd, EV_READ | EV_PERSIST, sp_net_on_accept, l) < 0) {
            sp_log(SP_LOG_ALERT, "no connection is accepted on %s: %s",
                   conf == NULL ? "a socket without a listener" : conf->address,
                   l->protocol == NULL ? "its protocol is not built in" : "the event loop refuses it");
            l->protocol = NULL;
        }
    }
    watch_listeners(n);
    return 0;
}

void
sp_net_accept_block(struct sp_net *n, unsigned why, uint64_t ms)
{
    n->not_accepting |= why;
    watch_listeners(n);
    if (ms > 0 && !sp_timer_armed(&n->accept_timer)) {
        sp_timer_arm(n->process->wheel, &n->accept_timer, ms, sp_net_on_accept_timer, n);
    }
}

void
sp_net_accept_unblock(struct sp_net *n, unsigned why)
{
    if ((n->not_accepting & why) != 0) {
        n->not_accepting &= ~why;
        watch_listeners(n);
    }
}

void
sp_net_accept(struct sp_net *n, bool on)
{
    if (on) {
        sp_net_accept_unblock(n, SP_NET_OFF);
    } else {
        sp_net_accept_block(n, SP_NET_OFF, 0);
    }
}
