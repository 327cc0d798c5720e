/*
 * libFuzzer target for the MQTT codec. The first byte chooses level, role and limits, the rest is a stream of packets.
 * Besides memory errors it looks for broken promises: an error without reason and text, slices outside the input, lists
 * that walk to another count than was told, a message that does not survive encoding.
 */
#include <stdlib.h>

#include "modules/mqtt_mtls/decode.h"
#include "modules/mqtt_mtls/encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
demand(bool promise)
{
    if (!promise) {
        abort();
    }
}

static struct sp_str input;
static unsigned      sink;

static void
inside(struct sp_str s)
{
    if (s.n == 0) {
        return;
    }
    demand(s.p >= input.p && s.n <= input.n && (size_t)(s.p - input.p) <= input.n - s.n);
    sink += (unsigned char)s.p[0] + (unsigned char)s.p[s.n - 1];
}

static void
walk_props(const struct sp_mqtt_props *props)
{
    struct sp_str       rest = props->raw, name, value;
    struct sp_mqtt_prop prop;
    uint32_t            users = 0, ids = 0, id;

    inside(props->raw);
    inside(props->content_type);
    inside(props->response_topic);
    inside(props->correlation);
    while (sp_mqtt_props_next(&rest, &prop)) {
        demand(sp_mqtt_props_has(props, prop.id));
        inside(prop.str);
        inside(prop.value);
        users += prop.id == SP_MQTT_P_USER_PROPERTY;
        ids += prop.id == SP_MQTT_P_SUBSCRIPTION_ID;
    }
    demand(rest.n == 0 && users == props->nuser && ids == props->nsubscription_ids);
    for (rest = props->raw; sp_mqtt_props_next_user(&rest, &name, &value); users--) {
    }
    for (rest = props->raw; sp_mqtt_props_next_subscription_id(&rest, &id); ids--) {
    }
    demand(users == 0 && ids == 0);
}

/* Forwards the message as a server would and decodes what came out. */
static void
forward(const struct sp_mqtt_publish *in, uint8_t level)
{
    struct sp_mqtt_wire     wire;
    struct sp_mqtt_head     head;
    struct sp_mqtt_error    err;
    struct sp_mqtt_publish  again;
    struct sp_mqtt_out_size bytes;
    uint32_t                id = 7;
    char                   *kept = malloc(in->props.forward_bytes + 1U);
    struct sp_mqtt_out      m = {.level = level,
                                 .qos = in->qos,
                                 .retain = in->retain,
                                 .dup = in->dup,
                                 .packet_id = in->packet_id,
                                 .topic_alias = in->props.topic_alias,
                                 .has_expiry = sp_mqtt_props_has(&in->props, SP_MQTT_P_MESSAGE_EXPIRY),
                                 .expiry_s = in->props.message_expiry_s,
                                 .nsubscription_ids = 1,
                                 .subscription_ids = &id,
                                 .topic = in->topic,
                                 .payload = in->payload};

    demand(sp_mqtt_props_forward(&in->props, kept) == in->props.forward_bytes);
    m.props = (struct sp_str){kept, in->props.forward_bytes};
    demand(sp_mqtt_publish_size(&m, &bytes) == 0);
    char    *packet = malloc(bytes.packet_bytes);
    uint32_t at = sp_mqtt_encode_publish(packet, &m, &bytes);
    demand(m.qos == 0 ? at == 0 : at + 2 <= bytes.prefix_bytes);
    sp_mqtt_wire_init(&wire, SP_MQTT_FROM_SERVER);
    wire.level = level;
    wire.topic_alias_max = UINT16_MAX;
    demand(sp_mqtt_frame(&wire, packet, bytes.packet_bytes, &head, &err) == SP_MQTT_FRAME_WHOLE);
    demand(head.header_bytes + head.body_bytes == bytes.packet_bytes);
    demand(sp_mqtt_decode_publish(&wire, &head, packet + head.header_bytes, &again, &err) == 0);
    demand(sp_str_eq(again.topic, in->topic) && sp_str_eq(again.payload, in->payload));
    demand(again.qos == in->qos && again.dup == in->dup && again.retain == in->retain &&
           again.packet_id == in->packet_id);
    demand(level != 5 || (again.props.nuser == in->props.nuser && again.props.subscription_id == 7 &&
                          again.props.payload_format == in->props.payload_format &&
                          sp_str_eq(again.props.correlation, in->props.correlation)));
    free(packet);
    free(kept);
}

static void
see_publish(const struct sp_mqtt_publish *m, uint8_t level)
{
    inside(m->topic);
    inside(m->payload);
    walk_props(&m->props);
    sink += sp_mqtt_payload_valid(&m->props, m->payload);
    if (level == 5) {
        forward(m, 5);
    }
    if (m->topic.n > 0) {
        forward(m, 4);
    }
}

