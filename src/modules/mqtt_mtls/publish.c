#include "modules/mqtt_mtls/publish.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "conf/core_directives.h"
#include "modules/mqtt_mtls/access.h"
#include "modules/mqtt_mtls/ack.h"
#include "modules/mqtt_mtls/read.h"
#include "modules/mqtt_mtls/values.h"
#include "store/retained.h"

/* ---- what is said about a refusal ---- */

const char *
sp_mqtt_why(char *dst, size_t cap, const char *what, const struct sp_decision *decision)
{
    char        where[200];
    const char *reason = decision->reason != NULL ? decision->reason : "";

    sp_str_escape(where, sizeof(where), decision->where);
    if (decision->rule == NULL && (decision->where.n == 0 || sp_str_is(decision->where, "default"))) {
        (void)snprintf(dst, cap, "%s denied: %s", what, reason);
    } else {
        (void)snprintf(dst, cap, "%s denied by %s%s%s%s", what, where, reason[0] != '\0' ? " (" : "", reason,
                       reason[0] != '\0' ? ")" : "");
    }
    return dst;
}

static const char *
breach(uint8_t reason)
{
    switch (reason) {
    case SP_MQTT_QUOTA_EXCEEDED:
        return "payload larger than";
    case SP_MQTT_PAYLOAD_FORMAT_INVALID:
        return "payload is not among";
    case SP_MQTT_RETAIN_NOT_SUPPORTED:
        return "message to be retained against";
    case SP_MQTT_QOS_NOT_SUPPORTED:
        return "QoS below";
    default:
        return "over";
    }
}

const char *
sp_mqtt_why_value(char *dst, size_t cap, uint8_t reason, const struct sp_value *broken)
{
    char        at[200], where[220];
    const char *name = broken != NULL && broken->directive != NULL ? broken->directive->name : "a limit";

    sp_where(at, sizeof(at), broken != NULL ? broken->node : NULL);
    (void)snprintf(dst, cap, "publish denied: %s %s at %s", breach(reason), name,
                   sp_str_escape(where, sizeof(where), sp_str_c(at)));
    return dst;
}

/* ---- the verdict of the policy ---- */

uint8_t
sp_mqtt_judge(const struct sp_mqtt_conf *conf, const struct sp_policy *policy, const struct sp_message *m,
              const struct sp_value **broken)
{
    const struct sp_value *v = sp_policy_value(policy, conf->max_payload);

    *broken = v;
    if (v != NULL && v->u.num != SP_OFF && (uint64_t)m->payload.n > (uint64_t)v->u.num) {
        return SP_MQTT_QUOTA_EXCEEDED;
    }
    v = sp_policy_value(policy, conf->min_qos);
    *broken = v;
    if (v != NULL && m->qos < v->u.num) {
        return SP_MQTT_QOS_NOT_SUPPORTED;
    }
    if (m->retain) {
        v = sp_policy_value(policy, conf->retain);
        *broken = v;
        if (v != NULL && v->u.num == 0) {
            return SP_MQTT_RETAIN_NOT_SUPPORTED;
        }
    }
    v = sp_policy_value(policy, conf->values);
    *broken = v == NULL ? NULL : sp_mqtt_values_violated(v, m->topic, m->payload);
    return *broken != NULL ? SP_MQTT_PAYLOAD_FORMAT_INVALID : 0;
}

/* ---- refusing ---- */

/* PUBACK cannot carry every reason (MQTT 5 3.4.2.1), and clients look at that. */
static uint8_t
reason_for_puback(uint8_t reason)
{
    return sp_mqtt_reason_allowed(reason, SP_MQTT_PUBACK, SP_MQTT_FROM_SERVER) ? reason : SP_MQTT_NOT_AUTHORIZED;
}

/* Tells the client where the protocol has words for it: PUBACK with MQTT 5 and QoS 1; else as publish_denied says. `where`: the
 * line that decided. */
