#include "modules/mqtt_mtls/decode.h"

#include "mqtt_hex.h"
#include "tap.h"

enum { CLIENT = SP_MQTT_FROM_CLIENT, SERVER = SP_MQTT_FROM_SERVER };

static struct sp_mqtt_error err;
static struct sp_mqtt_wire  wire;
static struct sp_mqtt_head  head;
static struct hex           packet; /* keeps the last decoded one */

static struct sp_mqtt_connect   connect;
static struct sp_mqtt_publish   publish;
static struct sp_mqtt_ack       ack;
static struct sp_mqtt_subscribe subscribe;
static struct sp_mqtt_connack   connack;
static struct sp_mqtt_suback    suback;

static int
decode_body(const char *body)
{
    switch (head.type) {
    case SP_MQTT_CONNECT:
        return sp_mqtt_decode_connect(&wire, &head, body, &connect, &err);
    case SP_MQTT_CONNACK:
        return sp_mqtt_decode_connack(&wire, &head, body, &connack, &err);
    case SP_MQTT_PUBLISH:
        return sp_mqtt_decode_publish(&wire, &head, body, &publish, &err);
    case SP_MQTT_SUBSCRIBE:
    case SP_MQTT_UNSUBSCRIBE:
        return sp_mqtt_decode_subscribe(&wire, &head, body, &subscribe, &err);
    case SP_MQTT_SUBACK:
    case SP_MQTT_UNSUBACK:
        return sp_mqtt_decode_suback(&wire, &head, body, &suback, &err);
    case SP_MQTT_PINGREQ:
    case SP_MQTT_PINGRESP:
        return sp_mqtt_decode_ping(&head, &err);
    case SP_MQTT_DISCONNECT:
        return sp_mqtt_decode_disconnect(&wire, &head, body, &ack, &err);
    case SP_MQTT_AUTH:
        return sp_mqtt_decode_auth(&wire, &head, body, &ack, &err);
    default:
        return sp_mqtt_decode_ack(&wire, &head, body, &ack, &err);
    }
}

/* Decodes a whole packet: 0, or the reason code; -1 for an error without a text, -2 for a wrong frame. */
static int
decode(const char *text)
{
    packet = *hex(text);
    /* An exact copy on the heap lets the sanitizer see a read beyond the end. */
    static char *copy;
    free(copy);
    copy = malloc(packet.n > 0 ? packet.n : 1);
    memcpy(copy, packet.b, packet.n);
    err = (struct sp_mqtt_error){0};
    switch (sp_mqtt_frame(&wire, copy, packet.n, &head, &err)) {
    case SP_MQTT_FRAME_WHOLE:
        break;
    case SP_MQTT_FRAME_BAD:
        return err.text != NULL ? err.reason : -1;
    default:
        return -2;
    }
    if (head.header_bytes + head.body_bytes != packet.n) {
        return -2;
    }
    if (decode_body(copy + head.header_bytes) < 0) {
        return err.text != NULL && err.reason >= 0x80 ? err.reason : -1;
    }
    return 0;
}

static void
start(unsigned level, unsigned role)
{
    sp_mqtt_wire_init(&wire, role);
    wire.level = (uint8_t)level;
}

struct vector {
    const char *text;
    int         reason;
    const char *what;
};

static void
run(unsigned level, unsigned role, const struct vector *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        start(level, role);
        if (!is_int(decode(v[i].text), v[i].reason, "level %u from %s: %s", level, role == CLIENT ? "client" : "server",
                    v[i].what)) {
            printf("#   %s\n", err.text != NULL ? err.text : "no text");
        }
    }
}

#define RUN(level, role, vectors) run(level, role, vectors, sizeof(vectors) / sizeof((vectors)[0]))

