#include "modules/mqtt_mtls/reason.h"

#include "tap.h"

/* The rows of MQTT 5's tables that a sender of each packet may choose from. */
static const struct {
    enum sp_mqtt_type type;
    enum sp_mqtt_role role;
    const char       *codes;
} allowed[] = {
    {SP_MQTT_CONNACK, SP_MQTT_FROM_SERVER,
     "\x00\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8c\x90\x95\x97\x99\x9a\x9b\x9c\x9d\x9f"},
    {SP_MQTT_PUBACK, SP_MQTT_FROM_SERVER, "\x00\x10\x80\x83\x87\x90\x91\x97\x99"},
    {SP_MQTT_PUBREC, SP_MQTT_FROM_CLIENT, "\x00\x80\x83\x87\x90\x91\x97\x99"},
    {SP_MQTT_PUBREL, SP_MQTT_FROM_CLIENT, "\x00\x92"},
    {SP_MQTT_PUBCOMP, SP_MQTT_FROM_SERVER, "\x00\x92"},
    {SP_MQTT_SUBACK, SP_MQTT_FROM_SERVER, "\x00\x01\x02\x80\x83\x87\x8f\x91\x97\x9e\xa1\xa2"},
    {SP_MQTT_UNSUBACK, SP_MQTT_FROM_SERVER, "\x00\x11\x80\x83\x87\x8f\x91"},
    {SP_MQTT_DISCONNECT, SP_MQTT_FROM_CLIENT, "\x00\x04\x80\x81\x82\x83\x90\x93\x94\x95\x96\x97\x98\x99"},
    {SP_MQTT_DISCONNECT, SP_MQTT_FROM_SERVER,
     "\x00\x80\x81\x82\x83\x87\x89\x8b\x8c\x8d\x8e\x8f\x90\x93\x94\x95\x96\x97\x98\x99\x9a\x9b\x9c\x9d\x9e\x9f\xa0\xa1"
     "\xa2"},
    {SP_MQTT_AUTH, SP_MQTT_FROM_CLIENT, "\x18\x19"},
    {SP_MQTT_AUTH, SP_MQTT_FROM_SERVER, "\x00\x18"},
};

static bool
listed(const char *codes, unsigned code)
{
    /* A leading 0 is a code, a later one the end. */
    if (code == 0) {
        return codes[0] == 0;
    }
    return strchr(codes[0] == 0 ? codes + 1 : codes, (int)code) != NULL;
}

static void
test_allowed(void)
{
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        int wrong = -1;
        for (unsigned code = 0; code < 256; code++) {
            if (sp_mqtt_reason_allowed((uint8_t)code, allowed[i].type, allowed[i].role) !=
                listed(allowed[i].codes, code)) {
                wrong = (int)code;
            }
        }
        is_int(wrong, -1, "codes of %s from the %s", sp_mqtt_type_name(allowed[i].type),
               allowed[i].role == SP_MQTT_FROM_CLIENT ? "client" : "server");
    }
    ok(!sp_mqtt_reason_allowed(0, SP_MQTT_PUBLISH, SP_MQTT_FROM_CLIENT), "PUBLISH has no reason code");
    ok(!sp_mqtt_reason_allowed(0, SP_MQTT_CONNACK, SP_MQTT_FROM_CLIENT), "a client sends no CONNACK");
}

static void
test_v3(void)
{
    static const struct {
        uint8_t reason, code;
    } map[] = {{0x00, 0}, {0x84, 1}, {0x85, 2}, {0x88, 3}, {0x89, 3}, {0x97, 3}, {0x9f, 3},
               {0x86, 4}, {0x8c, 4}, {0x87, 5}, {0x8a, 5}, {0x9b, 5}, {0x81, 5}};

    for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
        is_int(sp_mqtt_reason_to_v3(map[i].reason), map[i].code, "0x%02x in 3.1.1", map[i].reason);
    }
    for (unsigned code = 0; code <= 5; code++) {
        is_int(sp_mqtt_reason_to_v3(sp_mqtt_reason_from_v3((uint8_t)code)), code, "return code %u there and back",
               code);
    }
    is_int(sp_mqtt_reason_from_v3(6), 0x80, "a reserved return code");
    is_int(sp_mqtt_reason_from_v3(255), 0x80, "the last return code");
}

int
main(void)
{
    is_str(sp_mqtt_reason_name(0x87), "not authorized", "name of 0x87");
    is_str(sp_mqtt_reason_name(0x00), "success", "name of 0x00");
    is_str(sp_mqtt_reason_name(0xa2), "wildcard subscriptions not supported", "name of 0xa2");
    is_str(sp_mqtt_reason_name(0x7f), "unknown reason", "name of an undefined code");
    is_str(sp_mqtt_type_name(SP_MQTT_PUBLISH), "PUBLISH", "type 3");
    is_str(sp_mqtt_type_name(SP_MQTT_AUTH), "AUTH", "type 15");
    is_str(sp_mqtt_type_name(0), "reserved", "type 0");
    is_str(sp_mqtt_type_name(16), "reserved", "type 16");
    test_allowed();
    test_v3();
    return done_testing();
}
