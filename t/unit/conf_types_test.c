#include "conf_fake.h"
#include "tap.h"

static void
size(const char *text, int64_t want)
{
    int64_t got = -77;
    int     err = sp_parse_size_text(sp_str_c(text), &got);

    is_int(got, want, "size %s", text);
    is_int(err, want == -77 ? -EINVAL : 0, "result");
}

static void
duration(const char *text, int64_t want)
{
    int64_t got = -77;
    int     err = sp_parse_time_text(sp_str_c(text), &got);

    is_int(got, want, "time %s", text);
    is_int(err, want == -77 ? -EINVAL : 0, "result");
}

static int
order(const struct sp_type *t, int64_t a, int64_t b)
{
    struct sp_value x = {.u.num = a}, y = {.u.num = b};

    return t->compare(&x, &y);
}

int
main(void)
{
    size("0", 0);
    size("512", 512);
    size("64k", 65536);
    size("64K", 65536);
    size("1m", 1 << 20);
    size("2g", INT64_C(2) << 30);
    size("9223372036854775807", INT64_MAX);
    size("9223372036854775808", -77);
    size("9007199254740992k", -77);
    size("", -77);
    size("k", -77);
    size("1kk", -77);
    size("1 k", -77);
    size("-1", -77);
    size("1.5k", -77);
    duration("0", 0);
    duration("5", 5000);
    duration("200ms", 200);
    duration("5s", 5000);
    duration("1m", 60000);
    duration("1h", 3600000);
    duration("30d", INT64_C(30) * 86400000);
    duration("5S", -77);
    duration("s", -77);
    duration("99999999999999999d", -77);
    ok(order(&sp_type_size, 1, 2) < 0 && order(&sp_type_size, 2, 2) == 0, "the smaller size is the stricter");
    ok(order(&sp_type_time_off, SP_OFF, 5) > 0 && order(&sp_type_time_off, 5, SP_OFF) < 0, "off is the loosest");
    ok(order(&sp_type_number_off, SP_OFF, SP_OFF) == 0, "off is as loose as off");
    ok(order(&sp_type_flag, 0, 1) < 0, "off is stricter than on");
    is_str(sp_level_name(SP_LEVEL_REALM), "realm", "level");
    is_str(sp_level_name(SP_LEVEL_DEFAULT), "default", "level");
    is_str(sp_level_name((enum sp_level)99), "?", "no level");
    return done_testing();
}
