#include "modules/mqtt_mtls/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "conf/registry.h"
#include "modules/mqtt_mtls/access.h"
#include "modules/mqtt_mtls/ack.h"
#include "modules/mqtt_mtls/deliver.h"
#include "modules/mqtt_mtls/dormant.h"
#include "modules/mqtt_mtls/input.h"
#include "modules/mqtt_mtls/publish.h"
#include "modules/mqtt_mtls/rebind.h"
#include "modules/mqtt_mtls/retained.h"
#include "modules/mqtt_mtls/subscribe.h"
#include "modules/mqtt_mtls/sys.h"
#include "modules/mqtt_mtls/will.h"
#include "store/names.h"

struct sp_mqtt_worker *
sp_mqtt_worker(struct sp_process *p)
{
    return p->module[sp_registry_module_index(p->registry, "mqtt_mtls")];
}

void
sp_mqtt_worker_unref(struct sp_mqtt_worker *w)
{
    if (--w->refs == 0) {
        free(w->scratch);
        free(w);
    }
}

char *
sp_mqtt_scratch(struct sp_mqtt_worker *w, size_t n)
{
    if (n > w->scratch_bytes) {
        char *grown = malloc(n);

        if (grown == NULL) {
            return NULL;
        }
        free(w->scratch);
        w->scratch = grown;
        w->scratch_bytes = n;
    }
    return w->scratch;
}

/* ---- names for logs ---- */

const char *
sp_mqtt_name(const struct sp_mqtt_session *s, char *dst, size_t cap)
{
    char identity[96], id[96], peer[64];

    (void)snprintf(dst, cap, "client=%s id=%s peer=%s",
                   sp_str_escape(identity, sizeof(identity), s->conn->identity->name),
                   sp_str_escape(id, sizeof(id), s->client_id), sp_conn_peer(s->conn, peer, sizeof(peer)));
    return dst;
}

const char *
sp_mqtt_about(const struct sp_mqtt_session *s, const struct sp_policy *policy, struct sp_str topic, char *dst,
              size_t cap)
{
    const struct sp_block *realm = policy == NULL ? NULL : policy->path.realm;
    bool                   named = realm != NULL && realm->node != NULL && realm->node->nargs > 1;
    char                   name[64], identity[96], text[256];

    sp_str_escape(name, sizeof(name), named ? realm->node->args[1].text : SP_STR("-"));
    (void)snprintf(dst, cap, "realm=%s client=%s topic=%s", name,
                   sp_str_escape(identity, sizeof(identity), s->conn->identity->name),
                   sp_str_escape(text, sizeof(text), topic));
    return dst;
}

/* ---- holds, output ---- */

void
sp_mqtt_hold(struct sp_mqtt_session *s, enum sp_mqtt_hold why)
{
    if ((s->holds & why) == 0) {
        s->holds = (uint8_t)(s->holds | why);
        sp_conn_pause(s->conn);
    }
}

void
sp_mqtt_release(struct sp_mqtt_session *s, enum sp_mqtt_hold why)
{
    if ((s->holds & why) != 0) {
        s->holds = (uint8_t)(s->holds & ~why);
        sp_conn_resume(s->conn);
    }
}

void
sp_mqtt_send(struct sp_mqtt_session *s, const void *packet, size_t n)
{
    struct sp_conn *c = s->conn;

    if (sp_outq_append(&c->out, &c->process->outq_pool, packet, n) < 0) {
        sp_log(SP_LOG_CRIT, "out of memory for the output of a client");
        sp_conn_close(c, SP_CLOSE_PROTOCOL);
        return;
    }
    sp_mqtt_count(s->worker, SP_MQTT_M_MESSAGES_SENT, 1);
    sp_mqtt_count(s->worker, SP_MQTT_M_BYTES_SENT, (int64_t)n);
    s->sent_bytes += n;
    sp_conn_touch(c);
    if (c->out.bytes > SP_CONN_HIGH_BYTES + (size_t)s->settings->max_queued_bytes) {
        sp_mqtt_hold(s, SP_MQTT_HOLD_OUTPUT); /* until drained() */
    }
}

/* ---- the end ---- */

void
sp_mqtt_detach(struct sp_mqtt_session *s, bool send_will)
{
    struct sp_process *p = s->conn->process;
    bool               was_open = s->state == SP_MQTT_OPEN;

    if (s->state == SP_MQTT_ENDED) {
        return;
    }
    s->state = SP_MQTT_ENDED;
    sp_timer_cancel(&s->timer);
    sp_mqtt_suback_drop(s);
    sp_mqtt_retained_stop(s);
    sp_mqtt_sys_leave(s);
    sp_mqtt_dormant_free(s);
    if (was_open) {
        sp_mqtt_count(s->worker, SP_MQTT_M_SESSIONS, -1);
        sp_mqtt_count(s->worker, SP_MQTT_M_SUBSCRIPTIONS, -(int64_t)s->subscriber.nsubscriptions);
        sp_router_forget(p->router, &s->subscriber);
    }
    sp_mqtt_acks_drop(s);
    sp_mqtt_outbound_free(s);
    if (was_open && send_will && s->will != NULL) {
        sp_mqtt_will_publish(s);
    }
    sp_mqtt_will_free(s);
    sp_mqtt_publisher_free(s);
    if (s->claim != NULL) {
        sp_names_release(p->names, s->claim); /* last: the next holder starts when this one has gone */
        s->claim = NULL;
    }
}

