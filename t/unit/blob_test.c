#include "base/blob.h"

#include "tap.h"

int
main(void)
{
    struct sp_blob *b = sp_blob_new("bytes", 5);

    ok(b != NULL && b->refs == 1 && b->n == 5, "new");
    is_mem(b->data, b->n, "bytes", 5, "new: copied");
    ok(sp_blob_ref(b) == b && b->refs == 2, "ref");
    sp_blob_unref(b);
    is_int(b->refs, 1, "unref");
    sp_blob_unref(b);
    sp_blob_unref(NULL);

    b = sp_blob_new(NULL, 3);
    ok(b != NULL && b->n == 3, "new: uninitialised");
    memcpy(b->data, "abc", 3);
    sp_blob_unref(b);
    b = sp_blob_new(NULL, 0);
    ok(b != NULL && b->n == 0, "new: empty");
    sp_blob_unref(b);
    ok(sp_blob_new(NULL, (size_t)UINT32_MAX + 1) == NULL, "new: too large");
    return done_testing();
}
