/*
 * Strict decoder for MQTT 3.1.1 and 5.0 (3.1 is recognised). No allocation, no state but `struct sp_mqtt_wire`, linear
 * time; results are slices into the input. Every function returns 0 or -EPROTO with *err telling the reason code to
 * answer with and why; *out is then undefined unless said otherwise.
 *
 * Use:  switch (sp_mqtt_frame(&wire, p, n, &head, &err)) {
 *       case SP_MQTT_FRAME_SHORT:   read more; no fixed header yet
 *       case SP_MQTT_FRAME_PARTIAL: read more; head says how much (head.header_bytes + head.body_bytes in all)
 *       case SP_MQTT_FRAME_BAD:     answer err.reason, close
 *       case SP_MQTT_FRAME_WHOLE:   sp_mqtt_decode_X(&wire, &head, p + head.header_bytes, &x, &err) by head.type
 *       }
 */
#ifndef SP_MQTT_DECODE_H
#define SP_MQTT_DECODE_H

#include "modules/mqtt_mtls/packet.h"
#include "modules/mqtt_mtls/reason.h"

/* What the decoder must know of the connection. */
struct sp_mqtt_wire {
    uint8_t  level;            /* 0 until CONNECT is decoded, then 3, 4 or 5: set by the caller */
    uint8_t  role;             /* enum sp_mqtt_role: who sends what is decoded */
    uint8_t  max_qos;          /* higher in PUBLISH or will: 0x9B (MQTT 5 3.2.2.3.4) */
    uint16_t topic_alias_max;  /* that we announced; a higher alias: 0x94 (MQTT 5 3.3.2.3.4) */
    uint16_t max_user_props;   /* per packet and will; more: 0x97 */
    uint32_t max_topic_levels; /* deeper: 0x90 for names, 0x8F for filters */
    uint32_t max_packet_bytes; /* whole packet with header; larger: 0x95, decided from the fixed header; 0: no limit */
};

/* level 0, QoS 2, no aliases, 64 user properties, 200 levels, no packet limit. */
void sp_mqtt_wire_init(struct sp_mqtt_wire *wire, enum sp_mqtt_role role);

enum sp_mqtt_frame { SP_MQTT_FRAME_SHORT, SP_MQTT_FRAME_PARTIAL, SP_MQTT_FRAME_WHOLE, SP_MQTT_FRAME_BAD };

/* Reads the fixed header at p (MQTT 5 2.1). BAD: reserved type, a type that this role does not send or that the level
 * does not have, flags that are not those of table 2-2, PUBLISH with QoS 3 or DUP with QoS 0, a remaining length of
 * more than four bytes, one not in its shortest form (level 5), a packet above max_packet_bytes; from a client, any
 * packet but CONNECT while level is 0 (3.1.0-1) and a second CONNECT when it is not (3.1.0-2). *head is set for PARTIAL
 * and WHOLE. */
enum sp_mqtt_frame sp_mqtt_frame(const struct sp_mqtt_wire *wire, const char *p, size_t n, struct sp_mqtt_head *head,
                                 struct sp_mqtt_error *err);

/* In all below: `body` are head->body_bytes bytes, head comes from sp_mqtt_frame() on the same wire. */

/* MQTT 5 3.1. *out is zeroed first; after an error out->level is still the level that the client named, 0 if it was not
 * reached: answer a CONNACK in that level's format (any level but 5 in that of 3.1.1). Level 3 decodes without error: a
 * server that does not serve it answers 0x84 (3.1.1: return code 1) itself. Other levels and protocol names: 0x84. An
 * empty client id with a kept session below level 5: 0x85 (3.1.3-8). */
int sp_mqtt_decode_connect(const struct sp_mqtt_wire *wire, const struct sp_mqtt_head *head, const char *body,
                           struct sp_mqtt_connect *out, struct sp_mqtt_error *err);

/* MQTT 5 3.3. The hot path. */
int sp_mqtt_decode_publish(const struct sp_mqtt_wire *wire, const struct sp_mqtt_head *head, const char *body,
                           struct sp_mqtt_publish *out, struct sp_mqtt_error *err);

/* PUBACK, PUBREC, PUBREL, PUBCOMP (MQTT 5 3.4 .. 3.7). */
int sp_mqtt_decode_ack(const struct sp_mqtt_wire *wire, const struct sp_mqtt_head *head, const char *body,
                       struct sp_mqtt_ack *out, struct sp_mqtt_error *err);

/* SUBSCRIBE (3.8) and UNSUBSCRIBE (3.10): checks every filter and option, so that walking them cannot fail. The caller
 * bounds out->count. */
int sp_mqtt_decode_subscribe(const struct sp_mqtt_wire *wire, const struct sp_mqtt_head *head, const char *body,
                             struct sp_mqtt_subscribe *out, struct sp_mqtt_error *err);
/* The next filter: start with rest = sub->filters; false at the end. */
bool sp_mqtt_subscribe_next(const struct sp_mqtt_subscribe *sub, struct sp_str *rest, struct sp_mqtt_filter *out);

/* DISCONNECT (3.14) and AUTH (3.15; the method is demanded). Session expiry of a DISCONNECT: sp_mqtt_props_num(). That
 * it may not become non-zero when CONNECT had 0 (3.14.2.2.2) is the caller's to check. */
int sp_mqtt_decode_disconnect(const struct sp_mqtt_wire *wire, const struct sp_mqtt_head *head, const char *body,
                              struct sp_mqtt_ack *out, struct sp_mqtt_error *err);
int sp_mqtt_decode_auth(const struct sp_mqtt_wire *wire, const struct sp_mqtt_head *head, const char *body,
                        struct sp_mqtt_ack *out, struct sp_mqtt_error *err);

/* PINGREQ and PINGRESP (3.12, 3.13): no body. */
int sp_mqtt_decode_ping(const struct sp_mqtt_head *head, struct sp_mqtt_error *err);

/* Client role, for bridges. wire->level must be set to the level asked for in CONNECT before CONNACK is decoded
 * (sp_mqtt_frame accepts any server packet then; the caller minds the order). */
int sp_mqtt_decode_connack(const struct sp_mqtt_wire *wire, const struct sp_mqtt_head *head, const char *body,
                           struct sp_mqtt_connack *out, struct sp_mqtt_error *err);
/* SUBACK and UNSUBACK. */
int sp_mqtt_decode_suback(const struct sp_mqtt_wire *wire, const struct sp_mqtt_head *head, const char *body,
                          struct sp_mqtt_suback *out, struct sp_mqtt_error *err);

#endif
