#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/random.h"

#define CAPACITY_MIN 8u
#define CAPACITY_MAX ((size_t)1 << 31) /* an iteration's position packs two slot numbers */

static unsigned char secret[XXH3_SECRET_DEFAULT_SIZE];

/* Before main: no check on the hot path and no race among helper threads. Forked processes inherit the secret. */
__attribute__((constructor)) static void
make_secret(void)
{
    unsigned char seed[64];

    sp_random(seed, sizeof(seed));
    (void)XXH3_generateSecret(secret, sizeof(secret), seed, sizeof(seed));
    explicit_bzero(seed, sizeof(seed));
}

uint64_t
sp_hash(struct sp_str key)
{
    return XXH3_64bits_withSecret(key.p, key.n, secret, sizeof(secret));
}

/* The slot of the key, or the free one where it would go. There always is a free one: the load is 3/4 at most. */
static size_t
find_slot(const struct sp_map *m, struct sp_str key, uint64_t hash)
{
    size_t mask = m->capacity - 1;
    size_t i = (size_t)hash & mask;

    for (;; i = (i + 1) & mask) {
        const struct sp_map_entry *e = &m->entries[i];

        if (e->value == NULL || (e->hash == hash && sp_str_eq(e->key, key))) {
            return i;
        }
    }
}

void *
sp_map_get_hashed(const struct sp_map *m, struct sp_str key, uint64_t hash)
{
    return m->count == 0 ? NULL : m->entries[find_slot(m, key, hash)].value;
}

void *
sp_map_get(const struct sp_map *m, struct sp_str key)
{
    return m->count == 0 ? NULL : sp_map_get_hashed(m, key, sp_hash(key));
}

static int
grow(struct sp_map *m)
{
    struct sp_map bigger = {NULL, m->capacity == 0 ? CAPACITY_MIN : m->capacity * 2, m->count};
    size_t        mask = bigger.capacity - 1;

    if (bigger.capacity > CAPACITY_MAX) {
        return -ENOMEM;
    }
    bigger.entries = calloc(bigger.capacity, sizeof(*bigger.entries));
    if (bigger.entries == NULL) {
        return -ENOMEM;
    }
    for (size_t from = 0; from < m->capacity; from++) {
        if (m->entries[from].value != NULL) {
            size_t to = (size_t)m->entries[from].hash & mask;

            while (bigger.entries[to].value != NULL) {
                to = (to + 1) & mask;
            }
            bigger.entries[to] = m->entries[from];
        }
    }
    free(m->entries);
    *m = bigger;
    return 0;
}

int
sp_map_put(struct sp_map *m, struct sp_str key, void *value, void **old)
{
    uint64_t hash = sp_hash(key);
    size_t   i;

    if (m->capacity > 0) {
        i = find_slot(m, key, hash);
        if (m->entries[i].value != NULL) {
            if (old != NULL) {
                *old = m->entries[i].value;
            }
            m->entries[i] = (struct sp_map_entry){key, hash, value};
            return 0;
        }
    }
    if (m->count + 1 > m->capacity / 4 * 3) {
        int rc = grow(m);
        if (rc != 0) {
            return rc;
        }
    }
    m->entries[find_slot(m, key, hash)] = (struct sp_map_entry){key, hash, value};
    m->count++;
    if (old != NULL) {
        *old = NULL;
    }
    return 0;
}

void *
sp_map_remove(struct sp_map *m, struct sp_str key)
{
    size_t mask = m->capacity - 1;
    size_t hole, i;
    void  *value;

    if (m->count == 0) {
        return NULL;
    }
    hole = find_slot(m, key, sp_hash(key));
    value = m->entries[hole].value;
    if (value == NULL) {
        return NULL;
    }
    /* Backward shift: whoever probed past the hole and may live in it moves there, so there are no tombstones. */
    for (i = (hole + 1) & mask; m->entries[i].value != NULL; i = (i + 1) & mask) {
        size_t home = (size_t)m->entries[i].hash & mask;

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->entries[hole] = m->entries[i];
            hole = i;
        }
    }
    m->entries[hole] = (struct sp_map_entry){{NULL, 0}, 0, NULL};
    m->count--;
    return value;
}

/*
 * Goes downwards from a free slot, so that no run of entries is entered in its middle: a removal moves only entries that
 * were seen already into slots that were seen already. *pos: the free slot + 1 (high half), steps done (low half).
 */
struct sp_map_entry *
sp_map_next(const struct sp_map *m, size_t *pos)
{
    size_t mask = m->capacity - 1;
    size_t base = *pos >> 32, steps = *pos & UINT32_MAX;

    if (m->count == 0) {
        return NULL;
    }
    if (base == 0) {
        while (m->entries[base].value != NULL) {
            base++;
        }
        base++;
    }
    while (++steps < m->capacity) {
        struct sp_map_entry *e = &m->entries[(base - 1 - steps) & mask];

        if (e->value != NULL) {
            *pos = base << 32 | steps;
            return e;
        }
    }
    *pos = base << 32 | (steps - 1);
    return NULL;
}

void
sp_map_clear(struct sp_map *m)
{
    free(m->entries);
    *m = (struct sp_map){NULL, 0, 0};
}
