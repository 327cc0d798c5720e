#include "modules/mqtt_mtls/throttle.h"

#include <string.h>

/* The bucket of a source; a new one starts full. When all are in use, the fullest gives way: it had least to say. */
static struct sp_mqtt_bucket *
bucket(struct sp_mqtt_throttle *t, const struct sp_conf_node *source, const struct sp_rate *rate, uint64_t now_ms)
{
    struct sp_mqtt_bucket *b = NULL;

    for (unsigned i = 0; i < SP_MQTT_BUCKETS; i++) {
        struct sp_mqtt_bucket *one = &t->buckets[i];

        if (one->source == source) {
            return one;
        }
        if (b == NULL || (b->source != NULL && (one->source == NULL || one->tokens > b->tokens))) {
            b = one;
        }
    }
    b->source = source;
    b->tokens = (double)rate->burst;
    b->at_ms = now_ms;
    return b;
}

uint64_t
sp_mqtt_throttle_take(struct sp_mqtt_throttle *t, const struct sp_conf_node *source, const struct sp_rate *rate,
                      uint64_t now_ms)
{
    struct sp_mqtt_bucket *b = bucket(t, source, rate, now_ms);
    double                 wait_ms;

    if (now_ms > b->at_ms) {
        b->tokens += (double)(now_ms - b->at_ms) * rate->per_s / 1000.0;
        b->at_ms = now_ms;
    }
    if (b->tokens > (double)rate->burst) {
        b->tokens = (double)rate->burst;
    }
    if (b->tokens >= 1.0) {
        b->tokens -= 1.0;
        return 0;
    }
    wait_ms = (1.0 - b->tokens) * 1000.0 / rate->per_s;
    return wait_ms >= 3600000.0 ? 3600000 : (uint64_t)wait_ms + 1;
}
