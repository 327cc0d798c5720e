#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/random.h"
#include "modules/mqtt_mtls/access.h"
#include "modules/mqtt_mtls/input.h"
#include "modules/mqtt_mtls/will.h"
#include "store/names.h"

#define CLIENT_IDS 0 /* space of sp_names */

/* ---- CONNACK ---- */

void
sp_mqtt_connect_refuse(struct sp_mqtt_session *s, uint8_t reason, const char *text)
{
    char               packet[512];
    struct sp_mqtt_set set;
    ssize_t            n;

    sp_mqtt_set_clear(&set);
    if (text != NULL) {
        sp_mqtt_set_str(&set, SP_MQTT_P_REASON_STRING, sp_str_c(text));
    }
    n = sp_mqtt_encode_connack(packet, sizeof(packet), &s->peer, false, reason, &set);
    if (n > 0) {
        sp_mqtt_send(s, packet, (size_t)n);
    }
    sp_mqtt_count(s->worker, SP_MQTT_M_REFUSED, 1);
    sp_mqtt_access(s, "refused", text != NULL ? text : sp_mqtt_reason_name(reason));
}

static void
end(struct sp_mqtt_session *s)
{
    sp_mqtt_detach(s, false);
    sp_conn_close(s->conn, SP_CLOSE_PROTOCOL);
}

/* Refuses with a CONNACK and closes. */
static void
refuse(struct sp_mqtt_session *s, uint8_t reason, const char *text)
{
    static struct sp_log_limit limit;
    char                       name[SP_MQTT_NAME_BYTES];

    sp_log_limited(&limit, 20, SP_LOG_NOTICE, "%s connect refused: %s (0x%02x)", sp_mqtt_name(s, name, sizeof(name)),
                   text, reason);
    sp_mqtt_connect_refuse(s, reason, text);
    end(s);
}

/* MQTT 3.1.1 has return codes for an unknown version and a bad client id; anything else that is wrong with the packet closes
 * without an answer (MQTT 3.1.1 3.1.4-1, 4.8). MQTT 5 answers everything (3.1.4-1). */
static void
refuse_packet(struct sp_mqtt_session *s, const struct sp_mqtt_error *err)
{
    static struct sp_log_limit limit;
    char                       name[SP_MQTT_NAME_BYTES];
    bool                       answer = s->peer.level == 5 || err->reason == SP_MQTT_UNSUPPORTED_VERSION ||
                  err->reason == SP_MQTT_CLIENT_ID_NOT_VALID || err->reason == SP_MQTT_QOS_NOT_SUPPORTED;

    sp_mqtt_count(s->worker, SP_MQTT_M_PROTOCOL_ERRORS, 1);
    sp_log_limited(&limit, 20, SP_LOG_NOTICE, "%s connect refused: %s", sp_mqtt_name(s, name, sizeof(name)), err->text);
    if (answer) {
        sp_mqtt_connect_refuse(s, err->reason, err->text);
    }
    end(s);
}

void
sp_mqtt_connect_bad(struct sp_mqtt_session *s, const struct sp_mqtt_error *err)
{
    refuse_packet(s, err); /* the level is not known yet: in silence */
}

void
sp_mqtt_connect_late(struct sp_mqtt_session *s)
{
    static struct sp_log_limit limit;
    char                       name[SP_MQTT_NAME_BYTES];

    if (s->state == SP_MQTT_CLAIMING) {
        refuse(s, SP_MQTT_SERVER_UNAVAILABLE, "the client identifier could not be claimed in time");
        return;
    }
    sp_log_limited(&limit, 20, SP_LOG_INFO, "%s closed: no CONNECT in time", sp_mqtt_name(s, name, sizeof(name)));
    end(s);
}

