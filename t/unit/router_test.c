#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/conn.h"
#include "net/router.h"
#include "net/bus.h"
#include "process/process.h"
#include "tap.h"

/* Two workers in one process; the parts of the gateway round the router are replaced by what counts here. */

enum { WORKERS = 2, SLOTS = WORKERS + 1 };

struct receiver {
    struct sp_subscriber subscriber;
    const char          *name;
    unsigned             got, got_qos, got_ids;
    bool                 got_retain, full;
    char                 last[32];
};

static struct sp_process     processes[WORKERS];
static struct sp_bus_shared *shared;
static unsigned              holds[WORKERS], pauses, resumes;
static struct sp_policy      policy;
static char                  forbidden[32]; /* this identity is denied everything */
static struct sp_snapshot    snapshot;

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
    (void)n;
    return id == 0 ? NULL : (struct sp_conn *)&processes[0]; /* somebody */
}

void
sp_conn_pause(struct sp_conn *c)
{
    (void)c;
    pauses++;
}

void
sp_conn_resume(struct sp_conn *c)
{
    (void)c;
    resumes++;
}

static const struct sp_policy *
test_policy(struct sp_snapshot *s, const struct sp_subject *who, struct sp_str topic)
{
    (void)s;
    (void)who;
    (void)topic;
    return &policy;
}

static unsigned decisions;

static void
test_decide(struct sp_snapshot *s, const struct sp_subject *who, enum sp_action action, struct sp_str topic,
            struct sp_decision *out)
{
    (void)s;
    (void)action;
    (void)topic;
    decisions++;
    *out = (struct sp_decision){.allowed = !sp_str_is(who->identity, forbidden), .policy = &policy};
}

static const struct sp_resolver resolver = {.policy = test_policy, .decide = test_decide};

const struct sp_resolver *
sp_resolver(void)
{
    return &resolver;
}

static bool
deliver(struct sp_subscriber *s, const struct sp_delivery *d)
{
    struct receiver *r = (struct receiver *)s;

    r->got++;
    r->got_qos = d->qos;
    r->got_retain = d->retain;
    r->got_ids = d->nsubscription_ids;
    snprintf(r->last, sizeof(r->last), "%.*s", SP_STR_ARG(d->message->payload));
    return !r->full;
}

static void
subject(const struct sp_subscriber *s, struct sp_subject *out)
{
    *out = (struct sp_subject){.identity = sp_str_c(((const struct receiver *)s)->name)};
}

static uint8_t
cap(const struct sp_subscriber *s, const struct sp_policy *p, uint8_t qos)
{
    (void)s;
    (void)p;
    return qos;
}

static const struct sp_subscriber_ops ops = {deliver, subject, cap};

static void
receiver_init(struct receiver *r, const char *name, uint64_t slot, uint64_t n)
{
    memset(r, 0, sizeof(*r));
    r->name = name;
    r->subscriber.ops = &ops;
    r->subscriber.id = slot << 56 | n;
}

static void
turns(unsigned n)
{
    while (n-- > 0) {
        for (unsigned i = 0; i < WORKERS; i++) {
            event_base_loop(processes[i].base, EVLOOP_NONBLOCK);
            sp_bus_flush(processes[i].bus);
        }
    }
}

static unsigned heard_count;

static void
heard(struct sp_subscriber *s, void *arg)
{
    (void)s;
    (void)arg;
    heard_count++;
}

static bool
subscribe(unsigned worker, struct receiver *r, const char *filter, struct sp_subscribe_options o)
{
    bool is_new;

    sp_router_subscribe(processes[worker].router, &r->subscriber, sp_str_c(filter), &o, &is_new, heard, NULL);
    return is_new;
}

static struct sp_published
publish(unsigned worker, const char *topic, const char *payload, uint8_t qos, uint64_t publisher)
{
    struct sp_router   *r = processes[worker].router;
    struct sp_message   m = {.topic = sp_str_c(topic),
                             .payload = sp_str_c(payload),
                             .qos = qos,
                             .publisher = publisher,
                             .expiry_s = UINT32_MAX};
    struct sp_published done;

    sp_router_publish(r, sp_router_route(r, m.topic), &m, &done);
    return done;
}

static struct receiver a, b, far;

static void
test_here(void)
{
    struct sp_published done;

    ok(subscribe(0, &a, "t/+", (struct sp_subscribe_options){.qos = 0, .id = 7}), "a new subscription");
    ok(!subscribe(0, &a, "t/+", (struct sp_subscribe_options){.qos = 0, .id = 7}), "the same again is not new");
    ok(subscribe(0, &a, "t/#", (struct sp_subscribe_options){.qos = 1, .id = 9}), "an overlapping one");
    turns(3);
    done = publish(0, "t/x", "one", 1, 0);
    is_int(a.got, 1, "overlapping subscriptions: one delivery");
    is_int(a.got_qos, 1, "with the higher QoS");
    is_int(a.got_ids, 2, "and both identifiers");
    is_str(a.last, "one", "of this payload");
    is_int(done.receivers, 1, "one receiver here");
    publish(0, "u/x", "two", 1, 0);
    is_int(a.got, 1, "another topic is not for it");
    subscribe(0, &b, "t/x", (struct sp_subscribe_options){.qos = 1, .no_local = true, .retain_as_published = true});
    publish(0, "t/x", "three", 1, b.subscriber.id);
    is_int(a.got, 2, "a hears what b publishes");
    is_int(b.got, 0, "b does not (no-local)");
}

