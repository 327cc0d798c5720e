#include "base/clock.h"

#include <time.h>

#include "tap.h"

int
main(void)
{
    char     buf[32];
    uint64_t first, ns;

    ok(sp_clock_ms() > 0 && sp_clock_wall_ms() > 1600000000000u, "values without an update");
    first = sp_clock_ms();
    ns = sp_clock_ns();
    while (sp_clock_ns() - ns < 5000000u) {
    }
    ok(sp_clock_ms() == first, "cached between updates");
    sp_clock_update();
    ok(sp_clock_ms() >= first + 4, "an update moves it");
    ok(sp_clock_ns() / 1000000u - sp_clock_ms() < 60000u, "ns and ms have the same origin");

    is_str(sp_clock_rfc3339(buf, 0), "1970-01-01T00:00:00.000Z", "rfc3339: epoch");
    is_str(sp_clock_rfc3339(buf, 1771864315007u), "2026-02-23T16:31:55.007Z", "rfc3339: milliseconds");
    is_str(sp_clock_rfc3339(buf, 951782399999u), "2000-02-28T23:59:59.999Z", "rfc3339: just before a leap day");
    is_str(sp_clock_rfc3339(buf, 951782400000u), "2000-02-29T00:00:00.000Z", "rfc3339: a leap day");
    is_int((long long)strlen(sp_clock_rfc3339(buf, UINT64_MAX)), 29, "rfc3339: the last millisecond fits");
    return done_testing();
}
