/*
 * What a peer process may send: any records into the rings of a worker and of the keeper, between things that go on there by
 * themselves. Handlers of routing, interest, flow control, names and retained messages are all registered.
 *
 * Input: operations of four bytes, some with a body.
 *   0x00..0x7f  a record: bit 0 to the keeper, bits 1-2 parts, bit 3 without a header, bit 4 of the next epoch, bit 5 a wrong length;
 *               then its type, and two bytes of length
 *   0x80..0xff  something that the worker or the keeper does; which, and on what, is in the next three bytes
 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/registry.h"
#include "conf/source.h"
#include "net/bus_shared.h"
#include "net/conn.h"
#include "net/router.h"
#include "process/process.h"
#include "store/names.h"
#include "store/retained.h"
#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);
int LLVMFuzzerInitialize(int *argc, char ***argv);

enum { WORKER, PEER, KEEPER, SLOTS, WORKERS = KEEPER, SUBSCRIBERS = 4, CLAIMS = 4 };

struct header { /* as in net/bus.c */
    uint32_t epoch, to_epoch;
    uint16_t type, parts;
    uint32_t total_bytes;
};

struct subscriber {
    struct sp_subscriber base;
    bool                 full;
};

static const uint16_t types[] = {
    SP_BUS_INTEREST_ADD, SP_BUS_INTEREST_DEL, SP_BUS_INTEREST_ACK, SP_BUS_INTEREST_END, SP_BUS_PUBLISH,
    SP_BUS_FLOW_PAUSE,   SP_BUS_FLOW_RESUME,  SP_BUS_NAME_CLAIM,   SP_BUS_NAME_GRANT,   SP_BUS_NAME_KICK,
    SP_BUS_NAME_RELEASE, SP_BUS_NAME_HELD,    SP_BUS_NAME_END,     SP_BUS_RETAIN_SET,   SP_BUS_RETAIN_STORED,
    SP_BUS_RETAIN_QUERY, SP_BUS_RETAIN_MATCH, SP_BUS_RETAIN_DONE,  SP_BUS_MODULE,
};
static const struct sp_str filters[] = {
    {"a", 1}, {"a/b", 3}, {"+", 1}, {"a/+", 3}, {"#", 1}, {"a/#", 3}, {"$SYS/x", 6}, {"a/b/c", 5},
};
static const struct sp_module *const no_modules[] = {NULL};

static struct sp_process         worker, keeper;
static struct sp_snapshot       *snapshot;
static struct subscriber         subscribers[SUBSCRIBERS];
static struct sp_claim          *claims[CLAIMS];
static struct sp_retained_query *query;
static struct sp_policy          policy;
static char                      dir[64];
static unsigned                  sum; /* of all that was delivered: it was readable */

/* ---- what stands in for the rest of the gateway ---- */

static bool
deliver(struct sp_subscriber *s, const struct sp_delivery *d)
{
    for (size_t i = 0; i < d->message->payload.n; i++) {
        sum += (unsigned char)d->message->payload.p[i];
    }
    for (unsigned i = 0; i < d->nsubscription_ids; i++) {
        sum += d->subscription_ids[i];
    }
    sp_message_drop(sp_message_keep(d->message));
    return !((struct subscriber *)s)->full;
}

static void
subject(const struct sp_subscriber *s, struct sp_subject *out)
{
    (void)s;
    memset(out, 0, sizeof(*out));
}

static uint8_t
cap(const struct sp_subscriber *s, const struct sp_policy *p, uint8_t qos)
{
    (void)s;
    (void)p;
    return qos;
}

static const struct sp_subscriber_ops ops = {deliver, subject, cap};

static const struct sp_policy *
the_policy(struct sp_snapshot *s, const struct sp_subject *who, struct sp_str topic)
{
    (void)s;
    (void)who;
    (void)topic;
    return &policy;
}

static void
decide(struct sp_snapshot *s, const struct sp_subject *who, enum sp_action action, struct sp_str topic,
       struct sp_decision *out)
{
    (void)s;
    (void)who;
    (void)action;
    *out = (struct sp_decision){.allowed = topic.n != 6, .policy = &policy};
}

static const struct sp_resolver resolver = {.policy = the_policy, .decide = decide};

static void
on_up(struct sp_process *p, unsigned slot)
{
    if (p != &worker) {
        return;
    }
    if (slot == KEEPER) {
        sp_names_keeper_up(p->names);
        sp_retained_keeper_up(p->retained);
    }
    sp_router_peer_up(p->router, slot);
}

static void
on_down(struct sp_process *p, unsigned slot)
{
    if (p == &worker) {
        sp_router_peer_down(p->router, slot);
    } else {
        sp_registrar_peer_down(p->registrar, slot);
        sp_shelf_peer_down(p->shelf, slot);
    }
}

static void
heard(struct sp_subscriber *s, void *arg)
{
    (void)arg;
    if (s->id % 2 == 1) {
        sp_router_forget(worker.router, &subscribers[(s->id + 1) % SUBSCRIBERS].base);
    }
}

