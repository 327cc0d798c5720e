/*
 * The keeper's durable store: one SQLite file (WAL, synchronous=FULL) in data_dir, one writer. Changes are queued by the
 * loop and committed in groups by a commit thread: what has gathered while the last group went to disk is the next one (4,096
 * changes or about 16 MiB at most). The loop never waits for a disk. Each change's callback runs on the loop when its group is
 * on disk, in the order of the changes.
 */
#ifndef SP_STORE_STORE_H
#define SP_STORE_STORE_H

#include "base/str.h"
#include "conf/directive.h"

struct sp_process;
struct sp_store;

/* Opens or creates data_dir/sallyport.db (0600), checks the format version (PRAGMA user_version; a newer one is refused with a
 * clear message), recovers the WAL. Another gateway on the same data_dir is waited for (binary upgrade: the old keeper is about to
 * go) for `lock_wait_ms`, then -EBUSY. -EIO, -EACCES, -ENAMETOOLONG, -EPROTO (newer format), logged; -ENOMEM. */
int sp_store_start(struct sp_process *p, const char *data_dir, unsigned lock_wait_ms, struct sp_store **out);
/* Commits what is queued, and what callbacks queue meanwhile, runs all callbacks, joins the thread, closes. */
void sp_store_stop(struct sp_store *s);

/* The directives of the keeper's tables (retained_max_count, retained_max_bytes). */
extern const struct sp_directive sp_store_directives[];
extern const size_t              sp_store_ndirectives;

/* A table of keys and values. Reads at start only, through load; puts and dels are queued. row returns 0 or a negative code,
 * which ends the load and becomes its result. -EIO, logged. */
int sp_store_load(struct sp_store *s, const char *table, int (*row)(void *arg, struct sp_str key, struct sp_str value),
                  void *arg);
/* Tables are named in store.c; an unknown one is -EINVAL. value.p == NULL deletes. done (may be NULL) gets 0 or -EIO/-ENOSPC on
 * the loop, never from inside this call. Copies key and value. -ENOMEM. */
int sp_store_put(struct sp_store *s, const char *table, struct sp_str key, struct sp_str value,
                 void (*done)(void *arg, int err), void *arg);
/* Changes that are not reported yet, and what they take in memory: whoever can wait does when that is much. */
uint64_t sp_store_queued(const struct sp_store *s);
uint64_t sp_store_queued_bytes(const struct sp_store *s);

#endif
