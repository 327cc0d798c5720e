#include "modules/mqtt_mtls/ack.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "store/retained.h"

static void
put_ack(struct sp_mqtt_session *s, uint16_t packet_id, uint8_t reason, const char *text)
{
    char               packet[512];
    struct sp_mqtt_set set;
    ssize_t            n;

    if (reason == SP_MQTT_OK || s->peer.level != 5) {
        sp_mqtt_put_ack(packet, SP_MQTT_PUBACK, packet_id);
        sp_mqtt_send(s, packet, 4);
        return;
    }
    sp_mqtt_set_clear(&set);
    if (text != NULL) {
        sp_mqtt_set_str(&set, SP_MQTT_P_REASON_STRING, sp_str_c(text));
    }
    n = sp_mqtt_encode_ack(packet, sizeof(packet), &s->peer, SP_MQTT_PUBACK, packet_id, reason, &set);
    if (n > 0) {
        sp_mqtt_send(s, packet, (size_t)n);
    }
}

static struct sp_mqtt_ack_wait *
append(struct sp_mqtt_session *s, uint16_t packet_id, uint8_t reason)
{
    struct sp_mqtt_ack_wait *a = calloc(1, sizeof(*a));

    if (a == NULL) {
        return NULL;
    }
    a->session = s;
    a->packet_id = packet_id;
    a->reason = reason;
    *(s->acks == NULL ? &s->acks : &s->acks_last->next) = a;
    s->acks_last = a;
    if (++s->nacks >= s->receive_max && s->peer.level != 5) { /* MQTT 5 clients know the limit */
        sp_mqtt_hold(s, SP_MQTT_HOLD_ACKS);
    }
    return a;
}

static void
out_of_memory(struct sp_mqtt_session *s)
{
    sp_mqtt_disconnect(s, SP_MQTT_SERVER_BUSY, "out of memory");
}

void
sp_mqtt_ack(struct sp_mqtt_session *s, uint16_t packet_id, uint8_t reason, const char *text)
{
    struct sp_mqtt_ack_wait *a;

    if (s->acks == NULL) {
        put_ack(s, packet_id, reason, text);
        return;
    }
    a = append(s, packet_id, reason);
    if (a == NULL) {
        out_of_memory(s);
        return;
    }
    a->ready = true;
    a->text = text != NULL ? strdup(text) : NULL;
}

struct sp_mqtt_ack_wait *
sp_mqtt_ack_later(struct sp_mqtt_session *s, uint16_t packet_id, uint8_t reason)
{
    struct sp_mqtt_ack_wait *a = append(s, packet_id, reason);

    if (a != NULL) {
        a->asked = true;
    }
    return a;
}

static void
free_first(struct sp_mqtt_session *s)
{
    struct sp_mqtt_ack_wait *a = s->acks;

    s->acks = a->next;
    s->nacks--;
    free(a->text);
    free(a);
}

static void
flush(struct sp_mqtt_session *s)
{
    while (s->acks != NULL && s->acks->ready) {
        put_ack(s, s->acks->packet_id, s->acks->reason, s->acks->text);
        free_first(s);
    }
    if (s->nacks < s->receive_max) {
        sp_mqtt_release(s, SP_MQTT_HOLD_ACKS);
    }
}

/* The message went to its subscribers but could not be kept. MQTT 3.1.1 cannot say so: an acknowledgement would be a lie. */
static bool
not_stored(struct sp_mqtt_ack_wait *a, int err)
{
    static struct sp_log_limit limit;
    struct sp_mqtt_session    *s = a->session;
    char                       name[SP_MQTT_NAME_BYTES];
    const char                *why = err == -ENOSPC ? "the limit of retained messages is reached" : "the store failed";

    sp_log_limited(&limit, 10, err == -ENOSPC ? SP_LOG_WARN : SP_LOG_ERROR, "%s retained message not stored: %s",
                   sp_mqtt_name(s, name, sizeof(name)), why);
    if (s->peer.level == 5) {
        a->reason = err == -ENOSPC ? SP_MQTT_QUOTA_EXCEEDED : SP_MQTT_IMPLEMENTATION_ERROR;
        a->text = strdup(why);
        return true;
    }
    if (err == -ENOSPC && !s->settings->close_on_denied) {
        return true; /* a refusal like any other: publish_denied drop */
    }
    sp_mqtt_disconnect(s, SP_MQTT_IMPLEMENTATION_ERROR, why);
    return false;
}

void
sp_mqtt_ack_stored(void *arg, int err)
{
    struct sp_mqtt_ack_wait *a = arg;
    struct sp_mqtt_session  *s = a->session;

    a->asked = false;
    if (err < 0 && !not_stored(a, err)) {
        return; /* and a has gone */
    }
    a->ready = true;
    flush(s);
}

void
sp_mqtt_acks_drop(struct sp_mqtt_session *s)
{
    struct sp_process *p = s->conn->process;

    while (s->acks != NULL) {
        if (s->acks->asked) {
            sp_retained_forget(p->retained, s->acks);
        }
        free_first(s);
    }
}
