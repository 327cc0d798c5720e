/*
 * Routing of messages, whatever the protocol: subscriptions of this worker's sessions, interest of the other workers, and
 * a cache of routes. A route is everything known of one topic under one snapshot: the policy in force, who here receives it
 * (each judged under the policy, once), which workers want it, and the verdicts on those who publish to it; so the hot path
 * does one hash look-up per message and no string work, and no policy work per receiver.
 */
#ifndef SP_NET_ROUTER_H
#define SP_NET_ROUTER_H

#include "base/blob.h"
#include "base/metrics.h"
#include "conf/policy.h"
#include "net/identity.h"

struct sp_process;
struct sp_router;

/* A publication on its way. Slices are borrowed for the duration of the call that passes it on, unless refs > 0. */
struct sp_message {
    struct sp_str topic;
    struct sp_str payload;
    struct sp_str properties;  /* MQTT 5 properties that travel with it, validated, encoded, without their length, topic
                                       alias, subscription identifiers and message expiry */
    uint64_t      publisher;   /* conn id, 0: the gateway itself */
    uint64_t      received_ms; /* sp_clock_ms() when it came in */
    uint32_t      expiry_s;    /* message expiry interval; UINT32_MAX: none */
    uint8_t       qos;
    bool          retain;          /* the publisher's flag */
    bool          payload_is_utf8; /* payload format indicator 1 */
    uint32_t      refs;            /* 0: borrowed (on somebody's stack); else a kept message */
    struct sp_blob    *owner;      /* of a kept message: one blob that holds payload, topic and properties */
    struct sp_message *kept; /* of a borrowed one: the copy that receivers share, made by the first who keeps it */
    void *encoded; /* scratch of the delivering protocol while sp_router_publish runs; NULL before and reset after */
};

/* The message as something that lives on: a new reference; one copy is made however many receivers keep it. NULL when out of
 * memory. Payload bytes lie in ->owner, for sp_outq_append_blob. Release with sp_message_drop. */
struct sp_message *sp_message_keep(struct sp_message *m);
void               sp_message_drop(struct sp_message *m);
/* Message expiry counted down to now; false when it is over. */
bool sp_message_expiry(const struct sp_message *m, uint64_t now_ms, uint32_t *seconds_left);

struct sp_delivery {
    struct sp_message *message;
    uint8_t            qos;    /* min of publication and what `cap` said */
    bool               retain; /* the flag to send: retain-as-published, or a retained message for a new subscription */
    const uint32_t    *subscription_ids; /* of all overlapping subscriptions that have one */
    unsigned           nsubscription_ids;
};

struct sp_subscriber;
struct sp_subscriber_ops {
    /* Never blocks; never calls back into subscribe/unsubscribe. Returns false when the receiver is over its limit for
     * QoS > 0 (the message was taken all the same): the publisher is then paused until sp_router_ready. */
    bool (*deliver)(struct sp_subscriber *s, const struct sp_delivery *d);
    /* Who it is, for judging deliveries. */
    void (*subject)(const struct sp_subscriber *s, struct sp_subject *out);
    /* The highest QoS for deliveries under this policy to a subscription of this QoS (asked once per route, not per message). */
    uint8_t (*cap)(const struct sp_subscriber *s, const struct sp_policy *policy, uint8_t subscribed_qos);
};
struct sp_subscriber { /* embedded in the protocol's session; zeroed but for ops, identity, id */
    const struct sp_subscriber_ops *ops;
    const struct sp_identity       *identity;
    uint64_t                        id;            /* conn id: no-local, flow control */
    struct sp_subscription         *subscriptions; /* router's list */
    unsigned                        nsubscriptions;
    struct sp_waiter               *waiters; /* router's: publishers paused because of this one */
};

struct sp_subscribe_options {
    uint8_t  qos;
    bool     no_local, retain_as_published;
    uint8_t  retain_handling; /* 0, 1, 2 */
    uint32_t id;              /* subscription identifier, 0: none */
};

