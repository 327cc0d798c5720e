/* Random bytes from the kernel's generator (getrandom). Aborts when the kernel cannot give any. */
#ifndef SP_BASE_RANDOM_H
#define SP_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

void     sp_random(void *dst, size_t bytes);
uint64_t sp_random_u64(void);
/* Uniform in 0 .. below-1; below > 0. For jitter. */
uint32_t sp_random_below(uint32_t below);

#endif
