#include "modules/mqtt_mtls/dormant.h"

#include <stdlib.h>

#include "base/log.h"
#include "modules/mqtt_mtls/retained.h"
#include "modules/mqtt_mtls/sys.h"

static struct sp_str
filter_of(const struct sp_mqtt_dormant *d)
{
    return (struct sp_str){d->filter, d->n};
}

void
sp_mqtt_dormant_put(struct sp_mqtt_session *s, const struct sp_subscription *sub)
{
    struct sp_mqtt_dormant *d = malloc(sizeof(*d) + sub->text.n);

    sp_mqtt_count(s->worker, SP_MQTT_M_SUBSCRIPTIONS, -1);
    sp_mqtt_retained_cancel(s, sub->text);
    if (d != NULL) {
        d->options = sub->options;
        d->n = sub->text.n;
        memcpy(d->filter, sub->text.p, d->n);
        d->next = s->dormant;
        s->dormant = d;
        s->ndormant++;
        sp_router_unsubscribe(s->conn->process->router, &s->subscriber, filter_of(d));
    } else {
        sp_log(SP_LOG_CRIT, "out of memory for a subscription that was ended");
        sp_router_unsubscribe(s->conn->process->router, &s->subscriber, sub->text);
    }
}

/* As after a SUBSCRIBE, but nobody waits for an answer. */
static void
subscribe_again(struct sp_mqtt_session *s, const struct sp_mqtt_dormant *d)
{
    struct sp_str filter = filter_of(d);
    bool          is_new;

    if (sp_router_subscribe(s->conn->process->router, &s->subscriber, filter, &d->options, &is_new, NULL, NULL) < 0) {
        sp_log(SP_LOG_CRIT, "out of memory for a subscription that is allowed again");
        return;
    }
    sp_mqtt_count(s->worker, SP_MQTT_M_SUBSCRIPTIONS, 1);
    if (sp_mqtt_is_sys(filter)) {
        sp_mqtt_sys_join(s);
    }
    if (d->options.retain_handling == 2) {
        return;
    }
    if (sp_mqtt_is_sys(filter)) {
        sp_mqtt_sys_serve(s, filter, &d->options);
    } else {
        sp_mqtt_retained_ask(s, filter, &d->options);
    }
}

void
sp_mqtt_dormant_revive(struct sp_mqtt_session *s, struct sp_snapshot *now, const struct sp_subject *who)
{
    for (struct sp_mqtt_dormant **at = &s->dormant; *at != NULL;) {
        struct sp_mqtt_dormant *d = *at;
        struct sp_decision      decision;

        if (sp_resolver()->grant(now, who, filter_of(d), &decision) == SP_GRANT_NONE) {
            at = &d->next;
            continue;
        }
        *at = d->next;
        s->ndormant--;
        subscribe_again(s, d);
        free(d);
    }
}

bool
sp_mqtt_dormant_forget(struct sp_mqtt_session *s, struct sp_str filter)
{
    for (struct sp_mqtt_dormant **at = &s->dormant; *at != NULL; at = &(*at)->next) {
        struct sp_mqtt_dormant *d = *at;

        if (sp_str_eq(filter_of(d), filter)) {
            *at = d->next;
            s->ndormant--;
            free(d);
            return true;
        }
    }
    return false;
}

void
sp_mqtt_dormant_free(struct sp_mqtt_session *s)
{
    while (s->dormant != NULL) {
        struct sp_mqtt_dormant *d = s->dormant;

        s->dormant = d->next;
        free(d);
    }
    s->ndormant = 0;
}
