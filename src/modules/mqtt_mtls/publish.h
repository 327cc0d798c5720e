/*
 * From publishers: topic alias, policy (access, rate, payload size, values, QoS, retain), routing, the retained store, PUBACK.
 */
#ifndef SP_MQTT_PUBLISH_H
#define SP_MQTT_PUBLISH_H

#include "modules/mqtt_mtls/session.h"
#include "modules/mqtt_mtls/throttle.h"

struct sp_mqtt_publisher { /* of a session that has published */
    struct sp_publisher_memo memo;
    struct sp_mqtt_throttle  throttle;
    struct sp_timer          delay;
    struct sp_str           *aliases; /* malloc'd topics by alias - 1; NULL until one is used */
};

/* False: over its rate; the packet is to be offered again when the connection goes on. */
bool sp_mqtt_on_publish(struct sp_mqtt_session *s, const struct sp_mqtt_head *head, const char *body);
void sp_mqtt_publisher_free(struct sp_mqtt_session *s);

/* What stands against a publication under these values, apart from access and rate: 0 if nothing, else a reason code. *broken: the value
 * that decided. */
uint8_t sp_mqtt_judge(const struct sp_mqtt_conf *conf, const struct sp_policy *policy, const struct sp_message *m,
                      const struct sp_value **broken);
/* "publish denied by conf/sallyport.conf:31 (no allow rule matches)"; returns dst. */
#define SP_MQTT_WHY_BYTES 320
const char *sp_mqtt_why(char *dst, size_t cap, const char *what, const struct sp_decision *decision);
/* "payload larger than max_payload at conf/sallyport.conf:21"; returns dst. */
const char *sp_mqtt_why_value(char *dst, size_t cap, uint8_t reason, const struct sp_value *broken);

#endif
