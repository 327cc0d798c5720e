/* The policy value `values FILTER VALUE ...`: which payloads a topic takes. */
#ifndef SP_MQTT_VALUES_H
#define SP_MQTT_VALUES_H

#include "conf/policy.h"

/* u.ptr is a const struct sp_mqtt_values * in the snapshot's arena. */
struct sp_mqtt_values {
    struct sp_str        filter;
    bool                 wildcard;
    unsigned             n;
    const struct sp_str *values;
};

extern const struct sp_type sp_mqtt_type_values;

/* The first list in force for `topic` that does not hold `payload`; NULL: the payload is fine. `list`: the policy's value. */
const struct sp_value *sp_mqtt_values_violated(const struct sp_value *list, struct sp_str topic, struct sp_str payload);

#endif
