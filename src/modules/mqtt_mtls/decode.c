#include "modules/mqtt_mtls/decode.h"

#include "base/topic.h"
#include "modules/mqtt_mtls/read.h"

#define DEFAULT_USER_PROPS   64
#define DEFAULT_TOPIC_LEVELS 200

#define BAD SP_MQTT_MALFORMED_PACKET

void
sp_mqtt_wire_init(struct sp_mqtt_wire *wire, enum sp_mqtt_role role)
{
    *wire = (struct sp_mqtt_wire){.role = (uint8_t)role,
                                  .max_qos = 2,
                                  .max_user_props = DEFAULT_USER_PROPS,
                                  .max_topic_levels = DEFAULT_TOPIC_LEVELS};
}

/* ---- fixed header ---- */

#define CLIENT 1
#define SERVER 2
#define BOTH   3

/* MQTT 5 tables 2-1 and 2-2: who sends a type, from which level on, with which flags (PUBLISH: any). */
static const struct {
    uint8_t     senders, level, flags;
    const char *bad_flags;
} types[16] = {
    [SP_MQTT_CONNECT] = {CLIENT, 0, 0, "CONNECT: reserved flags are not 0 (MQTT 5 2.1.3)"},
    [SP_MQTT_CONNACK] = {SERVER, 0, 0, "CONNACK: reserved flags are not 0 (MQTT 5 2.1.3)"},
    [SP_MQTT_PUBLISH] = {BOTH, 0, 0, NULL},
    [SP_MQTT_PUBACK] = {BOTH, 0, 0, "PUBACK: reserved flags are not 0 (MQTT 5 2.1.3)"},
    [SP_MQTT_PUBREC] = {BOTH, 0, 0, "PUBREC: reserved flags are not 0 (MQTT 5 2.1.3)"},
    [SP_MQTT_PUBREL] = {BOTH, 0, 2, "PUBREL: reserved flags are not 2 (MQTT 5 3.6.1-1)"},
    [SP_MQTT_PUBCOMP] = {BOTH, 0, 0, "PUBCOMP: reserved flags are not 0 (MQTT 5 2.1.3)"},
    [SP_MQTT_SUBSCRIBE] = {CLIENT, 0, 2, "SUBSCRIBE: reserved flags are not 2 (MQTT 5 3.8.1-1)"},
    [SP_MQTT_SUBACK] = {SERVER, 0, 0, "SUBACK: reserved flags are not 0 (MQTT 5 2.1.3)"},
    [SP_MQTT_UNSUBSCRIBE] = {CLIENT, 0, 2, "UNSUBSCRIBE: reserved flags are not 2 (MQTT 5 3.10.1-1)"},
    [SP_MQTT_UNSUBACK] = {SERVER, 0, 0, "UNSUBACK: reserved flags are not 0 (MQTT 5 2.1.3)"},
    [SP_MQTT_PINGREQ] = {CLIENT, 0, 0, "PINGREQ: reserved flags are not 0 (MQTT 5 2.1.3)"},
    [SP_MQTT_PINGRESP] = {SERVER, 0, 0, "PINGRESP: reserved flags are not 0 (MQTT 5 2.1.3)"},
    [SP_MQTT_DISCONNECT] = {BOTH, 0, 0, "DISCONNECT: reserved flags are not 0 (MQTT 5 3.14.1-1)"},
    [SP_MQTT_AUTH] = {BOTH, 5, 0, "AUTH: reserved flags are not 0 (MQTT 5 3.15.1-1)"},
};

static int
check_publish_flags(uint8_t flags, struct sp_mqtt_error *err)
{
    unsigned qos = flags >> 1 & 3;

    if (qos == 3) {
        return sp_mqtt_refuse(err, BAD, "PUBLISH: QoS 3 (MQTT 5 3.3.1-4)");
    }
    if (qos == 0 && (flags & 8) != 0) {
        return sp_mqtt_refuse(err, BAD, "PUBLISH: DUP with QoS 0 (MQTT 5 3.3.1-2)");
    }
    return 0;
}

static int
check_first_byte(const struct sp_mqtt_wire *wire, uint8_t byte, struct sp_mqtt_error *err)
{
    unsigned type = byte >> 4;
    uint8_t  flags = byte & 15;

    if (wire->role == SP_MQTT_FROM_CLIENT) {
        if (wire->level == 0 && type != SP_MQTT_CONNECT) {
            return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR, "first packet is not CONNECT (MQTT 5 3.1.0-1)");
        }
        if (wire->level != 0 && type == SP_MQTT_CONNECT) {
            return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR, "second CONNECT (MQTT 5 3.1.0-2)");
        }
    }
    if (type == 0 || wire->level < types[type].level) {
        return sp_mqtt_refuse(err, BAD, "reserved packet type (MQTT 5 2.1.2)");
    }
    if ((types[type].senders & (wire->role == SP_MQTT_FROM_CLIENT ? CLIENT : SERVER)) == 0) {
        return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR,
                              "packet type goes in the other direction only (MQTT 5 2.1.2)");
    }
    if (type == SP_MQTT_PUBLISH) {
        return check_publish_flags(flags, err);
    }
    return flags == types[type].flags ? 0 : sp_mqtt_refuse(err, BAD, types[type].bad_flags);
}