static void
refuse(struct sp_mqtt_session *s, const struct sp_mqtt_publish *pub, const struct sp_message *m,
       const struct sp_policy *policy, uint8_t reason, const char *text, struct sp_str where)
{
    static struct sp_log_limit limit;
    char                       about[SP_MQTT_ABOUT_BYTES];

    sp_mqtt_count(s->worker, SP_MQTT_M_PUBLISH_DENIED, 1);
    sp_log_limited(&limit, 50, SP_LOG_NOTICE, "%s %s", sp_mqtt_about(s, policy, m->topic, about, sizeof(about)), text);
    sp_mqtt_access_denied(s, "publish", policy, m->topic, m->qos, text, where);
    if (s->peer.level == 5 && pub->qos > 0) {
        sp_mqtt_ack(s, pub->packet_id, reason_for_puback(reason), text);
    } else if (s->settings->close_on_denied) {
        sp_mqtt_disconnect(s, reason, text);
    } else if (pub->qos > 0) {
        sp_mqtt_ack(s, pub->packet_id, SP_MQTT_OK, NULL); /* MQTT 3.1.1 3.3.5-2: acknowledged, or closed */
    }
}

/* ---- rate ---- */

enum pace { PACE_GO, PACE_WAIT, PACE_DROP, PACE_GONE };

static void
on_delay_over(struct sp_timer *t, void *arg)
{
    (void)t;
    sp_mqtt_release(arg, SP_MQTT_HOLD_RATE);
}

static enum pace
pace(struct sp_mqtt_session *s, const struct sp_mqtt_publish *pub, const struct sp_message *m,
     const struct sp_policy *policy)
{
    const struct sp_value *v = sp_policy_value(policy, s->worker->conf->rate);
    const struct sp_rate  *rate = v == NULL ? NULL : sp_value_rate(v);
    uint64_t               wait_ms;
    char                   about[SP_MQTT_ABOUT_BYTES], why[SP_MQTT_WHY_BYTES];

    if (rate == NULL || rate->off) {
        return PACE_GO;
    }
    wait_ms = sp_mqtt_throttle_take(&s->publisher->throttle, v->node, rate, sp_clock_ms());
    if (wait_ms == 0) {
        return PACE_GO;
    }
    sp_mqtt_count(s->worker, SP_MQTT_M_RATE_LIMITED, 1);
    if (rate->over == SP_RATE_DISCONNECT) {
        sp_mqtt_why_value(why, sizeof(why), SP_MQTT_MESSAGE_RATE_TOO_HIGH, v);
        sp_log(SP_LOG_NOTICE, "%s %s", sp_mqtt_about(s, policy, m->topic, about, sizeof(about)), why);
        sp_mqtt_disconnect(s, SP_MQTT_MESSAGE_RATE_TOO_HIGH, why);
        return PACE_GONE;
    }
    if (rate->over == SP_RATE_DROP && pub->qos == 0) {
        return PACE_DROP;
    }
    sp_timer_arm(s->conn->process->wheel, &s->publisher->delay, wait_ms, on_delay_over, s);
    sp_mqtt_hold(s, SP_MQTT_HOLD_RATE);
    return PACE_WAIT;
}

/* ---- topic aliases ---- */

static int
remember_alias(struct sp_mqtt_session *s, uint16_t alias, struct sp_str topic)
{
    struct sp_mqtt_publisher *pr = s->publisher;
    struct sp_str            *at;
    char                     *copy;

    if (pr->aliases == NULL) {
        pr->aliases = calloc(s->wire.topic_alias_max, sizeof(*pr->aliases));
        if (pr->aliases == NULL) {
            return -ENOMEM;
        }
    }
    at = &pr->aliases[alias - 1];
    if (sp_str_eq(*at, topic)) {
        return 0;
    }
    copy = malloc(topic.n);
    if (copy == NULL) {
        return -ENOMEM;
    }
    memcpy(copy, topic.p, topic.n);
    free((void *)(uintptr_t)at->p);
    *at = (struct sp_str){copy, topic.n};
    return 0;
}

/* MQTT 5 3.3.2.3.4. The decoder has checked the alias against the maximum. */
static int
resolve_alias(struct sp_mqtt_session *s, struct sp_mqtt_publish *pub, struct sp_mqtt_error *err)
{
    const struct sp_mqtt_publisher *pr = s->publisher;
    uint16_t                        alias = pub->props.topic_alias;

    if (pub->topic.n > 0) {
        if (remember_alias(s, alias, pub->topic) < 0) {
            return sp_mqtt_refuse(err, SP_MQTT_SERVER_BUSY, "out of memory for a topic alias");
        }
        return 0;
    }
    if (pr->aliases == NULL || pr->aliases[alias - 1].n == 0) {
        return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR,
                              "PUBLISH: topic alias that was never set (MQTT 5 3.3.2.3.4)");
    }
    pub->topic = pr->aliases[alias - 1];
    return 0;
}

