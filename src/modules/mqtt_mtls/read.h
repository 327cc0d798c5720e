/*
 * Reading the data types of MQTT 5 section 1.5 off the front of a slice: false, and the slice in an undefined state,
 * when it is too short. For decode*.c and props.c.
 */
#ifndef SP_MQTT_READ_H
#define SP_MQTT_READ_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "modules/mqtt_mtls/packet.h"

static inline uint32_t
sp_mqtt_get_u16(const char *p)
{
    return (uint32_t)(uint8_t)p[0] << 8 | (uint8_t)p[1];
}

static inline uint32_t
sp_mqtt_get_u32(const char *p)
{
    return sp_mqtt_get_u16(p) << 16 | sp_mqtt_get_u16(p + 2);
}

static inline void
sp_mqtt_skip(struct sp_str *s, size_t n)
{
    s->p += n;
    s->n -= n;
}

static inline bool
sp_mqtt_read_u8(struct sp_str *s, uint8_t *out)
{
    if (s->n < 1) {
        return false;
    }
    *out = (uint8_t)s->p[0];
    sp_mqtt_skip(s, 1);
    return true;
}

static inline bool
sp_mqtt_read_u16(struct sp_str *s, uint16_t *out)
{
    if (s->n < 2) {
        return false;
    }
    *out = (uint16_t)sp_mqtt_get_u16(s->p);
    sp_mqtt_skip(s, 2);
    return true;
}

/* A string or binary data: two bytes of length and as many bytes. */
static inline bool
sp_mqtt_read_str(struct sp_str *s, struct sp_str *out)
{
    if (s->n < 2) {
        return false;
    }
    size_t n = sp_mqtt_get_u16(s->p);
    if (s->n - 2 < n) {
        return false;
    }
    *out = (struct sp_str){s->p + 2, n};
    sp_mqtt_skip(s, 2 + n);
    return true;
}

/* A variable byte integer at p[0..n): its bytes, 0 when more are needed, -1 when it is longer than four. *padded tells
 * that it is not in its shortest form. */
static inline int
sp_mqtt_get_varint(const char *p, size_t n, uint32_t *out, bool *padded)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < 4; i++) {
        if (i >= n) {
            return 0;
        }
        uint8_t byte = (uint8_t)p[i];
        value |= (uint32_t)(byte & 0x7F) << (7 * i);
        if (byte < 0x80) {
            *out = value;
            *padded = byte == 0 && i > 0;
            return (int)i + 1;
        }
    }
    return -1;
}

/* Shortest form only (MQTT 5 1.5.5). */
static inline bool
sp_mqtt_read_varint(struct sp_str *s, uint32_t *out)
{
    bool padded = false;
    int  n = sp_mqtt_get_varint(s->p, s->n, out, &padded);

    if (n <= 0 || padded) {
        return false;
    }
    sp_mqtt_skip(s, (size_t)n);
    return true;
}

/* Defined in decode.c: is this a topic name to publish to (4.7), not empty, at most max_levels deep? 0 or -EPROTO. */
int sp_mqtt_check_topic_name(struct sp_str topic, uint32_t max_levels, struct sp_mqtt_error *err);

static inline int
sp_mqtt_refuse(struct sp_mqtt_error *err, uint8_t reason, const char *text)
{
    err->reason = reason;
    err->text = text;
    return -EPROTO;
}

#endif