enum sp_mqtt_frame
sp_mqtt_frame(const struct sp_mqtt_wire *wire, const char *p, size_t n, struct sp_mqtt_head *head,
              struct sp_mqtt_error *err)
{
    if (n == 0) {
        return SP_MQTT_FRAME_SHORT;
    }
    if (check_first_byte(wire, (uint8_t)p[0], err) < 0) {
        return SP_MQTT_FRAME_BAD;
    }
    int bytes = sp_mqtt_get_varint(p + 1, n - 1, &head->body_bytes, &head->padded);
    if (bytes == 0) {
        return SP_MQTT_FRAME_SHORT;
    }
    if (bytes < 0) {
        sp_mqtt_refuse(err, BAD, "remaining length is longer than four bytes (MQTT 5 1.5.5)");
        return SP_MQTT_FRAME_BAD;
    }
    if (head->padded && wire->level == 5) {
        sp_mqtt_refuse(err, BAD, "remaining length is not in its shortest form (MQTT 5 1.5.5-1)");
        return SP_MQTT_FRAME_BAD;
    }
    head->header_bytes = (uint8_t)(1 + bytes);
    head->type = (uint8_t)p[0] >> 4;
    head->flags = (uint8_t)p[0] & 15;
    size_t all = (size_t)head->header_bytes + head->body_bytes;
    if (wire->max_packet_bytes != 0 && all > wire->max_packet_bytes) {
        sp_mqtt_refuse(err, SP_MQTT_PACKET_TOO_LARGE,
                       "packet is larger than the maximum packet size (MQTT 5 3.2.2.3.6)");
        return SP_MQTT_FRAME_BAD;
    }
    return n >= all ? SP_MQTT_FRAME_WHOLE : SP_MQTT_FRAME_PARTIAL;
}

/* ---- PUBLISH ---- */

int
sp_mqtt_check_topic_name(struct sp_str topic, uint32_t max_levels, struct sp_mqtt_error *err)
{
    if (sp_topic_name_valid(topic, max_levels)) {
        return 0;
    }
    if (topic.n == 0) {
        return sp_mqtt_refuse(err, SP_MQTT_TOPIC_NAME_INVALID, "topic name is empty (MQTT 5 4.7.3-1)");
    }
    if (!sp_utf8_valid(topic)) {
        return sp_mqtt_refuse(err, BAD, "topic name is not UTF-8 or holds NUL (MQTT 5 1.5.4, 4.7.3-2)");
    }
    if (sp_topic_has_wildcard(topic)) {
        return sp_mqtt_refuse(err, SP_MQTT_TOPIC_NAME_INVALID, "topic name has a wildcard (MQTT 5 3.3.2-2)");
    }
    return sp_mqtt_refuse(err, SP_MQTT_TOPIC_NAME_INVALID, "topic name has more levels than this server takes");
}

/* What only holds together once topic and properties are both known. */
static int
check_topic_and_alias(const struct sp_mqtt_wire *wire, const struct sp_mqtt_publish *m, struct sp_mqtt_error *err)
{
    if (m->props.topic_alias > wire->topic_alias_max) {
        return sp_mqtt_refuse(err, SP_MQTT_TOPIC_ALIAS_INVALID,
                              "PUBLISH: topic alias above the topic alias maximum (MQTT 5 3.3.2-9)");
    }
    if (m->topic.n > 0) {
        return sp_mqtt_check_topic_name(m->topic, wire->max_topic_levels, err);
    }
    if (wire->level != 5) {
        return sp_mqtt_refuse(err, SP_MQTT_TOPIC_NAME_INVALID, "PUBLISH: topic name is empty (MQTT 3.1.1 4.7.3-1)");
    }
    if (m->props.topic_alias == 0) {
        return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR,
                              "PUBLISH: neither topic name nor topic alias (MQTT 5 3.3.2.1)");
    }
    return 0;
}

int
sp_mqtt_decode_publish(const struct sp_mqtt_wire *wire, const struct sp_mqtt_head *head, const char *body,
                       struct sp_mqtt_publish *out, struct sp_mqtt_error *err)
{
    struct sp_str rest = {body, head->body_bytes};

