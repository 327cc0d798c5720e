#include "base/random.h"

#include "tap.h"

int
main(void)
{
    unsigned char a[1000] = {0}, b[1000] = {0};
    unsigned      counts[6] = {0}, worst = 0;
    uint32_t      high = 0;

    sp_random(a, sizeof(a));
    sp_random(b, sizeof(b));
    ok(memcmp(a, b, sizeof(a)) != 0, "two draws differ");
    sp_random(a, 0);
    ok(sp_random_u64() != sp_random_u64(), "u64");
    is_int(sp_random_below(1), 0, "below 1");
    for (unsigned i = 0; i < 60000; i++) {
        uint32_t value = sp_random_below(6);

        if (value < 6) {
            counts[value]++;
        }
    }
    for (unsigned i = 0; i < 6; i++) {
        unsigned off = counts[i] > 10000 ? counts[i] - 10000 : 10000 - counts[i];
        worst = off > worst ? off : worst;
    }
    ok(worst < 900, "below 6 is even: %u off at most", worst); /* 9 sigma */
    is_int(counts[0] + counts[1] + counts[2] + counts[3] + counts[4] + counts[5], 60000, "and below 6");
    for (unsigned i = 0; i < 200; i++) {
        high |= sp_random_below(UINT32_MAX);
    }
    ok(high >> 31 == 1, "large bounds use all bits");
    return done_testing();
}
