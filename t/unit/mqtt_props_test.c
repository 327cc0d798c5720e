#include "modules/mqtt_mtls/props.h"

#include "modules/mqtt_mtls/packet.h"
#include "modules/mqtt_mtls/reason.h"
#include "mqtt_hex.h"
#include "tap.h"

#define WILL SP_MQTT_IN_WILL

/* MQTT 5 table 2-4, written once more, by packet: bit n of `where` = packet type n, bit 0 = will. One valid example
 * each. */
#define B(type) (1U << (type))

static const struct {
    uint8_t     id;
    unsigned    where;
    const char *example;
    bool        repeatable;
} table[] = {
    {0x01, B(3) | B(0), "01 01", false},
    {0x02, B(3) | B(0), "02 00000e10", false},
    {0x03, B(3) | B(0), "03 ~('text/plain')", false},
    {0x08, B(3) | B(0), "08 ~('re/ply')", false},
    {0x09, B(3) | B(0), "09 ~(00 ff 80)", false},
    {0x0b, B(3) | B(8), "0b 80 01", false}, /* PUBLISH: see below */
    {0x11, B(1) | B(2) | B(14), "11 ffffffff", false},
    {0x12, B(2), "12 ~('auto-1')", false},
    {0x13, B(2), "13 003c", false},
    {0x15, B(1) | B(2) | B(15), "15 ~('SCRAM')", false},
    {0x16, B(1) | B(2) | B(15), "16 ~(00 01)", false},
    {0x17, B(1), "17 00", false},
    {0x18, B(0), "18 00000005", false},
    {0x19, B(1), "19 01", false},
    {0x1a, B(2), "1a ~('info')", false},
    {0x1c, B(2) | B(14), "1c ~('other')", false},
    {0x1f, B(2) | B(4) | B(5) | B(6) | B(7) | B(9) | B(11) | B(14) | B(15), "1f ~('why')", false},
    {0x21, B(1) | B(2), "21 0014", false},
    {0x22, B(1) | B(2), "22 000a", false},
    {0x23, B(3), "23 0001", false},
    {0x24, B(2), "24 01", false},
    {0x25, B(2), "25 01", false},
    {0x26, 0xffff & ~(B(12) | B(13)), "26 ~('n') ~('v')", true},
    {0x27, B(1) | B(2), "27 00010000", false},
    {0x28, B(2), "28 01", false},
    {0x29, B(2), "29 00", false},
    {0x2a, B(2), "2a 01", false},
};

#define NTABLE (sizeof(table) / sizeof(table[0]))

static struct sp_mqtt_error err;

/* Parses a list without its length in front; *rest must be used up. Returns 0 or the reason. */
static int
parse(const char *text, unsigned where, unsigned role, unsigned max_user, struct sp_mqtt_props *props)
{
    char        full[300];
    struct hex *h;

    snprintf(full, sizeof(full), "*(%s)", text);
    h = hex(full);
    struct sp_str rest = {h->b, h->n};
    err = (struct sp_mqtt_error){0};
    if (sp_mqtt_props_parse(&rest, where, role, max_user, props, &err) < 0) {
        return err.text != NULL ? err.reason : -1;
    }
    return rest.n == 0 ? 0 : -2;
}

static const char *
where_name(unsigned where)
{
    return where == WILL ? "will" : sp_mqtt_type_name(where);
}

static int
expected(size_t i, unsigned where, unsigned role)
{
    if ((table[i].where & B(where)) == 0) {
        return 0x81;
    }
    if (where == SP_MQTT_PUBLISH && table[i].id == 0x0b && role == SP_MQTT_FROM_CLIENT) {
        return 0x82;
    }
    if (where == SP_MQTT_DISCONNECT && ((table[i].id == 0x11 && role == SP_MQTT_FROM_SERVER) ||
                                        (table[i].id == 0x1c && role == SP_MQTT_FROM_CLIENT))) {
        return 0x82;
    }
    return 0;
}

static void
test_table(void)
{
    struct sp_mqtt_props props;

    for (size_t i = 0; i < NTABLE; i++) {
        for (unsigned where = 0; where < 16; where++) {
            unsigned role =
                where == 2 || where == 9 || where == 11 || where == 13 ? SP_MQTT_FROM_SERVER : SP_MQTT_FROM_CLIENT;
            for (unsigned both = 0; both < (where == 3 || where == 14 ? 2U : 1U); both++, role ^= 1U) {
                is_int(parse(table[i].example, where, role, 64, &props), expected(i, where, role),
                       "property 0x%02x in %s from %s", table[i].id, where_name(where),
                       role == SP_MQTT_FROM_CLIENT ? "client" : "server");
            }
        }
    }
}