static const struct vector connects[] = {
    {"10 *(~('MQTT') 04 02 003c ~('c'))", 0, "3.1.1"},
    {"10 *(~('MQTT') 04 02 0000 ~())", 0, "empty client id, clean"},
    {"10 *(~('MQTT') 04 00 0000 ~())", 0x85, "empty client id, kept session"},
    {"10 *(~('MQTT') 04 00 0000 ~('c'))", 0, "kept session"},
    {"10 *(~('MQTT') 05 00 0000 00 ~())", 0, "5, empty client id, kept session"},
    {"10 *(~('MQIsdp') 03 02 003c ~('c'))", 0, "3.1 is recognised"},
    {"10 *(~('MQIsdp') 03 02 003c ~())", 0x85, "3.1, empty client id"},
    {"10 *(~('MQIsdp') 04 02 003c ~('c'))", 0x84, "MQIsdp with level 4"},
    {"10 *(~('MQTT') 03 02 003c ~('c'))", 0x84, "MQTT with level 3"},
    {"10 *(~('MQTT') 06 02 003c ~('c'))", 0x84, "level 6"},
    {"10 *(~('MQTT') 84 02 003c ~('c'))", 0x84, "level 4 with the bridge bit"},
    {"10 *(~('mqtt') 04 02 003c ~('c'))", 0x84, "name in lower case"},
    {"10 *(~('HTTP') 04 02 003c ~('c'))", 0x84, "another name"},
    {"10 *(~() 04 02 003c ~('c'))", 0x84, "no name"},
    {"11 *(~('MQTT') 04 02 003c ~('c'))", 0x81, "reserved flag in the fixed header"},
    {"10 *(~('MQTT') 04 03 003c ~('c'))", 0x81, "reserved connect flag"},
    {"10 *(~('MQTT') 04 0a 003c ~('c'))", 0x81, "will QoS 1 without a will"},
    {"10 *(~('MQTT') 04 22 003c ~('c'))", 0x81, "will retain without a will"},
    {"10 *(~('MQTT') 04 1e 003c ~('c') ~('w') ~('x'))", 0x81, "will QoS 3"},
    {"10 *(~('MQTT') 04 36 003c ~('c') ~('w/t') ~('x'))", 0, "will QoS 2, retained"},
    {"10 *(~('MQTT') 04 06 003c ~('c') ~('w/t') ~())", 0, "empty will"},
    {"10 *(~('MQTT') 04 06 003c ~('c') ~('w/t') ~(00 ff))", 0, "binary will"},
    {"10 *(~('MQTT') 04 06 003c ~('c') ~('w/+') ~('x'))", 0x90, "wildcard in will topic"},
    {"10 *(~('MQTT') 04 06 003c ~('c') ~() ~('x'))", 0x90, "empty will topic"},
    {"10 *(~('MQTT') 04 06 003c ~('c') ~('w' 00) ~('x'))", 0x81, "NUL in will topic"},
    {"10 *(~('MQTT') 04 06 003c ~('c') ~('w'))", 0x81, "no will payload"},
    {"10 *(~('MQTT') 04 06 003c ~('c'))", 0x81, "no will"},
    {"10 *(~('MQTT') 04 42 003c ~('c') ~('p'))", 0x81, "password without user name in 3.1.1"},
    {"10 *(~('MQTT') 05 42 003c 00 ~('c') ~('p'))", 0, "password without user name in 5"},
    {"10 *(~('MQTT') 04 c2 003c ~('c') ~('u') ~(00 ff))", 0, "user name and binary password"},
    {"10 *(~('MQTT') 04 82 003c ~('c') ~())", 0, "empty user name"},
    {"10 *(~('MQTT') 04 82 003c ~('c') ~(ff))", 0x81, "user name not UTF-8"},
    {"10 *(~('MQTT') 04 82 003c ~('c'))", 0x81, "no user name"},
    {"10 *(~('MQTT') 04 c2 003c ~('c') ~('u'))", 0x81, "no password"},
    {"10 *(~('MQTT') 04 c2 003c ~('c') ~('u') 0005 'p')", 0x81, "password beyond the end"},
    {"10 *(~('MQTT') 04 02 003c ~('c') 00)", 0x81, "trailing byte"},
    {"10 *(~('MQTT') 04 02 003c ~('c' 00))", 0x81, "NUL in client id"},
    {"10 *(~('MQTT') 04 02 003c ~(eda080))", 0x81, "surrogate in client id"},
    {"10 *(~('MQTT') 04 02 003c 0002 'c')", 0x81, "client id beyond the end"},
    {"10 *(~('MQTT') 04 02 003c)", 0x81, "no client id"},
    {"10 *(~('MQTT') 04 02 00)", 0x81, "half a keep alive"},
    {"10 *(~('MQTT') 04)", 0x81, "no flags"},
    {"10 *(~('MQTT'))", 0x81, "no level"},
    {"10 *(0006 'MQTT')", 0x81, "name beyond the end"},
    {"10 00", 0x81, "empty"},
    {"10 *(~('MQTT') 05 02 003c ~('c'))", 0x81, "5 without properties"},
    {"10 *(~('MQTT') 05 02 003c *(16 ~('d')) ~('c'))", 0x82, "authentication data without method"},
    {"10 *(~('MQTT') 05 02 003c *(15 ~('m') 16 ~('d')) ~('c'))", 0, "authentication method and data"},
    {"10 *(~('MQTT') 05 02 003c *(21 0000) ~('c'))", 0x82, "receive maximum 0"},
    {"10 *(~('MQTT') 05 02 003c *(23 0001) ~('c'))", 0x81, "topic alias"},
    {"10 *(~('MQTT') 05 06 003c 00 ~('c') *(18 00000003 01 01) ~('w') ~('x'))", 0, "will properties"},
    {"10 *(~('MQTT') 05 06 003c *(18 00000003) ~('c') 00 ~('w') ~('x'))", 0x81, "will delay outside the will"},
    {"10 *(~('MQTT') 05 06 003c 00 ~('c') *(11 00000003) ~('w') ~('x'))", 0x81, "session expiry in the will"},
    {"10 *(~('MQTT') 05 06 003c 00 ~('c') ~('w') ~('x'))", 0x81, "no will properties"},
    {"10 8e 00 ~('MQTT') 05 02 003c 00 ~('c')", 0x81, "5, padded length"},
    {"10 8d 00 ~('MQTT') 04 02 003c ~('c')", 0, "3.1.1, padded length"},
    {"c0 00", 0x82, "PINGREQ first"},
    {"30 *(~('t'))", 0x82, "PUBLISH first"},
    {"f0 00", 0x82, "AUTH first"},
    {"00 00", 0x82, "reserved type first"},
};

