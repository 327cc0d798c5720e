#include "modules/mqtt_mtls/input.h"

#include "modules/mqtt_mtls/deliver.h"
#include "modules/mqtt_mtls/publish.h"
#include "modules/mqtt_mtls/read.h"
#include "modules/mqtt_mtls/subscribe.h"

#define PART_BYTES 1024u

static void
on_disconnect(struct sp_mqtt_session *s, const struct sp_mqtt_head *head, const char *body)
{
    struct sp_mqtt_ack   ack;
    struct sp_mqtt_error err;

    if (sp_mqtt_decode_disconnect(&s->wire, head, body, &ack, &err) < 0) {
        sp_mqtt_protocol_error(s, &err);
        return;
    }
    if (!s->may_expire && sp_mqtt_props_num(&ack.props, SP_MQTT_P_SESSION_EXPIRY, 0) != 0) {
        sp_mqtt_refuse(&err, SP_MQTT_PROTOCOL_ERROR,
                       "DISCONNECT: session expiry after CONNECT had none (MQTT 5 3.14.2.2.2)");
        sp_mqtt_protocol_error(s, &err);
        return;
    }
    /* MQTT 5 3.14.4-3: only the normal one discards the will */
    sp_mqtt_goodbye(s, ack.reason != SP_MQTT_OK,
                    ack.reason == SP_MQTT_OK ? "disconnected" : "disconnected with a reason");
}

static void
on_ping(struct sp_mqtt_session *s, const struct sp_mqtt_head *head)
{
    struct sp_mqtt_error err;
    char                 packet[2];

    if (sp_mqtt_decode_ping(head, &err) < 0) {
        sp_mqtt_protocol_error(s, &err);
        return;
    }
    sp_mqtt_put_pingresp(packet);
    sp_mqtt_send(s, packet, sizeof(packet));
}

static void
unexpected(struct sp_mqtt_session *s, uint8_t reason, const char *text)
{
    struct sp_mqtt_error err = {reason, text};

    sp_mqtt_protocol_error(s, &err);
}

static void
on_auth(struct sp_mqtt_session *s, const struct sp_mqtt_head *head, const char *body)
{
    struct sp_mqtt_ack   ack;
    struct sp_mqtt_error err;

    if (sp_mqtt_decode_auth(&s->wire, head, body, &ack, &err) < 0) {
        sp_mqtt_protocol_error(s, &err);
        return;
    }
    /* MQTT 5 4.12: CONNECT named no method, since one that does is refused */
    unexpected(s, SP_MQTT_PROTOCOL_ERROR, "AUTH without extended authentication in CONNECT (MQTT 5 4.12)");
}

/* QoS 2 was never granted nor taken: none of its packets can be right. */
static void
on_qos2(struct sp_mqtt_session *s, const struct sp_mqtt_head *head, const char *body)
{
    struct sp_mqtt_ack   ack;
    struct sp_mqtt_error err;

    if (sp_mqtt_decode_ack(&s->wire, head, body, &ack, &err) < 0) {
        sp_mqtt_protocol_error(s, &err);
        return;
    }
    unexpected(s, SP_MQTT_PROTOCOL_ERROR, "a packet of QoS 2, which is not served");
}

/* False: not consumed, the packet is to be offered again. */
static bool
packet(struct sp_mqtt_session *s, const struct sp_mqtt_head *head, const char *body)
{
    switch (head->type) {
    case SP_MQTT_PUBLISH:
        return sp_mqtt_on_publish(s, head, body);
    case SP_MQTT_PUBACK:
        sp_mqtt_on_puback(s, head, body);
        break;
    case SP_MQTT_CONNECT:
        sp_mqtt_connect(s, head, body);
        break;
    case SP_MQTT_SUBSCRIBE:
        sp_mqtt_on_subscribe(s, head, body);
        break;
    case SP_MQTT_UNSUBSCRIBE:
        sp_mqtt_on_unsubscribe(s, head, body);
        break;
    case SP_MQTT_PINGREQ:
        on_ping(s, head);
        break;
    case SP_MQTT_DISCONNECT:
        on_disconnect(s, head, body);
        break;
    case SP_MQTT_AUTH:
        on_auth(s, head, body);
        break;
    default:
        on_qos2(s, head, body);
        break;
    }
    return true;
}

static void
bad_frame(struct sp_mqtt_session *s, const struct sp_mqtt_error *err)
{
    if (s->state == SP_MQTT_FRESH) {
        sp_mqtt_connect_bad(s, err);
    } else {
        sp_mqtt_protocol_error(s, err);
    }
}

/* A packet counts as a sign of life (MQTT 5 3.1.2-22), and so does a fair piece of a long one; a byte now and then does not. */
static void
note_life(struct sp_mqtt_session *s, bool whole, size_t rest)
{
    if (whole || rest >= s->part_bytes + PART_BYTES) {
        s->heard_ms = sp_clock_ms();
        s->part_bytes = (uint32_t)rest;
    }
}

ssize_t
sp_mqtt_input(struct sp_conn *c, const char *bytes, size_t n)
{
    struct sp_mqtt_session *s = c->session;
    struct sp_mqtt_head     head;
    struct sp_mqtt_error    err;
    size_t                  at = 0;
    int64_t                 packets = 0;

    while (at < n && !c->paused && s->state != SP_MQTT_ENDED) {
        enum sp_mqtt_frame frame = sp_mqtt_frame(&s->wire, bytes + at, n - at, &head, &err);

        if (frame == SP_MQTT_FRAME_BAD) {
            bad_frame(s, &err);
            break;
        }
        if (frame != SP_MQTT_FRAME_WHOLE || !packet(s, &head, bytes + at + head.header_bytes)) {
            break;
        }
        at += (size_t)head.header_bytes + head.body_bytes;
        packets++;
    }
    note_life(s, packets > 0, n - at);
    sp_mqtt_count(s->worker, SP_MQTT_M_MESSAGES_RECEIVED, packets);
    sp_mqtt_count(s->worker, SP_MQTT_M_BYTES_RECEIVED, (int64_t)at);
    s->received_bytes += at;
    if (packets > 0 && s->state == SP_MQTT_OPEN) {
        sp_mqtt_pump_acked(s);
    }
    return s->state == SP_MQTT_ENDED ? (ssize_t)n : (ssize_t)at;
}