static void
test_twice(void)
{
    struct sp_mqtt_props props;
    char                 two[200];

    for (size_t i = 0; i < NTABLE; i++) {
        unsigned where = (unsigned)__builtin_ctz(table[i].where == (B(3) | B(8)) ? B(8) : table[i].where);
        unsigned role = where == 2 ? SP_MQTT_FROM_SERVER : SP_MQTT_FROM_CLIENT;
        snprintf(two, sizeof(two), "%s %s", table[i].example, table[i].example);
        is_int(parse(two, where, role, 64, &props), table[i].repeatable ? 0 : 0x82, "property 0x%02x twice",
               table[i].id);
    }
    is_int(parse("0b 01 0b 02 0b 03", 3, SP_MQTT_FROM_SERVER, 64, &props), 0,
           "subscription identifiers in a server's PUBLISH");
    is_int(props.nsubscription_ids, 3, "  how many");
    is_int(props.subscription_id, 1, "  the first");
}

static void
test_cut(void)
{
    struct sp_mqtt_props props;

    /* Every proper prefix of every example is refused as truncated. */
    for (size_t i = 0; i < NTABLE; i++) {
        unsigned   where = (unsigned)__builtin_ctz(table[i].where);
        unsigned   role = where == 2 || table[i].id == 0x0b ? SP_MQTT_FROM_SERVER : SP_MQTT_FROM_CLIENT;
        struct hex h = *hex(table[i].example);
        bool       all = true;
        for (size_t cut = 1; cut < h.n; cut++) {
            char buf[64];
            buf[0] = (char)cut;
            memcpy(buf + 1, h.b, cut);
            struct sp_str rest = {buf, cut + 1};
            all = all && sp_mqtt_props_parse(&rest, where, role, 64, &props, &err) < 0 && err.reason == 0x81;
        }
        ok(all, "property 0x%02x cut short", table[i].id);
    }
}

static const struct {
    const char *text;
    unsigned    where, role, max_user;
    int         reason;
    const char *what;
} values[] = {
    {"01 00", 3, 0, 64, 0, "payload format 0"},
    {"01 02", 3, 0, 64, 0x82, "payload format 2"},
    {"01 01", WILL, 0, 64, 0, "payload format in a will"},
    {"17 02", 1, 0, 64, 0x82, "request problem information 2"},
    {"19 ff", 1, 0, 64, 0x82, "request response information 255"},
    {"24 02", 2, 1, 64, 0x82, "maximum QoS 2 may not be sent"},
    {"25 02", 2, 1, 64, 0x82, "retain available 2"},
    {"28 02", 2, 1, 64, 0x82, "wildcard available 2"},
    {"29 02", 2, 1, 64, 0x82, "subscription identifiers available 2"},
    {"2a 02", 2, 1, 64, 0x82, "shared available 2"},
    {"21 0000", 1, 0, 64, 0x82, "receive maximum 0"},
    {"27 00000000", 1, 0, 64, 0x82, "maximum packet size 0"},
    {"22 0000", 1, 0, 64, 0, "topic alias maximum 0"},
    {"23 0000", 3, 0, 64, 0x94, "topic alias 0"},
    {"0b 00", 8, 0, 64, 0x82, "subscription identifier 0"},
    {"0b ffffff7f", 8, 0, 64, 0, "subscription identifier 268435455"},
    {"0b ffffffff", 8, 0, 64, 0x81, "subscription identifier too long"},
    {"0b 8100", 8, 0, 64, 0x81, "subscription identifier not in its shortest form"},
    {"08 ~('a/+')", 3, 0, 64, 0x90, "response topic with +"},
    {"08 ~('a/#')", 3, 0, 64, 0x90, "response topic with #"},
    {"08 ~()", 3, 0, 64, 0x90, "empty response topic"},
    {"08 ~('a' 00)", 3, 0, 64, 0x81, "response topic with NUL"},
    {"03 ~(ff)", 3, 0, 64, 0x81, "content type not UTF-8"},
    {"03 ~()", 3, 0, 64, 0, "empty content type"},
    {"09 ~()", 3, 0, 64, 0, "empty correlation data"},
    {"26 ~('a' 00) ~()", 3, 0, 64, 0x81, "user property name with NUL"},
    {"26 ~() ~(c080)", 3, 0, 64, 0x81, "user property value overlong"},
    {"26 ~() ~(eda080)", 3, 0, 64, 0x81, "user property value with a surrogate"},
    {"26 ~() ~()", 3, 0, 64, 0, "empty user property"},
    {"26 ~('a') ~('b') 26 ~('a') ~('c')", 3, 0, 2, 0, "as many user properties as allowed"},
    {"26 ~('a') ~('b') 26 ~('a') ~('c')", 3, 0, 1, 0x97, "more user properties than allowed"},
    {"26 ~('a') ~('b')", 3, 0, 0, 0x97, "no user properties allowed"},
    {"00 00", 3, 0, 64, 0x81, "identifier 0"},
    {"04 00", 3, 0, 64, 0x81, "unassigned identifier"},
    {"2b 00", 3, 0, 64, 0x81, "first identifier above the table"},
    {"81 00 01", 3, 0, 64, 0x81, "identifier 1 in two bytes"},
    {"ff ff", 3, 0, 64, 0x81, "identifier of several bytes"},
    {"15 ~(fe)", 1, 0, 64, 0x81, "authentication method not UTF-8"},
};