static const struct vector from_client_4[] = {
    {"10 *(~('MQTT') 04 02 003c ~('c'))", 0x82, "second CONNECT"},
    {"20 02 00 00", 0x82, "CONNACK"},
    {"90 03 0001 00", 0x82, "SUBACK"},
    {"b0 02 0001", 0x82, "UNSUBACK"},
    {"d0 00", 0x82, "PINGRESP"},
    {"f0 00", 0x81, "AUTH"},
    {"00 00", 0x81, "type 0"},
    {"30 *(~('t'))", 0, "PUBLISH"},
    {"31 *(~('t') 'x')", 0, "PUBLISH, retained"},
    {"32 *(~('t') 0001 'x')", 0, "PUBLISH, QoS 1"},
    {"3a *(~('t') 0001 'x')", 0, "PUBLISH, QoS 1, DUP"},
    {"34 *(~('t') ffff)", 0, "PUBLISH, QoS 2"},
    {"36 *(~('t') 0001)", 0x81, "PUBLISH, QoS 3"},
    {"38 *(~('t'))", 0x81, "PUBLISH, QoS 0, DUP"},
    {"32 *(~('t') 0000 'x')", 0x82, "PUBLISH, packet id 0"},
    {"32 *(~('t') 00)", 0x81, "PUBLISH, half a packet id"},
    {"32 *(~('t'))", 0x81, "PUBLISH, no packet id"},
    {"30 *(~())", 0x90, "PUBLISH, empty topic"},
    {"30 *(~('a/+/b'))", 0x90, "PUBLISH, +"},
    {"30 *(~('a/#'))", 0x90, "PUBLISH, #"},
    {"30 *(~('a' 00))", 0x81, "PUBLISH, NUL"},
    {"30 *(~('a' ff))", 0x81, "PUBLISH, topic not UTF-8"},
    {"30 *(~('a/+' ff))", 0x81, "PUBLISH, topic not UTF-8 and with a wildcard"},
    {"30 *(~(efbbbf 'a'))", 0, "PUBLISH, byte order mark"},
    {"30 *(~('/'))", 0, "PUBLISH, two empty levels"},
    {"30 *(~('$SYS/x'))", 0, "PUBLISH to $SYS decodes"},
    {"30 *(0002 't')", 0x81, "PUBLISH, topic beyond the end"},
    {"30 01 00", 0x81, "PUBLISH, half a topic length"},
    {"30 00", 0x81, "PUBLISH, empty"},
    {"30 83 00 ~('t')", 0, "PUBLISH, padded length"},
    {"40 02 0001", 0, "PUBACK"},
    {"40 02 0000", 0x82, "PUBACK, packet id 0"},
    {"40 01 00", 0x81, "PUBACK, short"},
    {"40 00", 0x81, "PUBACK, empty"},
    {"40 03 0001 00", 0x81, "PUBACK with a reason"},
    {"42 02 0001", 0x81, "PUBACK, flags"},
    {"50 02 0001", 0, "PUBREC"},
    {"51 02 0001", 0x81, "PUBREC, flags"},
    {"62 02 0001", 0, "PUBREL"},
    {"60 02 0001", 0x81, "PUBREL, flags"},
    {"6a 02 0001", 0x81, "PUBREL, DUP"},
    {"70 02 0001", 0, "PUBCOMP"},
    {"72 02 0001", 0x81, "PUBCOMP, flags"},
    {"82 *(0001 ~('a/b') 01)", 0, "SUBSCRIBE"},
    {"82 *(0001 ~('a/b') 01 ~('#') 02 ~('+/+') 00)", 0, "SUBSCRIBE, three"},
    {"80 *(0001 ~('a/b') 01)", 0x81, "SUBSCRIBE, flags"},
    {"82 *(0000 ~('a/b') 01)", 0x82, "SUBSCRIBE, packet id 0"},
    {"82 02 0001", 0x82, "SUBSCRIBE, no filter"},
    {"82 01 00", 0x81, "SUBSCRIBE, short"},
    {"82 *(0001 ~('a/b'))", 0x81, "SUBSCRIBE, no options"},
    {"82 *(0001 ~('a/b') 01 00)", 0x81, "SUBSCRIBE, trailing byte"},
    {"82 *(0001 ~('a/b') 03)", 0x82, "SUBSCRIBE, QoS 3"},
    {"82 *(0001 ~('a/b') 04)", 0x81, "SUBSCRIBE, options of 5"},
    {"82 *(0001 ~('a/b') 80)", 0x81, "SUBSCRIBE, reserved option"},
    {"82 *(0001 ~('a/b') 00 ~('a#') 00)", 0x8f, "SUBSCRIBE, misplaced #"},
    {"82 *(0001 ~('#/a') 00)", 0x8f, "SUBSCRIBE, # not last"},
    {"82 *(0001 ~('a+') 00)", 0x8f, "SUBSCRIBE, misplaced +"},
    {"82 *(0001 ~() 00)", 0x8f, "SUBSCRIBE, empty filter"},
    {"82 *(0001 ~('a' 00) 00)", 0x81, "SUBSCRIBE, NUL"},
    {"82 *(0001 ~(c0af) 00)", 0x81, "SUBSCRIBE, not UTF-8"},
    {"82 *(0001 ~('$share/g/a') 00)", 0, "SUBSCRIBE, shared"},
    {"a2 *(0001 ~('a/b') ~('#'))", 0, "UNSUBSCRIBE"},
    {"a0 *(0001 ~('a/b'))", 0x81, "UNSUBSCRIBE, flags"},
    {"a2 02 0001", 0x82, "UNSUBSCRIBE, no filter"},
    {"a2 *(0000 ~('a/b'))", 0x82, "UNSUBSCRIBE, packet id 0"},
    {"a2 *(0001 ~('a/b') 00)", 0x81, "UNSUBSCRIBE, trailing byte"},
    {"a2 *(0001 ~('a#b'))", 0x8f, "UNSUBSCRIBE, bad filter"},
    {"c0 00", 0, "PINGREQ"},
    {"c1 00", 0x81, "PINGREQ, flags"},
    {"c0 01 00", 0x81, "PINGREQ with a body"},
    {"e0 00", 0, "DISCONNECT"},
    {"e1 00", 0x81, "DISCONNECT, flags"},
    {"e0 01 00", 0x81, "DISCONNECT with a reason"},
};

