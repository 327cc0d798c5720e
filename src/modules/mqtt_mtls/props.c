#include "modules/mqtt_mtls/props.h"

#include "base/topic.h"
#include "modules/mqtt_mtls/packet.h"
#include "modules/mqtt_mtls/read.h"
#include "modules/mqtt_mtls/reason.h"
#include "modules/mqtt_mtls/write.h"

enum kind { UNKNOWN, BYTE, TWO, FOUR, VARINT, STRING, BINARY, PAIR };

enum check { ANY, BOOLEAN, NONZERO };

/* What stands where: packet types, bit 0 for the will. */
#define IN(type)  (1U << (type))
#define MESSAGE   (IN(SP_MQTT_PUBLISH) | IN(SP_MQTT_IN_WILL))
#define HANDSHAKE (IN(SP_MQTT_CONNECT) | IN(SP_MQTT_CONNACK))
#define ACKS      (IN(SP_MQTT_PUBACK) | IN(SP_MQTT_PUBREC) | IN(SP_MQTT_PUBREL) | IN(SP_MQTT_PUBCOMP))
#define REASONED                                                                                                       \
    (IN(SP_MQTT_CONNACK) | ACKS | IN(SP_MQTT_SUBACK) | IN(SP_MQTT_UNSUBACK) | IN(SP_MQTT_DISCONNECT) | IN(SP_MQTT_AUTH))
#define EVERYWHERE (REASONED | MESSAGE | IN(SP_MQTT_CONNECT) | IN(SP_MQTT_SUBSCRIBE) | IN(SP_MQTT_UNSUBSCRIBE))

struct property {
    uint8_t     kind, check;
    uint16_t    where;
    const char *misplaced, *twice, *bad;
};

#define P(id, kind, check, where, name)                                                                                \
    [id] = {(kind),                                                                                                    \
            (check),                                                                                                   \
            (uint16_t)(where),                                                                                         \
            name " not allowed in this packet (MQTT 5 2.2.2.2)",                                                       \
            name " more than once (MQTT 5 2.2.2.2)",                                                                   \
            name " out of range (MQTT 5 2.2.2.2)"}

