/*
 * Encoder for MQTT 3.1.1 and 5.0 into the caller's memory. It trusts its caller on content (topics are valid, levels
 * are known) and takes care of formats, sizes and of what the receiver asked for.
 */
#ifndef SP_MQTT_ENCODE_H
#define SP_MQTT_ENCODE_H

#include <sys/types.h>

#include "modules/mqtt_mtls/packet.h"
#include "modules/mqtt_mtls/reason.h"

/* ---- PUBLISH (MQTT 5 3.3), the hot path ---- */

/* A message to one receiver. Zero the whole, then set. */
struct sp_mqtt_out {
    uint8_t         level; /* properties are sent at level 5 only */
    uint8_t         qos;
    bool            retain, dup;
    bool            has_expiry;
    uint16_t        packet_id;   /* with QoS 1, 2; may be patched later */
    uint16_t        topic_alias; /* 0: none; with an alias that the receiver knows, leave topic empty */
    uint32_t        expiry_s;    /* what remains (MQTT 5 3.3.2.3.3) */
    uint32_t        nsubscription_ids;
    const uint32_t *subscription_ids; /* each 1..268435455 */
    struct sp_str   topic, payload;
    struct sp_str   props; /* from sp_mqtt_props_forward() */
};

struct sp_mqtt_out_size {
    uint32_t packet_bytes;   /* all; compare with the receiver's maximum packet size */
    uint32_t prefix_bytes;   /* up to the payload */
    uint32_t remaining;      /* remaining length */
    uint32_t property_bytes; /* property length */
};

/* -EMSGSIZE: does not fit in an MQTT packet. Must be called before encoding, and again after any change but packet_id,
 * dup, retain and the value of expiry_s. */
int sp_mqtt_publish_size(const struct sp_mqtt_out *m, struct sp_mqtt_out_size *size);

/* Writes packet_bytes bytes to dst. Returns where in them the packet id stands, 0 with QoS 0: for other receivers copy
 * the packet and patch. */
uint32_t sp_mqtt_encode_publish(char *dst, const struct sp_mqtt_out *m, const struct sp_mqtt_out_size *size);
/* Same without the payload (prefix_bytes bytes): for payloads sent by reference. */
uint32_t sp_mqtt_encode_publish_prefix(char *dst, const struct sp_mqtt_out *m, const struct sp_mqtt_out_size *size);

static inline void
sp_mqtt_patch_packet_id(char *packet, uint32_t at, uint16_t packet_id)
{
    packet[at] = (char)(packet_id >> 8);
    packet[at + 1] = (char)packet_id;
}

static inline void
sp_mqtt_patch_dup(char *packet)
{
    packet[0] = (char)(packet[0] | 0x08);
}

/* ---- everything else ---- */

/* What the receiver said of itself. */
struct sp_mqtt_peer {
    uint8_t  level;
    bool     no_problem_info;  /* request problem information 0: reason string and user properties only in CONNACK and
                                  DISCONNECT (MQTT 5 3.1.2.11.7) */
    uint32_t max_packet_bytes; /* 0: no limit. User properties, then the reason string, are left out to stay below
                                  (MQTT 5 3.2.2.3.9 and its like) */
};

/* All return the number of bytes written, or -ENOSPC when cap is too small, or -EMSGSIZE when the packet would be above
 * the receiver's limit even without what may be left out (the caller then sends nothing), or a string cannot be
 * encoded. `set` may be NULL; below level 5 it is not sent. SP_MQTT_SMALL_BYTES is enough for any packet without
 * properties and for SUBACK of one filter. */
#define SP_MQTT_SMALL_BYTES 16

/* 3.2. Any level but 5 gets the 3.1.1 format with the reason mapped; session_present is sent as 0 with a reason other
 * than 0. */
ssize_t sp_mqtt_encode_connack(char *dst, size_t cap, const struct sp_mqtt_peer *peer, bool session_present,
                               uint8_t reason, const struct sp_mqtt_set *set);
/* PUBACK, PUBREC, PUBREL, PUBCOMP (3.4 .. 3.7); reason is not sent below level 5, and not when it is 0 without
 * properties. */
ssize_t sp_mqtt_encode_ack(char *dst, size_t cap, const struct sp_mqtt_peer *peer, enum sp_mqtt_type type,
                           uint16_t packet_id, uint8_t reason, const struct sp_mqtt_set *set);
/* 3.9. reasons[]: 0..2 or an error; errors become 0x80 below level 5. */
ssize_t sp_mqtt_encode_suback(char *dst, size_t cap, const struct sp_mqtt_peer *peer, uint16_t packet_id,
                              const uint8_t *reasons, size_t n, const struct sp_mqtt_set *set);
/* 3.11. Without reasons below level 5. */
ssize_t sp_mqtt_encode_unsuback(char *dst, size_t cap, const struct sp_mqtt_peer *peer, uint16_t packet_id,
                                const uint8_t *reasons, size_t n, const struct sp_mqtt_set *set);
/* 3.14, from a server: 0 bytes below level 5, where a server only closes. */
ssize_t sp_mqtt_encode_disconnect(char *dst, size_t cap, const struct sp_mqtt_peer *peer, uint8_t reason,
                                  const struct sp_mqtt_set *set);
/* 3.15: level 5 only, 0 bytes below. */
ssize_t sp_mqtt_encode_auth(char *dst, size_t cap, const struct sp_mqtt_peer *peer, uint8_t reason,
                            const struct sp_mqtt_set *set);

/* The four bytes of a successful PUBACK, PUBREC, PUBREL or PUBCOMP, same for every level. */
static inline void
sp_mqtt_put_ack(char dst[4], enum sp_mqtt_type type, uint16_t packet_id)
{
    dst[0] = (char)((unsigned)type << 4 | (type == SP_MQTT_PUBREL ? 2U : 0U));
    dst[1] = 2;
    dst[2] = (char)(packet_id >> 8);
    dst[3] = (char)packet_id;
}

/* The two bytes of PINGRESP (3.13). */
static inline void
sp_mqtt_put_pingresp(char dst[2])
{
    dst[0] = (char)(unsigned char)0xD0;
    dst[1] = 0;
}

/* ---- client role (encode_client.c): bridges and tests ---- */

/* 3.1. Taken from c: level, clean, keep_alive_s, client_id, user, password and will with their has_ flags; properties
 * from `set`, the will's from `will_set` (either may be NULL). */
ssize_t sp_mqtt_encode_connect(char *dst, size_t cap, const struct sp_mqtt_connect *c, const struct sp_mqtt_set *set,
                               const struct sp_mqtt_set *will_set);
/* 3.8, 3.10. Of each filter: `filter` and, for SUBSCRIBE, the options. */
ssize_t sp_mqtt_encode_subscribe(char *dst, size_t cap, const struct sp_mqtt_peer *peer, uint16_t packet_id,
                                 const struct sp_mqtt_filter *filters, size_t n, const struct sp_mqtt_set *set);
ssize_t sp_mqtt_encode_unsubscribe(char *dst, size_t cap, const struct sp_mqtt_peer *peer, uint16_t packet_id,
                                   const struct sp_mqtt_filter *filters, size_t n, const struct sp_mqtt_set *set);
/* 3.14, from a client: at every level. */
ssize_t sp_mqtt_encode_client_disconnect(char *dst, size_t cap, const struct sp_mqtt_peer *peer, uint8_t reason,
                                         const struct sp_mqtt_set *set);

static inline void
sp_mqtt_put_pingreq(char dst[2])
{
    dst[0] = (char)(unsigned char)0xC0;
    dst[1] = 0;
}

#endif
