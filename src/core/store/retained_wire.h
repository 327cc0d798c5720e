/* Bodies of SP_BUS_RETAIN_*. A message on the wire: its head, then topic, properties, payload, identity. */
#ifndef SP_STORE_RETAINED_WIRE_H
#define SP_STORE_RETAINED_WIRE_H

#include "net/bus.h"
#include "store/retained.h"

struct retained_head { /* RETAIN_SET and RETAIN_MATCH */
    uint64_t token;    /* of the set or the query */
    uint64_t publisher;
    uint32_t expiry_s; /* left at the time of sending; UINT32_MAX: none */
    uint32_t payload_bytes, properties_bytes;
    uint16_t topic_bytes, identity_bytes;
    uint8_t  qos, utf8, durable;
    uint8_t  zero[5];
};

struct retained_answer { /* RETAIN_STORED and RETAIN_DONE */
    uint64_t token;
    int32_t  err;
    uint32_t zero;
};

struct retained_parts {
    struct sp_str topic, properties, payload, identity;
};

/* The slices behind the head; false (logged) when lengths do not agree. */
bool retained_wire_read(unsigned from, const void *body, size_t bytes, struct retained_head *head,
                        struct retained_parts *parts);
bool retained_answer_read(unsigned from, const void *body, size_t bytes, struct retained_answer *answer);
/* Sends a head with its parts; -EMSGSIZE when a part is too long for its length. As sp_bus_send otherwise. */
int retained_wire_send(struct sp_bus *bus, unsigned to, unsigned type, struct retained_head *head,
                       const struct retained_parts *parts);

#endif
