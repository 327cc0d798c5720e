#include "modules/mqtt_mtls/rebind.h"

#include <stdio.h>

#include "base/log.h"
#include "modules/mqtt_mtls/deliver.h"
#include "modules/mqtt_mtls/dormant.h"
#include "modules/mqtt_mtls/publish.h"
#include "modules/mqtt_mtls/subscribe.h"
#include "modules/mqtt_mtls/sys.h"

/* ---- who asks ---- */

/* The listener of a connection in another snapshot: the same protocol and address. NULL: it is no more. */
static const struct sp_listener_conf *
same_listener(const struct sp_snapshot *now, const struct sp_listener_conf *was)
{
    for (const struct sp_listener_conf *l = now->listeners; l != NULL; l = l->next) {
        if (l->addr_len == was->addr_len && memcmp(&l->addr, &was->addr, was->addr_len) == 0 &&
            strcmp(l->protocol, was->protocol) == 0) {
            return l;
        }
    }
    return NULL;
}

static const struct sp_block *
realm_named(const struct sp_snapshot *now, const struct sp_block *was)
{
    for (const struct sp_block *r = sp_block_first(now->main, "realm"); r != NULL; r = sp_block_next(r)) {
        if (sp_str_eq(r->node->args[1].text, was->node->args[1].text)) {
            return r;
        }
    }
    return NULL;
}

/* The realm that the listener is tied to, as a block of the snapshot in force, also while the session is not rebound yet. */
static const struct sp_block *
tied_realm(const struct sp_conn *c, const struct sp_snapshot *now)
{
    const struct sp_listener_conf *l = c->listener;

    if (l == NULL || c->snapshot == now) {
        return l != NULL ? l->realm : NULL;
    }
    l = same_listener(now, c->listener);
    if (l != NULL) {
        return l->realm;
    }
    return c->listener->realm != NULL ? realm_named(now, c->listener->realm) : NULL;
}

void
sp_mqtt_subject(const struct sp_mqtt_session *s, struct sp_subject *out)
{
    const struct sp_conn *c = s->conn;

    out->identity = c->identity->name;
    out->anonymous = c->identity->credential == SP_CRED_NONE;
    out->client_id = s->client_id;
    out->realm = tied_realm(c, c->process->snapshot);
    out->application = (struct sp_str){NULL, 0};
}

/* ---- subscriptions ---- */

static void
trim_one(struct sp_mqtt_session *s, const struct sp_subscription *sub, const struct sp_decision *decision)
{
    static struct sp_log_limit limit;
    char                       about[SP_MQTT_ABOUT_BYTES], why[SP_MQTT_WHY_BYTES];

    sp_log_limited(&limit, 50, SP_LOG_NOTICE, "%s subscription ended by reload: %s",
                   sp_mqtt_about(s, decision->policy, sub->text, about, sizeof(about)),
                   sp_mqtt_why(why, sizeof(why), "subscribe", decision));
    sp_mqtt_count(s->worker, SP_MQTT_M_TRIMMED, 1);
    sp_mqtt_dormant_put(s, sub);
}

static bool
trim_subscriptions(struct sp_mqtt_session *s, struct sp_snapshot *now, const struct sp_subject *who)
{
    bool trimmed = false;

    for (struct sp_subscription *sub = s->subscriber.subscriptions, *next; sub != NULL; sub = next) {
        struct sp_decision decision;

        next = sub->next;
        if (sp_resolver()->grant(now, who, sub->text, &decision) == SP_GRANT_NONE) {
            trim_one(s, sub, &decision);
            trimmed = true;
        }
    }
    return trimmed;
}

/* ---- the queue ---- */

struct judging {
    struct sp_snapshot      *now;
    const struct sp_subject *who;
};

static bool
still_allowed(struct sp_mqtt_session *s, const struct sp_message *m, void *arg)
{
    const struct judging *j = arg;
    struct sp_decision    decision;

    (void)s;
    sp_resolver()->decide(j->now, j->who, SP_SUBSCRIBE, m->topic, &decision);
    return decision.allowed;
}

/* ---- the whole ---- */

/* What was announced in CONNACK stays as it was; the rest is taken over. */
static void
take_settings(struct sp_mqtt_session *s, const struct sp_mqtt_settings *settings)
{
    s->settings = settings;
    if (s->state == SP_MQTT_FRESH) {
        s->wire.max_packet_bytes = settings->max_connect_packet_bytes;
        s->wire.max_user_props = settings->max_user_properties;
        s->wire.max_topic_levels = settings->max_topic_levels;
    }
}

enum sp_verdict
sp_mqtt_rebind(struct sp_conn *c, struct sp_snapshot *was, struct sp_snapshot *now)
{
    struct sp_mqtt_session        *s = c->session;
    const struct sp_mqtt_conf     *conf = sp_mqtt_conf(now);
    const struct sp_listener_conf *l = same_listener(now, c->listener);
    const struct sp_mqtt_settings *settings;
    struct sp_subject              who;
    struct judging                 judging = {now, &who};
    bool                           trimmed;

    (void)was;
    if (s->state == SP_MQTT_ENDED) {
        s->settings = sp_mqtt_settings_of(conf, NULL);
        return SP_KEEP;
    }
    settings = l == NULL ? NULL : sp_mqtt_settings_of(conf, l->block);
    if (settings == NULL) {
        return SP_CLOSE; /* nobody listens there any more */
    }
    take_settings(s, settings);
    if (s->publisher != NULL) {
        memset(&s->publisher->throttle, 0, sizeof(s->publisher->throttle));
    }
    if (s->state != SP_MQTT_OPEN) {
        return SP_KEEP;
    }
    sp_mqtt_subject(s, &who);
    who.realm = l->realm;
    sp_mqtt_dormant_revive(s, now, &who);
    trimmed = trim_subscriptions(s, now, &who);
    trimmed = sp_mqtt_queue_filter(s, still_allowed, &judging) > 0 || trimmed;
    if (trimmed) {
        sp_mqtt_sys_look(s);
        sp_mqtt_suback_hurry(s);
        sp_mqtt_pump(s); /* a shorter queue may free those who wait for it */
    }
    return trimmed ? SP_TRIM : SP_KEEP;
}