static const struct vector from_client_5[] = {
    {"30 *(~('t') 00)", 0, "PUBLISH"},
    {"30 *(~('t'))", 0x81, "PUBLISH, no properties"},
    {"32 *(~('t') 0001 *(01 01 26 ~('a') ~('b')) 'x')", 0, "PUBLISH with properties"},
    {"30 *(~() 00)", 0x82, "PUBLISH, neither topic nor alias"},
    {"30 *(~() *(23 0005))", 0, "PUBLISH, alias only"},
    {"30 *(~('t') *(23 000a))", 0, "PUBLISH, highest alias"},
    {"30 *(~('t') *(23 000b))", 0x94, "PUBLISH, alias above the maximum"},
    {"30 *(~('t') *(23 0000))", 0x94, "PUBLISH, alias 0"},
    {"30 *(~('t') *(23 0001 23 0001))", 0x82, "PUBLISH, two aliases"},
    {"30 *(~('t') *(0b 01))", 0x82, "PUBLISH, subscription identifier"},
    {"30 *(~('t') *(11 00000000))", 0x81, "PUBLISH, session expiry"},
    {"30 *(~('t') 05 01 01)", 0x81, "PUBLISH, properties beyond the end"},
    {"30 84 00 ~('t') 00", 0x81, "PUBLISH, padded length"},
    {"40 02 0001", 0, "PUBACK"},
    {"40 03 0001 00", 0, "PUBACK with a reason"},
    {"40 03 0001 80", 0, "PUBACK with an error"},
    {"40 03 0001 92", 0x82, "PUBACK with a reason of others"},
    {"40 03 0001 10", 0x82, "PUBACK with a server's reason"},
    {"40 04 0001 00 00", 0, "PUBACK with an empty list"},
    {"40 *(0001 00 *(1f ~('why') 26 ~('a') ~('b')))", 0, "PUBACK with properties"},
    {"40 *(0001 00 *(1f ~('why') 1f ~('why')))", 0x82, "PUBACK, two reason strings"},
    {"40 *(0001 00 *(1f ~('why')) 00)", 0x81, "PUBACK, trailing byte"},
    {"62 03 0001 92", 0, "PUBREL, not found"},
    {"62 03 0001 80", 0x82, "PUBREL, a reason of others"},
    {"70 03 0001 92", 0, "PUBCOMP, not found"},
    {"50 03 0001 97", 0, "PUBREC, quota"},
    {"82 *(0001 00 ~('a/b') 2e)", 0, "SUBSCRIBE with options"},
    {"82 *(0001 *(0b 05) ~('a/b') 01)", 0, "SUBSCRIBE with an identifier"},
    {"82 *(0001 *(0b 05 0b 06) ~('a/b') 01)", 0x82, "SUBSCRIBE with two identifiers"},
    {"82 *(0001 *(0b 00) ~('a/b') 01)", 0x82, "SUBSCRIBE with identifier 0"},
    {"82 *(0001 ~('a/b') 01)", 0x81, "SUBSCRIBE, no properties"},
    {"82 *(0001 00 ~('a/b') 30)", 0x82, "SUBSCRIBE, retain handling 3"},
    {"82 *(0001 00 ~('a/b') 40)", 0x81, "SUBSCRIBE, reserved option"},
    {"82 *(0001 00 ~('a/b') c0)", 0x81, "SUBSCRIBE, reserved options"},
    {"82 *(0001 00 ~('$share/g/a') 04)", 0x82, "SUBSCRIBE, no local on a shared one"},
    {"82 *(0001 00 ~('$share/g/a') 01)", 0, "SUBSCRIBE, shared"},
    {"82 *(0001 00 ~('$share//a') 01)", 0x8f, "SUBSCRIBE, shared without a name"},
    {"82 *(0001 00 ~('$share/g') 01)", 0x8f, "SUBSCRIBE, shared without a filter"},
    {"82 *(0001 00 ~('$share/g/') 01)", 0x8f, "SUBSCRIBE, shared with an empty filter"},
    {"82 *(0001 00 ~('$share/+/a') 01)", 0x8f, "SUBSCRIBE, shared with a wildcard name"},
    {"82 *(0001 00 ~('$share/g/a#') 01)", 0x8f, "SUBSCRIBE, shared with a bad filter"},
    {"82 *(0001 00)", 0x82, "SUBSCRIBE, no filter"},
    {"a2 *(0001 00 ~('a'))", 0, "UNSUBSCRIBE"},
    {"a2 *(0001 *(26 ~('a') ~('b')) ~('a'))", 0, "UNSUBSCRIBE with a property"},
    {"a2 *(0001 *(0b 01) ~('a'))", 0x81, "UNSUBSCRIBE with an identifier"},
    {"e0 00", 0, "DISCONNECT"},
    {"e0 01 04", 0, "DISCONNECT with will"},
    {"e0 01 8e", 0x82, "DISCONNECT with a server's reason"},
    {"e0 01 7f", 0x82, "DISCONNECT with an unknown reason"},
    {"e0 *(00 *(11 00000005))", 0, "DISCONNECT with session expiry"},
    {"e0 *(00 *(1c ~('x')))", 0x82, "DISCONNECT with a server reference"},
    {"e0 *(00 *(1f ~('bye')) 00)", 0x81, "DISCONNECT, trailing byte"},
    {"f0 *(18 *(15 ~('m') 16 ~('d')))", 0, "AUTH, continue"},
    {"f0 *(19 *(15 ~('m')))", 0, "AUTH, again"},
    {"f0 *(00 *(15 ~('m')))", 0x82, "AUTH, success is the server's"},
    {"f0 *(18 *(16 ~('d')))", 0x82, "AUTH without a method"},
    {"f0 01 18", 0x82, "AUTH, bare"},
    {"f0 00", 0x82, "AUTH, empty"},
    {"f1 00", 0x81, "AUTH, flags"},
    {"d0 00", 0x82, "PINGRESP"},
};

