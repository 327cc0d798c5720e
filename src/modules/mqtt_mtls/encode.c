#include "modules/mqtt_mtls/encode.h"

#include <errno.h>

#include "modules/mqtt_mtls/write.h"

/* ---- PUBLISH ---- */

static uint64_t
own_property_bytes(const struct sp_mqtt_out *m)
{
    uint64_t n = (m->has_expiry ? 5U : 0U) + (m->topic_alias != 0 ? 3U : 0U);

    for (uint32_t i = 0; i < m->nsubscription_ids; i++) {
        n += 1 + sp_mqtt_varint_bytes(m->subscription_ids[i]);
    }
    return n + m->props.n;
}

int
sp_mqtt_publish_size(const struct sp_mqtt_out *m, struct sp_mqtt_out_size *size)
{
    uint64_t properties = 0, n = 2 + (uint64_t)m->topic.n + (m->qos > 0 ? 2 : 0);

    if (m->topic.n > UINT16_MAX || m->payload.n > SP_MQTT_MAX_REMAINING || m->props.n > SP_MQTT_MAX_REMAINING) {
        return -EMSGSIZE;
    }
    if (m->level == 5) {
        properties = own_property_bytes(m);
        if (properties > SP_MQTT_MAX_REMAINING) {
            return -EMSGSIZE;
        }
        n += sp_mqtt_varint_bytes((uint32_t)properties) + properties;
    }
    n += m->payload.n;
    if (n > SP_MQTT_MAX_REMAINING) {
        return -EMSGSIZE;
    }
    size->property_bytes = (uint32_t)properties;
    size->remaining = (uint32_t)n;
    size->packet_bytes = 1 + sp_mqtt_varint_bytes(size->remaining) + size->remaining;
    size->prefix_bytes = size->packet_bytes - (uint32_t)m->payload.n;
    return 0;
}

static char *
put_properties(char *p, const struct sp_mqtt_out *m, uint32_t property_bytes)
{
    p = sp_mqtt_put_varint(p, property_bytes);
    if (property_bytes == 0) {
        return p;
    }
    if (m->has_expiry) {
        *p++ = SP_MQTT_P_MESSAGE_EXPIRY;
        p = sp_mqtt_put_u32(p, m->expiry_s);
    }
    if (m->topic_alias != 0) {
        *p++ = SP_MQTT_P_TOPIC_ALIAS;
        p = sp_mqtt_put_u16(p, m->topic_alias);
    }
    for (uint32_t i = 0; i < m->nsubscription_ids; i++) {
        *p++ = SP_MQTT_P_SUBSCRIPTION_ID;
        p = sp_mqtt_put_varint(p, m->subscription_ids[i]);
    }
    return sp_mqtt_put_bytes(p, m->props);
}

uint32_t
sp_mqtt_encode_publish_prefix(char *dst, const struct sp_mqtt_out *m, const struct sp_mqtt_out_size *size)
{
    uint32_t id_at = 0;
    char    *p = dst;

    *p++ = (char)(SP_MQTT_PUBLISH << 4 | (m->dup ? 8 : 0) | m->qos << 1 | (m->retain ? 1 : 0));
    p = sp_mqtt_put_varint(p, size->remaining);
    p = sp_mqtt_put_str(p, m->topic);
    if (m->qos > 0) {
        id_at = (uint32_t)(p - dst);
        p = sp_mqtt_put_u16(p, m->packet_id);
    }
    if (m->level == 5) {
        put_properties(p, m, size->property_bytes);
    }
    return id_at;
}

uint32_t
sp_mqtt_encode_publish(char *dst, const struct sp_mqtt_out *m, const struct sp_mqtt_out_size *size)
{
    sp_mqtt_put_bytes(dst + size->prefix_bytes, m->payload);
    return sp_mqtt_encode_publish_prefix(dst, m, size);
}

/* ---- everything else ---- */