/* MQTT 5 table 2-4. */
static const struct property table[SP_MQTT_P_LIMIT] = {
    P(SP_MQTT_P_PAYLOAD_FORMAT, BYTE, BOOLEAN, MESSAGE, "payload format indicator"),
    P(SP_MQTT_P_MESSAGE_EXPIRY, FOUR, ANY, MESSAGE, "message expiry interval"),
    P(SP_MQTT_P_CONTENT_TYPE, STRING, ANY, MESSAGE, "content type"),
    P(SP_MQTT_P_RESPONSE_TOPIC, STRING, ANY, MESSAGE, "response topic"),
    P(SP_MQTT_P_CORRELATION_DATA, BINARY, ANY, MESSAGE, "correlation data"),
    P(SP_MQTT_P_SUBSCRIPTION_ID, VARINT, NONZERO, IN(SP_MQTT_PUBLISH) | IN(SP_MQTT_SUBSCRIBE),
      "subscription identifier"),
    P(SP_MQTT_P_SESSION_EXPIRY, FOUR, ANY, HANDSHAKE | IN(SP_MQTT_DISCONNECT), "session expiry interval"),
    P(SP_MQTT_P_ASSIGNED_CLIENT_ID, STRING, ANY, IN(SP_MQTT_CONNACK), "assigned client identifier"),
    P(SP_MQTT_P_SERVER_KEEP_ALIVE, TWO, ANY, IN(SP_MQTT_CONNACK), "server keep alive"),
    P(SP_MQTT_P_AUTH_METHOD, STRING, ANY, HANDSHAKE | IN(SP_MQTT_AUTH), "authentication method"),
    P(SP_MQTT_P_AUTH_DATA, BINARY, ANY, HANDSHAKE | IN(SP_MQTT_AUTH), "authentication data"),
    P(SP_MQTT_P_REQUEST_PROBLEM_INFO, BYTE, BOOLEAN, IN(SP_MQTT_CONNECT), "request problem information"),
    P(SP_MQTT_P_WILL_DELAY, FOUR, ANY, IN(SP_MQTT_IN_WILL), "will delay interval"),
    P(SP_MQTT_P_REQUEST_RESPONSE_INFO, BYTE, BOOLEAN, IN(SP_MQTT_CONNECT), "request response information"),
    P(SP_MQTT_P_RESPONSE_INFO, STRING, ANY, IN(SP_MQTT_CONNACK), "response information"),
    P(SP_MQTT_P_SERVER_REFERENCE, STRING, ANY, IN(SP_MQTT_CONNACK) | IN(SP_MQTT_DISCONNECT), "server reference"),
    P(SP_MQTT_P_REASON_STRING, STRING, ANY, REASONED, "reason string"),
    P(SP_MQTT_P_RECEIVE_MAXIMUM, TWO, NONZERO, HANDSHAKE, "receive maximum"),
    P(SP_MQTT_P_TOPIC_ALIAS_MAXIMUM, TWO, ANY, HANDSHAKE, "topic alias maximum"),
    P(SP_MQTT_P_TOPIC_ALIAS, TWO, ANY, IN(SP_MQTT_PUBLISH), "topic alias"),
    P(SP_MQTT_P_MAXIMUM_QOS, BYTE, BOOLEAN, IN(SP_MQTT_CONNACK), "maximum QoS"),
    P(SP_MQTT_P_RETAIN_AVAILABLE, BYTE, BOOLEAN, IN(SP_MQTT_CONNACK), "retain available"),
    P(SP_MQTT_P_USER_PROPERTY, PAIR, ANY, EVERYWHERE, "user property"),
    P(SP_MQTT_P_MAXIMUM_PACKET_SIZE, FOUR, NONZERO, HANDSHAKE, "maximum packet size"),
    P(SP_MQTT_P_WILDCARD_AVAILABLE, BYTE, BOOLEAN, IN(SP_MQTT_CONNACK), "wildcard subscription available"),
    P(SP_MQTT_P_SUBSCRIPTION_IDS_AVAILABLE, BYTE, BOOLEAN, IN(SP_MQTT_CONNACK), "subscription identifiers available"),
    P(SP_MQTT_P_SHARED_AVAILABLE, BYTE, BOOLEAN, IN(SP_MQTT_CONNACK), "shared subscription available"),
};

#define FORWARDED                                                                                                      \
    (SP_MQTT_PROP_BIT(SP_MQTT_P_PAYLOAD_FORMAT) | SP_MQTT_PROP_BIT(SP_MQTT_P_CONTENT_TYPE) |                           \
     SP_MQTT_PROP_BIT(SP_MQTT_P_RESPONSE_TOPIC) | SP_MQTT_PROP_BIT(SP_MQTT_P_CORRELATION_DATA) |                       \
     SP_MQTT_PROP_BIT(SP_MQTT_P_USER_PROPERTY))

/* ---- reading ---- */

/* One property off the front, bounds checked: false when truncated or of unknown kind. */
static inline bool
read_property(struct sp_str *s, struct sp_mqtt_prop *out)
{
    uint8_t  id, byte;
    uint16_t two;

    if (!sp_mqtt_read_u8(s, &id) || id >= SP_MQTT_P_LIMIT) {
        return false;
    }
    out->id = id;
    switch (table[id].kind) {
    case BYTE:
        if (!sp_mqtt_read_u8(s, &byte)) {
            return false;
        }
        out->num = byte;
        return true;
    case TWO:
        if (!sp_mqtt_read_u16(s, &two)) {
            return false;
        }
        out->num = two;
        return true;
    case FOUR:
        if (s->n < 4) {
            return false;
        }
        out->num = sp_mqtt_get_u32(s->p);
        sp_mqtt_skip(s, 4);
        return true;
    case VARINT:
        return sp_mqtt_read_varint(s, &out->num);
    case STRING:
    case BINARY:
        return sp_mqtt_read_str(s, &out->str);
    case PAIR:
        return sp_mqtt_read_str(s, &out->str) && sp_mqtt_read_str(s, &out->value);
    default:
        return false;
    }
}

