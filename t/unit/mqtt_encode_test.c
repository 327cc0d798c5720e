#include "modules/mqtt_mtls/encode.h"

#include <errno.h>

#include "modules/mqtt_mtls/decode.h"
#include "mqtt_hex.h"
#include "tap.h"

static char out[2048];

static void
is_packet(ssize_t n, const char *want, const char *what)
{
    struct hex *h = hex(want);

    is_mem(out, n < 0 ? 0 : n, h->b, h->n, "%s", what);
    if (n < 0) {
        printf("#   error %zd\n", n);
    }
}

/* ---- PUBLISH ---- */

static uint32_t id_at;

static ssize_t
put(const struct sp_mqtt_out *m)
{
    struct sp_mqtt_out_size size;

    if (sp_mqtt_publish_size(m, &size) < 0) {
        return -1;
    }
    memset(out, 0x55, sizeof(out));
    id_at = sp_mqtt_encode_publish(out, m, &size);
    ok(size.prefix_bytes + m->payload.n == size.packet_bytes && out[size.packet_bytes] == 0x55,
       "  nothing beyond the end");
    return size.packet_bytes;
}

static void
test_publish(void)
{
    static const uint32_t ids[] = {1, 128, 268435455};
    struct sp_mqtt_out    m = {.level = 4, .topic = SP_STR("a/b"), .payload = SP_STR("xyz")};

    is_packet(put(&m), "30 *(~('a/b') 'xyz')", "3.1.1, QoS 0");
    is_int(id_at, 0, "no packet id");
    m.retain = true;
    m.qos = 1;
    m.packet_id = 0x1234;
    is_packet(put(&m), "33 *(~('a/b') 1234 'xyz')", "3.1.1, QoS 1, retained");
    is_int(id_at, 7, "where the packet id is");
    sp_mqtt_patch_packet_id(out, id_at, 0xfffe);
    sp_mqtt_patch_dup(out);
    is_packet(12, "3b *(~('a/b') fffe 'xyz')", "patched");
    m.dup = true;
    m.qos = 2;
    is_packet(put(&m), "3d *(~('a/b') 1234 'xyz')", "QoS 2, DUP");
    m.has_expiry = true;
    m.expiry_s = 9;
    m.props = SP_STR("\x01\x01");
    is_packet(put(&m), "3d *(~('a/b') 1234 'xyz')", "no properties below 5");
    m.level = 5;
    is_packet(put(&m), "3d *(~('a/b') 1234 *(02 00000009 01 01) 'xyz')", "5, message expiry");
    m.has_expiry = false;
    m.topic_alias = 7;
    m.topic = (struct sp_str){NULL, 0};
    m.subscription_ids = ids;
    m.nsubscription_ids = 3;
    is_packet(put(&m), "3d *(~() 1234 *(23 0007 0b 01 0b 8001 0b ffffff7f 01 01) 'xyz')",
              "alias and subscription identifiers");
    m = (struct sp_mqtt_out){.level = 5, .topic = SP_STR("t")};
    is_packet(put(&m), "30 *(~('t') 00)", "5, nothing");
}

static void
test_publish_sizes(void)
{
    static char             big[70000];
    struct sp_mqtt_out_size size;
    struct sp_mqtt_out      m = {.level = 4, .topic = SP_STR("t"), .payload = {big, 124}};

    is_int(sp_mqtt_publish_size(&m, &size), 0, "127 bytes");
    is_int(size.packet_bytes, 129, "  have a length of one byte");
    m.payload.n = 125;
    sp_mqtt_publish_size(&m, &size);
    is_int(size.packet_bytes, 131, "128 have one of two");
    m.payload.n = SP_MQTT_MAX_REMAINING - 3;
    is_int(sp_mqtt_publish_size(&m, &size), 0, "the largest");
    is_int(size.prefix_bytes, 8, "  prefix");
    is_int(sp_mqtt_encode_publish_prefix(out, &m, &size), 0, "  is written without its payload");
    is_packet(8, "30 ffffff7f ~('t')", "  as it should be");
    m.payload.n++;
    is_int(sp_mqtt_publish_size(&m, &size), -EMSGSIZE, "one more");
    m.payload.n = SIZE_MAX;
    is_int(sp_mqtt_publish_size(&m, &size), -EMSGSIZE, "very much more");
    m.payload.n = 0;
    m.topic = (struct sp_str){big, 65535};
    is_int(sp_mqtt_publish_size(&m, &size), 0, "the longest topic");
    m.topic.n++;
    is_int(sp_mqtt_publish_size(&m, &size), -EMSGSIZE, "a longer one");
}