static void
test_values(void)
{
    struct sp_mqtt_props props;
    char                 buf[8];

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        is_int(parse(values[i].text, values[i].where, values[i].role, values[i].max_user, &props), values[i].reason,
               "%s", values[i].what);
    }
    struct sp_str rest = {buf, 0};
    ok(sp_mqtt_props_parse(&rest, 3, 0, 64, &props, &err) < 0 && err.reason == 0x81, "no length");
    memcpy(buf, "\x03\x01\x01", 3);
    rest = (struct sp_str){buf, 3};
    ok(sp_mqtt_props_parse(&rest, 3, 0, 64, &props, &err) < 0 && err.reason == 0x81, "length beyond the packet");
    memcpy(buf, "\x80\x00", 2);
    rest = (struct sp_str){buf, 2};
    ok(sp_mqtt_props_parse(&rest, 3, 0, 64, &props, &err) < 0 && err.reason == 0x81, "length not in its shortest form");
    memcpy(buf, "\x00\x55", 2);
    rest = (struct sp_str){buf, 2};
    ok(sp_mqtt_props_parse(&rest, 3, 0, 64, &props, &err) == 0 && rest.n == 1 && *rest.p == 0x55, "an empty list");
    ok(props.raw.n == 0 && props.present == 0 && props.forward_bytes == 0, "  is empty");
}

static const char everything[] = "23 0007 26 ~('k1') ~('v1') 01 01 0b 05 02 0000000a 03 ~('json') 0b 8101 08 ~('r/t') "
                                 "09 ~(0102) 26 ~('k2') ~('v2')";

static void
test_read(void)
{
    struct sp_mqtt_props props;
    struct sp_mqtt_prop  prop;
    struct sp_str        name, value, rest;
    uint32_t             id;

    is_int(parse(everything, 3, SP_MQTT_FROM_SERVER, 64, &props), 0, "a PUBLISH with everything");
    is_int(props.topic_alias, 7, "topic alias");
    is_int(props.payload_format, 1, "payload format");
    is_int(props.message_expiry_s, 10, "message expiry");
    ok(sp_str_is(props.content_type, "json"), "content type");
    ok(sp_str_is(props.response_topic, "r/t"), "response topic");
    is_mem(props.correlation.p, props.correlation.n, "\1\2", 2, "correlation data");
    is_int(props.nuser, 2, "user properties");
    ok(sp_mqtt_props_has(&props, SP_MQTT_P_TOPIC_ALIAS) && !sp_mqtt_props_has(&props, SP_MQTT_P_WILL_DELAY), "has");

    rest = props.raw;
    ok(sp_mqtt_props_next_user(&rest, &name, &value) && sp_str_is(name, "k1") && sp_str_is(value, "v1"),
       "first user property");
    ok(sp_mqtt_props_next_user(&rest, &name, &value) && sp_str_is(name, "k2") && sp_str_is(value, "v2"),
       "second user property");
    ok(!sp_mqtt_props_next_user(&rest, &name, &value), "no third");
    rest = props.raw;
    ok(sp_mqtt_props_next_subscription_id(&rest, &id) && id == 5, "first subscription identifier");
    ok(sp_mqtt_props_next_subscription_id(&rest, &id) && id == 129, "second subscription identifier");
    ok(!sp_mqtt_props_next_subscription_id(&rest, &id), "no third");
    ok(sp_mqtt_props_get(&props, SP_MQTT_P_CONTENT_TYPE, &prop) && sp_str_is(prop.str, "json"), "get");
    is_int(sp_mqtt_props_num(&props, SP_MQTT_P_MESSAGE_EXPIRY, 99), 10, "num");
    is_int(sp_mqtt_props_num(&props, SP_MQTT_P_SESSION_EXPIRY, 99), 99, "num of an absent one");
    ok(sp_mqtt_props_str(&props, SP_MQTT_P_REASON_STRING).p == NULL, "str of an absent one");

    char        out[200];
    size_t      n = sp_mqtt_props_forward(&props, out);
    struct hex *want = hex("26 ~('k1') ~('v1') 01 01 03 ~('json') 08 ~('r/t') 09 ~(0102) 26 ~('k2') ~('v2')");
    is_int(n, props.forward_bytes, "forward_bytes is what is written");
    is_mem(out, n, want->b, want->n, "forwarded without alias, identifiers and expiry, in order");
    is_int(parse("18 00000001 03 ~('x')", WILL, 0, 64, &props), 0, "a will");
    n = sp_mqtt_props_forward(&props, out);
    want = hex("03 ~('x')");
    is_mem(out, n, want->b, want->n, "forwarded without will delay");
    is_int(parse("03 ~('x') 26 ~('a') ~('b')", 3, 0, 64, &props), 0, "only what goes on");
    ok(props.forward_bytes == props.raw.n, "raw can be used");
    is_int(sp_mqtt_props_forward(&props, out), props.raw.n, "  all of it");
    ok(memcmp(out, props.raw.p, props.raw.n) == 0, "  unaltered");
}

