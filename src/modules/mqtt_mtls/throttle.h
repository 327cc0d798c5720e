/* The policy value `rate`, per session and place in the configuration: topics that inherit one line share one bucket. */
#ifndef SP_MQTT_THROTTLE_H
#define SP_MQTT_THROTTLE_H

#include "conf/rate.h"

#define SP_MQTT_BUCKETS 8

struct sp_mqtt_bucket {
    const struct sp_conf_node *source; /* NULL: free */
    double                     tokens;
    uint64_t                   at_ms; /* when tokens was right */
};

struct sp_mqtt_throttle { /* zeroed = nothing taken yet; zeroed again after a reload, when sources are other nodes */
    struct sp_mqtt_bucket buckets[SP_MQTT_BUCKETS];
};

/* Takes a token. 0, or for how many ms there will be none (> 0; nothing taken). */
uint64_t sp_mqtt_throttle_take(struct sp_mqtt_throttle *t, const struct sp_conf_node *source,
                               const struct sp_rate *rate, uint64_t now_ms);
#endif
