#include "modules/mqtt_mtls/subscribe.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/topic.h"
#include "modules/mqtt_mtls/access.h"
#include "modules/mqtt_mtls/dormant.h"
#include "modules/mqtt_mtls/publish.h"
#include "modules/mqtt_mtls/retained.h"
#include "modules/mqtt_mtls/sys.h"

#define NOWHERE ((struct sp_str){NULL, 0})

/* A filter whose retained messages are wanted after the SUBACK. */
struct wanted {
    struct wanted              *next;
    struct sp_subscribe_options options;
    size_t                      n;
    char                        filter[];
};

struct sp_mqtt_suback_wait {
    uint64_t       number;
    struct wanted *wanted, **wanted_end;
    unsigned       waiting; /* filters that not every worker has heard of, and one for the packet being looked at */
    unsigned       n;
    uint16_t       packet_id;
    char           text[SP_MQTT_WHY_BYTES]; /* why the first refused one was; empty: none */
    uint8_t        reasons[];
};

static void
free_suback(struct sp_mqtt_suback_wait *a)
{
    while (a->wanted != NULL) {
        struct wanted *w = a->wanted;

        a->wanted = w->next;
        free(w);
    }
    free(a);
}

void
sp_mqtt_suback_drop(struct sp_mqtt_session *s)
{
    if (s->suback != NULL) {
        free_suback(s->suback);
        s->suback = NULL;
    }
}

/* ---- answering ---- */

static void
put_suback(struct sp_mqtt_session *s, const struct sp_mqtt_suback_wait *a)
{
    size_t             cap = SP_MQTT_SMALL_BYTES + SP_MQTT_WHY_BYTES + a->n;
    char              *packet = sp_mqtt_scratch(s->worker, cap);
    struct sp_mqtt_set set;
    ssize_t            n = -ENOMEM;

    sp_mqtt_set_clear(&set);
    if (a->text[0] != '\0') {
        sp_mqtt_set_str(&set, SP_MQTT_P_REASON_STRING, sp_str_c(a->text));
    }
    if (packet != NULL) {
        n = sp_mqtt_encode_suback(packet, cap, &s->peer, a->packet_id, a->reasons, a->n, &set);
    }
    if (n > 0) {
        sp_mqtt_send(s, packet, (size_t)n);
    } else {
        sp_mqtt_disconnect(s, n == -EMSGSIZE ? SP_MQTT_PACKET_TOO_LARGE : SP_MQTT_SERVER_BUSY, "SUBACK cannot be sent");
    }
}

static void
finish(struct sp_mqtt_session *s)
{
    struct sp_mqtt_suback_wait *a = s->suback;

    s->suback = NULL;
    put_suback(s, a);
    for (struct wanted *w = a->wanted; w != NULL && s->state == SP_MQTT_OPEN; w = w->next) {
        struct sp_str filter = {w->filter, w->n};

        if (sp_mqtt_is_sys(filter)) {
            sp_mqtt_sys_serve(s, filter, &w->options);
        } else {
            sp_mqtt_retained_ask(s, filter, &w->options);
        }
    }
    free_suback(a);
    sp_mqtt_release(s, SP_MQTT_HOLD_SUBACK);
}

static void
on_heard(struct sp_subscriber *sub, void *arg)
{
    struct sp_mqtt_session *s = sp_mqtt_session_of(sub);

    if (s->suback != NULL && s->suback->number == (uintptr_t)arg && --s->suback->waiting == 0) {
        finish(s);
    }
}

void
sp_mqtt_suback_hurry(struct sp_mqtt_session *s)
{
    if (s->suback != NULL) {
        finish(s);
    }
}

/* ---- one filter ---- */

static uint8_t
refuse(struct sp_mqtt_session *s, struct sp_mqtt_suback_wait *a, struct sp_str filter, const struct sp_policy *policy,
       uint8_t reason, const char *text, struct sp_str where)
{
    static struct sp_log_limit limit;
    char                       about[SP_MQTT_ABOUT_BYTES];

    sp_mqtt_count(s->worker, SP_MQTT_M_SUBSCRIBE_DENIED, 1);
    sp_log_limited(&limit, 50, SP_LOG_NOTICE, "%s %s", sp_mqtt_about(s, policy, filter, about, sizeof(about)), text);
    sp_mqtt_access_denied(s, "subscribe", policy, filter, -1, text, where);
    if (a->text[0] == '\0') {
        memccpy(a->text, text, '\0', sizeof(a->text) - 1);
    }
    return reason;
}

