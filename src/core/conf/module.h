/*
 * What a module is: a folder in src/modules/NAME that exports `const struct sp_module sp_NAME_module`. It reaches the
 * rest only through src/core/ headers. The core names no module.
 */
#ifndef SP_CONF_MODULE_H
#define SP_CONF_MODULE_H

#include "base/metrics.h"
#include "conf/snapshot.h"

#define SP_MODULE_ABI 1

struct sp_process; /* process/process.h: a worker or the keeper, its loop, bus, snapshot */
struct sp_status;  /* process/status.h */

struct sp_module {
    const char                 *name;
    uint32_t                    abi; /* SP_MODULE_ABI */
    const struct sp_directive  *directives;
    size_t                      ndirectives;
    const struct sp_metric_def *metrics;
    size_t                      nmetrics;

    /* Once per process image, before any configuration: registers with core interfaces. */
    int (*init)(void);
    /* Its part of the snapshot; whole-configuration checks. Any process, perhaps a helper thread: pure. 0 or -EINVAL with
     * diagnostics; *data lands in snapshot->module[index]. */
    int (*build)(struct sp_build *b, void **data);

    /* Process life. start may fail (the process exits, logged). stop: graceful, sessions are told good-bye. Either may be NULL. */
    int (*start)(struct sp_process *p);
    void (*stop)(struct sp_process *p);

    /* Reload, in workers and keeper, on the loop. prepare may fail (text in *error, malloc'd); the old snapshot still serves.
     * commit and abort may not. commit sees p->snapshot already swapped. */
    int (*prepare)(struct sp_process *p, struct sp_snapshot *next, char **error);
    void (*commit)(struct sp_process *p, struct sp_snapshot *was);
    void (*abort)(struct sp_process *p, struct sp_snapshot *next);

    /* Peers on the bus: a process in `slot` came up or went down (its epoch). */
    void (*peer_up)(struct sp_process *p, unsigned slot);
    void (*peer_down)(struct sp_process *p, unsigned slot);

    /* Adds its lines to `sallyport status`. */
    void (*status)(struct sp_process *p, struct sp_status *s);
};

extern const struct sp_module *const sp_modules[]; /* objs/sp_modules.c, NULL-terminated */

#endif