static void
see_subscribe(const struct sp_mqtt_subscribe *sub)
{
    struct sp_str         rest = sub->filters;
    struct sp_mqtt_filter f;
    uint32_t              n = 0;

    while (sp_mqtt_subscribe_next(sub, &rest, &f)) {
        inside(f.filter);
        inside(f.group);
        inside(f.inner);
        demand(f.qos < 3 && f.retain_handling < 3 && f.inner.n > 0);
        n++;
    }
    demand(rest.n == 0 && n == sub->count && n > 0);
    walk_props(&sub->props);
}

static void
see_connect(const struct sp_mqtt_connect *c)
{
    inside(c->client_id);
    inside(c->user);
    inside(c->password);
    inside(c->auth_method);
    inside(c->auth_data);
    inside(c->will.topic);
    inside(c->will.payload);
    walk_props(&c->props);
    walk_props(&c->will.props);
    demand(c->receive_max > 0 && c->level >= 3 && c->level <= 5);
}

static int
decode(struct sp_mqtt_wire *wire, const struct sp_mqtt_head *head, const char *body, struct sp_mqtt_error *err)
{
    union {
        struct sp_mqtt_connect   connect;
        struct sp_mqtt_connack   connack;
        struct sp_mqtt_publish   publish;
        struct sp_mqtt_ack       ack;
        struct sp_mqtt_subscribe subscribe;
        struct sp_mqtt_suback    suback;
    } u;
    int rc;

    switch (head->type) {
    case SP_MQTT_CONNECT:
        if ((rc = sp_mqtt_decode_connect(wire, head, body, &u.connect, err)) == 0) {
            see_connect(&u.connect);
            wire->level = u.connect.level;
        }
        return rc;
    case SP_MQTT_CONNACK:
        if ((rc = sp_mqtt_decode_connack(wire, head, body, &u.connack, err)) == 0) {
            walk_props(&u.connack.props);
        }
        return rc;
    case SP_MQTT_PUBLISH:
        if ((rc = sp_mqtt_decode_publish(wire, head, body, &u.publish, err)) == 0) {
            see_publish(&u.publish, wire->level);
        }
        return rc;
    case SP_MQTT_SUBSCRIBE:
    case SP_MQTT_UNSUBSCRIBE:
        if ((rc = sp_mqtt_decode_subscribe(wire, head, body, &u.subscribe, err)) == 0) {
            see_subscribe(&u.subscribe);
        }
        return rc;
    case SP_MQTT_SUBACK:
    case SP_MQTT_UNSUBACK:
        if ((rc = sp_mqtt_decode_suback(wire, head, body, &u.suback, err)) == 0) {
            inside(u.suback.reasons);
            walk_props(&u.suback.props);
        }
        return rc;
    case SP_MQTT_PINGREQ:
    case SP_MQTT_PINGRESP:
        return sp_mqtt_decode_ping(head, err);
    case SP_MQTT_DISCONNECT:
        rc = sp_mqtt_decode_disconnect(wire, head, body, &u.ack, err);
        break;
    case SP_MQTT_AUTH:
        rc = sp_mqtt_decode_auth(wire, head, body, &u.ack, err);
        break;
    default:
        rc = sp_mqtt_decode_ack(wire, head, body, &u.ack, err);
        break;
    }
    if (rc == 0) {
        walk_props(&u.ack.props);
    }
    return rc;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t levels[4] = {0, 3, 4, 5};
    struct sp_mqtt_wire  wire;

    if (size == 0) {
        return 0;
    }
    sp_mqtt_wire_init(&wire, data[0] & 4 ? SP_MQTT_FROM_SERVER : SP_MQTT_FROM_CLIENT);
    wire.level = levels[data[0] & 3];
    wire.topic_alias_max = data[0] & 8 ? UINT16_MAX : 0;
    wire.max_user_props = data[0] & 16 ? 2 : 64;
    wire.max_packet_bytes = data[0] & 32 ? 100 : 0;
    wire.max_topic_levels = data[0] & 64 ? 3 : 200;
    const char *p = (const char *)data + 1;
    size_t      n = size - 1;
    for (;;) {
        struct sp_mqtt_head  head;
        struct sp_mqtt_error err = {0};
        input = (struct sp_str){p, n};
        enum sp_mqtt_frame frame = sp_mqtt_frame(&wire, p, n, &head, &err);
        if (frame == SP_MQTT_FRAME_BAD ||
            (frame == SP_MQTT_FRAME_WHOLE && decode(&wire, &head, p + head.header_bytes, &err) < 0)) {
            demand(err.reason >= 0x80 && err.text != NULL);
            return 0;
        }
        if (frame != SP_MQTT_FRAME_WHOLE) {
            return 0;
        }
        p += head.header_bytes + head.body_bytes;
        n -= head.header_bytes + head.body_bytes;
    }
}