static int
want_retained(struct sp_mqtt_suback_wait *a, struct sp_str filter, const struct sp_subscribe_options *o)
{
    struct wanted *w = malloc(sizeof(*w) + filter.n);

    if (w == NULL) {
        return -ENOMEM;
    }
    w->next = NULL;
    w->options = *o;
    w->n = filter.n;
    memcpy(w->filter, filter.p, filter.n);
    *a->wanted_end = w;
    a->wanted_end = &w->next;
    return 0;
}

static uint8_t
add(struct sp_mqtt_session *s, struct sp_mqtt_suback_wait *a, const struct sp_mqtt_filter *f, uint32_t id,
    uint8_t max_qos)
{
    struct sp_process          *p = s->conn->process;
    struct sp_subscribe_options o = {.qos = f->qos < max_qos ? f->qos : max_qos,
                                     .no_local = f->no_local,
                                     .retain_as_published = f->retain_as_published,
                                     .retain_handling = f->retain_handling,
                                     .id = id};
    bool                        is_new = false;
    int                         rc;

    a->waiting++;
    rc = sp_router_subscribe(p->router, &s->subscriber, f->filter, &o, &is_new, on_heard, (void *)(uintptr_t)a->number);
    if (rc < 0) {
        a->waiting--;
        return refuse(s, a, f->filter, NULL, SP_MQTT_QUOTA_EXCEEDED, "out of memory for a subscription", NOWHERE);
    }
    if (is_new) {
        sp_mqtt_count(s->worker, SP_MQTT_M_SUBSCRIPTIONS, 1);
    }
    if (sp_mqtt_is_sys(f->filter)) {
        sp_mqtt_sys_join(s);
    }
    /* MQTT 5 3.3.1-9 .. 3.3.1-11 */
    if ((o.retain_handling == 0 || (o.retain_handling == 1 && is_new)) && want_retained(a, f->filter, &o) < 0) {
        return refuse(s, a, f->filter, NULL, SP_MQTT_UNSPECIFIED_ERROR,
                      "out of memory for a look at the retained messages", NOWHERE);
    }
    return o.qos;
}

static bool
has(const struct sp_subscriber *sub, struct sp_str filter)
{
    for (const struct sp_subscription *one = sub->subscriptions; one != NULL; one = one->next) {
        if (sp_str_eq(one->text, filter)) {
            return true;
        }
    }
    return false;
}

/* The granted QoS is the most that can come: for one topic, what its policy caps; for a wildcard, what the realm does. */
static uint8_t
granted_qos(const struct sp_mqtt_session *s, const struct sp_subject *who, struct sp_str filter,
            const struct sp_decision *decision)
{
    const struct sp_policy *policy = decision->policy;
    int64_t                 max;

    if (!sp_topic_has_wildcard(filter)) {
        policy = sp_resolver()->policy(s->conn->process->snapshot, who, filter);
    }
    max = sp_policy_num(policy, s->worker->conf->max_qos, 1);
    return max >= 1 ? 1 : 0;
}

static uint8_t
one_filter(struct sp_mqtt_session *s, struct sp_mqtt_suback_wait *a, const struct sp_mqtt_filter *f, uint32_t id)
{
    struct sp_subject  who;
    struct sp_decision decision;
    char               why[SP_MQTT_WHY_BYTES];

    sp_mqtt_dormant_forget(s, f->filter); /* whatever comes of this, the client will know */
    if (f->group.p != NULL) {
        return refuse(s, a, f->filter, NULL, SP_MQTT_SHARED_NOT_SUPPORTED,
                      "subscribe denied: shared subscriptions are not served", NOWHERE);
    }
    sp_mqtt_subject(s, &who);
    if (sp_resolver()->grant(s->conn->process->snapshot, &who, f->filter, &decision) == SP_GRANT_NONE) {
        return refuse(s, a, f->filter, decision.policy, SP_MQTT_NOT_AUTHORIZED,
                      sp_mqtt_why(why, sizeof(why), "subscribe", &decision), decision.where);
    }
    if (s->subscriber.nsubscriptions + s->ndormant >= s->settings->max_subscriptions &&
        !has(&s->subscriber, f->filter)) {
        return refuse(s, a, f->filter, decision.policy, SP_MQTT_QUOTA_EXCEEDED,
                      "subscribe denied: more than max_subscriptions", NOWHERE);
    }
    return add(s, a, f, id, granted_qos(s, &who, f->filter, &decision));
}