static void
test_policy_judges_receivers(void)
{
    unsigned before;

    snprintf(forbidden, sizeof(forbidden), "b");
    sp_router_commit(processes[0].router);
    publish(0, "t/x", "four", 0, 0);
    is_int(a.got, 3, "allowed still");
    is_int(b.got, 0, "b is denied now and hears nothing");
    before = decisions;
    for (int i = 0; i < 100; i++) {
        publish(0, "t/x", "five", 0, 0);
    }
    is_int(decisions, before, "a hundred messages more, not one decision more");
    forbidden[0] = '\0';
    sp_router_commit(processes[0].router);
    publish(0, "t/x", "six", 0, 0);
    is_int(b.got, 1, "allowed again without a new subscription");
}

static void
test_far(void)
{
    struct sp_published done;

    turns(4);
    heard_count = 0;
    subscribe(1, &far, "t/x", (struct sp_subscribe_options){.qos = 1});
    is_int(heard_count, 0, "the other worker has not heard yet");
    turns(4);
    is_int(heard_count, 1, "now it has");
    done = publish(0, "t/x", "seven", 1, 0);
    ok(done.workers == 2, "one copy went to worker 1");
    turns(3);
    is_int(far.got, 1, "arrived");
    is_str(far.last, "seven", "whole");
    ok(sp_router_unsubscribe(processes[1].router, &far.subscriber, SP_STR("t/x")), "unsubscribe");
    turns(3);
    done = publish(0, "t/x", "eight", 1, 0);
    ok(done.workers == 0, "nobody there wants it any more");
}

static void
test_back_pressure(void)
{
    struct sp_published done;
    uint64_t            publisher = 99;

    a.full = true;
    pauses = resumes = 0;
    done = publish(0, "t/x", "x", 1, publisher);
    ok(done.paused && pauses == 1, "QoS 1 to a full receiver holds up the publisher");
    publish(0, "t/x", "x", 1, publisher);
    is_int(pauses, 1, "once");
    done = publish(0, "t/x", "x", 0, publisher + 1);
    ok(!done.paused, "QoS 0 does not");
    a.full = false;
    sp_router_ready(processes[0].router, &a.subscriber);
    is_int(resumes, 1, "room again: it goes on");
    subscribe(1, &far, "f", (struct sp_subscribe_options){.qos = 1});
    turns(4);
    far.full = true;
    publish(0, "f", "x", 1, publisher);
    turns(4);
    is_int(pauses, 2, "a full receiver in another worker holds it up too");
    far.full = false;
    sp_router_ready(processes[1].router, &far.subscriber);
    turns(4);
    is_int(resumes, 2, "and lets go");
    far.full = true;
    publish(0, "f", "x", 1, publisher);
    turns(4);
    sp_bus_peer_down(processes[0].bus, 1, 1);
    sp_router_peer_down(processes[0].router, 1);
    is_int(resumes, 3, "the death of that worker lets go as well");
    done = publish(0, "f", "x", 1, publisher);
    ok(done.workers == 0, "and its interest is forgotten");
}

static void
test_keep(void)
{
    struct sp_message  m = {.topic = SP_STR("a/b"), .payload = SP_STR("payload"), .expiry_s = 10, .received_ms = 5000};
    struct sp_message *one = sp_message_keep(&m), *two = sp_message_keep(&m);
    uint32_t           left;

    ok(one == two && one != &m, "receivers that keep a message share one copy");
    is_int(one->refs, 3, "the borrowed one's reference included");
    ok(sp_str_eq(one->topic, m.topic) && sp_str_eq(one->payload, m.payload) && one->payload.p != m.payload.p,
       "a real copy");
    ok(sp_message_expiry(one, 8999, &left) && left == 7, "expiry is counted down");
    ok(!sp_message_expiry(one, 15000, &left), "and ends");
    sp_message_drop(one);
    sp_message_drop(two);
    sp_message_drop(m.kept);
}

int
main(void)
{
    sp_bus_shared_create(SLOTS, 128 * 1024, &shared);
    for (unsigned i = 0; i < WORKERS; i++) {
        struct sp_process *p = &processes[i];

        p->slot = i;
        p->workers = WORKERS;
        p->base = event_base_new();
        p->snapshot = &snapshot;
        p->router_metrics = -1;
        sp_bus_create(p, shared, i, 1, p->base, &p->bus);
        sp_router_start(p, &p->router);
        is_int(holds[i], 1, "worker %u does not accept before it knows its peers", i);
    }
    sp_bus_peer_up(processes[0].bus, 1, 1);
    sp_router_peer_up(processes[0].router, 1);
    sp_router_peers_known(processes[0].router);
    is_int(holds[0], 1, "nor before they have told their interest");
    sp_bus_peer_up(processes[1].bus, 0, 1);
    sp_router_peer_up(processes[1].router, 0);
    sp_router_peers_known(processes[1].router);
    turns(4);
    ok(holds[0] == 0 && holds[1] == 0, "then they do");

    receiver_init(&a, "a", 0, 1);
    receiver_init(&b, "b", 0, 2);
    receiver_init(&far, "far", 1, 1);
    test_here();
    test_policy_judges_receivers();
    test_far();
    test_back_pressure();
    test_keep();
    sp_router_forget(processes[0].router, &a.subscriber);
    sp_router_forget(processes[0].router, &b.subscriber);
    sp_router_forget(processes[1].router, &far.subscriber);
    is_int(sp_router_subscriptions(processes[0].router), 0, "nothing is left");
    for (unsigned i = 0; i < WORKERS; i++) {
        sp_router_stop(processes[i].router);
        sp_bus_destroy(processes[i].bus);
        event_base_free(processes[i].base);
    }
    sp_bus_shared_destroy(shared);
    return done_testing();
}