static const struct vector from_server_5[] = {
    {"20 03 00 00 00", 0, "CONNACK"},
    {"20 03 01 00 00", 0, "CONNACK, session present"},
    {"20 03 01 87 00", 0x82, "CONNACK, session present and refused"},
    {"20 03 02 00 00", 0x81, "CONNACK, reserved flag"},
    {"20 03 00 87 00", 0, "CONNACK, refused"},
    {"20 03 00 8e 00", 0x82, "CONNACK, a reason of others"},
    {"20 02 00 01", 0, "CONNACK of an older server"},
    {"20 02 00 00", 0x81, "CONNACK, no properties"},
    {"20 *(00 00 *(12 ~('id') 13 003c 21 0005 24 01 25 00 27 00000100 28 01 29 01 2a 00 22 000a))", 0,
     "CONNACK, everything"},
    {"20 *(00 00 *(24 02))", 0x82, "CONNACK, maximum QoS 2"},
    {"20 *(00 00 *(17 01))", 0x81, "CONNACK, request problem information"},
    {"20 04 00 00 00 00", 0x81, "CONNACK, trailing byte"},
    {"20 01 00", 0x81, "CONNACK, short"},
    {"32 *(~('t') 0001 *(0b 01 0b 02) 'x')", 0, "PUBLISH with identifiers"},
    {"90 *(0001 00 00 01 87)", 0, "SUBACK"},
    {"90 *(0001 00 03)", 0x82, "SUBACK, impossible reason"},
    {"90 *(0001 00)", 0x81, "SUBACK, no reasons"},
    {"90 *(0000 00 00)", 0x82, "SUBACK, packet id 0"},
    {"b0 *(0001 00 00 11)", 0, "UNSUBACK"},
    {"b0 *(0001 00)", 0x81, "UNSUBACK, no reasons"},
    {"b0 *(0001 00 01)", 0x82, "UNSUBACK, impossible reason"},
    {"d0 00", 0, "PINGRESP"},
    {"d0 01 00", 0x81, "PINGRESP with a body"},
    {"e0 01 8e", 0, "DISCONNECT, taken over"},
    {"e0 *(9d *(1c ~('there')))", 0, "DISCONNECT with a server reference"},
    {"e0 *(8e *(11 00000000))", 0x82, "DISCONNECT with session expiry"},
    {"f0 *(00 *(15 ~('m')))", 0, "AUTH, success"},
    {"f0 *(19 *(15 ~('m')))", 0x82, "AUTH, again is the client's"},
    {"40 03 0001 10", 0, "PUBACK, no subscribers"},
    {"10 *(~('MQTT') 05 02 003c 00 ~('c'))", 0x82, "CONNECT"},
    {"82 *(0001 00 ~('a') 00)", 0x82, "SUBSCRIBE"},
    {"a2 *(0001 00 ~('a'))", 0x82, "UNSUBSCRIBE"},
    {"c0 00", 0x82, "PINGREQ"},
};

