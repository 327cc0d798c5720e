#include "wire.h"

#include <errno.h>
#include <string.h>

/* A variable byte integer: its length, 0 when it is not all there, -EPROTO when longer than four bytes. */
static ssize_t
varint_read(const uint8_t *p, size_t n, uint32_t *out)
{
    uint32_t value = 0;

    for (size_t i = 0; i < 4; i++) {
        if (i == n) {
            return 0;
        }
        value |= (uint32_t)(p[i] & 0x7f) << (7 * i);
        if ((p[i] & 0x80) == 0) {
            *out = value;
            return (ssize_t)(i + 1);
        }
    }
    return -EPROTO;
}

static size_t
varint_len(size_t value)
{
    return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}

static size_t
varint_write(uint8_t *p, size_t value)
{
    size_t n = 0;

    do {
        uint8_t byte = (uint8_t)(value & 0x7f);

        value >>= 7;
        p[n++] = (uint8_t)(value != 0 ? byte | 0x80 : byte);
    } while (value != 0);
    return n;
}

ssize_t
sp_wire_next(const uint8_t *p, size_t n, struct sp_packet *out)
{
    uint32_t len;
    ssize_t  used;

    if (n < 2) {
        return 0;
    }
    used = varint_read(p + 1, n - 1, &len);
    if (used <= 0) {
        return used;
    }
    if (n - 1 - (size_t)used < len) {
        return 0;
    }
    *out = (struct sp_packet){.first = p[0], .body = p + 1 + used, .len = len};
    return 1 + used + (ssize_t)len;
}

/* Step over the properties at *at. */
static int
properties_skip(const struct sp_packet *packet, size_t *at)
{
    uint32_t len;
    ssize_t  used = varint_read(packet->body + *at, packet->len - *at, &len);

    if (used <= 0 || packet->len - *at - (size_t)used < len) {
        return -EPROTO;
    }
    *at += (size_t)used + len;
    return 0;
}

int
sp_wire_publish_read(const struct sp_packet *packet, bool v5, struct sp_publish *out)
{
    size_t at = 2;

    if (packet->len < 2) {
        return -EPROTO;
    }
    out->topic_len = sp_wire_get16(packet->body);
    out->topic = packet->body + 2;
    out->qos = (packet->first >> 1) & 3;
    out->dup = (packet->first & 8) != 0;
    out->id = 0;
    at += out->topic_len;
    if (at > packet->len || out->qos == 3) {
        return -EPROTO;
    }
    if (out->qos > 0) {
        if (packet->len - at < 2) {
            return -EPROTO;
        }
        out->id = sp_wire_get16(packet->body + at);
        at += 2;
    }
    if (v5 && properties_skip(packet, &at) != 0) {
        return -EPROTO;
    }
    out->payload = packet->body + at;
    out->payload_len = packet->len - at;
    return 0;
}

/* The length of a property's value, -EPROTO for one that CONNACK cannot carry (MQTT 5 3.2.2.3). */
static ssize_t
property_len(uint8_t name, const uint8_t *p, size_t n)
{
    switch (name) {
    case 0x24:
    case 0x25:
    case 0x28:
    case 0x29:
    case 0x2a:
        return 1;
    case 0x13:
    case 0x21:
    case 0x22:
        return 2;
    case 0x11:
    case 0x27:
        return 4;
    case 0x12:
    case 0x15:
    case 0x16:
    case 0x1a:
    case 0x1c:
    case 0x1f:
        return n < 2 ? -EPROTO : 2 + sp_wire_get16(p);
    case 0x26: {
        size_t len = n < 2 ? n : 2u + sp_wire_get16(p);

        return n < len + 2 ? -EPROTO : (ssize_t)(len + 2 + sp_wire_get16(p + len));
    }
    default:
        return -EPROTO;
    }
}

static int
connack_properties(const uint8_t *p, size_t n, struct sp_connack *out)
{
    while (n > 0) {
        uint8_t name = *p;
        ssize_t len = property_len(name, p + 1, n - 1);

        if (len < 0 || (size_t)len > n - 1) {
            return -EPROTO;
        }
        if (name == 0x21) {
            out->receive_max = sp_wire_get16(p + 1);
        } else if (name == 0x24) {
            out->max_qos = p[1];
        }
        p += 1 + len;
        n -= 1 + (size_t)len;
    }
    return 0;
}

