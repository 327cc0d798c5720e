#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/topic.h"
#include "net/router_internal.h"

#define ROUTES_BYTES_MAX ((size_t)32 << 20)

static struct sp_str
route_topic(const struct sp_route *route)
{
    return (struct sp_str){route->topic, route->topic_bytes};
}

static size_t
route_bytes(const struct sp_route *route)
{
    return sizeof(*route) + 2 * sizeof(struct sp_map_entry) + route->topic_bytes +
           route->receivers_capacity * sizeof(*route->receivers) + route->ids_capacity * sizeof(*route->ids);
}

static void
unlink_route(struct sp_router *r, struct sp_route *route)
{
    *(route->newer != NULL ? &route->newer->older : &r->newest) = route->older;
    *(route->older != NULL ? &route->older->newer : &r->oldest) = route->newer;
}

static void
link_newest(struct sp_router *r, struct sp_route *route)
{
    route->newer = NULL;
    route->older = r->newest;
    *(r->newest != NULL ? &r->newest->newer : &r->oldest) = route;
    r->newest = route;
}

static void
free_route(struct sp_router *r, struct sp_route *route)
{
    sp_map_remove(&r->routes, route_topic(route));
    unlink_route(r, route);
    r->route_bytes -= route_bytes(route);
    router_count(r, ROUTER_ROUTES, -1);
    free(route->receivers);
    free(route->ids);
    free(route);
}

void
routes_clear(struct sp_router *r)
{
    while (r->newest != NULL) {
        free_route(r, r->newest);
    }
    sp_map_clear(&r->routes);
}

void
routes_stale(struct sp_router *r, struct sp_str filter)
{
    struct sp_route *route;

    if (sp_topic_has_wildcard(filter)) {
        r->serial++;
        return;
    }
    route = sp_map_get(&r->routes, filter); /* the only one that it matches */
    if (route != NULL) {
        route->serial = 0;
    }
}

/* -- building -- */

struct building {
    struct sp_router *router;
    struct sp_route  *route;
    bool              failed;
};

static bool
grow(void **array, unsigned *capacity, unsigned used, size_t item_bytes)
{
    unsigned more = *capacity < 4 ? 4 : *capacity * 2;
    void    *grown;

    if (used < *capacity) {
        return true;
    }
    grown = reallocarray(*array, more, item_bytes);
    if (grown == NULL) {
        return false;
    }
    *array = grown;
    *capacity = more;
    return true;
}

static void
add_receiver(struct building *b, struct sp_subscription *sub)
{
    struct sp_route       *route = b->route;
    struct route_receiver *rc;

    if (!grow((void **)&route->receivers, &route->receivers_capacity, route->nreceivers, sizeof(*route->receivers))) {
        b->failed = true;
        return;
    }
    rc = &route->receivers[route->nreceivers++];
    *rc = (struct route_receiver){
        .subscriber = sub->subscriber,
        .qos_cap = sub->options.qos,
        .no_local = sub->options.no_local,
        .retain_as_published = sub->options.retain_as_published,
        .first_id = sub->options.id, /* one identifier stands here until the merge */
    };
}

static void
add_filter(void *value, void *arg)
{
    struct building  *b = arg;
    struct sp_filter *f = value;

    b->route->workers |= f->workers;
    for (struct sp_subscription *sub = f->subscriptions; sub != NULL && !b->failed; sub = sub->next_same) {
        add_receiver(b, sub);
    }
}

static int
by_subscriber(const void *x, const void *y)
{
    const struct sp_subscriber *a = ((const struct route_receiver *)x)->subscriber;
    const struct sp_subscriber *b = ((const struct route_receiver *)y)->subscriber;

    if (a->id != b->id) {
        return a->id < b->id ? -1 : 1;
    }
    return (uintptr_t)a < (uintptr_t)b ? -1 : a != b; /* several without a connection, perhaps */
}

/* One filter's subscriptions come youngest first, so as a rule turning them round is all there is to do. */
static void
sort_receivers(struct sp_route *route)
{
    struct route_receiver *all = route->receivers;
    unsigned               i;

    for (i = 1; i < route->nreceivers && by_subscriber(&all[i - 1], &all[i]) > 0; i++) {
    }
    if (i < route->nreceivers) {
        qsort(all, route->nreceivers, sizeof(*all), by_subscriber);
        return;
    }
    if (route->nreceivers == 0) {
        return;
    }
    for (unsigned left = 0, right = route->nreceivers - 1; left < right; left++, right--) {
        struct route_receiver one = all[left];

        all[left] = all[right];
        all[right] = one;
    }
}