static void
test_publish_round_trip(void)
{
    static char          big[20000];
    static const size_t  payloads[] = {0, 1, 100, 127, 128, 16383, 16384, 20000};
    struct sp_mqtt_wire  wire;
    struct sp_mqtt_head  head;
    struct sp_mqtt_error err;
    char                *to = malloc(30000);
    unsigned             bad = 0, n = 0;

    memset(big, 'p', sizeof(big));
    sp_mqtt_wire_init(&wire, SP_MQTT_FROM_SERVER);
    wire.topic_alias_max = 10;
    for (unsigned bits = 0; bits < 256; bits++) {
        for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++, n++) {
            const uint32_t          sub = 77;
            struct sp_str           props = SP_STR("\x26\0\1a\0\1b\x01\x01");
            struct sp_mqtt_publish  got;
            struct sp_mqtt_out_size size;
            struct sp_mqtt_out      m = {.level = bits & 1 ? 5 : 4,
                                         .qos = (bits >> 1 & 3) % 3,
                                         .retain = (bits & 8) != 0,
                                         .packet_id = 999,
                                         .has_expiry = (bits & 16) != 0,
                                         .expiry_s = 5,
                                         .topic_alias = bits & 32 ? 9 : 0,
                                         .nsubscription_ids = bits & 64 ? 1 : 0,
                                         .subscription_ids = &sub,
                                         .topic = SP_STR("some/topic"),
                                         .payload = {big, payloads[i]},
                                         .props = {props.p, bits & 128 ? props.n : 0}};
            bool                    v5 = m.level == 5;
            wire.level = m.level;
            bool     good = sp_mqtt_publish_size(&m, &size) == 0;
            uint32_t at = sp_mqtt_encode_publish(to, &m, &size);
            good = good && sp_mqtt_frame(&wire, to, size.packet_bytes, &head, &err) == SP_MQTT_FRAME_WHOLE &&
                   head.header_bytes + head.body_bytes == size.packet_bytes &&
                   sp_mqtt_decode_publish(&wire, &head, to + head.header_bytes, &got, &err) == 0 && got.qos == m.qos &&
                   got.retain == m.retain && sp_str_eq(got.topic, m.topic) && sp_str_eq(got.payload, m.payload) &&
                   got.packet_id == (m.qos > 0 ? 999 : 0) && (m.qos == 0) == (at == 0);
            good = good && got.props.topic_alias == (v5 ? m.topic_alias : 0) &&
                   got.props.nuser == (v5 && bits & 128 ? 1 : 0) &&
                   got.props.subscription_id == (v5 && bits & 64 ? 77 : 0) &&
                   got.props.message_expiry_s == (v5 && bits & 16 ? 5 : 0) &&
                   got.props.forward_bytes == (v5 ? m.props.n : 0);
            bad += !good;
        }
    }
    is_int(bad, 0, "%u variants of PUBLISH there and back", n);
    free(to);
}

/* ---- the rest ---- */

static const struct sp_mqtt_peer v4 = {.level = 4}, v5 = {.level = 5};