static void
kicked(struct sp_process *p, uint64_t owner)
{
    sp_names_release(p->names, claims[owner % CLAIMS]);
    claims[owner % CLAIMS] = NULL;
}

static void
granted(void *arg, bool took_over)
{
    (void)arg;
    (void)took_over;
}

static void
stored(void *arg, int err)
{
    (void)err;
    sp_retained_forget(worker.retained, arg);
}

static void
match(void *arg, const struct sp_message *m)
{
    (void)arg;
    if (m->payload.n == 7 && query != NULL) {
        sp_retained_cancel(worker.retained, query);
        query = NULL;
    }
}

static void
done(void *arg)
{
    (void)arg;
    query = NULL;
}

/* ---- life ---- */

static void
clean_up(void)
{
    char command[128];

    sp_store_stop(keeper.store);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    if (system(command) != 0) {
        _exit(1);
    }
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char                       path[128];
    struct sp_snapshot_options o = {.prefix = "", .path = path, .generation = 1};
    struct sp_registry        *registry;
    struct sp_source          *source;
    char                      *errors = NULL;
    FILE                      *f;

    (void)argc;
    (void)argv;
    snprintf(dir, sizeof(dir), "%s/sallyport-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(dir) == NULL) {
        abort();
    }
    snprintf(path, sizeof(path), "%s/test.conf", dir);
    f = fopen(path, "w");
    fputs("retained_max_count 50;\nretained_max_bytes 100k;\n", f);
    fclose(f);
    sp_log_level_set(SP_LOG_EMERG);
    sp_clock_update();
    keeper.base = event_base_new();
    if (sp_registry_create(no_modules, &registry) < 0 || sp_source_files(&source) < 0 ||
        sp_snapshot_build(registry, source, &o, &snapshot, &errors) < 0 || sp_resolver_register(&resolver) < 0 ||
        sp_store_start(&keeper, dir, 0, &keeper.store) < 0) {
        abort();
    }
    sp_source_close(source);
    atexit(clean_up);
    return 0;
}

static void
start(struct sp_process *p, struct sp_bus_shared *shared, unsigned slot)
{
    p->slot = slot;
    p->workers = WORKERS;
    p->snapshot = snapshot;
    p->router_metrics = -1;
    p->base = p->base != NULL ? p->base : event_base_new();
    if (sp_wheel_create(p->base, &p->wheel) < 0 || sp_bus_create(p, shared, slot, 1, p->base, &p->bus) < 0) {
        abort();
    }
    sp_bus_on_peer(p->bus, on_up, on_down);
}

static void
start_all(struct sp_bus_shared *shared)
{
    start(&worker, shared, WORKER);
    start(&keeper, shared, KEEPER);
    if (sp_net_start(&worker, &worker.net) < 0 || sp_router_start(&worker, &worker.router) < 0 ||
        sp_names_start(&worker, kicked, &worker.names) < 0 || sp_retained_start(&worker, &worker.retained) < 0 ||
        sp_registrar_start(&keeper, &keeper.registrar) < 0 || sp_shelf_start(&keeper, &keeper.shelf) < 0) {
        abort();
    }
    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        subscribers[i] = (struct subscriber){.base = {.ops = &ops, .id = i + 1}};
    }
}

static void
turn(void)
{
    event_base_loop(worker.base, EVLOOP_NONBLOCK);
    (void)sp_process_run_later(&worker);
    sp_bus_flush(worker.bus);
    event_base_loop(keeper.base, EVLOOP_NONBLOCK);
    sp_bus_flush(keeper.bus);
}

static void
until_written(void)
{
    while (sp_store_queued(keeper.store) > 0) {
        event_base_loop(keeper.base, EVLOOP_ONCE);
    }
}

static int
remove_row(void *arg, struct sp_str key, struct sp_str value)
{
    (void)value;
    return sp_store_put(arg, "retained", key, (struct sp_str){NULL, 0}, NULL, NULL);
}

static void
stop_all(void)
{
    until_written();
    for (unsigned i = 0; i < SUBSCRIBERS; i++) {
        sp_router_forget(worker.router, &subscribers[i].base);
    }
    for (unsigned i = 0; i < CLAIMS; i++) {
        sp_names_release(worker.names, claims[i]);
        claims[i] = NULL;
    }
    query = NULL;
    (void)sp_process_run_later(&worker);
    sp_net_stop(worker.net);
    sp_retained_stop(worker.retained);
    sp_names_stop(worker.names);
    sp_router_stop(worker.router);
    sp_shelf_stop(keeper.shelf);
    sp_registrar_stop(keeper.registrar);
    for (struct sp_process *p = &worker;; p = &keeper) {
        sp_bus_destroy(p->bus);
        sp_wheel_destroy(p->wheel);
        if (p == &keeper) {
            break;
        }
    }
    if (sp_store_load(keeper.store, "retained", remove_row, keeper.store) < 0) {
        abort();
    }
    until_written();
}

/* ---- operations ---- */