int
sp_wire_connack_read(const struct sp_packet *packet, bool v5, struct sp_connack *out)
{
    uint32_t len;
    ssize_t  used;

    *out = (struct sp_connack){.receive_max = UINT16_MAX, .max_qos = 2};
    if (packet->len < 2) {
        return -EPROTO;
    }
    out->reason = packet->body[1];
    if (!v5 || packet->len == 2) {
        return 0;
    }
    used = varint_read(packet->body + 2, packet->len - 2, &len);
    if (used <= 0 || packet->len - 2 - (size_t)used != len) {
        return -EPROTO;
    }
    return connack_properties(packet->body + 2 + used, len, out);
}

int
sp_wire_ack_read(const struct sp_packet *packet, bool v5, uint16_t *id, uint8_t *reason)
{
    size_t at = 2;

    if (packet->len < 2) {
        return -EPROTO;
    }
    *id = sp_wire_get16(packet->body);
    *reason = 0;
    if (packet->first >> 4 == SP_SUBACK) {
        if (v5 && properties_skip(packet, &at) != 0) {
            return -EPROTO;
        }
        if (at >= packet->len) {
            return -EPROTO;
        }
    }
    if (at < packet->len) {
        *reason = packet->body[at];
    }
    return 0;
}

static size_t
string_write(uint8_t *p, const char *text, size_t len)
{
    sp_wire_put16(p, (unsigned)len);
    memcpy(p + 2, text, len);
    return 2 + len;
}

size_t
sp_wire_connect_write(uint8_t *p, size_t cap, bool v5, const char *client_id, unsigned keepalive_s)
{
    size_t id_len = strlen(client_id);
    size_t body = 10 + (v5 ? 1u : 0u) + 2 + id_len;
    size_t at = 1;

    if (id_len > 65535 || 1 + varint_len(body) + body > cap) {
        return 0;
    }
    p[0] = SP_CONNECT << 4;
    at += varint_write(p + at, body);
    at += string_write(p + at, "MQTT", 4);
    p[at++] = v5 ? 5 : 4;
    p[at++] = 2; /* clean start, clean session */
    sp_wire_put16(p + at, keepalive_s);
    at += 2;
    if (v5) {
        p[at++] = 0;
    }
    return at + string_write(p + at, client_id, id_len);
}

size_t
sp_wire_subscribe_write(uint8_t *p, size_t cap, bool v5, uint16_t id, const char *filter, unsigned qos)
{
    size_t len = strlen(filter);
    size_t body = 2 + (v5 ? 1u : 0u) + 2 + len + 1;
    size_t at = 1;

    if (len > 65535 || 1 + varint_len(body) + body > cap) {
        return 0;
    }
    p[0] = SP_SUBSCRIBE << 4 | 2;
    at += varint_write(p + at, body);
    sp_wire_put16(p + at, id);
    at += 2;
    if (v5) {
        p[at++] = 0;
    }
    at += string_write(p + at, filter, len);
    p[at++] = (uint8_t)qos;
    return at;
}

static size_t
publish_body(bool v5, const char *topic, unsigned qos, size_t payload_bytes)
{
    return 2 + strlen(topic) + (qos > 0 ? 2u : 0u) + (v5 ? 1u : 0u) + payload_bytes;
}

size_t
sp_wire_publish_len(bool v5, const char *topic, unsigned qos, size_t payload_bytes)
{
    size_t body = publish_body(v5, topic, qos, payload_bytes);

    return 1 + varint_len(body) + body;
}

size_t
sp_wire_publish_write(uint8_t *p, size_t cap, bool v5, const char *topic, unsigned qos, size_t payload_bytes,
                      struct sp_publish_plan *plan)
{
    size_t body = publish_body(v5, topic, qos, payload_bytes);
    size_t at = 1;

    if (strlen(topic) > 65535 || 1 + varint_len(body) + body > cap) {
        return 0;
    }
    p[0] = (uint8_t)(SP_PUBLISH << 4 | qos << 1);
    at += varint_write(p + at, body);
    at += string_write(p + at, topic, strlen(topic));
    plan->id_at = 0;
    if (qos > 0) {
        plan->id_at = at;
        sp_wire_put16(p + at, 0);
        at += 2;
    }
    if (v5) {
        p[at++] = 0;
    }
    plan->payload_at = at;
    memset(p + at, 0, payload_bytes);
    plan->len = at + payload_bytes;
    return plan->len;
}