static void
test_connack(void)
{
    struct sp_mqtt_set set;

    is_packet(sp_mqtt_encode_connack(out, 4, &v4, true, 0, NULL), "20 02 01 00", "3.1.1 CONNACK");
    is_packet(sp_mqtt_encode_connack(out, 4, &v4, true, 0x87, NULL), "20 02 00 05",
              "3.1.1 refusal, session never present");
    is_packet(sp_mqtt_encode_connack(out, 5, &v5, false, 0, NULL), "20 03 00 00 00", "5 CONNACK");
    is_packet(sp_mqtt_encode_connack(out, 5, &v5, true, 0x8a, NULL), "20 03 00 8a 00", "5 refusal");
    struct sp_mqtt_peer unknown = {.level = 9};
    is_packet(sp_mqtt_encode_connack(out, 5, &unknown, false, 0x84, NULL), "20 02 00 01", "to an unknown level");
    is_int(sp_mqtt_encode_connack(out, 4, &v5, false, 0, NULL), -ENOSPC, "no room");

    sp_mqtt_set_clear(&set);
    sp_mqtt_set_num(&set, SP_MQTT_P_SESSION_EXPIRY, 60);
    sp_mqtt_set_str(&set, SP_MQTT_P_ASSIGNED_CLIENT_ID, SP_STR("auto"));
    sp_mqtt_set_num(&set, SP_MQTT_P_SERVER_KEEP_ALIVE, 30);
    sp_mqtt_set_str(&set, SP_MQTT_P_AUTH_METHOD, SP_STR("m"));
    sp_mqtt_set_str(&set, SP_MQTT_P_AUTH_DATA, SP_STR("d"));
    sp_mqtt_set_str(&set, SP_MQTT_P_RESPONSE_INFO, SP_STR("r"));
    sp_mqtt_set_str(&set, SP_MQTT_P_SERVER_REFERENCE, SP_STR("s"));
    sp_mqtt_set_str(&set, SP_MQTT_P_REASON_STRING, SP_STR("why"));
    sp_mqtt_set_num(&set, SP_MQTT_P_RECEIVE_MAXIMUM, 20);
    sp_mqtt_set_num(&set, SP_MQTT_P_TOPIC_ALIAS_MAXIMUM, 10);
    sp_mqtt_set_num(&set, SP_MQTT_P_MAXIMUM_QOS, 1);
    sp_mqtt_set_num(&set, SP_MQTT_P_RETAIN_AVAILABLE, 0);
    sp_mqtt_set_num(&set, SP_MQTT_P_MAXIMUM_PACKET_SIZE, 65536);
    sp_mqtt_set_num(&set, SP_MQTT_P_WILDCARD_AVAILABLE, 1);
    sp_mqtt_set_num(&set, SP_MQTT_P_SUBSCRIPTION_IDS_AVAILABLE, 1);
    sp_mqtt_set_num(&set, SP_MQTT_P_SHARED_AVAILABLE, 0);
    is_packet(
        sp_mqtt_encode_connack(out, sizeof(out), &v5, false, 0, &set),
        "20 *(00 00 *(11 0000003c 12 ~('auto') 13 001e 15 ~('m') 16 ~('d') 1a ~('r') 1c ~('s') 1f ~('why') 21 0014 "
        "22 000a 24 01 25 00 27 00010000 28 01 29 01 2a 00))",
        "CONNACK with everything");
    is_packet(sp_mqtt_encode_connack(out, sizeof(out), &v4, false, 0, &set), "20 02 00 00", "nothing of it in 3.1.1");
}

static void
test_acks(void)
{
    struct sp_mqtt_set set;

    is_packet(sp_mqtt_encode_ack(out, 4, &v4, SP_MQTT_PUBACK, 0x0102, 0x87, NULL), "40 02 0102",
              "3.1.1 PUBACK has no reason");
    is_packet(sp_mqtt_encode_ack(out, 4, &v5, SP_MQTT_PUBREC, 1, 0, NULL), "50 02 0001", "5 PUBREC, success");
    is_packet(sp_mqtt_encode_ack(out, 5, &v5, SP_MQTT_PUBREL, 1, 0x92, NULL), "62 03 0001 92", "5 PUBREL, not found");
    sp_mqtt_set_clear(&set);
    is_packet(sp_mqtt_encode_ack(out, 9, &v5, SP_MQTT_PUBCOMP, 1, 0, &set), "70 02 0001", "an empty set");
    sp_mqtt_set_str(&set, SP_MQTT_P_REASON_STRING, SP_STR("why"));
    is_packet(sp_mqtt_encode_ack(out, 20, &v5, SP_MQTT_PUBACK, 1, 0x87, &set), "40 *(0001 87 *(1f ~('why')))",
              "with a reason string");
    is_packet(sp_mqtt_encode_ack(out, 20, &v5, SP_MQTT_PUBACK, 1, 0, &set), "40 *(0001 00 *(1f ~('why')))",
              "success with one");
    sp_mqtt_put_ack(out, SP_MQTT_PUBREL, 0xabcd);
    is_packet(4, "62 02 abcd", "the short PUBREL");
    sp_mqtt_put_ack(out, SP_MQTT_PUBACK, 0xabcd);
    is_packet(4, "40 02 abcd", "the short PUBACK");
    sp_mqtt_put_pingresp(out);
    is_packet(2, "d0 00", "PINGRESP");
    sp_mqtt_put_pingreq(out);
    is_packet(2, "c0 00", "PINGREQ");
}