/* The rules on values that hold wherever a property stands. */
static int
check_value(const struct sp_mqtt_prop *prop, const struct property *rule, struct sp_mqtt_error *err)
{
    if ((rule->kind == STRING || rule->kind == PAIR) && !sp_utf8_valid(prop->str)) {
        return sp_mqtt_refuse(err, SP_MQTT_MALFORMED_PACKET, "property is not UTF-8 or holds NUL (MQTT 5 1.5.4)");
    }
    if (rule->kind == PAIR && !sp_utf8_valid(prop->value)) {
        return sp_mqtt_refuse(err, SP_MQTT_MALFORMED_PACKET, "user property is not UTF-8 or holds NUL (MQTT 5 1.5.4)");
    }
    if ((rule->check == BOOLEAN && prop->num > 1) || (rule->check == NONZERO && prop->num == 0)) {
        return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR, rule->bad);
    }
    if (prop->id == SP_MQTT_P_TOPIC_ALIAS && prop->num == 0) {
        return sp_mqtt_refuse(err, SP_MQTT_TOPIC_ALIAS_INVALID, "topic alias 0 (MQTT 5 3.3.2.3.4)");
    }
    if (prop->id == SP_MQTT_P_RESPONSE_TOPIC && (prop->str.n == 0 || sp_topic_has_wildcard(prop->str))) {
        return sp_mqtt_refuse(err, SP_MQTT_TOPIC_NAME_INVALID,
                              "response topic is empty or has a wildcard (MQTT 5 3.3.2.3.5)");
    }
    return 0;
}

/* The rules on where a property stands, how often, and who sends it. */
static int
check_place(const struct sp_mqtt_prop *prop, const struct property *rule, unsigned where, unsigned role,
            unsigned max_user, struct sp_mqtt_props *out, struct sp_mqtt_error *err)
{
    bool seen = (out->present & SP_MQTT_PROP_BIT(prop->id)) != 0;

    if ((rule->where & IN(where)) == 0) {
        return sp_mqtt_refuse(err, SP_MQTT_MALFORMED_PACKET, rule->misplaced);
    }
    out->present |= SP_MQTT_PROP_BIT(prop->id);
    switch (prop->id) {
    case SP_MQTT_P_USER_PROPERTY:
        if (out->nuser >= max_user) {
            return sp_mqtt_refuse(err, SP_MQTT_QUOTA_EXCEEDED, "more user properties than this server takes");
        }
        out->nuser++;
        return 0;
    case SP_MQTT_P_SUBSCRIPTION_ID:
        if (where == SP_MQTT_PUBLISH && role == SP_MQTT_FROM_CLIENT) {
            return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR,
                                  "subscription identifier in a PUBLISH from a client (MQTT 5 3.3.4-6)");
        }
        if (seen && where != SP_MQTT_PUBLISH) {
            break;
        }
        out->nsubscription_ids++;
        return 0;
    case SP_MQTT_P_SESSION_EXPIRY:
        if (where == SP_MQTT_DISCONNECT && role == SP_MQTT_FROM_SERVER) {
            return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR,
                                  "session expiry interval in a DISCONNECT from a server (MQTT 5 3.14.2-2)");
        }
        break;
    case SP_MQTT_P_SERVER_REFERENCE:
        if (role == SP_MQTT_FROM_CLIENT) {
            return sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR, "server reference from a client (MQTT 5 3.14.2.2.5)");
        }
        break;
    default:
        break;
    }
    return seen ? sp_mqtt_refuse(err, SP_MQTT_PROTOCOL_ERROR, rule->twice) : 0;
}

static void
keep(const struct sp_mqtt_prop *prop, uint32_t bytes, struct sp_mqtt_props *out)
{
    if (FORWARDED & SP_MQTT_PROP_BIT(prop->id)) {
        out->forward_bytes += bytes;
    }
    switch (prop->id) {
    case SP_MQTT_P_PAYLOAD_FORMAT:
        out->payload_format = (uint8_t)prop->num;
        break;
    case SP_MQTT_P_MESSAGE_EXPIRY:
        out->message_expiry_s = prop->num;
        break;
    case SP_MQTT_P_CONTENT_TYPE:
        out->content_type = prop->str;
        break;
    case SP_MQTT_P_RESPONSE_TOPIC:
        out->response_topic = prop->str;
        break;
    case SP_MQTT_P_CORRELATION_DATA:
        out->correlation = prop->str;
        break;
    case SP_MQTT_P_SUBSCRIPTION_ID:
        if (out->subscription_id == 0) {
            out->subscription_id = prop->num;
        }
        break;
    case SP_MQTT_P_TOPIC_ALIAS:
        out->topic_alias = (uint16_t)prop->num;
        break;
    default:
        break;
    }
}