/* ---- the way of a publication ---- */

static bool
ready_to_publish(struct sp_mqtt_session *s)
{
    if (s->publisher == NULL) {
        s->publisher = calloc(1, sizeof(*s->publisher));
    }
    return s->publisher != NULL;
}

static bool
set_properties(struct sp_mqtt_session *s, const struct sp_mqtt_props *props, struct sp_message *m)
{
    char *copy;

    m->expiry_s = sp_mqtt_props_has(props, SP_MQTT_P_MESSAGE_EXPIRY) ? props->message_expiry_s : UINT32_MAX;
    m->payload_is_utf8 = props->payload_format == 1;
    if (props->forward_bytes == props->raw.n) {
        m->properties = props->raw;
        return true;
    }
    copy = sp_mqtt_scratch(s->worker, props->forward_bytes);
    if (copy == NULL) {
        return false;
    }
    m->properties = (struct sp_str){copy, sp_mqtt_props_forward(props, copy)};
    return true;
}

/* Retains; acknowledges at once or when the message is on disk. False: it could not be retained. */
static bool
retain(struct sp_mqtt_session *s, const struct sp_mqtt_publish *pub, const struct sp_message *m, bool durable,
       uint8_t reason)
{
    struct sp_mqtt_ack_wait *wait = NULL;

    if (durable) {
        wait = sp_mqtt_ack_later(s, pub->packet_id, reason);
        if (wait == NULL) {
            return false;
        }
    }
    if (sp_retained_set(s->conn->process->retained, m, s->conn->identity->name, durable,
                        wait != NULL ? sp_mqtt_ack_stored : NULL, wait) < 0) {
        if (wait != NULL) {
            sp_mqtt_ack_stored(wait, -EIO);
        }
        return wait != NULL;
    }
    if (wait == NULL && pub->qos > 0) {
        sp_mqtt_ack(s, pub->packet_id, reason, NULL);
    }
    return true;
}

/* Routes, retains, acknowledges. */
static void
pass_on(struct sp_mqtt_session *s, const struct sp_mqtt_publish *pub, struct sp_message *m, struct sp_route *route,
        const struct sp_policy *policy)
{
    struct sp_published done;
    uint8_t             reason;
    bool                durable;
    int64_t             max_qos = sp_policy_num(policy, s->worker->conf->max_qos, 1);

    if ((int64_t)m->qos > max_qos) {
        m->qos = (uint8_t)max_qos;
    }
    durable = m->retain && pub->qos > 0 &&
              sp_policy_num(policy, s->worker->conf->durability, SP_DURABILITY_COMMIT) == SP_DURABILITY_COMMIT;
    sp_router_publish(s->conn->process->router, route, m, &done);
    reason =
        done.receivers == 0 && done.workers == 0 && s->peer.level == 5 ? SP_MQTT_NO_MATCHING_SUBSCRIBERS : SP_MQTT_OK;
    if (m->retain) {
        done.lost = !retain(s, pub, m, durable, reason) || done.lost;
    } else if (pub->qos > 0 && !done.lost) {
        sp_mqtt_ack(s, pub->packet_id, reason, NULL);
    }
    if (done.lost && pub->qos > 0) { /* not acknowledged: the client will send it again */
        sp_mqtt_disconnect(s, SP_MQTT_SERVER_BUSY, "no room to take a message on");
    }
}

