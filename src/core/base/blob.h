/*
 * A reference-counted byte string: a payload exists once in a process and is shared by every receiver's output.
 * Single-threaded counts.
 */
#ifndef SP_BASE_BLOB_H
#define SP_BASE_BLOB_H

#include <stdlib.h>

#include "base/str.h"

struct sp_blob {
    uint32_t refs;
    uint32_t n;
    char     data[];
};

/* refs = 1, bytes copied (`bytes` may be NULL: uninitialised). NULL when out of memory or n > UINT32_MAX. */
struct sp_blob *sp_blob_new(const void *bytes, size_t n);

static inline struct sp_blob *
sp_blob_ref(struct sp_blob *b)
{
    b->refs++;
    return b;
}

static inline void
sp_blob_unref(struct sp_blob *b)
{
    if (b != NULL && --b->refs == 0) {
        free(b);
    }
}

#endif
