/*
 * Writing the data types of MQTT 5 section 1.5: each returns the end of what it wrote; the caller has counted the
 * bytes. For encode*.c and props.c.
 */
#ifndef SP_MQTT_WRITE_H
#define SP_MQTT_WRITE_H

#include <stdint.h>

#include "base/str.h"

static inline uint32_t
sp_mqtt_varint_bytes(uint32_t value)
{
    return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}

static inline char *
sp_mqtt_put_varint(char *dst, uint32_t value)
{
    while (value >= 0x80) {
        *dst++ = (char)(uint8_t)(value | 0x80);
        value >>= 7;
    }
    *dst++ = (char)value;
    return dst;
}

static inline char *
sp_mqtt_put_u16(char *dst, uint32_t value)
{
    dst[0] = (char)(uint8_t)(value >> 8);
    dst[1] = (char)(uint8_t)value;
    return dst + 2;
}

static inline char *
sp_mqtt_put_u32(char *dst, uint32_t value)
{
    return sp_mqtt_put_u16(sp_mqtt_put_u16(dst, value >> 16), value & 0xFFFF);
}

static inline char *
sp_mqtt_put_bytes(char *dst, struct sp_str s)
{
    if (s.n > 0) {
        memcpy(dst, s.p, s.n);
    }
    return dst + s.n;
}

/* s.n <= 65,535. */
static inline char *
sp_mqtt_put_str(char *dst, struct sp_str s)
{
    return sp_mqtt_put_bytes(sp_mqtt_put_u16(dst, (uint32_t)s.n), s);
}

#endif