static void
put_connack(struct sp_mqtt_session *s, bool assigned, bool keepalive_set)
{
    char               packet[1024];
    struct sp_mqtt_set set;
    ssize_t            n;

    sp_mqtt_set_clear(&set);
    if (s->may_expire) {
        sp_mqtt_set_num(&set, SP_MQTT_P_SESSION_EXPIRY, 0); /* what was asked for is not to be had */
    }
    if (s->receive_max != UINT16_MAX) {
        sp_mqtt_set_num(&set, SP_MQTT_P_RECEIVE_MAXIMUM, s->receive_max);
    }
    sp_mqtt_set_num(&set, SP_MQTT_P_MAXIMUM_QOS, 1);
    sp_mqtt_set_num(&set, SP_MQTT_P_MAXIMUM_PACKET_SIZE, s->wire.max_packet_bytes);
    if (s->wire.topic_alias_max > 0) {
        sp_mqtt_set_num(&set, SP_MQTT_P_TOPIC_ALIAS_MAXIMUM, s->wire.topic_alias_max);
    }
    sp_mqtt_set_num(&set, SP_MQTT_P_SHARED_AVAILABLE, 0);
    if (keepalive_set) {
        sp_mqtt_set_num(&set, SP_MQTT_P_SERVER_KEEP_ALIVE, s->keepalive_s);
    }
    if (assigned) {
        sp_mqtt_set_str(&set, SP_MQTT_P_ASSIGNED_CLIENT_ID, s->client_id);
    }
    n = sp_mqtt_encode_connack(packet, sizeof(packet), &s->peer, false, SP_MQTT_OK, &set);
    if (n > 0) {
        sp_mqtt_send(s, packet, (size_t)n);
    }
}

/* ---- CONNECT ---- */

/* What of CONNACK is known before the claim: kept in the session until it is granted. */
enum { KEEPALIVE_SET = 1, ID_ASSIGNED = 2 };

static void
set_peer(struct sp_mqtt_session *s, const struct sp_mqtt_connect *c)
{
    s->peer.level = c->level;
    s->peer.no_problem_info = !c->want_problem_info;
    s->peer.max_packet_bytes = c->max_packet_bytes;
}

/* NULL, or why not, with *reason. */
static const char *
objection(const struct sp_mqtt_session *s, const struct sp_mqtt_connect *c, uint8_t *reason)
{
    if (c->level != 4 && c->level != 5) {
        *reason = SP_MQTT_UNSUPPORTED_VERSION;
        return "MQTT 3.1 is not served: 3.1.1 and 5.0 are";
    }
    if (c->auth_method.p != NULL) {
        *reason = SP_MQTT_BAD_AUTHENTICATION_METHOD;
        return "extended authentication is not served";
    }
    if (c->client_id.n == 0 && !s->settings->empty_id_allowed) {
        *reason = SP_MQTT_CLIENT_ID_NOT_VALID;
        return "a client identifier is demanded (allow_zero_length_clientid off)";
    }
    if (c->level == 4 && !c->clean && !s->settings->serve_kept) {
        *reason = SP_MQTT_SERVER_UNAVAILABLE;
        return "a persistent session was asked for (clean session 0), which is not kept (persistent_sessions refuse)";
    }
    if (c->level == 4 && s->settings->max_keepalive_s != 0 &&
        (c->keep_alive_s == 0 || c->keep_alive_s > s->settings->max_keepalive_s)) {
        *reason = SP_MQTT_CLIENT_ID_NOT_VALID; /* what Mosquitto answers: 3.1.1 has no better code */
        return "the keep alive is longer than max_keepalive";
    }
    return NULL;
}

static bool
take_client_id(struct sp_mqtt_session *s, struct sp_str id, bool *assigned)
{
    char  made[24];
    char *copy;

    *assigned = id.n == 0;
    if (id.n == 0) {
        (void)snprintf(made, sizeof(made), "sp-%016llx", (unsigned long long)sp_random_u64());
        id = sp_str_c(made);
    }
    copy = malloc(id.n);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, id.p, id.n);
    s->client_id = (struct sp_str){copy, id.n};
    return true;
}

static bool
take_keepalive(struct sp_mqtt_session *s, uint16_t asked_s)
{
    uint32_t max_s = s->settings->max_keepalive_s;

    s->keepalive_s = asked_s;
    if (max_s == 0 || (asked_s != 0 && asked_s <= max_s)) {
        return false;
    }
    s->keepalive_s = (uint16_t)max_s;
    return true;
}