static void
test_limits(void)
{
    static const struct sp_mqtt_pair pair = {SP_STR("key"), SP_STR("value")};
    struct sp_mqtt_peer              peer = {.level = 5};
    struct sp_mqtt_set               set;

    sp_mqtt_set_clear(&set);
    sp_mqtt_set_str(&set, SP_MQTT_P_REASON_STRING, SP_STR("why"));
    set.user = &pair;
    set.nuser = 1;
    const char *full = "40 *(0001 87 *(1f ~('why') 26 ~('key') ~('value')))";
    peer.max_packet_bytes = 25;
    is_packet(sp_mqtt_encode_ack(out, 99, &peer, SP_MQTT_PUBACK, 1, 0x87, &set), full, "just fits");
    peer.max_packet_bytes = 24;
    is_packet(sp_mqtt_encode_ack(out, 99, &peer, SP_MQTT_PUBACK, 1, 0x87, &set), "40 *(0001 87 *(1f ~('why')))",
              "user properties go first");
    peer.max_packet_bytes = 11;
    is_packet(sp_mqtt_encode_ack(out, 99, &peer, SP_MQTT_PUBACK, 1, 0x87, &set), "40 03 0001 87",
              "then the reason string");
    peer.max_packet_bytes = 4;
    is_int(sp_mqtt_encode_ack(out, 99, &peer, SP_MQTT_PUBACK, 1, 0x87, &set), -EMSGSIZE, "then nothing is left");
    is_packet(sp_mqtt_encode_ack(out, 99, &peer, SP_MQTT_PUBACK, 1, 0, &set), "40 02 0001", "a success still fits");
    peer.max_packet_bytes = 0;
    is_int(sp_mqtt_encode_ack(out, 24, &peer, SP_MQTT_PUBACK, 1, 0x87, &set), -ENOSPC, "a small buffer is an error");
    peer.no_problem_info = true;
    is_packet(sp_mqtt_encode_ack(out, 99, &peer, SP_MQTT_PUBACK, 1, 0x87, &set), "40 03 0001 87",
              "problem information not wanted");
    is_packet(sp_mqtt_encode_disconnect(out, 99, &peer, 0x8e, &set), "e0 *(8e *(1f ~('why') 26 ~('key') ~('value')))",
              "  but DISCONNECT may have it");
    is_packet(sp_mqtt_encode_connack(out, 99, &peer, false, 0x87, &set),
              "20 *(00 87 *(1f ~('why') 26 ~('key') ~('value')))", "  and CONNACK");
}

static void
test_subacks(void)
{
    static const uint8_t reasons[] = {0, 2, 0x87};
    struct sp_mqtt_set   set;

    sp_mqtt_set_clear(&set);
    sp_mqtt_set_str(&set, SP_MQTT_P_REASON_STRING, SP_STR("no"));
    is_packet(sp_mqtt_encode_suback(out, 7, &v4, 9, reasons, 3, NULL), "90 *(0009 00 02 80)", "3.1.1 SUBACK");
    is_int(reasons[2], 0x87, "  the caller's reasons stay");
    is_packet(sp_mqtt_encode_suback(out, 99, &v5, 9, reasons, 3, &set), "90 *(0009 *(1f ~('no')) 00 02 87)",
              "5 SUBACK");
    is_packet(sp_mqtt_encode_suback(out, 99, &v5, 9, reasons, 3, NULL), "90 *(0009 00 00 02 87)", "5 SUBACK, bare");
    is_packet(sp_mqtt_encode_unsuback(out, 4, &v4, 9, reasons, 3, NULL), "b0 02 0009", "3.1.1 UNSUBACK");
    is_packet(sp_mqtt_encode_unsuback(out, 99, &v5, 9, (const uint8_t[]){0, 0x11}, 2, NULL), "b0 *(0009 00 00 11)",
              "5 UNSUBACK");
    is_int(sp_mqtt_encode_suback(out, 6, &v4, 9, reasons, 3, NULL), -ENOSPC, "no room");
}

