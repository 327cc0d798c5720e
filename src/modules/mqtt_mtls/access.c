#include "modules/mqtt_mtls/access.h"

#include "net/access_log.h"

static struct sp_access_event
event_of(const struct sp_mqtt_session *s, const char *name, char *peer, size_t cap)
{
    struct sp_access_event e = SP_ACCESS_EVENT;

    e.event = name;
    e.identity = s->conn->identity->name;
    e.client = s->client_id;
    e.peer = sp_str_c(sp_conn_peer(s->conn, peer, cap));
    e.listener = s->conn->listener != NULL ? sp_str_c(s->conn->listener->address) : (struct sp_str){NULL, 0};
    e.protocol = "mqtt";
    e.version = s->peer.level;
    return e;
}

void
sp_mqtt_access(const struct sp_mqtt_session *s, const char *event, const char *reason)
{
    struct sp_access_event e;
    char                   peer[64];

    if (!sp_access_enabled(s->conn->process)) {
        return;
    }
    e = event_of(s, event, peer, sizeof(peer));
    e.reason = reason;
    if (strcmp(event, "disconnect") == 0) {
        e.received_bytes = (int64_t)s->received_bytes;
        e.sent_bytes = (int64_t)s->sent_bytes;
        e.duration_ms = (int64_t)(sp_clock_ms() - s->conn->opened_ms);
    }
    sp_access_log(s->conn->process, &e);
}

void
sp_mqtt_access_denied(const struct sp_mqtt_session *s, const char *action, const struct sp_policy *policy,
                      struct sp_str topic, int qos, const char *reason, struct sp_str where)
{
    struct sp_access_event e;
    char                   peer[64];

    if (!sp_access_enabled(s->conn->process)) {
        return;
    }
    e = event_of(s, "denied", peer, sizeof(peer));
    if (policy != NULL && policy->path.realm != NULL && policy->path.realm->node != NULL) {
        e.realm = policy->path.realm->node->args[1].text;
    }
    e.topic = topic;
    e.action = action;
    e.qos = qos;
    e.reason = reason;
    e.where = where;
    sp_access_log(s->conn->process, &e);
}