void
sp_mqtt_on_subscribe(struct sp_mqtt_session *s, const struct sp_mqtt_head *head, const char *body)
{
    struct sp_mqtt_subscribe    sub;
    struct sp_mqtt_filter       f;
    struct sp_mqtt_error        err;
    struct sp_mqtt_suback_wait *a;
    struct sp_str               rest;

    if (sp_mqtt_decode_subscribe(&s->wire, head, body, &sub, &err) < 0) {
        sp_mqtt_protocol_error(s, &err);
        return;
    }
    a = calloc(1, sizeof(*a) + sub.count);
    if (a == NULL) {
        sp_mqtt_disconnect(s, SP_MQTT_SERVER_BUSY, "out of memory for a SUBSCRIBE");
        return;
    }
    a->wanted_end = &a->wanted;
    a->packet_id = sub.packet_id;
    a->number = ++s->worker->next_suback;
    a->waiting = 1;
    s->suback = a;
    rest = sub.filters;
    while (a->n < sub.count && sp_mqtt_subscribe_next(&sub, &rest, &f)) {
        uint8_t reason = one_filter(s, a, &f, sub.subscription_id);

        a->reasons[a->n++] = reason;
    }
    if (--a->waiting == 0) {
        finish(s);
    } else {
        sp_mqtt_hold(s, SP_MQTT_HOLD_SUBACK); /* what follows may build on the subscription */
    }
}

/* ---- UNSUBSCRIBE ---- */

static uint8_t
remove_one(struct sp_mqtt_session *s, struct sp_str filter)
{
    sp_mqtt_retained_cancel(s, filter);
    if (sp_mqtt_dormant_forget(s, filter)) {
        return SP_MQTT_OK;
    }
    if (!sp_router_unsubscribe(s->conn->process->router, &s->subscriber, filter)) {
        return SP_MQTT_NO_SUBSCRIPTION_EXISTED;
    }
    sp_mqtt_count(s->worker, SP_MQTT_M_SUBSCRIPTIONS, -1);
    if (sp_mqtt_is_sys(filter)) {
        sp_mqtt_sys_look(s);
    }
    return SP_MQTT_OK;
}

void
sp_mqtt_on_unsubscribe(struct sp_mqtt_session *s, const struct sp_mqtt_head *head, const char *body)
{
    struct sp_mqtt_subscribe sub;
    struct sp_mqtt_filter    f;
    struct sp_mqtt_error     err;
    struct sp_str            rest;
    char                    *both;
    uint8_t                 *reasons;
    size_t                   n = 0, cap;
    ssize_t                  bytes;

    if (sp_mqtt_decode_subscribe(&s->wire, head, body, &sub, &err) < 0) {
        sp_mqtt_protocol_error(s, &err);
        return;
    }
    cap = SP_MQTT_SMALL_BYTES + sub.count;
    both = sp_mqtt_scratch(s->worker, sub.count + cap);
    if (both == NULL) {
        sp_mqtt_disconnect(s, SP_MQTT_SERVER_BUSY, "out of memory for an UNSUBSCRIBE");
        return;
    }
    reasons = (uint8_t *)both;
    rest = sub.filters;
    while (n < sub.count && sp_mqtt_subscribe_next(&sub, &rest, &f)) {
        uint8_t reason = remove_one(s, f.filter);

        reasons[n++] = reason;
    }
    bytes = sp_mqtt_encode_unsuback(both + sub.count, cap, &s->peer, sub.packet_id, reasons, n, NULL);
    if (bytes > 0) {
        sp_mqtt_send(s, both + sub.count, (size_t)bytes);
    } else {
        sp_mqtt_disconnect(s, SP_MQTT_PACKET_TOO_LARGE, "UNSUBACK cannot be sent");
    }
}