static void
record(struct sp_bus_shared *shared, const uint8_t op[4], const uint8_t *body, size_t n)
{
    bool     to_keeper = op[0] & 1;
    unsigned to = to_keeper ? KEEPER : WORKER;
    /* the worker's names and retained messages are answered by the keeper: what it hears may come from either */
    unsigned        from = to_keeper || op[1] < 0x80 ? PEER : KEEPER;
    struct sp_ring *ring = shared->rings[from][to];
    struct header   h = {.epoch = op[0] & 0x10 ? 2 : 1,
                         .to_epoch = 1,
                         .type = types[op[1] % (sizeof(types) / sizeof(types[0]))],
                         .parts = op[0] >> 1 & 3,
                         .total_bytes = (uint32_t)(op[0] & 0x20 ? op[2] * 3u : n)};
    size_t          head_bytes = op[0] & 8 ? 0 : sizeof(h);
    char           *at = sp_ring_reserve(ring, head_bytes + n);

    if (at == NULL) {
        return;
    }
    memcpy(at, &h, head_bytes);
    if (n > 0) {
        memcpy(at + head_bytes, body, n);
    }
    sp_ring_publish(ring);
    if (sp_ring_consumer_sleeps(ring)) {
        uint64_t one = 1;

        if (write(shared->doorbells[to], &one, sizeof(one)) < 0) {
            abort();
        }
    }
}

static void
subscribe(struct subscriber *s, struct sp_str filter, uint8_t how)
{
    struct sp_subscribe_options o = {
        .qos = how & 1, .no_local = how & 2, .retain_as_published = how & 4, .id = how >> 3};
    bool is_new;

    sp_router_subscribe(worker.router, &s->base, filter, &o, &is_new, how & 0x80 ? heard : NULL, NULL);
}

static void
publish(struct sp_str topic, uint8_t how)
{
    struct sp_message   m = {.topic = topic,
                             .payload = {"payload", how % 8},
                             .qos = how >> 3 & 1,
                             .publisher = how >> 4,
                             .expiry_s = UINT32_MAX};
    struct sp_published out;

    sp_router_publish(worker.router, sp_router_route(worker.router, topic), &m, &out);
    if (how & 0x80) {
        sp_retained_set(worker.retained, &m, SP_STR("somebody"), how & 0x40, how & 0x20 ? stored : NULL, &policy);
    }
}

static void
claim(unsigned i, struct sp_str name)
{
    if (claims[i] != NULL) {
        sp_names_release(worker.names, claims[i]);
    }
    claims[i] = sp_names_claim(worker.names, 0, name, i, granted, NULL);
}

static void
act(struct sp_bus_shared *shared, const uint8_t op[4])
{
    struct subscriber *s = &subscribers[op[2] % SUBSCRIBERS];
    struct sp_str      filter = filters[op[2] / 16 % 8];
    unsigned           slot = op[2] % 4;

    switch (op[1] % 16) {
    case 0:
        subscribe(s, filter, op[3]);
        break;
    case 1:
        sp_router_unsubscribe(worker.router, &s->base, filter);
        break;
    case 2:
        sp_router_forget(worker.router, &s->base);
        break;
    case 3:
        publish(filters[(op[2] & 1) != 0 ? 1 : 7], op[3]);
        break;
    case 4:
        s->full = !s->full;
        break;
    case 5:
        sp_router_ready(worker.router, &s->base);
        break;
    case 6:
        claim(op[3] % CLAIMS, filter);
        break;
    case 7:
        if (query != NULL) {
            sp_retained_cancel(worker.retained, query);
        }
        query = sp_retained_ask(worker.retained, filter, match, done, NULL);
        break;
    case 8:
        sp_bus_peer_up(worker.bus, slot, op[3] % 4);
        break;
    case 9:
        sp_bus_peer_down(worker.bus, slot, op[3] % 4);
        break;
    case 10:
        sp_bus_peer_up(keeper.bus, slot, op[3] % 4);
        break;
    case 11:
        sp_bus_peer_down(keeper.bus, slot, op[3] % 4);
        break;
    case 12:
        sp_router_peers_known(worker.router);
        sp_registrar_peers_known(keeper.registrar);
        break;
    case 13:
        sp_router_commit(worker.router);
        break;
    case 14:
        sp_ring_consume(shared->rings[op[2] & 1 ? WORKER : KEEPER][PEER]);
        break;
    default:
        turn();
        break;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct sp_bus_shared *shared;

    if (sp_bus_shared_create(SLOTS, SP_RING_MIN_BYTES, &shared) < 0) {
        abort();
    }
    start_all(shared);
    for (unsigned i = 0; n >= 4; i++) {
        const uint8_t *op = bytes;
        size_t         body = 0;

        bytes += 4;
        n -= 4;
        if (op[0] & 0x80) {
            act(shared, op);
        } else {
            body = (size_t)(op[2] | (op[3] & 0x3f) << 8);
            body = body < n ? body : n;
            record(shared, op, bytes, body);
        }
        bytes += body;
        n -= body;
        if (i % 8 == 7) {
            turn();
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        turn();
    }
    stop_all();
    sp_bus_shared_destroy(shared);
    return 0;
}
