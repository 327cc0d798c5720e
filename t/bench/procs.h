/*
 * CPU time and memory of the server's processes, read from /proc.
 */
#ifndef SP_BENCH_PROCS_H
#define SP_BENCH_PROCS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct sp_procs_reading {
    uint64_t cpu_ns; /* user and system, all threads alive */
    /* Proportional set size without file mappings, whose share moves when any other process comes or goes. */
    uint64_t memory_bytes;
    uint64_t pss_bytes;     /* proportional set size, all of it */
    uint64_t private_bytes; /* Private_Clean + Private_Dirty */
    uint64_t rss_bytes;
    bool     exact_cpu; /* from schedstat; else from clock ticks */
    size_t   gone;      /* processes that could not be read */
};

/* Sum over n processes. Never fails: an unreadable process is counted in `gone`. */
void sp_procs_read(const pid_t *pids, size_t n, struct sp_procs_reading *out);

/* CPU time alone: cheap enough for the middle of a measurement. */
void sp_procs_read_cpu(const pid_t *pids, size_t n, struct sp_procs_reading *out);

#endif
