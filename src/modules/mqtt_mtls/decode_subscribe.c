#include "base/topic.h"
#include "modules/mqtt_mtls/decode.h"
#include "modules/mqtt_mtls/read.h"

/* Splits "$share/GROUP/FILTER"; false when it begins so and is not well-formed (MQTT 5 4.8.2). */
static bool
split_shared(struct sp_mqtt_filter *f)
{
    bool valid = true;

    if (sp_topic_share_split(f->filter, &f->group, &f->inner, &valid)) {
        return valid;
    }
    f->group = (struct sp_str){NULL, 0};
    f->inner = f->filter;
    return true;
}

static int
check_options(uint8_t level, uint8_t options, bool shared, struct sp_mqtt_error *err)
{
    if ((options & (level == 5 ? 0xC0 : 0xFC)) != 0) {
        return sp_mqtt_refuse(err, SP_MQTT_MALFORMED_PACKET,
                              "SUBSCRIBE: reserved bits of the options are not 0 (MQTT 5 3.8.3-5)");
    }
    if ((options & 3) == 3) {
        return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR, "SUBSCRIBE: QoS 3 (MQTT 5 3.8.3.1)");
    }
    if ((options & 0x30) == 0x30) {
        return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR, "SUBSCRIBE: retain handling 3 (MQTT 5 3.8.3.1)");
    }
    if ((options & 4) != 0 && shared) {
        return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR,
                              "SUBSCRIBE: no local on a shared subscription (MQTT 5 3.8.3-4)");
    }
    return 0;
}

static int
check_filter(const struct sp_mqtt_wire *wire, struct sp_mqtt_filter *f, struct sp_mqtt_error *err)
{
    if (!sp_utf8_valid(f->filter)) {
        return sp_mqtt_refuse(err, SP_MQTT_MALFORMED_PACKET,
                              "topic filter is not UTF-8 or holds NUL (MQTT 5 1.5.4, 4.7.3-2)");
    }
    if (!split_shared(f)) {
        return sp_mqtt_refuse(err, SP_MQTT_TOPIC_FILTER_INVALID,
                              "shared subscription is not $share/NAME/FILTER (MQTT 5 4.8.2)");
    }
    if (sp_topic_filter_valid(f->inner, wire->max_topic_levels)) {
        return 0;
    }
    if (sp_topic_filter_valid(f->inner, UINT32_MAX)) {
        return sp_mqtt_refuse(err, SP_MQTT_TOPIC_FILTER_INVALID, "topic filter has more levels than this server takes");
    }
    return sp_mqtt_refuse(err, SP_MQTT_TOPIC_FILTER_INVALID,
                          "topic filter is empty or has a misplaced wildcard (MQTT 5 4.7.1, 4.7.3)");
}

/* Reads one filter off the front; only bounds are checked. */
static bool
read_filter(bool unsubscribe, struct sp_str *rest, struct sp_mqtt_filter *f, uint8_t *options)
{
    *options = 0;
    return sp_mqtt_read_str(rest, &f->filter) && (unsubscribe || sp_mqtt_read_u8(rest, options));
}

static int
check_filters(const struct sp_mqtt_wire *wire, struct sp_mqtt_subscribe *sub, struct sp_mqtt_error *err)
{
    struct sp_str rest = sub->filters;

    if (rest.n == 0) {
        return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR,
                              "SUBSCRIBE or UNSUBSCRIBE without a topic filter (MQTT 5 3.8.3-2, 3.10.3-2)");
    }
    for (; rest.n > 0; sub->count++) {
        struct sp_mqtt_filter f;
        uint8_t               options;
        if (!read_filter(sub->unsubscribe, &rest, &f, &options)) {
            return sp_mqtt_refuse(err, SP_MQTT_MALFORMED_PACKET,
                                  "topic filter or options run over the end of the packet (MQTT 5 3.8.3, 3.10.3)");
        }
        if (check_filter(wire, &f, err) < 0 || check_options(wire->level, options, f.group.p != NULL, err) < 0) {
            return -EPROTO;
        }
    }
    return 0;
}

int
sp_mqtt_decode_subscribe(const struct sp_mqtt_wire *wire, const struct sp_mqtt_head *head, const char *body,
                         struct sp_mqtt_subscribe *out, struct sp_mqtt_error *err)
{
    struct sp_str rest = {body, head->body_bytes};

    *out = (struct sp_mqtt_subscribe){.level = wire->level, .unsubscribe = head->type == SP_MQTT_UNSUBSCRIBE};
    if (!sp_mqtt_read_u16(&rest, &out->packet_id)) {
        return sp_mqtt_refuse(err, SP_MQTT_MALFORMED_PACKET,
                              "SUBSCRIBE or UNSUBSCRIBE: packet identifier missing (MQTT 5 2.2.1)");
    }
    if (out->packet_id == 0) {
        return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR,
                              "SUBSCRIBE or UNSUBSCRIBE: packet identifier 0 (MQTT 5 2.2.1-3)");
    }
    if (wire->level == 5 &&
        sp_mqtt_props_parse(&rest, head->type, wire->role, wire->max_user_props, &out->props, err) < 0) {
        return -EPROTO;
    }
    out->subscription_id = out->props.subscription_id;
    out->filters = rest;
    return check_filters(wire, out, err);
}

bool
sp_mqtt_subscribe_next(const struct sp_mqtt_subscribe *sub, struct sp_str *rest, struct sp_mqtt_filter *out)
{
    uint8_t options;

    if (rest->n == 0 || !read_filter(sub->unsubscribe, rest, out, &options)) {
        return false;
    }
    split_shared(out);
    out->qos = options & 3;
    out->no_local = (options & 4) != 0;
    out->retain_as_published = (options & 8) != 0;
    out->retain_handling = options >> 4 & 3;
    return true;
}