static int
parse_list(struct sp_str list, unsigned where, unsigned role, unsigned max_user, struct sp_mqtt_props *out,
           struct sp_mqtt_error *err)
{
    while (list.n > 0) {
        const char         *start = list.p;
        uint8_t             id = (uint8_t)list.p[0];
        struct sp_mqtt_prop prop = {0};

        if (id >= SP_MQTT_P_LIMIT || table[id].kind == UNKNOWN) {
            return sp_mqtt_refuse(err, SP_MQTT_MALFORMED_PACKET, "unknown property identifier (MQTT 5 2.2.2.2)");
        }
        if (!read_property(&list, &prop)) {
            return sp_mqtt_refuse(err, SP_MQTT_MALFORMED_PACKET,
                                  "property runs over the end of its list (MQTT 5 2.2.2.1)");
        }
        if (check_place(&prop, &table[id], where, role, max_user, out, err) < 0 ||
            check_value(&prop, &table[id], err) < 0) {
            return -EPROTO;
        }
        keep(&prop, (uint32_t)(list.p - start), out);
    }
    return 0;
}

int
sp_mqtt_props_parse(struct sp_str *rest, unsigned where, unsigned role, unsigned max_user, struct sp_mqtt_props *out,
                    struct sp_mqtt_error *err)
{
    uint32_t n;

    *out = (struct sp_mqtt_props){0};
    if (!sp_mqtt_read_varint(rest, &n)) {
        return sp_mqtt_refuse(err, SP_MQTT_MALFORMED_PACKET,
                              "property length missing or not in its shortest form (MQTT 5 2.2.2.1)");
    }
    if (n == 0) {
        return 0;
    }
    if (n > rest->n) {
        return sp_mqtt_refuse(err, SP_MQTT_MALFORMED_PACKET,
                              "property length runs over the end of the packet (MQTT 5 2.2.2.1)");
    }
    out->raw = (struct sp_str){rest->p, n};
    sp_mqtt_skip(rest, n);
    return parse_list(out->raw, where, role, max_user, out, err);
}

bool
sp_mqtt_props_next(struct sp_str *rest, struct sp_mqtt_prop *out)
{
    *out = (struct sp_mqtt_prop){0};
    return rest->n > 0 && read_property(rest, out);
}

bool
sp_mqtt_props_next_user(struct sp_str *rest, struct sp_str *name, struct sp_str *value)
{
    struct sp_mqtt_prop prop;

    while (sp_mqtt_props_next(rest, &prop)) {
        if (prop.id == SP_MQTT_P_USER_PROPERTY) {
            *name = prop.str;
            *value = prop.value;
            return true;
        }
    }
    return false;
}

bool
sp_mqtt_props_next_subscription_id(struct sp_str *rest, uint32_t *id)
{
    struct sp_mqtt_prop prop;

    while (sp_mqtt_props_next(rest, &prop)) {
        if (prop.id == SP_MQTT_P_SUBSCRIPTION_ID) {
            *id = prop.num;
            return true;
        }
    }
    return false;
}

bool
sp_mqtt_props_get(const struct sp_mqtt_props *props, enum sp_mqtt_prop_id id, struct sp_mqtt_prop *out)
{
    struct sp_str rest = props->raw;

    if (!sp_mqtt_props_has(props, id)) {
        return false;
    }
    while (sp_mqtt_props_next(&rest, out)) {
        if (out->id == (uint8_t)id) {
            return true;
        }
    }
    return false;
}

uint32_t
sp_mqtt_props_num(const struct sp_mqtt_props *props, enum sp_mqtt_prop_id id, uint32_t fallback)
{
    struct sp_mqtt_prop prop;

    return sp_mqtt_props_get(props, id, &prop) ? prop.num : fallback;
}

struct sp_str
sp_mqtt_props_str(const struct sp_mqtt_props *props, enum sp_mqtt_prop_id id)
{
    struct sp_mqtt_prop prop;

    return sp_mqtt_props_get(props, id, &prop) ? prop.str : (struct sp_str){NULL, 0};
}

