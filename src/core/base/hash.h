/*
 * Hash maps with keys of bytes, owned by the caller or by the values they lead to (intrusive use is usual: the key
 * slice points into the value). The hash is XXH3 with a per-process random secret, so that peers cannot aim collisions.
 */
#ifndef SP_BASE_HASH_H
#define SP_BASE_HASH_H

#include "base/str.h"

uint64_t sp_hash(struct sp_str key);

struct sp_map_entry {
    struct sp_str key; /* must stay valid and unchanged while it is in the map */
    uint64_t      hash;
    void         *value; /* never NULL */
};

struct sp_map {
    struct sp_map_entry *entries; /* NULL until the first put */
    size_t               capacity, count;
};

/* A zeroed struct is an empty map. Open addressing; grows by doubling. */
void *sp_map_get(const struct sp_map *m, struct sp_str key);
void *sp_map_get_hashed(const struct sp_map *m, struct sp_str key, uint64_t hash);
/* Inserts or replaces (the key slice too); the replaced value or NULL in *old (may be NULL). 0 or -ENOMEM. */
int sp_map_put(struct sp_map *m, struct sp_str key, void *value, void **old);
/* Removes and returns the value, NULL if there was none. */
void *sp_map_remove(struct sp_map *m, struct sp_str key);
/* Iteration: start with *pos = 0; NULL at the end. Removing the entry just returned is allowed, inserting is not. */
struct sp_map_entry *sp_map_next(const struct sp_map *m, size_t *pos);
/* Frees the table, not the values. */
void sp_map_clear(struct sp_map *m);

#endif