/* A packet in parts: lead, property list, tail. */
struct parts {
    uint8_t                   first; /* type and flags */
    bool                      elide; /* an empty list goes without its length, then a last lead byte of 0 goes too */
    bool                      problem_info; /* reason string and user properties whatever the peer asked for */
    uint8_t                   nlead;
    char                      lead[3];
    const struct sp_mqtt_set *set;
    struct sp_str             tail;
};

struct chosen {
    bool     user;
    uint64_t mask;
    size_t   property_bytes, remaining;
    uint8_t  nlead;
    bool     list;
};

/* SIZE_MAX in c->remaining: cannot be encoded. */
static void
measure(const struct parts *parts, uint8_t level, struct chosen *c)
{
    c->property_bytes = 0;
    c->nlead = parts->nlead;
    c->list = level == 5;
    if (level == 5 && parts->set != NULL) {
        c->property_bytes = sp_mqtt_set_size(parts->set, c->mask, c->user);
    }
    if (c->property_bytes > SP_MQTT_MAX_REMAINING || parts->tail.n > SP_MQTT_MAX_REMAINING) {
        c->remaining = SIZE_MAX;
        return;
    }
    if (parts->elide && c->property_bytes == 0) {
        c->list = false;
        c->nlead = (uint8_t)(parts->nlead - (parts->lead[parts->nlead - 1] == 0 ? 1 : 0));
    }
    c->remaining = c->nlead + parts->tail.n;
    if (c->list) {
        c->remaining += sp_mqtt_varint_bytes((uint32_t)c->property_bytes) + c->property_bytes;
    }
}

static size_t
whole_bytes(size_t remaining)
{
    return remaining > SP_MQTT_MAX_REMAINING ? SIZE_MAX : 1 + sp_mqtt_varint_bytes((uint32_t)remaining) + remaining;
}

static ssize_t
put_parts(char *dst, size_t cap, const struct sp_mqtt_peer *peer, const struct parts *parts)
{
    const uint64_t text = SP_MQTT_PROP_BIT(SP_MQTT_P_REASON_STRING);
    bool           tell = parts->problem_info || !peer->no_problem_info;
    struct chosen  c = {.user = tell, .mask = tell ? UINT64_MAX : ~text};
    size_t         limit = peer->max_packet_bytes != 0 ? peer->max_packet_bytes : SIZE_MAX - 1;

    measure(parts, peer->level, &c);
    if (whole_bytes(c.remaining) > limit && c.user) {
        c.user = false;
        measure(parts, peer->level, &c);
    }
    if (whole_bytes(c.remaining) > limit && (c.mask & text) != 0) {
        c.mask &= ~text;
        measure(parts, peer->level, &c);
    }
    size_t n = whole_bytes(c.remaining);
    if (n > limit) {
        return -EMSGSIZE;
    }
    if (n > cap) {
        return -ENOSPC;
    }
    *dst++ = (char)parts->first;
    dst = sp_mqtt_put_varint(dst, (uint32_t)c.remaining);
    dst = sp_mqtt_put_bytes(dst, (struct sp_str){parts->lead, c.nlead});
    if (c.list) {
        dst = sp_mqtt_put_varint(dst, (uint32_t)c.property_bytes);
        if (parts->set != NULL) {
            dst = sp_mqtt_set_write(parts->set, c.mask, c.user, dst);
        }
    }
    sp_mqtt_put_bytes(dst, parts->tail);
    return (ssize_t)n;
}

ssize_t
sp_mqtt_encode_connack(char *dst, size_t cap, const struct sp_mqtt_peer *peer, bool session_present, uint8_t reason,
                       const struct sp_mqtt_set *set)
{
    struct parts parts = {.first = SP_MQTT_CONNACK << 4, .problem_info = true, .nlead = 2, .set = set};

    parts.lead[0] = session_present && reason == 0 ? 1 : 0;
    parts.lead[1] = (char)(peer->level == 5 ? reason : sp_mqtt_reason_to_v3(reason));
    return put_parts(dst, cap, peer, &parts);
}