size_t
sp_mqtt_props_forward(const struct sp_mqtt_props *props, char *dst)
{
    struct sp_str       rest = props->raw;
    struct sp_mqtt_prop prop;
    size_t              n = 0;

    if (props->forward_bytes == rest.n) {
        if (rest.n > 0) {
            memcpy(dst, rest.p, rest.n);
        }
        return rest.n;
    }
    for (const char *start = rest.p; sp_mqtt_props_next(&rest, &prop); start = rest.p) {
        if (FORWARDED & SP_MQTT_PROP_BIT(prop.id)) {
            size_t bytes = (size_t)(rest.p - start);
            memcpy(dst + n, start, bytes);
            n += bytes;
        }
    }
    return n;
}

bool
sp_mqtt_payload_valid(const struct sp_mqtt_props *props, struct sp_str payload)
{
    if (props->payload_format != 1) {
        return true;
    }
    /* NUL is a character of a payload, though not of MQTT's strings: check what lies between. */
    while (payload.n > 0) {
        const char *nul = memchr(payload.p, 0, payload.n);
        size_t      n = nul != NULL ? (size_t)(nul - payload.p) : payload.n;
        if (n > 0 && !sp_utf8_valid((struct sp_str){payload.p, n})) {
            return false;
        }
        sp_mqtt_skip(&payload, nul != NULL ? n + 1 : n);
    }
    return true;
}

/* ---- writing ---- */

/* Strings of a set as they go out: a reason string is cut to fit, at a character. */
static struct sp_str
sendable(unsigned id, struct sp_str s)
{
    if (id == SP_MQTT_P_REASON_STRING && s.n > UINT16_MAX) {
        s.n = UINT16_MAX;
        while (s.n > 0 && ((uint8_t)s.p[s.n] & 0xC0) == 0x80) {
            s.n--;
        }
    }
    return s;
}

static size_t
value_bytes(const struct sp_mqtt_set *set, unsigned id)
{
    switch (table[id].kind) {
    case BYTE:
        return 1;
    case TWO:
        return 2;
    case FOUR:
        return 4;
    case VARINT:
        return sp_mqtt_varint_bytes(set->value[id].num);
    case STRING:
    case BINARY: {
        size_t n = sendable(id, set->value[id].str).n;
        return n > UINT16_MAX ? SIZE_MAX : 2 + n;
    }
    default:
        return SIZE_MAX;
    }
}

size_t
sp_mqtt_set_size(const struct sp_mqtt_set *set, uint64_t mask, bool user)
{
    size_t n = 0;

    for (uint64_t todo = set->present & mask; todo != 0; todo &= todo - 1) {
        size_t bytes = value_bytes(set, (unsigned)__builtin_ctzll(todo));
        if (bytes == SIZE_MAX) {
            return SIZE_MAX;
        }
        n += 1 + bytes;
    }
    for (uint32_t i = 0; user && i < set->nuser; i++) {
        if (set->user[i].name.n > UINT16_MAX || set->user[i].value.n > UINT16_MAX) {
            return SIZE_MAX;
        }
        n += 5 + set->user[i].name.n + set->user[i].value.n;
    }
    return n;
}

char *
sp_mqtt_set_write(const struct sp_mqtt_set *set, uint64_t mask, bool user, char *dst)
{
    for (uint64_t todo = set->present & mask; todo != 0; todo &= todo - 1) {
        unsigned id = (unsigned)__builtin_ctzll(todo);
        uint32_t num = set->value[id].num;
        *dst++ = (char)id;
        switch (table[id].kind) {
        case BYTE:
            *dst++ = (char)num;
            break;
        case TWO:
            dst = sp_mqtt_put_u16(dst, num);
            break;
        case FOUR:
            dst = sp_mqtt_put_u32(dst, num);
            break;
        case VARINT:
            dst = sp_mqtt_put_varint(dst, num);
            break;
        default:
            dst = sp_mqtt_put_str(dst, sendable(id, set->value[id].str));
            break;
        }
    }
    for (uint32_t i = 0; user && i < set->nuser; i++) {
        *dst++ = SP_MQTT_P_USER_PROPERTY;
        dst = sp_mqtt_put_str(dst, set->user[i].name);
        dst = sp_mqtt_put_str(dst, set->user[i].value);
    }
    return dst;
}
