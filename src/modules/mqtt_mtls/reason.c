#include "modules/mqtt_mtls/reason.h"

#include <stddef.h>

#define T(type)  (1U << (type))
#define PUBACKS  (T(SP_MQTT_PUBACK) | T(SP_MQTT_PUBREC))
#define RELEASES (T(SP_MQTT_PUBREL) | T(SP_MQTT_PUBCOMP))
#define CONNACK  T(SP_MQTT_CONNACK)
#define SUBACK   T(SP_MQTT_SUBACK)
#define UNSUBACK T(SP_MQTT_UNSUBACK)
#define GOODBYE  T(SP_MQTT_DISCONNECT)
#define AUTH     T(SP_MQTT_AUTH)

/* MQTT 5 table 2-6, with the "sent by" columns of tables 3-4, 3-10 and 3-11. A success DISCONNECT is taken from servers
 * too: they do send it. */
static const struct {
    uint8_t     code;
    uint16_t    by_client, by_server;
    const char *name;
} reasons[] = {
    {0x00, PUBACKS | RELEASES | GOODBYE, CONNACK | PUBACKS | RELEASES | SUBACK | UNSUBACK | AUTH | GOODBYE, "success"},
    {0x01, 0, SUBACK, "granted QoS 1"},
    {0x02, 0, SUBACK, "granted QoS 2"},
    {0x04, GOODBYE, 0, "disconnect with will message"},
    {0x10, 0, PUBACKS, "no matching subscribers"},
    {0x11, 0, UNSUBACK, "no subscription existed"},
    {0x18, AUTH, AUTH, "continue authentication"},
    {0x19, AUTH, 0, "re-authenticate"},
    {0x80, PUBACKS | GOODBYE, CONNACK | PUBACKS | SUBACK | UNSUBACK | GOODBYE, "unspecified error"},
    {0x81, GOODBYE, CONNACK | GOODBYE, "malformed packet"},
    {0x82, GOODBYE, CONNACK | GOODBYE, "protocol error"},
    {0x83, PUBACKS | GOODBYE, CONNACK | PUBACKS | SUBACK | UNSUBACK | GOODBYE, "implementation specific error"},
    {0x84, 0, CONNACK, "unsupported protocol version"},
    {0x85, 0, CONNACK, "client identifier not valid"},
    {0x86, 0, CONNACK, "bad user name or password"},
    {0x87, PUBACKS, CONNACK | PUBACKS | SUBACK | UNSUBACK | GOODBYE, "not authorized"},
    {0x88, 0, CONNACK, "server unavailable"},
    {0x89, 0, CONNACK | GOODBYE, "server busy"},
    {0x8A, 0, CONNACK, "banned"},
    {0x8B, 0, GOODBYE, "server shutting down"},
    {0x8C, 0, CONNACK | GOODBYE, "bad authentication method"},
    {0x8D, 0, GOODBYE, "keep alive timeout"},
    {0x8E, 0, GOODBYE, "session taken over"},
    {0x8F, 0, SUBACK | UNSUBACK | GOODBYE, "topic filter invalid"},
    {0x90, PUBACKS | GOODBYE, CONNACK | PUBACKS | GOODBYE, "topic name invalid"},
    {0x91, PUBACKS, PUBACKS | SUBACK | UNSUBACK, "packet identifier in use"},
    {0x92, RELEASES, RELEASES, "packet identifier not found"},
    {0x93, GOODBYE, GOODBYE, "receive maximum exceeded"},
    {0x94, GOODBYE, GOODBYE, "topic alias invalid"},
    {0x95, GOODBYE, CONNACK | GOODBYE, "packet too large"},
    {0x96, GOODBYE, GOODBYE, "message rate too high"},
    {0x97, PUBACKS | GOODBYE, CONNACK | PUBACKS | SUBACK | GOODBYE, "quota exceeded"},
    {0x98, GOODBYE, GOODBYE, "administrative action"},
    {0x99, PUBACKS | GOODBYE, CONNACK | PUBACKS | GOODBYE, "payload format invalid"},
    {0x9A, 0, CONNACK | GOODBYE, "retain not supported"},
    {0x9B, 0, CONNACK | GOODBYE, "QoS not supported"},
    {0x9C, 0, CONNACK | GOODBYE, "use another server"},
    {0x9D, 0, CONNACK | GOODBYE, "server moved"},
    {0x9E, 0, SUBACK | GOODBYE, "shared subscriptions not supported"},
    {0x9F, 0, CONNACK | GOODBYE, "connection rate exceeded"},
    {0xA0, 0, GOODBYE, "maximum connect time"},
    {0xA1, 0, SUBACK | GOODBYE, "subscription identifiers not supported"},
    {0xA2, 0, SUBACK | GOODBYE, "wildcard subscriptions not supported"},
};