/* 0, or -EPROTO with *err. */
static int
decode(struct sp_mqtt_session *s, const struct sp_mqtt_head *head, const char *body, struct sp_mqtt_publish *pub,
       struct sp_mqtt_error *err)
{
    if (sp_mqtt_decode_publish(&s->wire, head, body, pub, err) < 0) {
        return -EPROTO;
    }
    if (!ready_to_publish(s)) {
        return sp_mqtt_refuse(err, SP_MQTT_SERVER_BUSY, "out of memory for a publisher");
    }
    if (pub->props.topic_alias != 0 && resolve_alias(s, pub, err) < 0) {
        return -EPROTO;
    }
    if (pub->qos > 0 && s->peer.level == 5 && s->nacks >= s->receive_max) {
        return sp_mqtt_refuse(err, SP_MQTT_RECEIVE_MAXIMUM_EXCEEDED,
                              "PUBLISH above the receive maximum (MQTT 5 3.3.4-9)");
    }
    if (pub->props.payload_format == 1 && !sp_mqtt_payload_valid(&pub->props, pub->payload)) {
        return sp_mqtt_refuse(err, SP_MQTT_PAYLOAD_FORMAT_INVALID,
                              "PUBLISH: payload is not the UTF-8 that it claims to be (MQTT 5 3.3.2.3.2)");
    }
    return 0;
}

static bool
publish(struct sp_mqtt_session *s, const struct sp_mqtt_publish *pub, struct sp_message *m)
{
    struct sp_router         *router = s->conn->process->router;
    struct sp_route          *route = sp_router_route(router, m->topic);
    const struct sp_decision *decision;
    const struct sp_value    *broken;
    struct sp_subject         who;
    char                      why[SP_MQTT_WHY_BYTES], where[200];
    uint8_t                   reason;

    if (route == NULL) {
        sp_mqtt_disconnect(s, SP_MQTT_SERVER_BUSY, "out of memory for a route");
        return true;
    }
    sp_mqtt_subject(s, &who);
    decision = sp_route_decide(router, route, &who, &s->publisher->memo);
    switch (pace(s, pub, m, decision->policy)) {
    case PACE_WAIT:
        return false;
    case PACE_DROP:
    case PACE_GONE:
        return true;
    case PACE_GO:
        break;
    }
    if (!decision->allowed) {
        refuse(s, pub, m, decision->policy, SP_MQTT_NOT_AUTHORIZED, sp_mqtt_why(why, sizeof(why), "publish", decision),
               decision->where);
        return true;
    }
    reason = sp_mqtt_judge(s->worker->conf, decision->policy, m, &broken);
    if (reason != 0) {
        sp_where(where, sizeof(where), broken != NULL ? broken->node : NULL);
        refuse(s, pub, m, decision->policy, reason, sp_mqtt_why_value(why, sizeof(why), reason, broken),
               sp_str_c(where));
        return true;
    }
    pass_on(s, pub, m, route, decision->policy);
    return true;
}

bool
sp_mqtt_on_publish(struct sp_mqtt_session *s, const struct sp_mqtt_head *head, const char *body)
{
    struct sp_mqtt_publish pub;
    struct sp_mqtt_error   err;
    struct sp_message      m = {0};

    if (decode(s, head, body, &pub, &err) < 0) {
        sp_mqtt_protocol_error(s, &err);
        return true;
    }
    m.topic = pub.topic;
    m.payload = pub.payload;
    m.publisher = s->subscriber.id;
    m.received_ms = sp_clock_ms();
    m.qos = pub.qos;
    m.retain = pub.retain;
    if (!set_properties(s, &pub.props, &m)) {
        sp_mqtt_disconnect(s, SP_MQTT_SERVER_BUSY, "out of memory for properties");
        return true;
    }
    if (!publish(s, &pub, &m)) {
        return false;
    }
    sp_mqtt_count(s->worker, SP_MQTT_M_PUBLISH_RECEIVED, 1);
    sp_mqtt_count(s->worker, SP_MQTT_M_PUBLISH_BYTES_RECEIVED, (int64_t)pub.payload.n);
    return true;
}

void
sp_mqtt_publisher_free(struct sp_mqtt_session *s)
{
    struct sp_mqtt_publisher *pr = s->publisher;

    if (pr == NULL) {
        return;
    }
    sp_timer_cancel(&pr->delay);
    for (unsigned i = 0; pr->aliases != NULL && i < s->wire.topic_alias_max; i++) {
        free((void *)(uintptr_t)pr->aliases[i].p);
    }
    free(pr->aliases);
    free(pr);
    s->publisher = NULL;
}
