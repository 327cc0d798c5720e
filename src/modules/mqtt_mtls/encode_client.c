#include <errno.h>

#include "modules/mqtt_mtls/encode.h"
#include "modules/mqtt_mtls/write.h"

/* Bytes of a property list with its length; 0 below level 5; SIZE_MAX when it cannot be encoded. */
static size_t
list_bytes(uint8_t level, const struct sp_mqtt_set *set)
{
    size_t n = level == 5 && set != NULL ? sp_mqtt_set_size(set, UINT64_MAX, true) : 0;

    if (level != 5) {
        return 0;
    }
    return n > SP_MQTT_MAX_REMAINING ? SIZE_MAX : sp_mqtt_varint_bytes((uint32_t)n) + n;
}

static char *
put_list(char *p, uint8_t level, const struct sp_mqtt_set *set)
{
    if (level != 5) {
        return p;
    }
    if (set == NULL) {
        *p++ = 0;
        return p;
    }
    p = sp_mqtt_put_varint(p, (uint32_t)sp_mqtt_set_size(set, UINT64_MAX, true));
    return sp_mqtt_set_write(set, UINT64_MAX, true, p);
}

/* Sums up; any part that is SIZE_MAX, or a sum beyond what MQTT can carry, gives SIZE_MAX. */
static size_t
sum(size_t a, size_t b)
{
    return a > SP_MQTT_MAX_REMAINING || b > SP_MQTT_MAX_REMAINING || a + b > SP_MQTT_MAX_REMAINING ? SIZE_MAX : a + b;
}

static size_t
str_bytes(struct sp_str s)
{
    return s.n > UINT16_MAX ? SIZE_MAX : 2 + s.n;
}

/* Checks the sizes and writes the fixed header: *p is where the body begins. Returns the bytes of the packet or an
 * error. */
static ssize_t
open_packet(char *dst, size_t cap, uint32_t max_packet_bytes, unsigned first, size_t remaining, char **p)
{
    if (remaining > SP_MQTT_MAX_REMAINING) {
        return -EMSGSIZE;
    }
    size_t n = 1 + sp_mqtt_varint_bytes((uint32_t)remaining) + remaining;
    if (max_packet_bytes != 0 && n > max_packet_bytes) {
        return -EMSGSIZE;
    }
    if (n > cap) {
        return -ENOSPC;
    }
    dst[0] = (char)(uint8_t)first;
    *p = sp_mqtt_put_varint(dst + 1, (uint32_t)remaining);
    return (ssize_t)n;
}

static uint8_t
connect_flags(const struct sp_mqtt_connect *c)
{
    unsigned flags = c->clean ? 0x02 : 0;

    if (c->has_will) {
        flags |= 0x04U | (unsigned)c->will.qos << 3 | (c->will.retain ? 0x20U : 0U);
    }
    return (uint8_t)(flags | (c->has_user ? 0x80U : 0U) | (c->has_password ? 0x40U : 0U));
}

ssize_t
sp_mqtt_encode_connect(char *dst, size_t cap, const struct sp_mqtt_connect *c, const struct sp_mqtt_set *set,
                       const struct sp_mqtt_set *will_set)
{
    struct sp_str name = c->level == 3 ? SP_STR("MQIsdp") : SP_STR("MQTT");
    size_t        n = sum(2 + name.n + 4, sum(list_bytes(c->level, set), str_bytes(c->client_id)));
    char         *p;

    if (c->has_will) {
        n = sum(n, sum(list_bytes(c->level, will_set), sum(str_bytes(c->will.topic), str_bytes(c->will.payload))));
    }
    n = c->has_user ? sum(n, str_bytes(c->user)) : n;
    n = c->has_password ? sum(n, str_bytes(c->password)) : n;
    ssize_t bytes = open_packet(dst, cap, 0, SP_MQTT_CONNECT << 4, n, &p);
    if (bytes < 0) {
        return bytes;
    }
    p = sp_mqtt_put_str(p, name);
    *p++ = (char)c->level;
    *p++ = (char)connect_flags(c);
    p = sp_mqtt_put_u16(p, c->keep_alive_s);
    p = put_list(p, c->level, set);
    p = sp_mqtt_put_str(p, c->client_id);
    if (c->has_will) {
        p = put_list(p, c->level, will_set);
        p = sp_mqtt_put_str(p, c->will.topic);
        p = sp_mqtt_put_str(p, c->will.payload);
    }
    p = c->has_user ? sp_mqtt_put_str(p, c->user) : p;
    if (c->has_password) {
        sp_mqtt_put_str(p, c->password);
    }
    return bytes;
}

static ssize_t
put_filters(char *dst, size_t cap, const struct sp_mqtt_peer *peer, enum sp_mqtt_type type, uint16_t packet_id,
            const struct sp_mqtt_filter *filters, size_t n, const struct sp_mqtt_set *set)
{
    size_t options = type == SP_MQTT_SUBSCRIBE ? 1 : 0;
    size_t remaining = sum(2, list_bytes(peer->level, set));
    char  *p;

    for (size_t i = 0; i < n; i++) {
        remaining = sum(remaining, sum(str_bytes(filters[i].filter), options));
    }
    ssize_t bytes = open_packet(dst, cap, peer->max_packet_bytes, (unsigned)type << 4 | 2U, remaining, &p);
    if (bytes < 0) {
        return bytes;
    }
    p = sp_mqtt_put_u16(p, packet_id);
    p = put_list(p, peer->level, set);
    for (size_t i = 0; i < n; i++) {
        const struct sp_mqtt_filter *f = &filters[i];
        p = sp_mqtt_put_str(p, f->filter);
        if (options != 0) {
            unsigned v5 =
                (f->no_local ? 4U : 0U) | (f->retain_as_published ? 8U : 0U) | (unsigned)f->retain_handling << 4;
            *p++ = (char)(f->qos | (peer->level == 5 ? v5 : 0U));
        }
    }
    return bytes;
}

ssize_t
sp_mqtt_encode_subscribe(char *dst, size_t cap, const struct sp_mqtt_peer *peer, uint16_t packet_id,
                         const struct sp_mqtt_filter *filters, size_t n, const struct sp_mqtt_set *set)
{
    return put_filters(dst, cap, peer, SP_MQTT_SUBSCRIBE, packet_id, filters, n, set);
}

ssize_t
sp_mqtt_encode_unsubscribe(char *dst, size_t cap, const struct sp_mqtt_peer *peer, uint16_t packet_id,
                           const struct sp_mqtt_filter *filters, size_t n, const struct sp_mqtt_set *set)
{
    return put_filters(dst, cap, peer, SP_MQTT_UNSUBSCRIBE, packet_id, filters, n, set);
}
