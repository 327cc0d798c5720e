#include "base/blob.h"

struct sp_blob *
sp_blob_new(const void *bytes, size_t n)
{
    struct sp_blob *b;

    if (n > UINT32_MAX) {
        return NULL;
    }
    b = malloc(sizeof(*b) + n);
    if (b == NULL) {
        return NULL;
    }
    b->refs = 1;
    b->n = (uint32_t)n;
    if (bytes != NULL && n > 0) {
        memcpy(b->data, bytes, n);
    }
    return b;
}