static const struct vector from_server_4[] = {
    {"20 02 00 00", 0, "CONNACK"},
    {"20 02 01 00", 0, "CONNACK, session present"},
    {"20 02 00 05", 0, "CONNACK, refused"},
    {"20 02 00 06", 0x81, "CONNACK, reserved code"},
    {"20 03 00 00 00", 0x81, "CONNACK, trailing byte"},
    {"90 *(0001 00 01 02 80)", 0, "SUBACK"},
    {"90 *(0001 81)", 0x82, "SUBACK, impossible code"},
    {"b0 02 0001", 0, "UNSUBACK"},
    {"b0 03 0001 00", 0x81, "UNSUBACK with a reason"},
    {"e0 00", 0x82, "DISCONNECT"},
    {"f0 00", 0x81, "AUTH"},
};

static void
test_vectors(void)
{
    RUN(0, CLIENT, connects);
    RUN(4, CLIENT, from_client_4);
    RUN(3, CLIENT, from_client_4);
    RUN(5, SERVER, from_server_5);
    RUN(4, SERVER, from_server_4);
    for (size_t i = 0; i < sizeof(from_client_5) / sizeof(from_client_5[0]); i++) {
        start(5, CLIENT);
        wire.topic_alias_max = 10;
        is_int(decode(from_client_5[i].text), from_client_5[i].reason, "level 5 from client: %s",
               from_client_5[i].what);
    }
}

static void
test_frame(void)
{
    static const char longest[] = {0x30, (char)0xff, (char)0xff, (char)0xff, 0x7f};
    static const char too_long[] = {0x30, (char)0xff, (char)0xff, (char)0xff, (char)0xff, 0x01};

    start(4, CLIENT);
    is_int(sp_mqtt_frame(&wire, longest, 0, &head, &err), SP_MQTT_FRAME_SHORT, "nothing yet");
    for (size_t n = 1; n < 5; n++) {
        is_int(sp_mqtt_frame(&wire, longest, n, &head, &err), SP_MQTT_FRAME_SHORT, "%zu bytes of the longest header",
               n);
    }
    is_int(sp_mqtt_frame(&wire, longest, 5, &head, &err), SP_MQTT_FRAME_PARTIAL, "the longest header");
    is_int(head.body_bytes, SP_MQTT_MAX_REMAINING, "  says 268435455");
    is_int(head.header_bytes, 5, "  in 5 bytes");
    wire.max_packet_bytes = 1000;
    is_int(sp_mqtt_frame(&wire, longest, 5, &head, &err), SP_MQTT_FRAME_BAD, "above the limit");
    is_int(err.reason, 0x95, "  packet too large, before its body came");
    is_int(sp_mqtt_frame(&wire, "\x30\xe5\x07", 3, &head, &err), SP_MQTT_FRAME_PARTIAL, "1000 bytes with header");
    is_int(sp_mqtt_frame(&wire, "\x30\xe6\x07", 3, &head, &err), SP_MQTT_FRAME_BAD, "1001 bytes with header");
    is_int(sp_mqtt_frame(&wire, too_long, 4, &head, &err), SP_MQTT_FRAME_SHORT, "four bytes of a length of five");
    is_int(sp_mqtt_frame(&wire, too_long, 5, &head, &err), SP_MQTT_FRAME_BAD, "a length of five bytes");
    is_int(err.reason, 0x81, "  is malformed");
    is_int(sp_mqtt_frame(&wire, "\x36", 1, &head, &err), SP_MQTT_FRAME_BAD, "a bad first byte is enough");
    is_int(sp_mqtt_frame(&wire, "\x30\x03\x00\x01", 4, &head, &err), SP_MQTT_FRAME_PARTIAL, "a part of the body");
    is_int(sp_mqtt_frame(&wire, "\x30\x03\x00\x01t\x30", 6, &head, &err), SP_MQTT_FRAME_WHOLE, "more than the body");
    is_int(head.body_bytes, 3, "  of 3 bytes");
}

