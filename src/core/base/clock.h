/* Time. Workers read the clock once per loop turn (sp_clock_update) and use the cached values. */
#ifndef SP_BASE_CLOCK_H
#define SP_BASE_CLOCK_H

#include <stdint.h>

uint64_t sp_clock_ms(void);      /* CLOCK_MONOTONIC, cached, ms */
uint64_t sp_clock_wall_ms(void); /* CLOCK_REALTIME, cached, ms since the epoch */
void     sp_clock_update(void);  /* reads both */
uint64_t sp_clock_ns(void);      /* CLOCK_MONOTONIC, read now */
/* RFC 3339 UTC with milliseconds, e.g. 2026-02-23T16:31:55.007Z; dst of at least 32 bytes; returns dst. */
const char *sp_clock_rfc3339(char *dst, uint64_t wall_ms);

#endif
