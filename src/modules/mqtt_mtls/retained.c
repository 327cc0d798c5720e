#include "modules/mqtt_mtls/retained.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/log.h"
#include "modules/mqtt_mtls/deliver.h"
#include "store/retained.h"

#define OVERTAKEN_MAX 4096u
#define ASKS_HIGH     64u /* so many at a time, and the client is not read until there are few again */
#define ASKS_LOW      16u

struct sp_mqtt_ask {
    struct sp_mqtt_ask         *next, **prev;
    struct sp_mqtt_session     *session;
    struct sp_retained_query   *query;
    struct sp_subscribe_options options;
    size_t                      n;
    char                        filter[];
};

struct sp_mqtt_overtaken {
    unsigned n, capacity;
    uint64_t topics[]; /* hashes */
};

static void
remove_ask(struct sp_mqtt_ask *ask)
{
    struct sp_mqtt_session *s = ask->session;

    *ask->prev = ask->next;
    if (ask->next != NULL) {
        ask->next->prev = ask->prev;
    }
    free(ask);
    if (--s->nasks == ASKS_LOW) {
        sp_mqtt_release(s, SP_MQTT_HOLD_ASKS);
    }
    if (s->asks == NULL) {
        free(s->overtaken);
        s->overtaken = NULL;
    }
}

void
sp_mqtt_retained_overtaken(struct sp_mqtt_session *s, struct sp_str topic)
{
    struct sp_mqtt_overtaken *o = s->overtaken;

    if (o == NULL || o->n == o->capacity) {
        unsigned                  capacity = o == NULL ? 16 : o->capacity * 2;
        struct sp_mqtt_overtaken *grown;

        if (capacity > OVERTAKEN_MAX) {
            return;
        }
        grown = realloc(o, sizeof(*grown) + capacity * sizeof(grown->topics[0]));
        if (grown == NULL) {
            return; /* the worst is an old value after the new one */
        }
        grown->n = o == NULL ? 0 : grown->n;
        grown->capacity = capacity;
        s->overtaken = o = grown;
    }
    o->topics[o->n++] = sp_hash(topic);
}

static bool
is_overtaken(const struct sp_mqtt_session *s, struct sp_str topic)
{
    const struct sp_mqtt_overtaken *o = s->overtaken;
    uint64_t                        hash;

    if (o == NULL) {
        return false;
    }
    hash = sp_hash(topic);
    for (unsigned i = 0; i < o->n; i++) {
        if (o->topics[i] == hash) {
            return true;
        }
    }
    return false;
}

static void
on_match(void *arg, const struct sp_message *m)
{
    const struct sp_mqtt_ask *ask = arg;
    struct sp_mqtt_session   *s = ask->session;
    struct sp_message         copy = *m;
    struct sp_delivery        d = {.message = &copy, .retain = true};
    struct sp_subject         who;
    struct sp_decision        decision;
    uint8_t                   cap;

    if (is_overtaken(s, m->topic)) {
        return;
    }
    sp_mqtt_subject(s, &who);
    sp_resolver()->decide(s->conn->process->snapshot, &who, SP_SUBSCRIBE, m->topic, &decision);
    if (!decision.allowed) {
        return;
    }
    cap = sp_mqtt_subscriber_ops.cap(&s->subscriber, decision.policy, ask->options.qos);
    d.qos = m->qos < cap ? m->qos : cap;
    if (ask->options.id != 0) {
        d.subscription_ids = &ask->options.id;
        d.nsubscription_ids = 1;
    }
    copy.refs = 0; /* borrowed: whoever keeps it makes a copy */
    copy.owner = NULL;
    copy.kept = NULL;
    copy.encoded = NULL;
    sp_mqtt_deliver_retained(s, &d);
    if (copy.kept != NULL) {
        sp_message_drop(copy.kept);
    }
}

static void
on_done(void *arg)
{
    remove_ask(arg);
}

void
sp_mqtt_retained_ask(struct sp_mqtt_session *s, struct sp_str filter, const struct sp_subscribe_options *o)
{
    struct sp_mqtt_ask *ask = calloc(1, sizeof(*ask) + filter.n);

    if (ask == NULL) {
        sp_log(SP_LOG_CRIT, "out of memory for a look at the retained messages");
        return;
    }
    ask->session = s;
    ask->options = *o;
    ask->n = filter.n;
    memcpy(ask->filter, filter.p, filter.n);
    ask->next = s->asks;
    ask->prev = &s->asks;
    if (ask->next != NULL) {
        ask->next->prev = &ask->next;
    }
    s->asks = ask;
    if (++s->nasks == ASKS_HIGH) {
        sp_mqtt_hold(s, SP_MQTT_HOLD_ASKS);
    }
    ask->query = sp_retained_ask(s->conn->process->retained, filter, on_match, on_done, ask);
    if (ask->query == NULL) {
        sp_log(SP_LOG_CRIT, "out of memory for a look at the retained messages");
        remove_ask(ask);
    }
}

void
sp_mqtt_retained_cancel(struct sp_mqtt_session *s, struct sp_str filter)
{
    for (struct sp_mqtt_ask *ask = s->asks, *next; ask != NULL; ask = next) {
        next = ask->next;
        if (sp_str_eq((struct sp_str){ask->filter, ask->n}, filter)) {
            sp_retained_cancel(s->conn->process->retained, ask->query);
            remove_ask(ask);
        }
    }
}

void
sp_mqtt_retained_stop(struct sp_mqtt_session *s)
{
    while (s->asks != NULL) {
        sp_retained_cancel(s->conn->process->retained, s->asks->query);
        remove_ask(s->asks);
    }
}
