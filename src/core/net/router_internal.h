/* What the files of the router share: router.c (life, subscriptions), interest.c (what other workers want), route.c (the
 * cache of routes), publish.c (delivery here and over the bus), flow.c (publishers that wait). */
#ifndef SP_NET_ROUTER_INTERNAL_H
#define SP_NET_ROUTER_INTERNAL_H

#include "base/hash.h"
#include "base/trie.h"
#include "net/bus.h"
#include "net/router.h"
#include "process/process.h"

/* A filter that somebody here or elsewhere subscribes to. */
struct sp_filter {
    struct sp_subscription *subscriptions; /* here */
    uint64_t                workers;       /* others that are interested */
    struct interest_wait   *unheard;       /* announced, not everyone has heard; NULL without subscriptions here */
    struct sp_filter       *next_unwanted; /* while the filters are looked through */
    uint32_t                text_bytes;
    char                    text[];
};

struct route_receiver {
    struct sp_subscriber *subscriber;
    uint8_t               qos_cap;
    bool                  no_local, retain_as_published;
    uint32_t              first_id, nids; /* in route->ids */
};

struct sp_route {
    struct sp_route        *newer, *older; /* by last use */
    uint64_t                number, serial, hash;
    const struct sp_policy *policy;
    uint64_t                workers;
    struct route_receiver  *receivers;
    unsigned                nreceivers, receivers_capacity;
    uint32_t               *ids; /* subscription identifiers */
    unsigned                nids, ids_capacity;
    uint32_t                topic_bytes;
    char                    topic[];
};

struct sp_waiter { /* a publisher, here or in another worker, that is held up */
    struct sp_waiter *next;
    struct {
        uint64_t              publisher;
        struct sp_subscriber *full; /* by this receiver; NULL: by a ring without room */
    } key;
};

struct sp_router {
    struct sp_process *process;
    struct sp_trie    *filters;
    unsigned           nsubscriptions;
    uint64_t           serial; /* routes of another serial are stale */
    uint64_t           next_route, next_token;
    struct sp_map      routes;
    struct sp_route   *newest, *oldest;
    size_t             route_bytes;
    struct sp_map      waits;              /* announcements that not everyone has answered, by token */
    struct sp_heard   *due;                /* everyone has heard: about to be called */
    bool               call_due;           /* at the end of the turn */
    uint64_t           end_awaited, ended; /* workers that shall tell, that have told their whole interest */
    uint64_t           untold;             /* workers that must be told ours again: memory ran out */
    bool               held, peers_known;
    struct sp_map      waiters;    /* every sp_waiter of room_waits and of the receivers here, by key */
    struct sp_waiter  *room_waits; /* publishers paused because a ring was full */
    struct sp_waiter  *owed;       /* to be resumed: memory ran out for telling their worker */
    struct sp_map      pauses;     /* publishers here, paused at the request of other workers */
    _Atomic int64_t   *counters;
};

enum router_metric {
    ROUTER_ROUTES,
    ROUTER_ROUTE_BUILDS,
    ROUTER_SUBSCRIPTIONS,
    ROUTER_BUS_SENT,
    ROUTER_BUS_RECEIVED,
    ROUTER_BUS_DROPPED,
    ROUTER_PAUSES,
    ROUTER_METRICS,
};

static inline void
router_count(struct sp_router *r, enum router_metric which, int64_t by)
{
    if (r->counters != NULL) {
        sp_metric_add(&r->counters[which], by);
    }
}

static inline struct sp_str
filter_text(const struct sp_filter *f)
{
    return (struct sp_str){f->text, f->text_bytes};
}

/* router.c: the filter's node, made if need be; and freed when nobody wants it any more. */
struct sp_filter *router_filter(struct sp_router *r, struct sp_str text);
void              router_filter_settle(struct sp_router *r, struct sp_filter *f);

/* interest.c */
int  interest_announce(struct sp_router *r, struct sp_filter *f); /* -ENOMEM: nobody believes that it was announced */
void interest_withdraw(struct sp_router *r, struct sp_filter *f);
/* Calls `fn` when everyone has heard of the subscription's filter; at once when that is so already. */
int interest_await(struct sp_router *r, struct sp_subscription *sub, void (*fn)(struct sp_subscriber *, void *),
                   void *arg);
/* The subscription goes, its subscriber stays: those who wait are called by the next interest_call. */
void interest_release(struct sp_router *r, struct sp_subscription *sub);
/* The subscriber goes: nobody is called. */
void interest_forget(struct sp_router *r, const struct sp_subscriber *s);
void interest_call(struct sp_router *r);
void interest_call_later(struct sp_router *r);
void interest_handlers(struct sp_router *r);
void interest_stop(struct sp_router *r);

/* route.c */
void routes_clear(struct sp_router *r);
/* Subscriptions to this filter have changed. */
void routes_stale(struct sp_router *r, struct sp_str filter);
/* False: out of memory. */
bool route_refresh(struct sp_router *r, struct sp_route *route);

/* flow.c: false when the publisher is not held up (memory ran out, or it has gone). */
bool flow_wait_for(struct sp_router *r, struct sp_subscriber *full, uint64_t publisher);
bool flow_wait_for_room(struct sp_router *r, uint64_t publisher);
void flow_forget(struct sp_router *r, struct sp_subscriber *s);
void flow_peer_down(struct sp_router *r, unsigned slot);
void flow_handlers(struct sp_router *r);
void flow_stop(struct sp_router *r);

/* publish.c */
void publish_handlers(struct sp_router *r);

static inline unsigned
slot_of(uint64_t conn_id)
{
    return (unsigned)(conn_id >> 56);
}

#endif
