/*
 * The probe: builds a configuration before anyone else does. Two processes: a reader with the master's rights, which reads
 * files into a bundle and interprets nothing; and under it the probe proper, without rights, which asks it. Whatever
 * either runs into (a crash of the parser, a file that blocks), the master sees a refusal.
 */
#ifndef SP_PROCESS_PROBE_H
#define SP_PROCESS_PROBE_H

#include "cli/options.h"
#include "process/plan.h"

struct sp_probe_request {
    const struct sp_options  *options;
    const struct sp_registry *registry;
    uint64_t                  generation;
    int                       current; /* the bundle in force, whose RESTART directives must stay; -1: none */
    const struct sp_plan     *plan;    /* in force, NULL at the start */
};

struct sp_probe {
    pid_t pid; /* the reader */
    int   fd;  /* readable when there is a result */
};

struct sp_probe_result {
    int             err;    /* 0; -EINVAL: refused; else it could not be found out */
    char           *text;   /* diagnostics, never NULL when err < 0 */
    struct sp_plan *plan;   /* err == 0 */
    int             bundle; /* err == 0: the sealed memfd */
};

#define SP_PROBE_TIMEOUT_MS 30000u

int sp_probe_start(const struct sp_probe_request *q, struct sp_probe *out);
/* Takes the result, waiting for it at most timeout_ms, and closes the probe; the caller reaps its pid. */
void sp_probe_finish(struct sp_probe *p, unsigned timeout_ms, struct sp_probe_result *out);
void sp_probe_cancel(struct sp_probe *p);

#endif
