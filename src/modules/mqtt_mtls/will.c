#include "modules/mqtt_mtls/will.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "conf/core_directives.h"
#include "modules/mqtt_mtls/publish.h"
#include "store/retained.h"

/* s->will is such a one; topic, payload and properties point behind it. */
struct kept_will {
    struct sp_mqtt_will will;
    uint32_t            expiry_s;
    struct sp_str       properties;
    char                bytes[];
};

static struct sp_str
put(char **at, struct sp_str s)
{
    struct sp_str copy = {*at, s.n};

    if (s.n > 0) {
        memcpy(*at, s.p, s.n);
    }
    *at += s.n;
    return copy;
}

int
sp_mqtt_will_take(struct sp_mqtt_session *s, const struct sp_mqtt_will *will)
{
    struct kept_will *k = malloc(sizeof(*k) + will->topic.n + will->payload.n + will->props.forward_bytes);
    char             *at;

    if (k == NULL) {
        return -ENOMEM;
    }
    at = k->bytes;
    k->will = *will;
    k->will.topic = put(&at, will->topic);
    k->will.payload = put(&at, will->payload);
    k->properties = (struct sp_str){at, sp_mqtt_props_forward(&will->props, at)};
    k->expiry_s = sp_mqtt_props_has(&will->props, SP_MQTT_P_MESSAGE_EXPIRY) ? will->props.message_expiry_s : UINT32_MAX;
    s->will = &k->will;
    return 0;
}

void
sp_mqtt_will_free(struct sp_mqtt_session *s)
{
    free(s->will); /* = its struct kept_will: the first member */
    s->will = NULL;
}

static void
refused(const struct sp_mqtt_session *s, const struct sp_policy *policy, struct sp_str topic, const char *why)
{
    static struct sp_log_limit limit;
    char                       about[SP_MQTT_ABOUT_BYTES];

    sp_mqtt_count(s->worker, SP_MQTT_M_PUBLISH_DENIED, 1);
    sp_log_limited(&limit, 20, SP_LOG_NOTICE, "%s will: %s", sp_mqtt_about(s, policy, topic, about, sizeof(about)),
                   why);
}

static bool
allowed(const struct sp_mqtt_session *s, const struct sp_message *m, const struct sp_policy **policy)
{
    const struct sp_value *broken;
    struct sp_subject      who;
    struct sp_decision     decision;
    char                   why[SP_MQTT_WHY_BYTES];
    uint8_t                reason;

    sp_mqtt_subject(s, &who);
    sp_resolver()->decide(s->conn->process->snapshot, &who, SP_PUBLISH, m->topic, &decision);
    *policy = decision.policy;
    if (!decision.allowed) {
        refused(s, decision.policy, m->topic, sp_mqtt_why(why, sizeof(why), "publish", &decision));
        return false;
    }
    reason = sp_mqtt_judge(s->worker->conf, decision.policy, m, &broken);
    if (reason != 0) {
        refused(s, decision.policy, m->topic, sp_mqtt_why_value(why, sizeof(why), reason, broken));
        return false;
    }
    return true;
}

void
sp_mqtt_will_publish(struct sp_mqtt_session *s)
{
    struct sp_process      *p = s->conn->process;
    const struct kept_will *k = (const struct kept_will *)(const void *)s->will;
    const struct sp_policy *policy;
    struct sp_route        *route;
    struct sp_published     done;
    struct sp_message       m = {.topic = k->will.topic,
                                 .payload = k->will.payload,
                                 .properties = k->properties,
                                 .received_ms = sp_clock_ms(),
                                 .expiry_s = k->expiry_s,
                                 .qos = k->will.qos,
                                 .retain = k->will.retain,
                                 .payload_is_utf8 = k->will.props.payload_format == 1};

    if (!allowed(s, &m, &policy)) {
        return;
    }
    if ((int64_t)m.qos > sp_policy_num(policy, s->worker->conf->max_qos, 1)) {
        m.qos = 0;
    }
    route = sp_router_route(p->router, m.topic);
    if (route == NULL) {
        sp_log(SP_LOG_CRIT, "out of memory for a will");
        return;
    }
    sp_router_publish(p->router, route, &m, &done);
    if (m.retain && sp_retained_set(p->retained, &m, s->conn->identity->name, true, NULL, NULL) < 0) {
        sp_log(SP_LOG_ERROR, "a retained will could not be kept");
    }
    sp_mqtt_count(s->worker, SP_MQTT_M_WILLS, 1);
}