#define NREASONS (sizeof(reasons) / sizeof(reasons[0]))

const char *
sp_mqtt_reason_name(uint8_t reason)
{
    for (size_t i = 0; i < NREASONS; i++) {
        if (reasons[i].code == reason) {
            return reasons[i].name;
        }
    }
    return "unknown reason";
}

bool
sp_mqtt_reason_allowed(uint8_t reason, enum sp_mqtt_type type, enum sp_mqtt_role sender)
{
    for (size_t i = 0; i < NREASONS; i++) {
        if (reasons[i].code == reason) {
            uint16_t types = sender == SP_MQTT_FROM_CLIENT ? reasons[i].by_client : reasons[i].by_server;
            return (types & T(type)) != 0;
        }
    }
    return false;
}

uint8_t
sp_mqtt_reason_to_v3(uint8_t reason)
{
    switch (reason) {
    case SP_MQTT_OK:
        return 0;
    case SP_MQTT_UNSUPPORTED_VERSION:
        return 1;
    case SP_MQTT_CLIENT_ID_NOT_VALID:
        return 2;
    case SP_MQTT_UNSPECIFIED_ERROR:
    case SP_MQTT_IMPLEMENTATION_ERROR:
    case SP_MQTT_SERVER_UNAVAILABLE:
    case SP_MQTT_SERVER_BUSY:
    case SP_MQTT_SERVER_SHUTTING_DOWN:
    case SP_MQTT_QUOTA_EXCEEDED:
    case SP_MQTT_USE_ANOTHER_SERVER:
    case SP_MQTT_SERVER_MOVED:
    case SP_MQTT_CONNECTION_RATE_EXCEEDED:
        return 3;
    case SP_MQTT_BAD_USER_OR_PASSWORD:
    case SP_MQTT_BAD_AUTHENTICATION_METHOD:
        return 4;
    default:
        return 5;
    }
}

uint8_t
sp_mqtt_reason_from_v3(uint8_t code)
{
    static const uint8_t table[] = {SP_MQTT_OK,
                                    SP_MQTT_UNSUPPORTED_VERSION,
                                    SP_MQTT_CLIENT_ID_NOT_VALID,
                                    SP_MQTT_SERVER_UNAVAILABLE,
                                    SP_MQTT_BAD_USER_OR_PASSWORD,
                                    SP_MQTT_NOT_AUTHORIZED};

    return code < sizeof(table) ? table[code] : SP_MQTT_UNSPECIFIED_ERROR;
}

const char *
sp_mqtt_type_name(unsigned type)
{
    static const char *const names[] = {"reserved", "CONNECT",  "CONNACK",    "PUBLISH", "PUBACK",      "PUBREC",
                                        "PUBREL",   "PUBCOMP",  "SUBSCRIBE",  "SUBACK",  "UNSUBSCRIBE", "UNSUBACK",
                                        "PINGREQ",  "PINGRESP", "DISCONNECT", "AUTH"};

    return type < sizeof(names) / sizeof(names[0]) ? names[type] : names[0];
}