static void
test_goodbyes(void)
{
    struct sp_mqtt_set set;

    is_int(sp_mqtt_encode_disconnect(out, 99, &v4, 0x8e, NULL), 0, "a 3.1.1 server sends no DISCONNECT");
    is_packet(sp_mqtt_encode_disconnect(out, 99, &v5, 0x8e, NULL), "e0 01 8e", "DISCONNECT");
    is_packet(sp_mqtt_encode_disconnect(out, 99, &v5, 0, NULL), "e0 00", "DISCONNECT, success");
    is_packet(sp_mqtt_encode_client_disconnect(out, 99, &v4, 0x04, NULL), "e0 00", "a 3.1.1 client's");
    is_packet(sp_mqtt_encode_client_disconnect(out, 99, &v5, 0x04, NULL), "e0 01 04", "a client's");
    sp_mqtt_set_clear(&set);
    sp_mqtt_set_str(&set, SP_MQTT_P_AUTH_METHOD, SP_STR("m"));
    is_packet(sp_mqtt_encode_auth(out, 99, &v5, 0x18, &set), "f0 *(18 *(15 ~('m')))", "AUTH");
    is_int(sp_mqtt_encode_auth(out, 99, &v4, 0x18, &set), 0, "no AUTH in 3.1.1");
}

static void
test_client(void)
{
    struct sp_mqtt_connect c = {.level = 4, .clean = true, .keep_alive_s = 60, .client_id = SP_STR("c")};
    struct sp_mqtt_filter  f[2] = {
         {.filter = SP_STR("a/#"), .qos = 1, .no_local = true, .retain_as_published = true, .retain_handling = 2},
         {.filter = SP_STR("b")}};
    struct sp_mqtt_set set, will;

    is_packet(sp_mqtt_encode_connect(out, 99, &c, NULL, NULL), "10 *(~('MQTT') 04 02 003c ~('c'))", "3.1.1 CONNECT");
    is_int(sp_mqtt_encode_connect(out, 14, &c, NULL, NULL), -ENOSPC, "no room");
    c.level = 3;
    is_packet(sp_mqtt_encode_connect(out, 99, &c, NULL, NULL), "10 *(~('MQIsdp') 03 02 003c ~('c'))", "3.1 CONNECT");
    c.level = 5;
    is_packet(sp_mqtt_encode_connect(out, 99, &c, NULL, NULL), "10 *(~('MQTT') 05 02 003c 00 ~('c'))", "5 CONNECT");
    c.has_will = c.has_user = c.has_password = true;
    c.will.qos = 1;
    c.will.retain = true;
    c.will.topic = SP_STR("w");
    c.will.payload = SP_STR("x");
    c.user = SP_STR("u");
    c.password = SP_STR("p");
    sp_mqtt_set_clear(&set);
    sp_mqtt_set_num(&set, SP_MQTT_P_RECEIVE_MAXIMUM, 5);
    sp_mqtt_set_clear(&will);
    sp_mqtt_set_num(&will, SP_MQTT_P_WILL_DELAY, 3);
    is_packet(sp_mqtt_encode_connect(out, 99, &c, &set, &will),
              "10 *(~('MQTT') 05 ee 003c *(21 0005) ~('c') *(18 00000003) ~('w') ~('x') ~('u') ~('p'))",
              "CONNECT with everything");
    is_packet(sp_mqtt_encode_subscribe(out, 99, &v4, 7, f, 2, NULL), "82 *(0007 ~('a/#') 01 ~('b') 00)",
              "3.1.1 SUBSCRIBE");
    sp_mqtt_set_clear(&set);
    sp_mqtt_set_num(&set, SP_MQTT_P_SUBSCRIPTION_ID, 200);
    is_packet(sp_mqtt_encode_subscribe(out, 99, &v5, 7, f, 2, &set), "82 *(0007 *(0b c801) ~('a/#') 2d ~('b') 00)",
              "5 SUBSCRIBE");
    is_packet(sp_mqtt_encode_unsubscribe(out, 99, &v5, 7, f, 2, NULL), "a2 *(0007 00 ~('a/#') ~('b'))",
              "5 UNSUBSCRIBE");
    is_packet(sp_mqtt_encode_unsubscribe(out, 99, &v4, 7, f, 2, NULL), "a2 *(0007 ~('a/#') ~('b'))",
              "3.1.1 UNSUBSCRIBE");
    f[1].filter = (struct sp_str){out, 65536};
    is_int(sp_mqtt_encode_unsubscribe(out, 99, &v4, 7, f, 2, NULL), -EMSGSIZE, "a filter too long");
}

int
main(void)
{
    test_publish();
    test_publish_sizes();
    test_publish_round_trip();
    test_connack();
    test_acks();
    test_limits();
    test_subacks();
    test_goodbyes();
    test_client();
    return done_testing();
}
