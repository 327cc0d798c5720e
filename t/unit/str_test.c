#include "base/str.h"

#include <errno.h>
#include <stdlib.h>

#include "tap.h"

static void
test_compare_and_cut(void)
{
    struct sp_str s = SP_STR("a=b=c"), part;

    ok(sp_str_cmp(SP_STR("a"), SP_STR("b")) < 0, "cmp: less");
    ok(sp_str_cmp(SP_STR("b"), SP_STR("aa")) > 0, "cmp: greater");
    ok(sp_str_cmp(SP_STR("a"), SP_STR("aa")) < 0, "cmp: a prefix comes first");
    ok(sp_str_cmp(SP_STR("\xff"), SP_STR("a")) > 0, "cmp: bytes are unsigned");
    is_int(sp_str_cmp((struct sp_str){NULL, 0}, SP_STR("")), 0, "cmp: empty");

    part = sp_str_cut(&s, '=');
    ok(sp_str_is(part, "a") && sp_str_is(s, "b=c"), "cut: first");
    part = sp_str_cut(&s, '=');
    ok(sp_str_is(part, "b") && sp_str_is(s, "c"), "cut: second");
    part = sp_str_cut(&s, '=');
    ok(sp_str_is(part, "c") && s.p == NULL && s.n == 0, "cut: the last leaves nothing");
    s = SP_STR("a=");
    part = sp_str_cut(&s, '=');
    ok(sp_str_is(part, "a") && s.p != NULL && s.n == 0, "cut: an empty rest that is there");
}

static void
test_u64(void)
{
    static const struct {
        const char *text;
        uint64_t    max;
        int         rc;
        uint64_t    value;
    } cases[] = {
        {"0", 0, 0, 0},
        {"007", 10, 0, 7},
        {"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, -ERANGE, 0},
        {"99999999999999999999999", UINT64_MAX, -ERANGE, 0},
        {"11", 10, -ERANGE, 0},
        {"", 10, -EINVAL, 0},
        {"-1", 10, -EINVAL, 0},
        {"+1", 10, -EINVAL, 0},
        {" 1", 10, -EINVAL, 0},
        {"1x", 10, -EINVAL, 0},
        {"99999999999999999999999x", 10, -EINVAL, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t value = 0;
        int      rc = sp_str_u64(sp_str_c(cases[i].text), cases[i].max, &value);

        ok(rc == cases[i].rc && (rc != 0 || value == cases[i].value), "u64: \"%s\"", cases[i].text);
    }
}

/* Encodes any number below 2^21 in the given length, well-formed or not. */
static size_t
encode(unsigned char *dst, uint32_t c, size_t n)
{
    static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};

    for (size_t i = n; i-- > 1; c >>= 6) {
        dst[i] = (unsigned char)(0x80 | (c & 0x3f));
    }
    dst[0] = (unsigned char)(n == 1 ? c : (leads[n] | c));
    return n;
}

static void
test_utf8(void)
{
    static const uint32_t starts[] = {0, 0, 0x80, 0x800, 0x10000};
    static const uint32_t ends[] = {0, 0x80, 0x800, 0x10000, 0x200000};
    static const char     text[] = "plain text of more than eight bytes";
    unsigned              wrong = 0;

    for (size_t n = 1; n <= 4; n++) {
        for (uint32_t c = 0; c < ends[n]; c++) {
            unsigned char buf[4];
            bool          good = c >= starts[n] && c <= 0x10ffff && c != 0 && (c < 0xd800 || c > 0xdfff);

            wrong += sp_utf8_valid((struct sp_str){(char *)buf, encode(buf, c, n)}) != good;
            wrong += sp_utf8_valid((struct sp_str){(char *)buf, n - 1}) != (n == 1);
        }
    }
    is_int(wrong, 0, "utf8: every number in every length, whole and cut");
    for (unsigned lead = 0xf8; lead <= 0xff; lead++) {
        char buf[5] = {(char)lead, '\x80', '\x80', '\x80', '\x80'};
        wrong += sp_utf8_valid((struct sp_str){buf, 5});
    }
    is_int(wrong, 0, "utf8: no lead bytes above f4");
    for (size_t at = 0; at < sizeof(text) - 1; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            char copy[sizeof(text)];

            memcpy(copy, text, sizeof(text));
            copy[at] = (char)byte;
            wrong += sp_utf8_valid((struct sp_str){copy, sizeof(text) - 1}) != (byte > 0 && byte < 0x80);
        }
    }
    is_int(wrong, 0, "utf8: each byte at each place of a plain text");
    ok(sp_utf8_valid((struct sp_str){NULL, 0}), "utf8: empty");
    ok(sp_utf8_valid(SP_STR("1234567\xc3\xa4"
                            "12345678\xf0\x9f\x98\x80")),
       "utf8: words and sequences mixed");
    ok(!sp_utf8_valid(SP_STR("12345678\xf0\x9f\x98")), "utf8: cut at the end");
}

static void
test_escape(void)
{
    char buf[64], small[12];
    bool fits = true;

    is_str(sp_str_escape(buf, sizeof(buf), SP_STR("a\\b\n\xff~ \x7f")), "a\\\\b\\x0a\\xff~ \\x7f", "escape");
    is_str(sp_str_escape(buf, sizeof(buf), SP_STR("")), "", "escape: empty");
    is_str(sp_str_escape(small, sizeof(small), SP_STR("12345678901")), "12345678901", "escape: just fits");
    is_str(sp_str_escape(small, sizeof(small), SP_STR("123456789012")), "12345678...", "escape: cut");
    is_str(sp_str_escape(small, sizeof(small), SP_STR("1234567\n2")), "1234567...", "escape: cut before a sequence");
    for (size_t cap = 8; cap < 40; cap++) {
        for (size_t n = 0; n < 40; n++) {
            char *exact = malloc(cap);
            char  in[40];

            memset(in, n % 3 == 0 ? '\n' : n % 3 == 1 ? '\\' : 'x', sizeof(in));
            if (exact != NULL) {
                fits = fits && strlen(sp_str_escape(exact, cap, (struct sp_str){in, n})) < cap;
            }
            free(exact);
        }
    }
    ok(fits, "escape: never beyond the buffer");
}