struct sp_subscription {                                /* owned by the router; readable by protocols */
    struct sp_subscription     *next, **prev;           /* of the subscriber */
    struct sp_subscription     *next_same, **prev_same; /* same filter */
    struct sp_heard            *heard;                  /* router's: who waits for the other workers to hear of it */
    struct sp_subscriber       *subscriber;
    struct sp_filter           *filter; /* router's node */
    struct sp_str               text;   /* the filter */
    struct sp_subscribe_options options;
};

/* Adds or replaces. *is_new: there was none with this filter. `heard` (may be NULL) is called, perhaps before the call returns,
 * when every other worker knows of the interest: SUBACK waits for it; not called when the subscriber has gone by then. After an
 * unsubscribe in between it is called at the end of the turn. 0 or -ENOMEM: nothing has changed. */
int  sp_router_subscribe(struct sp_router *r, struct sp_subscriber *s, struct sp_str filter,
                         const struct sp_subscribe_options *o, bool              *is_new,
                         void (*heard)(struct sp_subscriber *s, void *arg), void *arg);
bool sp_router_unsubscribe(struct sp_router *r, struct sp_subscriber *s, struct sp_str filter); /* was there one? */
/* All of it: called before a subscriber's memory goes. */
void sp_router_forget(struct sp_router *r, struct sp_subscriber *s);

/* The route of a topic under the current snapshot and subscriptions; cached (bounded, least recently used goes); NULL only when
 * out of memory. Valid until the next call of sp_router_route or sp_router_commit. The topic must be valid as a name already. */
struct sp_route;
struct sp_route *sp_router_route(struct sp_router *r, struct sp_str topic);

/* Verdicts of one publisher on the topics that it publishes to; in its session, zeroed at first. */
#define SP_PUBLISHER_MEMO 4
struct sp_publisher_memo {
    struct {
        uint64_t           route; /* its number, never used again */
        struct sp_decision decision;
    } at[SP_PUBLISHER_MEMO];
};
/* May this subject publish here, and under which values? Valid as long as the route. */
const struct sp_decision *sp_route_decide(struct sp_router *r, struct sp_route *route, const struct sp_subject *who,
                                          struct sp_publisher_memo *memo);

struct sp_published {
    unsigned receivers; /* here */
    uint64_t workers;   /* mask of the others that it went to */
    bool paused; /* the publisher is paused (sp_conn_pause): stop taking more of its input now; it resumes by itself */
    bool lost;   /* QoS > 0, and memory ran out: not everyone gets it, so it must not be acknowledged */
};
/* Delivers here and to the interested workers. The publisher's permission was checked, m->qos already obeys the policy. With QoS 0 what
 * finds no room is dropped and counted; with QoS > 0 the publisher is paused instead. m is borrowed or kept. A route that is no
 * longer up to date is built again. */
void sp_router_publish(struct sp_router *r, struct sp_route *route, struct sp_message *m, struct sp_published *out);

/* A receiver that returned false from deliver has room again (or was told to go: sp_router_forget does this too). */
void sp_router_ready(struct sp_router *r, struct sp_subscriber *s);
/* A snapshot was committed: routes are stale. */
void sp_router_commit(struct sp_router *r);

/* -- for process/worker -- start takes a hold (sp_process_hold) that is released when every worker that was up at the
 * time of sp_router_peers_known has told all its interest. */
int      sp_router_start(struct sp_process *p, struct sp_router **out);
void     sp_router_stop(struct sp_router *r);
void     sp_router_peers_known(struct sp_router *r); /* the master's first list of peers was applied */
void     sp_router_peer_up(struct sp_router *r, unsigned slot);
void     sp_router_peer_down(struct sp_router *r, unsigned slot);
unsigned sp_router_subscriptions(const struct sp_router *r);
/* Registered by the master: process->router_metrics is their first index. */
extern const struct sp_metric_def sp_router_metrics[];
extern const unsigned             sp_router_nmetrics;

#endif