static void
test_connect(void)
{
    start(0, CLIENT);
    is_int(decode("10 *(~('MQTT') 05 ee 001e *(11 00000064 21 0014 27 00001000 22 000a 19 01 17 00 15 ~('m') 16 ~('d') "
                  "26 ~('k') ~('v'))"
                  " ~('client') *(18 00000007 02 00000009 01 01) ~('w/t') ~('gone') ~('user') ~('secret'))"),
           0, "a CONNECT with everything");
    is_int(connect.level, 5, "level");
    ok(connect.clean && connect.has_will && connect.has_user && connect.has_password, "flags");
    is_int(connect.keep_alive_s, 30, "keep alive");
    is_int(connect.session_expiry_s, 100, "session expiry");
    is_int(connect.receive_max, 20, "receive maximum");
    is_int(connect.max_packet_bytes, 4096, "maximum packet size");
    is_int(connect.topic_alias_max, 10, "topic alias maximum");
    ok(connect.want_response_info && !connect.want_problem_info, "information wanted");
    ok(sp_str_is(connect.auth_method, "m") && sp_str_is(connect.auth_data, "d"), "authentication");
    ok(sp_str_is(connect.client_id, "client"), "client id");
    ok(sp_str_is(connect.user, "user") && sp_str_is(connect.password, "secret"), "credentials");
    is_int(connect.props.nuser, 1, "user properties");
    ok(sp_str_is(connect.will.topic, "w/t") && sp_str_is(connect.will.payload, "gone"), "will");
    ok(connect.will.qos == 1 && connect.will.retain && connect.will.delay_s == 7, "will options");
    ok(connect.will.props.message_expiry_s == 9 && connect.will.props.payload_format == 1, "will properties");

    is_int(decode("10 *(~('MQTT') 05 00 0000 00 ~('c'))"), 0, "a bare CONNECT of 5");
    ok(!connect.clean && connect.session_expiry_s == 0 && connect.receive_max == 65535 &&
           connect.max_packet_bytes == 0 && connect.topic_alias_max == 0 && connect.want_problem_info &&
           !connect.want_response_info && connect.auth_method.p == NULL && connect.will.delay_s == 0,
       "has the standard's defaults");
    is_int(decode("10 *(~('MQTT') 04 00 0000 ~('c'))"), 0, "3.1.1, kept session");
    ok(connect.session_expiry_s == UINT32_MAX && connect.receive_max == 65535, "  never expires");
    is_int(decode("10 *(~('MQTT') 04 02 0000 ~('c'))"), 0, "3.1.1, clean session");
    is_int(connect.session_expiry_s, 0, "  ends with the connection");

    is_int(decode("10 *(~('MQTT') 05 03 0000 00 ~('c'))"), 0x81, "a broken CONNECT");
    is_int(connect.level, 5, "  still tells its level");
    is_int(decode("10 *(~('MQTT') 09 02 0000 00 ~('c'))"), 0x84, "an unknown level");
    is_int(connect.level, 9, "  is told too");
    is_int(decode("10 *(~('XXXX') 05 02 0000 00 ~('c'))"), 0x84, "an unknown name");
    is_int(connect.level, 0, "  gives no level");
    wire.max_qos = 1;
    is_int(decode("10 *(~('MQTT') 04 16 003c ~('c') ~('w') ~('x'))"), 0x9b, "will above the maximum QoS");
    is_int(decode("10 *(~('MQTT') 04 0e 003c ~('c') ~('w') ~('x'))"), 0, "will at the maximum QoS");
}

static void
test_publish(void)
{
    start(5, CLIENT);
    is_int(decode("3b *(~('a/b') 1234 *(02 0000000a) 'pay' 00 'load')"), 0, "a PUBLISH");
    ok(publish.qos == 1 && publish.retain && publish.dup && publish.packet_id == 0x1234, "flags and packet id");
    ok(sp_str_is(publish.topic, "a/b"), "topic");
    is_mem(publish.payload.p, publish.payload.n, "pay\0load", 8, "payload");
    is_int(publish.props.message_expiry_s, 10, "message expiry");
    is_int(decode("30 *(~('a') 00)"), 0, "a bare PUBLISH");
    ok(publish.qos == 0 && !publish.retain && !publish.dup && publish.packet_id == 0 && publish.payload.n == 0 &&
           publish.props.present == 0,
       "leaves nothing of the one before");
    wire.max_qos = 1;
    is_int(decode("34 *(~('a') 0001 00)"), 0x9b, "QoS 2 above the maximum");
    is_int(decode("32 *(~('a') 0001 00)"), 0, "QoS 1 is not");
    wire.max_topic_levels = 3;
    is_int(decode("30 *(~('a/b/c') 00)"), 0, "three levels");
    is_int(decode("30 *(~('a/b/c/') 00)"), 0x90, "four levels, the last empty");
    wire.max_user_props = 1;
    is_int(decode("30 *(~('a') *(26 ~('a') ~('b') 26 ~('a') ~('b')))"), 0x97, "more user properties than taken");
}