/* MQTT 5 3.3.4: overlapping subscriptions of one session become one delivery with the highest QoS and all identifiers. */
static void
merge_receivers(struct building *b)
{
    struct sp_route *route = b->route;
    unsigned         kept = 0;

    sort_receivers(route);
    for (unsigned i = 0; i < route->nreceivers && !b->failed;) {
        struct route_receiver all = route->receivers[i];
        unsigned              j = i;

        all.first_id = route->nids;
        for (; j < route->nreceivers && route->receivers[j].subscriber == all.subscriber; j++) {
            const struct route_receiver *one = &route->receivers[j];

            all.qos_cap = one->qos_cap > all.qos_cap ? one->qos_cap : all.qos_cap;
            all.no_local = all.no_local && one->no_local;
            all.retain_as_published = all.retain_as_published || one->retain_as_published;
            if (one->first_id == 0) {
                continue;
            }
            if (!grow((void **)&route->ids, &route->ids_capacity, route->nids, sizeof(*route->ids))) {
                b->failed = true;
                break;
            }
            route->ids[route->nids++] = one->first_id;
            all.nids++;
        }
        route->receivers[kept++] = all;
        i = j;
    }
    route->nreceivers = kept;
}

/* Each receiver is judged here, once, instead of at every delivery. */
static void
judge_receivers(struct building *b)
{
    struct sp_route    *route = b->route;
    struct sp_snapshot *snapshot = b->router->process->snapshot;
    unsigned            kept = 0;

    for (unsigned i = 0; i < route->nreceivers; i++) {
        struct route_receiver rc = route->receivers[i];
        struct sp_subject     who;
        struct sp_decision    decision;

        rc.subscriber->ops->subject(rc.subscriber, &who);
        sp_resolver()->decide(snapshot, &who, SP_SUBSCRIBE, route_topic(route), &decision);
        if (decision.allowed) {
            rc.qos_cap = rc.subscriber->ops->cap(rc.subscriber, decision.policy, rc.qos_cap);
            route->receivers[kept++] = rc;
        }
    }
    route->nreceivers = kept;
}

static void
trim(struct sp_router *r, const struct sp_route *spared)
{
    while (r->route_bytes > ROUTES_BYTES_MAX && r->oldest != spared) {
        free_route(r, r->oldest);
    }
}

bool
route_refresh(struct sp_router *r, struct sp_route *route)
{
    struct building   b = {.router = r, .route = route};
    struct sp_subject nobody = {.identity = SP_STR("")};

    if (route->serial == r->serial) {
        return true;
    }
    r->route_bytes -= route_bytes(route);
    route->workers = 0;
    route->nreceivers = 0;
    route->nids = 0;
    route->policy = sp_resolver()->policy(r->process->snapshot, &nobody, route_topic(route));
    sp_trie_match(r->filters, route_topic(route), add_filter, &b);
    merge_receivers(&b);
    judge_receivers(&b);
    r->route_bytes += route_bytes(route);
    router_count(r, ROUTER_ROUTE_BUILDS, 1);
    if (b.failed) {
        return false;
    }
    route->serial = r->serial;
    return true;
}

static struct sp_route *
add_route(struct sp_router *r, struct sp_str topic, uint64_t hash)
{
    struct sp_route *route = calloc(1, sizeof(*route) + topic.n);

    if (route == NULL) {
        return NULL;
    }
    memcpy(route->topic, topic.p, topic.n);
    route->topic_bytes = (uint32_t)topic.n;
    route->hash = hash;
    route->number = ++r->next_route;
    if (sp_map_put(&r->routes, route_topic(route), route, NULL) < 0) {
        free(route);
        return NULL;
    }
    link_newest(r, route);
    r->route_bytes += route_bytes(route);
    router_count(r, ROUTER_ROUTES, 1);
    return route;
}

struct sp_route *
sp_router_route(struct sp_router *r, struct sp_str topic)
{
    uint64_t         hash = sp_hash(topic);
    struct sp_route *route = sp_map_get_hashed(&r->routes, topic, hash);

    if (route == NULL) {
        route = add_route(r, topic, hash);
        if (route == NULL) {
            return NULL;
        }
    } else if (route != r->newest) {
        unlink_route(r, route);
        link_newest(r, route);
    }
    if (route->serial != r->serial) {
        if (!route_refresh(r, route)) {
            return NULL;
        }
        trim(r, route);
    }
    return route;
}

const struct sp_policy *
sp_route_policy(const struct sp_route *route)
{
    return route->policy;
}

const struct sp_decision *
sp_route_decide(struct sp_router *r, struct sp_route *route, const struct sp_subject *who,
                struct sp_publisher_memo *memo)
{
    unsigned at = (unsigned)(route->number % SP_PUBLISHER_MEMO);

    if (memo->at[at].route != route->number) {
        sp_resolver()->decide(r->process->snapshot, who, SP_PUBLISH, route_topic(route), &memo->at[at].decision);
        memo->at[at].route = route->number;
    }
    return &memo->at[at].decision;
}