static void
put_disconnect(struct sp_mqtt_session *s, uint8_t reason, const char *text)
{
    char               packet[512];
    struct sp_mqtt_set set;
    ssize_t            n;

    sp_mqtt_set_clear(&set);
    if (text != NULL) {
        sp_mqtt_set_str(&set, SP_MQTT_P_REASON_STRING, sp_str_c(text));
    }
    if (!sp_mqtt_reason_allowed(reason, SP_MQTT_DISCONNECT, SP_MQTT_FROM_SERVER)) {
        reason = SP_MQTT_UNSPECIFIED_ERROR;
    }
    n = sp_mqtt_encode_disconnect(packet, sizeof(packet), &s->peer, reason, &set);
    if (n > 0) {
        sp_mqtt_send(s, packet, (size_t)n);
    }
}

void
sp_mqtt_disconnect(struct sp_mqtt_session *s, uint8_t reason, const char *text)
{
    char name[SP_MQTT_NAME_BYTES];

    if (s->state == SP_MQTT_ENDED) {
        return;
    }
    if (s->state == SP_MQTT_OPEN) {
        put_disconnect(s, reason, text);
        sp_log(SP_LOG_INFO, "%s disconnected by the gateway: %s (0x%02x)%s%s", sp_mqtt_name(s, name, sizeof(name)),
               sp_mqtt_reason_name(reason), reason, text != NULL ? ": " : "", text != NULL ? text : "");
        sp_mqtt_access(s, "disconnect", text != NULL ? text : sp_mqtt_reason_name(reason));
    }
    sp_mqtt_detach(s, true);
    sp_conn_close(s->conn, SP_CLOSE_PROTOCOL);
}

void
sp_mqtt_protocol_error(struct sp_mqtt_session *s, const struct sp_mqtt_error *err)
{
    static struct sp_log_limit limit;
    char                       name[SP_MQTT_NAME_BYTES];

    sp_mqtt_count(s->worker, SP_MQTT_M_PROTOCOL_ERRORS, 1);
    sp_log_limited(&limit, 20, SP_LOG_NOTICE, "%s closed: %s", sp_mqtt_name(s, name, sizeof(name)), err->text);
    sp_mqtt_disconnect(s, err->reason, err->text);
}

void
sp_mqtt_goodbye(struct sp_mqtt_session *s, bool send_will, const char *how)
{
    char name[SP_MQTT_NAME_BYTES];

    sp_log(SP_LOG_INFO, "%s %s", sp_mqtt_name(s, name, sizeof(name)), how);
    sp_mqtt_access(s, "disconnect", how);
    sp_mqtt_detach(s, send_will);
    sp_conn_close(s->conn, SP_CLOSE_PEER);
}

void
sp_mqtt_kicked(struct sp_process *p, uint64_t owner)
{
    struct sp_conn         *c = sp_net_find(p->net, owner);
    struct sp_mqtt_session *s;

    if (c == NULL || c->protocol != &sp_mqtt_protocol || c->session == NULL) {
        return;
    }
    s = c->session;
    if (s->state != SP_MQTT_OPEN) {
        return; /* its claim was given back, or is not granted yet */
    }
    sp_mqtt_count(s->worker, SP_MQTT_M_TAKEOVERS, 1);
    sp_mqtt_disconnect(s, SP_MQTT_SESSION_TAKEN_OVER, "another connection uses this client identifier");
}

/* ---- deadlines ---- */

static uint64_t
keepalive_ms(const struct sp_mqtt_session *s)
{
    return (uint64_t)s->keepalive_s * 1500; /* one and a half times (MQTT 5 3.1.2-22) */
}

static void
on_timer(struct sp_timer *t, void *arg)
{
    struct sp_mqtt_session *s = arg;
    uint64_t                now = sp_clock_ms(), quiet_ms;

    (void)t;
    if (s->state != SP_MQTT_OPEN) {
        sp_mqtt_connect_late(s);
        return;
    }
    if (s->conn->paused) {
        s->heard_ms = now; /* it may well have spoken: we do not listen */
    }
    quiet_ms = now - s->heard_ms;
    if (quiet_ms < keepalive_ms(s)) {
        sp_timer_arm(s->conn->process->wheel, &s->timer, keepalive_ms(s) - quiet_ms, on_timer, s);
        return;
    }
    sp_mqtt_disconnect(s, SP_MQTT_KEEP_ALIVE_TIMEOUT, "nothing came within one and a half times the keep alive");
}

