#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net/conn.h"
#include "net/router_internal.h"

/* A publisher here, paused at the request of another worker: remembered, so that the worker's death does not leave it paused. */
struct remote_pause {
    struct {
        uint64_t publisher, from;
    } key;
    uint32_t count;
};

static struct sp_str
waiter_key(const struct sp_waiter *w)
{
    return (struct sp_str){(const char *)&w->key, sizeof(w->key)};
}

static struct sp_str
pause_key(const struct remote_pause *rp)
{
    return (struct sp_str){(const char *)&rp->key, sizeof(rp->key)};
}

static int
pause_here(struct sp_router *r, uint64_t publisher)
{
    struct sp_conn *c = sp_net_find(r->process->net, publisher);

    if (c == NULL) {
        return -ENOENT;
    }
    router_count(r, ROUTER_PAUSES, 1);
    sp_conn_pause(c);
    return 0;
}

static int
resume_here(struct sp_router *r, uint64_t publisher)
{
    struct sp_conn *c = sp_net_find(r->process->net, publisher);

    if (c != NULL) {
        sp_conn_resume(c);
    }
    return 0;
}

static int
tell(struct sp_router *r, unsigned type, uint64_t publisher)
{
    struct iovec iov = {&publisher, sizeof(publisher)};

    if (slot_of(publisher) == r->process->slot) {
        return type == SP_BUS_FLOW_PAUSE ? pause_here(r, publisher) : resume_here(r, publisher);
    }
    return sp_bus_send(r->process->bus, slot_of(publisher), type, 0, &iov, 1);
}

/* When the publisher cannot be held up (out of memory), its messages wait in the receiver's queue all the same. */
static bool
wait_for(struct sp_router *r, struct sp_waiter **list, struct sp_subscriber *full, uint64_t publisher)
{
    struct sp_waiter  wanted = {NULL, {publisher, full}};
    struct sp_waiter *w;

    if (sp_map_get(&r->waiters, waiter_key(&wanted)) != NULL) {
        return true;
    }
    w = malloc(sizeof(*w));
    if (w == NULL) {
        return false;
    }
    *w = wanted;
    if (sp_map_put(&r->waiters, waiter_key(w), w, NULL) < 0) {
        free(w);
        return false;
    }
    if (tell(r, SP_BUS_FLOW_PAUSE, publisher) < 0) {
        sp_map_remove(&r->waiters, waiter_key(w));
        free(w);
        return false;
    }
    w->next = *list;
    *list = w;
    return true;
}

bool
flow_wait_for(struct sp_router *r, struct sp_subscriber *full, uint64_t publisher)
{
    return wait_for(r, &full->waiters, full, publisher);
}

bool
flow_wait_for_room(struct sp_router *r, uint64_t publisher)
{
    return wait_for(r, &r->room_waits, NULL, publisher);
}

/* No resume may get lost: its publisher would stay paused for ever. */
static void
resume(struct sp_router *r, struct sp_waiter *w)
{
    if (tell(r, SP_BUS_FLOW_RESUME, w->key.publisher) == -ENOMEM) {
        w->next = r->owed;
        r->owed = w;
        return;
    }
    free(w);
}

static void
release_all(struct sp_router *r, struct sp_waiter **list)
{
    struct sp_waiter *all = *list;

    *list = NULL;
    for (struct sp_waiter *w = all; w != NULL; w = w->next) {
        sp_map_remove(&r->waiters, waiter_key(w));
    }
    while (all != NULL) {
        struct sp_waiter *w = all;

        all = w->next;
        resume(r, w);
    }
}

void
sp_router_ready(struct sp_router *r, struct sp_subscriber *s)
{
    release_all(r, &s->waiters);
}

void
flow_forget(struct sp_router *r, struct sp_subscriber *s)
{
    release_all(r, &s->waiters);
}

static void
on_room(struct sp_process *p)
{
    struct sp_router *r = p->router;
    struct sp_waiter *owed = r->owed;

    r->owed = NULL;
    while (owed != NULL) {
        struct sp_waiter *w = owed;

        owed = w->next;
        resume(r, w);
    }
    release_all(r, &r->room_waits);
}

/* -- at the publisher's worker -- */

static bool
publisher_in(unsigned from, const void *body, size_t n, uint64_t *publisher)
{
    static struct sp_log_limit limit;

    if (n != sizeof(*publisher)) {
        sp_log_limited(&limit, 10, SP_LOG_ALERT, "bus: malformed flow control from slot %u ignored", from);
        return false;
    }
    memcpy(publisher, body, sizeof(*publisher));
    return true;
}

static struct remote_pause *
find_pause(struct sp_router *r, unsigned from, uint64_t publisher)
{
    struct remote_pause wanted = {{publisher, from}, 0};

    return sp_map_get(&r->pauses, pause_key(&wanted));
}

static void
on_pause(struct sp_process *p, unsigned from, const void *body, size_t n)
{
    struct sp_router    *r = p->router;
    struct remote_pause *rp;
    uint64_t             publisher;

    if (!publisher_in(from, body, n, &publisher) || sp_net_find(p->net, publisher) == NULL) {
        return;
    }
    rp = find_pause(r, from, publisher);
    if (rp == NULL) {
        rp = calloc(1, sizeof(*rp));
        if (rp == NULL) {
            return;
        }
        rp->key.publisher = publisher;
        rp->key.from = from;
        if (sp_map_put(&r->pauses, pause_key(rp), rp, NULL) < 0) {
            free(rp);
            return;
        }
    }
    rp->count++;
    (void)pause_here(r, publisher);
}

static void
on_resume(struct sp_process *p, unsigned from, const void *body, size_t n)
{
    struct sp_router    *r = p->router;
    struct remote_pause *rp;
    uint64_t             publisher;

    if (!publisher_in(from, body, n, &publisher)) {
        return;
    }
    rp = find_pause(r, from, publisher);
    if (rp == NULL) {
        return; /* the pause found no memory, or its publisher gone */
    }
    if (--rp->count == 0) {
        sp_map_remove(&r->pauses, pause_key(rp));
        free(rp);
    }
    (void)resume_here(r, publisher);
}

void
flow_peer_down(struct sp_router *r, unsigned slot)
{
    struct sp_map_entry *e;
    size_t               pos = 0;

    while ((e = sp_map_next(&r->pauses, &pos)) != NULL) {
        struct remote_pause *rp = e->value;

        if (rp->key.from != slot) {
            continue;
        }
        sp_map_remove(&r->pauses, pause_key(rp));
        for (; rp->count > 0; rp->count--) {
            (void)resume_here(r, rp->key.publisher);
        }
        free(rp);
    }
}

void
flow_handlers(struct sp_router *r)
{
    sp_bus_handle(r->process->bus, SP_BUS_FLOW_PAUSE, on_pause);
    sp_bus_handle(r->process->bus, SP_BUS_FLOW_RESUME, on_resume);
    (void)sp_bus_on_room(r->process->bus, on_room);
}

void
flow_stop(struct sp_router *r)
{
    struct sp_map_entry *e;
    size_t               pos = 0;

    while ((e = sp_map_next(&r->pauses, &pos)) != NULL) {
        free(e->value);
    }
    sp_map_clear(&r->pauses);
    for (pos = 0; (e = sp_map_next(&r->waiters, &pos)) != NULL;) {
        free(e->value);
    }
    sp_map_clear(&r->waiters);
    while (r->owed != NULL) {
        struct sp_waiter *w = r->owed;

        r->owed = w->next;
        free(w);
    }
}