static void
test_json_deceiving(void)
{
    static const struct {
        const char *bytes, *want;
    } cases[] = {
        {"\xc2\x80", "\"\\u0080\""},
        {"\xc2\x9b", "\"\\u009b\""},
        {"\xc2\x9f", "\"\\u009f\""},
        {"\xc2\xa0", "\"\xc2\xa0\""},
        {"\xe2\x80\x8d", "\"\xe2\x80\x8d\""},
        {"\xe2\x80\x8e", "\"\\u200e\""},
        {"\xe2\x80\x8f", "\"\\u200f\""},
        {"\xe2\x80\x90", "\"\xe2\x80\x90\""},
        {"\xe2\x80\xa7", "\"\xe2\x80\xa7\""},
        {"\xe2\x80\xa8", "\"\\u2028\""},
        {"\xe2\x80\xae", "\"\\u202e\""},
        {"\xe2\x80\xaf", "\"\xe2\x80\xaf\""},
        {"\xe2\x81\xa5", "\"\xe2\x81\xa5\""},
        {"\xe2\x81\xa6", "\"\\u2066\""},
        {"\xe2\x81\xa9", "\"\\u2069\""},
        {"\xe2\x81\xaa", "\"\xe2\x81\xaa\""},
        {"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""},
    };
    char buf[32];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        is_int(sp_str_json(buf, sizeof(buf), sp_str_c(cases[i].bytes)), (long long)strlen(cases[i].want),
               "json: deceiving %zu: length", i);
        is_str(buf, cases[i].want, "json: deceiving %zu", i);
    }
}

static void
test_json(void)
{
    char buf[128];

    is_int(sp_str_json(buf, sizeof(buf), SP_STR("a\"\\/\n\x01")), 16, "json: length");
    is_str(buf, "\"a\\\"\\\\/\\n\\u0001\"", "json: escapes");
    (void)sp_str_json(buf, sizeof(buf), SP_STR("\xc3\xa4\xff\xe2\x82|\xed\xa0\x80"));
    is_str(buf, "\"\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"",
           "json: bad bytes");
    is_int(sp_str_json(NULL, 0, SP_STR("ab")), 4, "json: measuring only");
    is_int(sp_str_json(buf, 3, SP_STR("ab")), 4, "json: cut, full length");
    is_str(buf, "\"a", "json: cut, terminated");
    (void)sp_str_json(buf, sizeof(buf), (struct sp_str){"a\0b", 3});
    is_str(buf, "\"a\\u0000b\"", "json: NUL");
    test_json_deceiving();
}

static void
test_distance(void)
{
    char long_a[200], long_b[200];

    is_int(sp_str_distance(SP_STR("listen"), SP_STR("listen"), 3), 0, "distance: equal");
    is_int(sp_str_distance(SP_STR("lsiten"), SP_STR("listen"), 3), 1, "distance: neighbours swapped");
    is_int(sp_str_distance(SP_STR("lisen"), SP_STR("listen"), 3), 1, "distance: inserted");
    is_int(sp_str_distance(SP_STR("liisten"), SP_STR("listen"), 3), 1, "distance: deleted");
    is_int(sp_str_distance(SP_STR("lister"), SP_STR("listen"), 3), 1, "distance: replaced");
    is_int(sp_str_distance(SP_STR("kitten"), SP_STR("sitting"), 9), 3, "distance: several");
    is_int(sp_str_distance(SP_STR("ca"), SP_STR("abc"), 9), 3, "distance: a swapped pair is not edited again");
    is_int(sp_str_distance(SP_STR(""), SP_STR("abc"), 9), 3, "distance: from nothing");
    is_int(sp_str_distance(SP_STR("abcdef"), SP_STR("uvwxyz"), 2), 3, "distance: capped");
    memset(long_a, 'a', sizeof(long_a));
    memset(long_b, 'a', sizeof(long_b));
    is_int(sp_str_distance((struct sp_str){long_a, 200}, (struct sp_str){long_b, 200}, 2), 0, "distance: long, equal");
    is_int(sp_str_distance((struct sp_str){long_a, 200}, (struct sp_str){long_b, 199}, 2), 3, "distance: long, unlike");
    is_int(sp_str_distance((struct sp_str){long_a, 127}, (struct sp_str){long_b, 126}, 2), 1, "distance: long, one");
}

static void
test_sizes(void)
{
    size_t out;

    ok(sp_size_add(&out, 1, 2) && out == 3 && !sp_size_add(&out, SIZE_MAX, 1), "size: add");
    ok(sp_size_mul(&out, 3, 2) && out == 6 && !sp_size_mul(&out, SIZE_MAX / 2, 3), "size: mul");
    ok(sp_str_prefix(SP_STR("abc"), SP_STR("ab")) && !sp_str_prefix(SP_STR("a"), SP_STR("ab")), "prefix");
}

int
main(void)
{
    test_compare_and_cut();
    test_u64();
    test_utf8();
    test_escape();
    test_json();
    test_distance();
    test_sizes();
    return done_testing();
}
