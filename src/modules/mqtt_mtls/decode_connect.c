#include "modules/mqtt_mtls/decode.h"
#include "modules/mqtt_mtls/read.h"

#define BAD SP_MQTT_MALFORMED_PACKET

enum connect_flag {
    RESERVED = 0x01,
    CLEAN = 0x02,
    WILL = 0x04,
    WILL_QOS = 0x18,
    WILL_RETAIN = 0x20,
    PASSWORD = 0x40,
    USER = 0x80
};

/* Protocol name and level (MQTT 5 3.1.2.1, 3.1.2.2). */
static int
read_protocol(const struct sp_mqtt_head *head, struct sp_str *rest, struct sp_mqtt_connect *out,
              struct sp_mqtt_error *err)
{
    struct sp_str name;
    uint8_t       level;

    if (!sp_mqtt_read_str(rest, &name) || !sp_mqtt_read_u8(rest, &level)) {
        return sp_mqtt_refuse(err, BAD, "CONNECT: protocol name or version missing (MQTT 5 3.1.2.1)");
    }
    bool old = sp_str_eq(name, SP_STR("MQIsdp"));
    if (!old && !sp_str_eq(name, SP_STR("MQTT"))) {
        return sp_mqtt_refuse(err, SP_MQTT_UNSUPPORTED_VERSION, "CONNECT: protocol name is not MQTT (MQTT 5 3.1.2-1)");
    }
    out->level = level;
    if (old ? level != 3 : level != 4 && level != 5) {
        return sp_mqtt_refuse(err, SP_MQTT_UNSUPPORTED_VERSION,
                              "CONNECT: protocol version is neither 4 nor 5 (MQTT 5 3.1.2-2)");
    }
    if (head->padded && level == 5) {
        return sp_mqtt_refuse(err, BAD, "remaining length is not in its shortest form (MQTT 5 1.5.5-1)");
    }
    return 0;
}

static int
read_flags(struct sp_str *rest, struct sp_mqtt_connect *out, struct sp_mqtt_error *err)
{
    uint8_t flags;

    if (!sp_mqtt_read_u8(rest, &flags) || !sp_mqtt_read_u16(rest, &out->keep_alive_s)) {
        return sp_mqtt_refuse(err, BAD, "CONNECT: flags or keep alive missing (MQTT 5 3.1.2)");
    }
    if ((flags & RESERVED) != 0) {
        return sp_mqtt_refuse(err, BAD, "CONNECT: reserved flag is not 0 (MQTT 5 3.1.2-3)");
    }
    if ((flags & WILL) == 0 && (flags & (WILL_QOS | WILL_RETAIN)) != 0) {
        return sp_mqtt_refuse(err, BAD, "CONNECT: will QoS or will retain without a will (MQTT 5 3.1.2-11, 3.1.2-13)");
    }
    if ((flags & WILL_QOS) == WILL_QOS) {
        return sp_mqtt_refuse(err, BAD, "CONNECT: will QoS 3 (MQTT 5 3.1.2-12)");
    }
    if (out->level < 5 && (flags & PASSWORD) != 0 && (flags & USER) == 0) {
        return sp_mqtt_refuse(err, BAD, "CONNECT: password without user name (MQTT 3.1.1 3.1.2-22)");
    }
    out->clean = (flags & CLEAN) != 0;
    out->has_will = (flags & WILL) != 0;
    out->will.qos = (uint8_t)((flags & WILL_QOS) >> 3);
    out->will.retain = (flags & WILL_RETAIN) != 0;
    out->has_password = (flags & PASSWORD) != 0;
    out->has_user = (flags & USER) != 0;
    return 0;
}

/* MQTT 5 3.1.2.11, with the defaults for what is absent and for older levels. */
static int
read_properties(const struct sp_mqtt_wire *wire, struct sp_str *rest, struct sp_mqtt_connect *out,
                struct sp_mqtt_error *err)
{
    const struct sp_mqtt_props *props = &out->props;

    out->receive_max = UINT16_MAX;
    out->want_problem_info = true;
    if (out->level != 5) {
        out->session_expiry_s = out->clean ? 0 : UINT32_MAX;
        return 0;
    }
    if (sp_mqtt_props_parse(rest, SP_MQTT_CONNECT, wire->role, wire->max_user_props, &out->props, err) < 0) {
        return -EPROTO;
    }
    out->session_expiry_s = sp_mqtt_props_num(props, SP_MQTT_P_SESSION_EXPIRY, 0);
    out->receive_max = (uint16_t)sp_mqtt_props_num(props, SP_MQTT_P_RECEIVE_MAXIMUM, UINT16_MAX);
    out->topic_alias_max = (uint16_t)sp_mqtt_props_num(props, SP_MQTT_P_TOPIC_ALIAS_MAXIMUM, 0);
    out->max_packet_bytes = sp_mqtt_props_num(props, SP_MQTT_P_MAXIMUM_PACKET_SIZE, 0);
    out->want_problem_info = sp_mqtt_props_num(props, SP_MQTT_P_REQUEST_PROBLEM_INFO, 1) != 0;
    out->want_response_info = sp_mqtt_props_num(props, SP_MQTT_P_REQUEST_RESPONSE_INFO, 0) != 0;
    out->auth_method = sp_mqtt_props_str(props, SP_MQTT_P_AUTH_METHOD);
    out->auth_data = sp_mqtt_props_str(props, SP_MQTT_P_AUTH_DATA);
    if (out->auth_data.p != NULL && out->auth_method.p == NULL) {
        return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR,
                              "CONNECT: authentication data without a method (MQTT 5 3.1.2.11.10)");
    }
    return 0;
}

