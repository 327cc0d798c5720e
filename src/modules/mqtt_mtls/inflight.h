/*
 * The packet identifiers of messages on their way to a client (MQTT 5 2.2.1): a table of a power of two, at least twice as
 * large as what is in it, where identifier n stands at n modulo the size. Identifiers are given in turn.
 */
#ifndef SP_MQTT_INFLIGHT_H
#define SP_MQTT_INFLIGHT_H

#include <stdbool.h>
#include <stdint.h>

struct sp_mqtt_inflight { /* zeroed = empty */
    uint16_t *ids;        /* 0: free */
    uint32_t  size, count;
    uint16_t  last;
};

/* A free identifier, noted as in use. 0 when out of memory or when all are in use. */
uint16_t sp_mqtt_inflight_take(struct sp_mqtt_inflight *f);
/* False: it is not in use. */
bool sp_mqtt_inflight_give(struct sp_mqtt_inflight *f, uint16_t id);
void sp_mqtt_inflight_free(struct sp_mqtt_inflight *f);

#endif
