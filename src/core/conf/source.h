/*
 * Where the bytes of configuration come from. Everything that a configuration names (conf files, includes, ACLs,
 * certificates, keys, CRLs) is read through a source, so the same build runs on real files (-t, -T, explain -c), in the
 * probe (which asks the master to read for it) and on a sealed bundle (workers, keeper).
 */
#ifndef SP_CONF_SOURCE_H
#define SP_CONF_SOURCE_H

#include "base/arena.h"

struct sp_source {
    /* The whole file. *out stays valid as long as the source. -ENOENT, -EACCES, -EISDIR, -EFBIG (over
     * SP_SOURCE_FILE_MAX), -EAGAIN (kept changing while it was read: half-written) ... */
    int (*read)(struct sp_source *s, const char *path, struct sp_str *out);
    /* Paths that match a glob(7) pattern, sorted bytewise; *count may be 0. */
    int (*glob)(struct sp_source *s, const char *pattern, struct sp_str **paths, size_t *count);
    void (*close)(struct sp_source *s);
};

#define SP_SOURCE_FILE_MAX (64u << 20)

/* Reads real files. A file that changes while it is read, or changed less than 50 ms ago, is read again until it has
 * settled, for at most 1 s. */
int sp_source_files(struct sp_source **out);

static inline void
sp_source_close(struct sp_source *s)
{
    if (s != NULL) {
        s->close(s);
    }
}

#endif
