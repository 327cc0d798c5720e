#include <errno.h>

#include "conf/directive.h"

/* Splits "64k" into 64 and "k". -EINVAL without digits or with a number that no value could have. */
static int
split(struct sp_str s, int64_t *number, struct sp_str *unit)
{
    size_t   n = 0;
    uint64_t value;

    while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9') {
        n++;
    }
    if (sp_str_u64((struct sp_str){s.p, n}, INT64_MAX, &value) < 0) {
        return -EINVAL;
    }
    *number = (int64_t)value;
    *unit = (struct sp_str){s.p + n, s.n - n};
    return 0;
}

int
sp_parse_size_text(struct sp_str s, int64_t *bytes)
{
    struct sp_str unit;
    int64_t       number, factor;

    if (split(s, &number, &unit) < 0 || unit.n > 1) {
        return -EINVAL;
    }
    switch (unit.n == 0 ? '\0' : unit.p[0]) {
    case '\0':
        factor = 1;
        break;
    case 'k':
    case 'K':
        factor = INT64_C(1) << 10;
        break;
    case 'm':
    case 'M':
        factor = INT64_C(1) << 20;
        break;
    case 'g':
    case 'G':
        factor = INT64_C(1) << 30;
        break;
    default:
        return -EINVAL;
    }
    if (__builtin_mul_overflow(number, factor, &number)) {
        return -EINVAL;
    }
    *bytes = number;
    return 0;
}

int
sp_parse_time_text(struct sp_str s, int64_t *ms)
{
    static const struct {
        const char *unit;
        int64_t     ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    struct sp_str unit;
    int64_t       number;

    if (split(s, &number, &unit) < 0) {
        return -EINVAL;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (sp_str_is(unit, units[i].unit)) {
            if (__builtin_mul_overflow(number, units[i].ms, &number)) {
                return -EINVAL;
            }
            *ms = number;
            return 0;
        }
    }
    return -EINVAL;
}
