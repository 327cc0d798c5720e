#include "modules/mqtt_mtls/decode.h"
#include "modules/mqtt_mtls/read.h"

#define BAD SP_MQTT_MALFORMED_PACKET

int
sp_mqtt_decode_connack(const struct sp_mqtt_wire *wire, const struct sp_mqtt_head *head, const char *body,
                       struct sp_mqtt_connack *out, struct sp_mqtt_error *err)
{
    struct sp_str rest = {body, head->body_bytes};
    uint8_t       flags, code;

    *out = (struct sp_mqtt_connack){0};
    if (!sp_mqtt_read_u8(&rest, &flags) || !sp_mqtt_read_u8(&rest, &code)) {
        return sp_mqtt_refuse(err, BAD, "CONNACK: flags or reason code missing (MQTT 5 3.2.2)");
    }
    if (flags > 1) {
        return sp_mqtt_refuse(err, BAD, "CONNACK: reserved flags are not 0 (MQTT 5 3.2.2-1)");
    }
    /* A server that does not speak MQTT 5 may refuse in the format of 3.1.1. */
    bool old = wire->level != 5 || (rest.n == 0 && code > 0 && code < 0x80);
    if (old && code > 5) {
        return sp_mqtt_refuse(err, BAD, "CONNACK: reserved return code (MQTT 3.1.1 3.2.2.3)");
    }
    if (!old && !sp_mqtt_reason_allowed(code, SP_MQTT_CONNACK, SP_MQTT_FROM_SERVER)) {
        return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR, "CONNACK: reason code not possible here (MQTT 5 3.2.2-8)");
    }
    out->session_present = flags != 0;
    out->reason = old ? sp_mqtt_reason_from_v3(code) : code;
    if (out->session_present && out->reason != 0) {
        return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR, "CONNACK: session present with a refusal (MQTT 5 3.2.2-6)");
    }
    if (!old && sp_mqtt_props_parse(&rest, SP_MQTT_CONNACK, wire->role, wire->max_user_props, &out->props, err) < 0) {
        return -EPROTO;
    }
    return rest.n == 0 ? 0 : sp_mqtt_refuse(err, BAD, "CONNACK: bytes after the end (MQTT 5 3.2.3)");
}

/* 3.1.1: granted QoS or 0x80; 5: tables 3-8 and 3-9. */
static bool
reason_possible(uint8_t level, enum sp_mqtt_type type, uint8_t reason)
{
    if (level == 5) {
        return sp_mqtt_reason_allowed(reason, type, SP_MQTT_FROM_SERVER);
    }
    return reason <= 2 || reason == 0x80;
}

int
sp_mqtt_decode_suback(const struct sp_mqtt_wire *wire, const struct sp_mqtt_head *head, const char *body,
                      struct sp_mqtt_suback *out, struct sp_mqtt_error *err)
{
    struct sp_str     rest = {body, head->body_bytes};
    enum sp_mqtt_type type = head->type;

    *out = (struct sp_mqtt_suback){0};
    if (!sp_mqtt_read_u16(&rest, &out->packet_id)) {
        return sp_mqtt_refuse(err, BAD, "SUBACK or UNSUBACK: packet identifier missing (MQTT 5 3.9.2)");
    }
    if (out->packet_id == 0) {
        return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR, "SUBACK or UNSUBACK: packet identifier 0 (MQTT 5 2.2.1)");
    }
    if (wire->level == 5 && sp_mqtt_props_parse(&rest, type, wire->role, wire->max_user_props, &out->props, err) < 0) {
        return -EPROTO;
    }
    bool bare = type == SP_MQTT_UNSUBACK && wire->level != 5;
    if (bare ? rest.n > 0 : rest.n == 0) {
        return sp_mqtt_refuse(err, BAD, "SUBACK or UNSUBACK: wrong number of reason codes (MQTT 5 3.9.3, 3.11.3)");
    }
    for (size_t i = 0; i < rest.n; i++) {
        if (!reason_possible(wire->level, type, (uint8_t)rest.p[i])) {
            return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR,
                                  "SUBACK or UNSUBACK: reason code not possible here (MQTT 5 3.9.3, 3.11.3)");
        }
    }
    out->reasons = rest;
    return 0;
}