static void
test_payload(void)
{
    struct sp_mqtt_props text = {.payload_format = 1}, binary = {0};

    ok(sp_mqtt_payload_valid(&binary, SP_STR("\xff\xfe")), "format 0: anything");
    ok(sp_mqtt_payload_valid(&text, SP_STR("gr\xc3\xbc\xc3\x9f")), "format 1: UTF-8");
    ok(sp_mqtt_payload_valid(&text, SP_STR("a\0b\0")), "format 1: NUL is a character");
    ok(sp_mqtt_payload_valid(&text, (struct sp_str){NULL, 0}), "format 1: nothing");
    ok(!sp_mqtt_payload_valid(&text, SP_STR("a\xff")), "format 1: not UTF-8");
    ok(!sp_mqtt_payload_valid(&text, SP_STR("a\0\xc3\0\xbc")), "format 1: a character cut by NUL");
}

static void
test_set(void)
{
    static const struct sp_mqtt_pair pairs[] = {{SP_STR("a"), SP_STR("1")}, {SP_STR("b"), SP_STR("")}};
    static char                      big[70000];
    struct sp_mqtt_set               set;
    char                             out[200];

    sp_mqtt_set_clear(&set);
    is_int(sp_mqtt_set_size(&set, UINT64_MAX, true), 0, "an empty set");
    sp_mqtt_set_str(&set, SP_MQTT_P_REASON_STRING, SP_STR("why"));
    sp_mqtt_set_num(&set, SP_MQTT_P_SESSION_EXPIRY, 0x01020304);
    sp_mqtt_set_num(&set, SP_MQTT_P_RECEIVE_MAXIMUM, 20);
    sp_mqtt_set_num(&set, SP_MQTT_P_MAXIMUM_QOS, 1);
    sp_mqtt_set_num(&set, SP_MQTT_P_SUBSCRIPTION_ID, 300);
    set.user = pairs;
    set.nuser = 2;
    struct hex *want = hex("0b ac02 11 01020304 1f ~('why') 21 0014 24 01 26 ~('a') ~('1') 26 ~('b') ~()");
    char       *end = sp_mqtt_set_write(&set, UINT64_MAX, true, out);
    is_mem(out, end - out, want->b, want->n, "a set, ordered by identifier");
    is_int(sp_mqtt_set_size(&set, UINT64_MAX, true), want->n, "its size");
    want = hex("0b ac02 11 01020304 21 0014 24 01");
    end = sp_mqtt_set_write(&set, ~SP_MQTT_PROP_BIT(SP_MQTT_P_REASON_STRING), false, out);
    is_mem(out, end - out, want->b, want->n, "a set without text");

    memset(big, 'x', sizeof(big));
    memcpy(big + 65534, "\xe2\x82\xac", 3);
    sp_mqtt_set_clear(&set);
    sp_mqtt_set_str(&set, SP_MQTT_P_REASON_STRING, (struct sp_str){big, sizeof(big)});
    is_int(sp_mqtt_set_size(&set, UINT64_MAX, true), 3 + 65534,
           "a reason string is cut before a character that does not fit");
    sp_mqtt_set_clear(&set);
    sp_mqtt_set_str(&set, SP_MQTT_P_SERVER_REFERENCE, (struct sp_str){big, sizeof(big)});
    ok(sp_mqtt_set_size(&set, UINT64_MAX, true) == SIZE_MAX, "another string is not");
    sp_mqtt_set_clear(&set);
    struct sp_mqtt_pair long_pair = {SP_STR("a"), {big, sizeof(big)}};
    set.user = &long_pair;
    set.nuser = 1;
    ok(sp_mqtt_set_size(&set, UINT64_MAX, true) == SIZE_MAX, "nor a user property");
    is_int(sp_mqtt_set_size(&set, UINT64_MAX, false), 0, "  unless it is left out");
}

int
main(void)
{
    test_table();
    test_twice();
    test_cut();
    test_values();
    test_read();
    test_payload();
    test_set();
    return done_testing();
}