    out->qos = head->flags >> 1 & 3;
    out->retain = (head->flags & 1) != 0;
    out->dup = (head->flags & 8) != 0;
    out->packet_id = 0;
    if (!sp_mqtt_read_str(&rest, &out->topic)) {
        return sp_mqtt_refuse(err, BAD, "PUBLISH: topic name runs over the end of the packet (MQTT 5 3.3.2.1)");
    }
    if (out->qos > 0) {
        if (!sp_mqtt_read_u16(&rest, &out->packet_id)) {
            return sp_mqtt_refuse(err, BAD, "PUBLISH: packet identifier missing (MQTT 5 3.3.2.2)");
        }
        if (out->packet_id == 0) {
            return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR, "PUBLISH: packet identifier 0 (MQTT 5 2.2.1-3)");
        }
    }
    if (wire->level != 5) {
        out->props = (struct sp_mqtt_props){0};
    } else if (sp_mqtt_props_parse(&rest, SP_MQTT_PUBLISH, wire->role, wire->max_user_props, &out->props, err) < 0) {
        return -EPROTO;
    }
    if (check_topic_and_alias(wire, out, err) < 0) {
        return -EPROTO;
    }
    if (out->qos > wire->max_qos) {
        return sp_mqtt_refuse(err, SP_MQTT_QOS_NOT_SUPPORTED, "PUBLISH: QoS above the maximum QoS (MQTT 5 3.2.2-11)");
    }
    out->payload = rest;
    return 0;
}

/* ---- acknowledgements, DISCONNECT, AUTH ---- */

/* Reason code and properties at the end of a packet, both of which may be left out (MQTT 5 3.4.2.1, 3.14.2.1): then 0.
 */
static int
decode_reason(const struct sp_mqtt_wire *wire, enum sp_mqtt_type type, struct sp_str rest, struct sp_mqtt_ack *out,
              struct sp_mqtt_error *err)
{
    out->reason = 0;
    out->props = (struct sp_mqtt_props){0};
    if (wire->level == 5 && rest.n > 0) {
        sp_mqtt_read_u8(&rest, &out->reason);
        if (!sp_mqtt_reason_allowed(out->reason, type, wire->role)) {
            return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR, "reason code not possible in this packet (MQTT 5 2.4)");
        }
        if (rest.n > 0 && sp_mqtt_props_parse(&rest, type, wire->role, wire->max_user_props, &out->props, err) < 0) {
            return -EPROTO;
        }
    }
    return rest.n == 0 ? 0 : sp_mqtt_refuse(err, BAD, "bytes after the end of the packet's content (MQTT 5 2.1.4)");
}

int
sp_mqtt_decode_ack(const struct sp_mqtt_wire *wire, const struct sp_mqtt_head *head, const char *body,
                   struct sp_mqtt_ack *out, struct sp_mqtt_error *err)
{
    struct sp_str rest = {body, head->body_bytes};

    if (!sp_mqtt_read_u16(&rest, &out->packet_id)) {
        return sp_mqtt_refuse(err, BAD, "acknowledgement: packet identifier missing (MQTT 5 2.2.1)");
    }
    if (out->packet_id == 0) {
        return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR, "acknowledgement: packet identifier 0 (MQTT 5 2.2.1)");
    }
    return decode_reason(wire, head->type, rest, out, err);
}

int
sp_mqtt_decode_disconnect(const struct sp_mqtt_wire *wire, const struct sp_mqtt_head *head, const char *body,
                          struct sp_mqtt_ack *out, struct sp_mqtt_error *err)
{
    out->packet_id = 0;
    if (wire->level != 5 && wire->role == SP_MQTT_FROM_SERVER) {
        return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR, "DISCONNECT from a server (MQTT 3.1.1 3.14)");
    }
    return decode_reason(wire, SP_MQTT_DISCONNECT, (struct sp_str){body, head->body_bytes}, out, err);
}

int
sp_mqtt_decode_auth(const struct sp_mqtt_wire *wire, const struct sp_mqtt_head *head, const char *body,
                    struct sp_mqtt_ack *out, struct sp_mqtt_error *err)
{
    struct sp_str rest = {body, head->body_bytes};

    out->packet_id = 0;
    if (decode_reason(wire, SP_MQTT_AUTH, rest, out, err) < 0) {
        return -EPROTO;
    }
    if (!sp_mqtt_props_has(&out->props, SP_MQTT_P_AUTH_METHOD)) {
        return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR, "AUTH: authentication method missing (MQTT 5 3.15.2.2.2)");
    }
    return 0;
}

int
sp_mqtt_decode_ping(const struct sp_mqtt_head *head, struct sp_mqtt_error *err)
{
    return head->body_bytes == 0 ? 0 : sp_mqtt_refuse(err, BAD, "PINGREQ or PINGRESP with a body (MQTT 5 3.12, 3.13)");
}