void
sp_mqtt_watch(struct sp_mqtt_session *s)
{
    struct sp_wheel *wheel = s->conn->process->wheel;

    if (s->state != SP_MQTT_OPEN) {
        sp_timer_arm(wheel, &s->timer, s->settings->connect_timeout_ms, on_timer, s);
    } else if (s->keepalive_s > 0) {
        sp_timer_arm(wheel, &s->timer, keepalive_ms(s), on_timer, s);
    } else {
        sp_timer_cancel(&s->timer);
    }
}

/* ---- protocol operations ---- */

static int
open_session(struct sp_conn *c)
{
    struct sp_mqtt_worker         *w = sp_mqtt_worker(c->process);
    struct sp_mqtt_session        *s;
    const struct sp_mqtt_settings *settings = sp_mqtt_settings_of(sp_mqtt_conf(c->snapshot), c->listener->block);

    if (settings == NULL) {
        return -ENOENT;
    }
    s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return -ENOMEM;
    }
    s->conn = c;
    s->worker = w;
    w->refs++;
    s->settings = settings;
    s->subscriber.ops = &sp_mqtt_subscriber_ops;
    s->subscriber.identity = c->identity;
    s->subscriber.id = c->id;
    sp_mqtt_wire_init(&s->wire, SP_MQTT_FROM_CLIENT);
    s->wire.max_qos = 1;
    s->wire.max_packet_bytes = settings->max_connect_packet_bytes;
    s->wire.max_user_props = settings->max_user_properties;
    s->wire.max_topic_levels = settings->max_topic_levels;
    s->heard_ms = sp_clock_ms();
    c->session = s;
    sp_mqtt_count(w, SP_MQTT_M_SOCKETS, 1);
    sp_mqtt_watch(s);
    return 0;
}

static size_t
tail_limit(struct sp_conn *c)
{
    const struct sp_mqtt_session *s = c->session;

    return s->wire.max_packet_bytes;
}

static void
drained(struct sp_conn *c)
{
    struct sp_mqtt_session *s = c->session;

    sp_mqtt_release(s, SP_MQTT_HOLD_OUTPUT);
    if (s->state == SP_MQTT_OPEN) {
        sp_mqtt_pump(s);
    }
}

static void
farewell(struct sp_conn *c, enum sp_close_why why)
{
    struct sp_mqtt_session *s = c->session;
    uint8_t                 reason = SP_MQTT_UNSPECIFIED_ERROR;
    const char             *text = NULL;
    char                    name[SP_MQTT_NAME_BYTES];

    switch (why) {
    case SP_CLOSE_SHUTDOWN:
        reason = SP_MQTT_SERVER_SHUTTING_DOWN;
        break;
    case SP_CLOSE_TAKEOVER:
        reason = SP_MQTT_SESSION_TAKEN_OVER;
        break;
    case SP_CLOSE_CREDENTIAL:
        reason = SP_MQTT_ADMINISTRATIVE_ACTION;
        text = "the certificate is not valid any more";
        break;
    case SP_CLOSE_POLICY:
        reason = SP_MQTT_ADMINISTRATIVE_ACTION;
        text = "the configuration in force does not allow this session any more";
        break;
    case SP_CLOSE_TIMEOUT:
        reason = SP_MQTT_QUOTA_EXCEEDED;
        text = "nothing was taken for too long";
        break;
    default:
        break;
    }
    if (s->state == SP_MQTT_OPEN) {
        put_disconnect(s, reason, text);
        sp_log(SP_LOG_INFO, "%s disconnected by the gateway: %s (0x%02x)%s%s", sp_mqtt_name(s, name, sizeof(name)),
               sp_mqtt_reason_name(reason), reason, text != NULL ? ": " : "", text != NULL ? text : "");
        sp_mqtt_access(s, "disconnect", text != NULL ? text : sp_mqtt_reason_name(reason));
    } else if (s->state == SP_MQTT_CLAIMING) {
        sp_mqtt_connect_refuse(s, why == SP_CLOSE_SHUTDOWN ? SP_MQTT_SERVER_SHUTTING_DOWN : SP_MQTT_NOT_AUTHORIZED,
                               text);
    }
    sp_mqtt_detach(s, true);
}

static void
closed(struct sp_conn *c, enum sp_close_why why)
{
    struct sp_mqtt_session *s = c->session;
    char                    name[SP_MQTT_NAME_BYTES];

    if (s->state == SP_MQTT_OPEN) {
        const char *how =
            why == SP_CLOSE_PEER ? "closed the connection without DISCONNECT" : "was closed by the gateway";

        sp_log(SP_LOG_INFO, "%s %s", sp_mqtt_name(s, name, sizeof(name)), how);
        sp_mqtt_access(s, "disconnect", how);
    }
    sp_mqtt_detach(s, true);
    c->session = NULL;
    free((void *)(uintptr_t)s->client_id.p);
    sp_mqtt_worker_unref(s->worker);
    free(s);
}

const struct sp_protocol sp_mqtt_protocol = {
    .name = "mqtt",
    .open = open_session,
    .input = sp_mqtt_input,
    .drained = drained,
    .tail_limit = tail_limit,
    .rebind = sp_mqtt_rebind,
    .farewell = farewell,
    .closed = closed,
};