static int
read_client_id(struct sp_str *rest, struct sp_mqtt_connect *out, struct sp_mqtt_error *err)
{
    if (!sp_mqtt_read_str(rest, &out->client_id)) {
        return sp_mqtt_refuse(err, BAD, "CONNECT: client identifier runs over the end of the packet (MQTT 5 3.1.3-3)");
    }
    if (!sp_utf8_valid(out->client_id)) {
        return sp_mqtt_refuse(err, BAD, "CONNECT: client identifier is not UTF-8 or holds NUL (MQTT 5 3.1.3-4)");
    }
    if (out->client_id.n == 0 && (out->level == 3 || (out->level == 4 && !out->clean))) {
        return sp_mqtt_refuse(err, SP_MQTT_CLIENT_ID_NOT_VALID,
                              "CONNECT: empty client identifier with a kept session (MQTT 3.1.1 3.1.3-8)");
    }
    return 0;
}

/* MQTT 5 3.1.3.2 .. 3.1.3.4. */
static int
read_will(const struct sp_mqtt_wire *wire, struct sp_str *rest, struct sp_mqtt_connect *out, struct sp_mqtt_error *err)
{
    struct sp_mqtt_will *will = &out->will;

    if (out->level == 5) {
        if (sp_mqtt_props_parse(rest, SP_MQTT_IN_WILL, wire->role, wire->max_user_props, &will->props, err) < 0) {
            return -EPROTO;
        }
        will->delay_s = sp_mqtt_props_num(&will->props, SP_MQTT_P_WILL_DELAY, 0);
    }
    if (!sp_mqtt_read_str(rest, &will->topic) || !sp_mqtt_read_str(rest, &will->payload)) {
        return sp_mqtt_refuse(err, BAD, "CONNECT: will runs over the end of the packet (MQTT 5 3.1.3)");
    }
    if (sp_mqtt_check_topic_name(will->topic, wire->max_topic_levels, err) < 0) {
        return -EPROTO;
    }
    if (will->qos > wire->max_qos) {
        return sp_mqtt_refuse(err, SP_MQTT_QOS_NOT_SUPPORTED,
                              "CONNECT: will QoS above the maximum QoS (MQTT 5 3.2.2-12)");
    }
    return 0;
}

/* MQTT 5 3.1.3.5, 3.1.3.6. */
static int
read_credentials(struct sp_str *rest, struct sp_mqtt_connect *out, struct sp_mqtt_error *err)
{
    if (out->has_user) {
        if (!sp_mqtt_read_str(rest, &out->user)) {
            return sp_mqtt_refuse(err, BAD, "CONNECT: user name runs over the end of the packet (MQTT 5 3.1.3.5)");
        }
        if (!sp_utf8_valid(out->user)) {
            return sp_mqtt_refuse(err, BAD, "CONNECT: user name is not UTF-8 or holds NUL (MQTT 5 3.1.3-11)");
        }
    }
    if (out->has_password && !sp_mqtt_read_str(rest, &out->password)) {
        return sp_mqtt_refuse(err, BAD, "CONNECT: password runs over the end of the packet (MQTT 5 3.1.3.6)");
    }
    return 0;
}

int
sp_mqtt_decode_connect(const struct sp_mqtt_wire *wire, const struct sp_mqtt_head *head, const char *body,
                       struct sp_mqtt_connect *out, struct sp_mqtt_error *err)
{
    struct sp_str rest = {body, head->body_bytes};

    *out = (struct sp_mqtt_connect){0};
    if (read_protocol(head, &rest, out, err) < 0 || read_flags(&rest, out, err) < 0 ||
        read_properties(wire, &rest, out, err) < 0 || read_client_id(&rest, out, err) < 0 ||
        (out->has_will && read_will(wire, &rest, out, err) < 0) || read_credentials(&rest, out, err) < 0) {
        return -EPROTO;
    }
    return rest.n == 0 ? 0 : sp_mqtt_refuse(err, BAD, "CONNECT: bytes after the end of the payload (MQTT 5 3.1.3)");
}
