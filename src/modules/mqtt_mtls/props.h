/*
 * MQTT 5 properties (section 2.2.2). Decoding checks a property list once, in time linear in its length, and keeps it
 * as the raw slice; what a broker needs for every message is taken out, the rest is found on demand by walking the
 * slice.
 */
#ifndef SP_MQTT_PROPS_H
#define SP_MQTT_PROPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct sp_mqtt_error;

enum sp_mqtt_prop_id {                                              /* MQTT 5 table 2-4 */
                       SP_MQTT_P_PAYLOAD_FORMAT = 0x01,             /* byte */
                       SP_MQTT_P_MESSAGE_EXPIRY = 0x02,             /* four bytes, seconds */
                       SP_MQTT_P_CONTENT_TYPE = 0x03,               /* string */
                       SP_MQTT_P_RESPONSE_TOPIC = 0x08,             /* string */
                       SP_MQTT_P_CORRELATION_DATA = 0x09,           /* binary */
                       SP_MQTT_P_SUBSCRIPTION_ID = 0x0B,            /* variable byte integer, 1..268435455 */
                       SP_MQTT_P_SESSION_EXPIRY = 0x11,             /* four bytes, seconds */
                       SP_MQTT_P_ASSIGNED_CLIENT_ID = 0x12,         /* string */
                       SP_MQTT_P_SERVER_KEEP_ALIVE = 0x13,          /* two bytes, seconds */
                       SP_MQTT_P_AUTH_METHOD = 0x15,                /* string */
                       SP_MQTT_P_AUTH_DATA = 0x16,                  /* binary */
                       SP_MQTT_P_REQUEST_PROBLEM_INFO = 0x17,       /* byte */
                       SP_MQTT_P_WILL_DELAY = 0x18,                 /* four bytes, seconds */
                       SP_MQTT_P_REQUEST_RESPONSE_INFO = 0x19,      /* byte */
                       SP_MQTT_P_RESPONSE_INFO = 0x1A,              /* string */
                       SP_MQTT_P_SERVER_REFERENCE = 0x1C,           /* string */
                       SP_MQTT_P_REASON_STRING = 0x1F,              /* string */
                       SP_MQTT_P_RECEIVE_MAXIMUM = 0x21,            /* two bytes */
                       SP_MQTT_P_TOPIC_ALIAS_MAXIMUM = 0x22,        /* two bytes */
                       SP_MQTT_P_TOPIC_ALIAS = 0x23,                /* two bytes */
                       SP_MQTT_P_MAXIMUM_QOS = 0x24,                /* byte */
                       SP_MQTT_P_RETAIN_AVAILABLE = 0x25,           /* byte */
                       SP_MQTT_P_USER_PROPERTY = 0x26,              /* two strings, repeatable */
                       SP_MQTT_P_MAXIMUM_PACKET_SIZE = 0x27,        /* four bytes */
                       SP_MQTT_P_WILDCARD_AVAILABLE = 0x28,         /* byte */
                       SP_MQTT_P_SUBSCRIPTION_IDS_AVAILABLE = 0x29, /* byte */
                       SP_MQTT_P_SHARED_AVAILABLE = 0x2A,           /* byte */
                       SP_MQTT_P_LIMIT = 0x2B                       /* all identifiers are below */
};

#define SP_MQTT_PROP_BIT(id) (UINT64_C(1) << (id))

/* A checked property list. All members are always set. */
struct sp_mqtt_props {
    struct sp_str raw;              /* without the length in front; empty when there are none */
    uint64_t      present;          /* SP_MQTT_PROP_BIT(id) of each */
    uint32_t      forward_bytes;    /* what sp_mqtt_props_forward() writes */
    uint32_t      message_expiry_s; /* meaningful only when present */
    uint32_t      subscription_id;  /* the first; 0: none */
    uint32_t      nsubscription_ids;
    uint16_t      nuser;                                     /* user properties */
    uint16_t      topic_alias;                               /* 0: none */
    uint8_t       payload_format;                            /* 0 (default) or 1 (UTF-8) */
    struct sp_str content_type, response_topic, correlation; /* p == NULL when absent */
};

/* One property, from a walk. Numbers in `num`; strings and binary data in `str`; a user property's name in `str` and
 * its value in `value`. */
struct sp_mqtt_prop {
    uint8_t       id;
    uint32_t      num;
    struct sp_str str, value;
};

static inline bool
sp_mqtt_props_has(const struct sp_mqtt_props *props, enum sp_mqtt_prop_id id)
{
    return (props->present & SP_MQTT_PROP_BIT(id)) != 0;
}

