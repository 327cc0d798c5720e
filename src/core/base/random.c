#include "base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"

void
sp_random(void *dst, size_t bytes)
{
    char *p = dst;

    while (bytes > 0) {
        ssize_t n = getrandom(p, bytes, 0);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            sp_log(SP_LOG_EMERG, "getrandom: %s", strerror(errno));
            abort();
        }
        p += n;
        bytes -= (size_t)n;
    }
}

uint64_t
sp_random_u64(void)
{
    uint64_t value;

    sp_random(&value, sizeof(value));
    return value;
}

uint32_t
sp_random_below(uint32_t below)
{
    /* 2^64 mod below values at the low end would make some results more likely: draw again */
    uint64_t uneven = (UINT64_MAX % below + 1) % below;
    uint64_t value;

    do {
        value = sp_random_u64();
    } while (value < uneven);
    return (uint32_t)(value % below);
}
