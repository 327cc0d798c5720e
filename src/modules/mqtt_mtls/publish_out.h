/* One PUBLISH into the output of one client. */
#ifndef SP_MQTT_PUBLISH_OUT_H
#define SP_MQTT_PUBLISH_OUT_H

#include "modules/mqtt_mtls/session.h"

struct sp_mqtt_publication {
    struct sp_message *message;
    const uint32_t    *ids; /* subscription identifiers */
    uint32_t           nids;
    uint16_t           packet_id; /* with QoS 1 */
    uint8_t            qos;
    bool               retain;
    bool               share; /* other receivers of a borrowed message may be served with copies of the result */
};

/* 0; -EMSGSIZE: larger than the client takes; -ETIME: expired; -ENOMEM: then the output is as it was, or the connection closes. */
int sp_mqtt_publish_to(struct sp_mqtt_session *s, const struct sp_mqtt_publication *p);

#endif
