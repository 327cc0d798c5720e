#include "conf_fake.h"
#include "tap.h"

static struct sp_registry *registry;

static struct sp_rate
rate(const char *text)
{
    char                config[200], *errors;
    struct sp_snapshot *s;
    struct sp_rate      r = {.per_s = -1};

    (void)snprintf(config, sizeof(config), "policy { rate %s; }", text);
    if (fake_text(registry, config, &s, &errors) == 0) {
        r = *sp_value_rate(sp_block_value(s, sp_block_first(s->main, "policy"), "rate"));
        sp_snapshot_unref(s);
    }
    free(errors);
    return r;
}

static int
compare(struct sp_rate a, struct sp_rate b)
{
    struct sp_value x = {.u.ptr = &a}, y = {.u.ptr = &b};

    return sp_type_rate.compare(&x, &y);
}

int
main(void)
{
    struct sp_rate r;

    (void)sp_registry_create(fake_modules, &registry);
    r = rate("500/s burst=1000 over=drop");
    ok(!r.off && r.per_s > 499.9 && r.per_s < 500.1 && r.burst == 1000 && r.over == SP_RATE_DROP, "all said");
    r = rate("600/m");
    ok(r.per_s > 9.9 && r.per_s < 10.1 && r.burst == 10 && r.over == SP_RATE_DELAY, "a minute");
    r = rate("1/h");
    ok(r.per_s > 0 && r.per_s < 0.001 && r.burst == 1, "an hour; a burst of one at least");
    r = rate("90/m over=disconnect");
    ok(r.burst == 2 && r.over == SP_RATE_DISCONNECT, "a burst is rounded up");
    ok(rate("off").off, "off");
    ok(rate("5").per_s < 0 && rate("-5/s").per_s < 0 && rate("5/").per_s < 0 && rate("/s").per_s < 0, "refused");
    ok(compare(rate("1/s"), rate("2/s")) < 0, "the lower is the stricter");
    ok(compare(rate("60/m"), rate("1/s")) == 0, "the same in other units");
    ok(compare(rate("1/s burst=5"), rate("1/s burst=4")) > 0, "then the burst");
    ok(compare(rate("off"), rate("1000000/s")) > 0 && compare(rate("off"), rate("off")) == 0, "off is the loosest");
    sp_registry_destroy(registry);
    return done_testing();
}