static void
take_limits(struct sp_mqtt_session *s, const struct sp_mqtt_connect *c)
{
    const struct sp_mqtt_settings *settings = s->settings;

    s->wire.level = c->level;
    s->wire.max_packet_bytes = settings->max_packet_bytes;
    s->wire.topic_alias_max = c->level == 5 ? settings->topic_alias_maximum : 0;
    s->receive_max = settings->max_inflight;
    s->window = c->receive_max < settings->max_inflight ? c->receive_max : settings->max_inflight;
    s->may_expire = c->level == 5 && c->session_expiry_s != 0;
}

static void on_granted(void *arg, bool took_over);

/* Client ids are a matter of the identity that uses them: what one client calls itself must not throw out another's session. */
static bool
claim(struct sp_mqtt_session *s)
{
    struct sp_str identity = s->conn->identity->name;
    size_t        n = identity.n + 1 + s->client_id.n;
    char         *key = sp_mqtt_scratch(s->worker, n);

    if (key == NULL || n > UINT16_MAX) {
        return false;
    }
    memcpy(key, identity.p, identity.n);
    key[identity.n] = '\0';
    memcpy(key + identity.n + 1, s->client_id.p, s->client_id.n);
    s->claim = sp_names_claim(s->conn->process->names, CLIENT_IDS, (struct sp_str){key, n}, s->conn->id, on_granted, s);
    return s->claim != NULL;
}

void
sp_mqtt_connect(struct sp_mqtt_session *s, const struct sp_mqtt_head *head, const char *body)
{
    struct sp_mqtt_connect c;
    struct sp_mqtt_error   err;
    const char            *why;
    uint8_t                reason;
    bool                   assigned;

    if (sp_mqtt_decode_connect(&s->wire, head, body, &c, &err) < 0) {
        set_peer(s, &c);
        refuse_packet(s, &err);
        return;
    }
    set_peer(s, &c);
    if (!take_client_id(s, c.client_id, &assigned)) {
        refuse(s, SP_MQTT_SERVER_BUSY, "out of memory for a session");
        return;
    }
    why = objection(s, &c, &reason);
    if (why != NULL) {
        refuse(s, reason, why);
        return;
    }
    take_limits(s, &c);
    s->connack_notes =
        (uint8_t)((take_keepalive(s, c.keep_alive_s) ? KEEPALIVE_SET : 0) | (assigned ? ID_ASSIGNED : 0));
    if ((c.has_will && sp_mqtt_will_take(s, &c.will) < 0) || !claim(s)) {
        refuse(s, SP_MQTT_SERVER_BUSY, "out of memory for a session");
        return;
    }
    s->state = SP_MQTT_CLAIMING;
    /* MQTT 5 3.1.4: more packets may be there already; they wait */
    sp_mqtt_hold(s, SP_MQTT_HOLD_CLAIM);
}

static void
on_granted(void *arg, bool took_over)
{
    struct sp_mqtt_session *s = arg;
    char                    name[SP_MQTT_NAME_BYTES];

    if (s->state != SP_MQTT_CLAIMING || !sp_conn_fresh(s->conn)) {
        return; /* closes: the claim is given back by then */
    }
    s->state = SP_MQTT_OPEN;
    put_connack(s, (s->connack_notes & ID_ASSIGNED) != 0, (s->connack_notes & KEEPALIVE_SET) != 0);
    sp_mqtt_count(s->worker, SP_MQTT_M_SESSIONS, 1);
    sp_mqtt_count(s->worker, SP_MQTT_M_CONNECTS, 1);
    s->heard_ms = sp_clock_ms();
    sp_mqtt_watch(s);
    sp_log(SP_LOG_INFO, "%s connected: MQTT %s, keep alive %u s%s%s%s", sp_mqtt_name(s, name, sizeof(name)),
           s->peer.level == 5 ? "5.0" : "3.1.1", s->keepalive_s, s->conn->ssl != NULL ? ", " : ", plain",
           s->conn->ssl != NULL ? SSL_get_version(s->conn->ssl) : "", took_over ? ", took over" : "");
    sp_mqtt_access(s, "connect", NULL);
    sp_mqtt_release(s, SP_MQTT_HOLD_CLAIM);
}
