/* Workers in one process for tests of the router: what the gateway has round it is replaced by what counts here. */
#ifndef SP_T_UNIT_ROUTER_FAKE_H
#define SP_T_UNIT_ROUTER_FAKE_H

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "net/bus.h"
#include "net/conn.h"
#include "net/router.h"
#include "process/process.h"
#include "tap.h"

enum { WORKERS = 3, SLOTS = WORKERS + 1, CONNS = 20000 };

struct receiver {
    struct sp_subscriber subscriber;
    unsigned             got, heard;
    bool                 full;
};

static struct sp_process     processes[WORKERS];
static struct sp_bus_shared *shared;
static unsigned              holds[WORKERS];
static struct sp_policy      policy;
static struct sp_snapshot    snapshot;

/* Publishers: id is slot << 56 | n. */
static struct {
    bool           open;
    int            paused;
    struct sp_conn conn;
} conns[WORKERS][CONNS];

void
sp_process_hold(struct sp_process *p)
{
    holds[p->slot]++;
}

void
sp_process_release(struct sp_process *p)
{
    holds[p->slot]--;
}

struct sp_conn *
sp_net_find(struct sp_net *n, uint64_t id)
{
    unsigned slot = (unsigned)(id >> 56), at = (unsigned)(id & 0xffffff);

    (void)n;
    return slot < WORKERS && at < CONNS && conns[slot][at].open ? &conns[slot][at].conn : NULL;
}

static int *
paused_at(uint64_t id)
{
    return &conns[id >> 56][id & 0xffffff].paused;
}

void
sp_conn_pause(struct sp_conn *c)
{
    ++*paused_at(c->id);
}

void
sp_conn_resume(struct sp_conn *c)
{
    --*paused_at(c->id);
}

static const struct sp_policy *
fake_policy(struct sp_snapshot *s, const struct sp_subject *who, struct sp_str topic)
{
    (void)s;
    (void)who;
    (void)topic;
    return &policy;
}

static void
fake_decide(struct sp_snapshot *s, const struct sp_subject *who, enum sp_action action, struct sp_str topic,
            struct sp_decision *out)
{
    (void)s;
    (void)who;
    (void)action;
    (void)topic;
    *out = (struct sp_decision){.allowed = true, .policy = &policy};
}

const struct sp_resolver *
sp_resolver(void)
{
    static const struct sp_resolver resolver = {.policy = fake_policy, .decide = fake_decide};

    return &resolver;
}

static bool
fake_deliver(struct sp_subscriber *s, const struct sp_delivery *d)
{
    struct receiver *r = (struct receiver *)s;

    (void)d;
    r->got++;
    return !r->full;
}

static void
fake_subject(const struct sp_subscriber *s, struct sp_subject *out)
{
    (void)s;
    *out = (struct sp_subject){.identity = SP_STR("somebody")};
}

static uint8_t
fake_cap(const struct sp_subscriber *s, const struct sp_policy *p, uint8_t qos)
{
    (void)s;
    (void)p;
    return qos;
}

static const struct sp_subscriber_ops fake_ops = {fake_deliver, fake_subject, fake_cap};

static inline void
fake_receiver(struct receiver *r, unsigned slot, unsigned n)
{
    memset(r, 0, sizeof(*r));
    r->subscriber.ops = &fake_ops;
    r->subscriber.id = (uint64_t)slot << 56 | (1u << 23) | n;
}

static inline uint64_t
fake_publisher(unsigned slot, unsigned n)
{
    uint64_t id = (uint64_t)slot << 56 | n;

    conns[slot][n].open = true;
    conns[slot][n].conn.id = id;
    conns[slot][n].paused = 0;
    return id;
}

static inline void
turns(unsigned n)
{
    while (n-- > 0) {
        for (unsigned i = 0; i < WORKERS; i++) {
            if (processes[i].bus != NULL) {
                event_base_loop(processes[i].base, EVLOOP_NONBLOCK);
                sp_process_run_later(&processes[i]);
                sp_bus_flush(processes[i].bus);
            }
        }
    }
}

static void
fake_heard(struct sp_subscriber *s, void *arg)
{
    (void)arg;
    ((struct receiver *)s)->heard++;
}

static inline int
subscribe(unsigned worker, struct receiver *r, const char *filter)
{
    struct sp_subscribe_options o = {.qos = 1};
    bool                        is_new;

    return sp_router_subscribe(processes[worker].router, &r->subscriber, sp_str_c(filter), &o, &is_new, fake_heard,
                               NULL);
}

static inline struct sp_published
publish(unsigned worker, const char *topic, struct sp_str payload, uint8_t qos, uint64_t publisher)
{
    struct sp_router *r = processes[worker].router;
    struct sp_message m = {
        .topic = sp_str_c(topic), .payload = payload, .qos = qos, .publisher = publisher, .expiry_s = UINT32_MAX};
    struct sp_published done;

    sp_router_publish(r, sp_router_route(r, m.topic), &m, &done);
    return done;
}

static void
fake_up(struct sp_process *p, unsigned slot)
{
    sp_router_peer_up(p->router, slot);
}

static void
fake_down(struct sp_process *p, unsigned slot)
{
    sp_router_peer_down(p->router, slot);
}

static inline void
fake_start(unsigned slot, uint32_t epoch)
{
    struct sp_process *p = &processes[slot];

    memset(p, 0, sizeof(*p));
    p->slot = slot;
    p->epoch = epoch;
    p->workers = WORKERS;
    p->base = event_base_new();
    p->snapshot = &snapshot;
    p->router_metrics = -1;
    holds[slot] = 0;
    sp_bus_create(p, shared, slot, epoch, p->base, &p->bus);
    sp_bus_on_peer(p->bus, fake_up, fake_down);
    sp_router_start(p, &p->router);
}

static inline void
fake_stop(unsigned slot)
{
    struct sp_process *p = &processes[slot];

    sp_router_stop(p->router);
    sp_bus_destroy(p->bus);
    sp_process_forget_later(p);
    event_base_free(p->base);
    memset(p, 0, sizeof(*p));
}

/* All workers, introduced to each other. */
static inline void
fake_start_all(size_t ring_bytes)
{
    sp_bus_shared_create(SLOTS, ring_bytes, &shared);
    for (unsigned i = 0; i < WORKERS; i++) {
        fake_start(i, 1);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        for (unsigned other = 0; other < WORKERS; other++) {
            if (other != i) {
                sp_bus_peer_up(processes[i].bus, other, 1);
            }
        }
        sp_router_peers_known(processes[i].router);
    }
    turns(4);
}

static inline void
fake_stop_all(void)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        if (processes[i].bus != NULL) {
            fake_stop(i);
        }
    }
    sp_bus_shared_destroy(shared);
}

#endif