static void
test_subscribe(void)
{
    struct sp_mqtt_filter f;

    start(5, CLIENT);
    is_int(decode("82 *(0102 *(0b 8001) ~('a/b') 2d ~('$share/g/x/#') 0a ~('$share') 00)"), 0, "a SUBSCRIBE");
    ok(subscribe.packet_id == 0x102 && subscribe.count == 3 && subscribe.subscription_id == 128 &&
           !subscribe.unsubscribe,
       "packet id, count, identifier");
    struct sp_str rest = subscribe.filters;
    ok(sp_mqtt_subscribe_next(&subscribe, &rest, &f), "first filter");
    ok(sp_str_is(f.filter, "a/b") && sp_str_is(f.inner, "a/b") && f.group.p == NULL, "  text");
    ok(f.qos == 1 && f.no_local && f.retain_as_published && f.retain_handling == 2, "  options");
    ok(sp_mqtt_subscribe_next(&subscribe, &rest, &f), "second filter");
    ok(sp_str_is(f.filter, "$share/g/x/#") && sp_str_is(f.inner, "x/#") && sp_str_is(f.group, "g"), "  shared");
    ok(f.qos == 2 && !f.no_local && f.retain_as_published && f.retain_handling == 0, "  options");
    ok(sp_mqtt_subscribe_next(&subscribe, &rest, &f) && sp_str_is(f.inner, "$share") && f.group.p == NULL,
       "third is not shared");
    ok(!sp_mqtt_subscribe_next(&subscribe, &rest, &f), "no fourth");

    is_int(decode("a2 *(0001 00 ~('a') ~('$share/g/b'))"), 0, "an UNSUBSCRIBE");
    ok(subscribe.unsubscribe && subscribe.count == 2 && subscribe.subscription_id == 0, "of two");
    rest = subscribe.filters;
    ok(sp_mqtt_subscribe_next(&subscribe, &rest, &f) && sp_str_is(f.filter, "a"), "first");
    ok(sp_mqtt_subscribe_next(&subscribe, &rest, &f) && sp_str_is(f.filter, "$share/g/b") && sp_str_is(f.group, "g"),
       "second");
    ok(!sp_mqtt_subscribe_next(&subscribe, &rest, &f), "no third");
    wire.max_topic_levels = 2;
    is_int(decode("82 *(0001 00 ~('a/b/#') 00)"), 0x8f, "deeper than taken");
    is_int(decode("82 *(0001 00 ~('$share/g/a/b') 00)"), 0, "the share name is not a level");
}

static void
test_server_packets(void)
{
    start(5, SERVER);
    is_int(decode("20 *(01 00 *(12 ~('id') 13 003c))"), 0, "a CONNACK");
    ok(connack.session_present && connack.reason == 0, "session present");
    is_int(sp_mqtt_props_num(&connack.props, SP_MQTT_P_SERVER_KEEP_ALIVE, 0), 60, "server keep alive");
    ok(sp_str_is(sp_mqtt_props_str(&connack.props, SP_MQTT_P_ASSIGNED_CLIENT_ID), "id"), "assigned client id");
    is_int(decode("90 *(0007 00 00 01 87)"), 0, "a SUBACK");
    is_int(suback.packet_id, 7, "packet id");
    is_mem(suback.reasons.p, suback.reasons.n, "\x00\x01\x87", 3, "reasons");
    is_int(decode("20 02 00 01"), 0, "an older server's refusal");
    is_int(connack.reason, 0x84, "  is unsupported protocol version");
    start(4, SERVER);
    is_int(decode("20 02 00 05"), 0, "a refusal of 3.1.1");
    is_int(connack.reason, 0x87, "  is not authorized");
    start(5, CLIENT);
    is_int(decode("62 *(0009 92 *(1f ~('lost')))"), 0, "a PUBREL");
    ok(ack.packet_id == 9 && ack.reason == 0x92, "packet id and reason");
    is_int(decode("62 02 0009"), 0, "a bare PUBREL");
    ok(ack.reason == 0 && ack.props.present == 0, "leaves nothing of the one before");
    is_int(decode("e0 *(00 *(11 00000005))"), 0, "a DISCONNECT");
    is_int(sp_mqtt_props_num(&ack.props, SP_MQTT_P_SESSION_EXPIRY, 0), 5, "session expiry");
}

/* Every proper prefix of a body, sent as a packet of its own, must be an error or a shorter packet that is valid. */
static void
test_prefixes(void)
{
    static const struct {
        unsigned    level, role;
        const char *text;
    } whole[] = {
        {0, CLIENT,
         "10 *(~('MQTT') 05 ee 001e *(11 00000064 26 ~('k') ~('v')) ~('c') *(18 00000007) ~('w') ~('g') ~('u') "
         "~('p'))"},
        {5, CLIENT, "82 *(0102 *(0b 8001) ~('a/b') 2d ~('$share/g/x/#') 0a)"},
        {5, SERVER, "20 *(01 00 *(12 ~('id') 13 003c))"},
        {5, CLIENT, "e0 *(00 *(11 00000005 1f ~('x')))"},
    };

    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
        struct hex h = *hex(whole[i].text);
        unsigned   wrong = 0;
        start(whole[i].level, whole[i].role);
        for (size_t n = 0; n < h.n - 2; n++) {
            char *exact = malloc(n > 0 ? n : 1);
            memcpy(exact, h.b + 2, n);
            head = (struct sp_mqtt_head){
                .type = (uint8_t)h.b[0] >> 4, .flags = h.b[0] & 15, .header_bytes = 2, .body_bytes = (uint32_t)n};
            err = (struct sp_mqtt_error){0};
            if (decode_body(exact) < 0 && (err.reason < 0x80 || err.text == NULL)) {
                wrong++;
            }
            free(exact);
        }
        is_int(wrong, 0, "prefixes of a %s", sp_mqtt_type_name((uint8_t)h.b[0] >> 4));
    }
}

int
main(void)
{
    test_frame();
    test_vectors();
    test_connect();
    test_publish();
    test_subscribe();
    test_server_packets();
    test_prefixes();
    return done_testing();
}