ssize_t
sp_mqtt_encode_ack(char *dst, size_t cap, const struct sp_mqtt_peer *peer, enum sp_mqtt_type type, uint16_t packet_id,
                   uint8_t reason, const struct sp_mqtt_set *set)
{
    struct parts parts = {.first = (uint8_t)((unsigned)type << 4 | (type == SP_MQTT_PUBREL ? 2U : 0U)),
                          .elide = true,
                          .nlead = 3,
                          .set = set};

    sp_mqtt_put_u16(parts.lead, packet_id);
    parts.lead[2] = (char)(peer->level == 5 ? reason : 0);
    return put_parts(dst, cap, peer, &parts);
}

/* SUBACK below level 5: refusals are 0x80 (MQTT 3.1.1 3.9.3). */
static void
flatten_refusals(char *reasons, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((uint8_t)reasons[i] >= 0x80) {
            reasons[i] = (char)(uint8_t)SP_MQTT_UNSPECIFIED_ERROR;
        }
    }
}

ssize_t
sp_mqtt_encode_suback(char *dst, size_t cap, const struct sp_mqtt_peer *peer, uint16_t packet_id,
                      const uint8_t *reasons, size_t n, const struct sp_mqtt_set *set)
{
    struct parts parts = {.first = SP_MQTT_SUBACK << 4, .nlead = 2, .set = set, .tail = {(const char *)reasons, n}};

    sp_mqtt_put_u16(parts.lead, packet_id);
    ssize_t written = put_parts(dst, cap, peer, &parts);
    if (written > 0 && peer->level != 5) {
        flatten_refusals(dst + (size_t)written - n, n);
    }
    return written;
}

ssize_t
sp_mqtt_encode_unsuback(char *dst, size_t cap, const struct sp_mqtt_peer *peer, uint16_t packet_id,
                        const uint8_t *reasons, size_t n, const struct sp_mqtt_set *set)
{
    struct parts parts = {.first = SP_MQTT_UNSUBACK << 4, .nlead = 2, .set = set};

    if (peer->level == 5) {
        parts.tail = (struct sp_str){(const char *)reasons, n};
    }
    sp_mqtt_put_u16(parts.lead, packet_id);
    return put_parts(dst, cap, peer, &parts);
}

static ssize_t
put_goodbye(char *dst, size_t cap, const struct sp_mqtt_peer *peer, uint8_t reason, const struct sp_mqtt_set *set)
{
    struct parts parts = {
        .first = SP_MQTT_DISCONNECT << 4, .elide = true, .problem_info = true, .nlead = 1, .set = set};

    parts.lead[0] = (char)(peer->level == 5 ? reason : 0);
    return put_parts(dst, cap, peer, &parts);
}

ssize_t
sp_mqtt_encode_disconnect(char *dst, size_t cap, const struct sp_mqtt_peer *peer, uint8_t reason,
                          const struct sp_mqtt_set *set)
{
    return peer->level == 5 ? put_goodbye(dst, cap, peer, reason, set) : 0;
}

ssize_t
sp_mqtt_encode_client_disconnect(char *dst, size_t cap, const struct sp_mqtt_peer *peer, uint8_t reason,
                                 const struct sp_mqtt_set *set)
{
    return put_goodbye(dst, cap, peer, reason, set);
}

ssize_t
sp_mqtt_encode_auth(char *dst, size_t cap, const struct sp_mqtt_peer *peer, uint8_t reason,
                    const struct sp_mqtt_set *set)
{
    struct parts parts = {.first = (uint8_t)(SP_MQTT_AUTH << 4), .elide = true, .nlead = 1, .set = set};

    parts.lead[0] = (char)reason;
    return peer->level == 5 ? put_parts(dst, cap, peer, &parts) : 0;
}