/* Walks a CHECKED list: start with rest = props->raw; false at the end. */
bool sp_mqtt_props_next(struct sp_str *rest, struct sp_mqtt_prop *out);
/* Only user properties, in order (MQTT 5 3.3.2.3.7). */
bool sp_mqtt_props_next_user(struct sp_str *rest, struct sp_str *name, struct sp_str *value);
/* Only subscription identifiers. */
bool sp_mqtt_props_next_subscription_id(struct sp_str *rest, uint32_t *id);
/* The first property `id`: false when absent. */
bool          sp_mqtt_props_get(const struct sp_mqtt_props *props, enum sp_mqtt_prop_id id, struct sp_mqtt_prop *out);
uint32_t      sp_mqtt_props_num(const struct sp_mqtt_props *props, enum sp_mqtt_prop_id id, uint32_t fallback);
struct sp_str sp_mqtt_props_str(const struct sp_mqtt_props *props, enum sp_mqtt_prop_id id); /* p == NULL: absent */

/* What a server hands on unaltered with a message or will (MQTT 5 3.3.2.3, 3.1.3.2): payload format, content type,
 * response topic, correlation data, user properties, in the order sent. Left out: topic alias, subscription
 * identifiers, message expiry (sent anew, counted down) and will delay. Writes props->forward_bytes bytes to dst and
 * returns that; the result goes to sp_mqtt_out.props. When forward_bytes == raw.n, raw itself serves as well and
 * nothing needs copying. */
size_t sp_mqtt_props_forward(const struct sp_mqtt_props *props, char *dst);

/* MQTT 5 3.3.2.3.2: is the payload what its payload format indicator says (1: UTF-8)? The standard lets a receiver
 * check or not, hence separate: answer PUBACK/PUBREC 0x99, or DISCONNECT 0x99. Linear in the payload. */
bool sp_mqtt_payload_valid(const struct sp_mqtt_props *props, struct sp_str payload);

/* Where a property list stands; bits of the table that says what may stand where. Packet types serve as they are. */
#define SP_MQTT_IN_WILL 0u

/* For decode.c: parses the list at the start of *rest (length first), checks everything that MQTT 5 2.2.2 and the
 * sections of the packet demand, and moves *rest behind it. `where`: packet type or SP_MQTT_IN_WILL; `role`: enum
 * sp_mqtt_role of the sender. 0 or -EPROTO with *err set. */
int sp_mqtt_props_parse(struct sp_str *rest, unsigned where, unsigned role, unsigned max_user,
                        struct sp_mqtt_props *out, struct sp_mqtt_error *err);

/* ---- properties to send ---- */

struct sp_mqtt_pair {
    struct sp_str name, value;
};

/* A set to encode, for everything but PUBLISH. Only `present` and `nuser` need initialising: sp_mqtt_set_clear(). */
struct sp_mqtt_set {
    uint64_t                   present;
    const struct sp_mqtt_pair *user;
    uint32_t                   nuser;
    union {
        uint32_t      num;
        struct sp_str str;
    } value[SP_MQTT_P_LIMIT];
};

static inline void
sp_mqtt_set_clear(struct sp_mqtt_set *set)
{
    set->present = 0;
    set->user = NULL;
    set->nuser = 0;
}

/* The id decides the width; `num` must fit it. Text is borrowed until the packet is encoded; at most 65,535 bytes are
 * sent: a longer reason string is cut at a character, any other makes encoding fail with -EMSGSIZE. */
static inline void
sp_mqtt_set_num(struct sp_mqtt_set *set, enum sp_mqtt_prop_id id, uint32_t num)
{
    set->present |= SP_MQTT_PROP_BIT(id);
    set->value[id].num = num;
}

static inline void
sp_mqtt_set_str(struct sp_mqtt_set *set, enum sp_mqtt_prop_id id, struct sp_str str)
{
    set->present |= SP_MQTT_PROP_BIT(id);
    set->value[id].str = str;
}

/* For encode.c: the bytes of the properties in `mask` (without the length in front), and of the user properties when
 * `user`. SIZE_MAX when something cannot be encoded. */
size_t sp_mqtt_set_size(const struct sp_mqtt_set *set, uint64_t mask, bool user);
/* Writes them (sp_mqtt_set_size() bytes). Returns the end. */
char *sp_mqtt_set_write(const struct sp_mqtt_set *set, uint64_t mask, bool user, char *dst);

#endif
