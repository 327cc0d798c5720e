/*
 * What a decoded MQTT packet looks like. Every slice points into the buffer that was decoded and lives as long as it
 * does; nothing here owns memory. Levels: 3 = MQTT 3.1 ("MQIsdp"), 4 = MQTT 3.1.1, 5 = MQTT 5.0.
 */
#ifndef SP_MQTT_PACKET_H
#define SP_MQTT_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "modules/mqtt_mtls/props.h"

#define SP_MQTT_MAX_REMAINING    268435455u /* MQTT 5 1.5.5 */
#define SP_MQTT_MAX_HEADER_BYTES 5u

enum sp_mqtt_type { /* MQTT 5 2.1.2 */
                    SP_MQTT_CONNECT = 1,
                    SP_MQTT_CONNACK = 2,
                    SP_MQTT_PUBLISH = 3,
                    SP_MQTT_PUBACK = 4,
                    SP_MQTT_PUBREC = 5,
                    SP_MQTT_PUBREL = 6,
                    SP_MQTT_PUBCOMP = 7,
                    SP_MQTT_SUBSCRIBE = 8,
                    SP_MQTT_SUBACK = 9,
                    SP_MQTT_UNSUBSCRIBE = 10,
                    SP_MQTT_UNSUBACK = 11,
                    SP_MQTT_PINGREQ = 12,
                    SP_MQTT_PINGRESP = 13,
                    SP_MQTT_DISCONNECT = 14,
                    SP_MQTT_AUTH = 15
};

/* Who sent the packet: decides which types, properties and reason codes are possible. */
enum sp_mqtt_role { SP_MQTT_FROM_CLIENT = 0, SP_MQTT_FROM_SERVER = 1 };

/* "PUBLISH" and so on; "reserved" for 0 and above 15. */
const char *sp_mqtt_type_name(unsigned type);

/* Why a packet was refused. */
struct sp_mqtt_error {
    uint8_t     reason; /* enum sp_mqtt_reason: what to answer with (CONNACK before, DISCONNECT after the connection) */
    const char *text;   /* static English, with the section: fit for logs and for a reason string */
};

/* The fixed header (MQTT 5 2.1). */
struct sp_mqtt_head {
    uint8_t  type;         /* enum sp_mqtt_type */
    uint8_t  flags;        /* low four bits of byte 1 */
    uint8_t  header_bytes; /* 2..5 */
    bool     padded;       /* remaining length not in its shortest form: an error in MQTT 5 1.5.5 */
    uint32_t body_bytes;   /* remaining length */
};

struct sp_mqtt_publish {
    uint8_t              qos; /* 0..2 */
    bool                 retain, dup;
    uint16_t             packet_id; /* 0 with QoS 0 */
    struct sp_str        topic;     /* empty only with props.topic_alias != 0 */
    struct sp_str        payload;
    struct sp_mqtt_props props; /* empty below level 5 */
};

struct sp_mqtt_will {
    uint8_t              qos;
    bool                 retain;
    uint32_t             delay_s; /* 0 when absent */
    struct sp_str        topic, payload;
    struct sp_mqtt_props props; /* forwardable like those of a PUBLISH */
};

struct sp_mqtt_connect {
    uint8_t       level; /* 3, 4, 5; see sp_mqtt_decode_connect for what it is after an error */
    bool          clean; /* clean session (3.1.1), clean start (5) */
    bool          has_user, has_password, has_will;
    bool          want_problem_info;  /* default true */
    bool          want_response_info; /* default false */
    uint16_t      keep_alive_s;
    uint16_t      receive_max;      /* 1..65535, default 65535 */
    uint16_t      topic_alias_max;  /* default 0 */
    uint32_t      max_packet_bytes; /* 0: no limit */
    uint32_t      session_expiry_s; /* default 0; UINT32_MAX: never. Below level 5: 0 when clean, else UINT32_MAX */
    struct sp_str client_id;        /* may be empty */
    struct sp_str user, password;
    struct sp_str auth_method, auth_data; /* p == NULL when absent */
    struct sp_mqtt_will  will;            /* with has_will */
    struct sp_mqtt_props props;
};

/* PUBACK, PUBREC, PUBREL, PUBCOMP; DISCONNECT and AUTH (packet_id 0). */
struct sp_mqtt_ack {
    uint16_t             packet_id;
    uint8_t              reason; /* 0 below level 5 */
    struct sp_mqtt_props props;
};

struct sp_mqtt_subscribe { /* SUBSCRIBE and UNSUBSCRIBE */
    uint16_t             packet_id;
    uint8_t              level;
    bool                 unsubscribe;
    uint32_t             count;           /* filters, at least 1 */
    uint32_t             subscription_id; /* 0: none */
    struct sp_str        filters;         /* all checked; walk with sp_mqtt_subscribe_next() */
    struct sp_mqtt_props props;
};

struct sp_mqtt_filter {
    struct sp_str filter; /* as sent, the key of the subscription */
    struct sp_str group;  /* shared: between "$share/" and the filter; else p == NULL */
    struct sp_str inner;  /* the topic filter proper: `filter` unless shared */
    uint8_t       qos;
    uint8_t       retain_handling; /* 0..2 (MQTT 5 3.8.3.1) */
    bool          no_local, retain_as_published;
};

struct sp_mqtt_connack { /* for the client role */
    bool                 session_present;
    uint8_t              reason; /* return codes of 3.1.1 translated */
    struct sp_mqtt_props props;
};

struct sp_mqtt_suback { /* SUBACK and UNSUBACK, for the client role */
    uint16_t             packet_id;
    struct sp_str        reasons; /* one byte each; empty for an UNSUBACK below level 5 */
    struct sp_mqtt_props props;
};

#endif
