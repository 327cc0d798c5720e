/*
 * The part of MQTT 3.1.1 and 5.0 that a load generator needs: writing CONNECT, SUBSCRIBE, PUBLISH, PUBACK, PINGREQ,
 * DISCONNECT and reading what a server answers. Readers point into the caller's buffer and copy nothing.
 */
#ifndef SP_BENCH_WIRE_H
#define SP_BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum sp_packet_type {
    SP_CONNECT = 1,
    SP_CONNACK = 2,
    SP_PUBLISH = 3,
    SP_PUBACK = 4,
    SP_SUBSCRIBE = 8,
    SP_SUBACK = 9,
    SP_PINGREQ = 12,
    SP_PINGRESP = 13,
    SP_DISCONNECT = 14
};

struct sp_packet {
    uint8_t        first; /* type and flags */
    const uint8_t *body;
    size_t         len;
};

struct sp_publish {
    const uint8_t *topic, *payload;
    size_t         topic_len, payload_len;
    uint16_t       id; /* 0 at QoS 0 */
    uint8_t        qos;
    bool           dup;
};

struct sp_connack {
    uint8_t  reason;
    uint8_t  max_qos;
    uint16_t receive_max; /* 65535 unless an MQTT 5 server says less */
};

/* Where the changing parts of a prepared PUBLISH lie. */
struct sp_publish_plan {
    size_t len, id_at, payload_at; /* id_at: 0 at QoS 0 */
};

/* The next packet of n bytes at p. Its whole length, 0 when it is not all there, -EPROTO. */
ssize_t sp_wire_next(const uint8_t *p, size_t n, struct sp_packet *out);

/* Readers of one packet's body: 0 or -EPROTO. */
int sp_wire_publish_read(const struct sp_packet *packet, bool v5, struct sp_publish *out);
int sp_wire_connack_read(const struct sp_packet *packet, bool v5, struct sp_connack *out);
/* PUBACK: packet id and reason (0 for 3.1.1). SUBACK: packet id and the first return code. */
int sp_wire_ack_read(const struct sp_packet *packet, bool v5, uint16_t *id, uint8_t *reason);

/* Writers: the length written, 0 when it does not fit into cap bytes. Strings are at most 65535 bytes. */
size_t sp_wire_connect_write(uint8_t *p, size_t cap, bool v5, const char *client_id, unsigned keepalive_s);
size_t sp_wire_subscribe_write(uint8_t *p, size_t cap, bool v5, uint16_t id, const char *filter, unsigned qos);
/* A PUBLISH with a payload of zeros; the caller fills id and payload in. */
size_t sp_wire_publish_write(uint8_t *p, size_t cap, bool v5, const char *topic, unsigned qos, size_t payload_bytes,
                             struct sp_publish_plan *plan);

/* The length of a PUBLISH packet for this topic and payload. */
size_t sp_wire_publish_len(bool v5, const char *topic, unsigned qos, size_t payload_bytes);

/* Big-endian 16 bit. */
static inline void
sp_wire_put16(uint8_t *p, unsigned value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline uint16_t
sp_wire_get16(const uint8_t *p)
{
    return (uint16_t)((unsigned)p[0] << 8 | p[1]);
}

#endif
