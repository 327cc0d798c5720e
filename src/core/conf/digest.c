#include "conf/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

struct digesting {
    struct sp_source  source;
    struct sp_source *inner;
    EVP_MD_CTX       *ctx;
    bool              failed;
};

static void
feed(struct digesting *d, const void *p, size_t n)
{
    if (n > 0 && d->ctx != NULL && EVP_DigestUpdate(d->ctx, p, n) != 1) {
        d->failed = true;
    }
}

/* Lengths in front, so that no two different sequences give the same bytes. */
static void
feed_str(struct digesting *d, struct sp_str s)
{
    uint64_t n = s.n;

    feed(d, &n, sizeof(n));
    feed(d, s.p, s.n);
}

static void
feed_num(struct digesting *d, int64_t n)
{
    feed(d, &n, sizeof(n));
}

static int
digesting_read(struct sp_source *s, const char *path, struct sp_str *out)
{
    struct digesting *d = (struct digesting *)s;
    int               err = d->inner->read(d->inner, path, out);

    feed(d, "r", 1);
    feed_str(d, sp_str_c(path));
    feed_num(d, err);
    if (err == 0) {
        feed_str(d, *out);
    }
    return err;
}

static int
digesting_glob(struct sp_source *s, const char *pattern, struct sp_str **paths, size_t *count)
{
    struct digesting *d = (struct digesting *)s;
    int               err = d->inner->glob(d->inner, pattern, paths, count);

    feed(d, "g", 1);
    feed_str(d, sp_str_c(pattern));
    feed_num(d, err);
    if (err == 0) {
        feed_num(d, (int64_t)*count);
        for (size_t i = 0; i < *count; i++) {
            feed_str(d, (*paths)[i]);
        }
    }
    return err;
}

static void
digesting_close(struct sp_source *s)
{
    struct digesting *d = (struct digesting *)s;

    EVP_MD_CTX_free(d->ctx);
    free(d);
}

int
sp_source_digest(struct sp_source *inner, struct sp_source **out)
{
    struct digesting *d = calloc(1, sizeof(*d));

    if (d == NULL) {
        return -ENOMEM;
    }
    d->source = (struct sp_source){digesting_read, digesting_glob, digesting_close};
    d->inner = inner;
    d->ctx = EVP_MD_CTX_new();
    if (d->ctx == NULL || EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) != 1) {
        digesting_close(&d->source);
        return -ENOMEM;
    }
    *out = &d->source;
    return 0;
}

void
sp_source_digest_add(struct sp_source *s, struct sp_str bytes)
{
    struct digesting *d = (struct digesting *)s;

    feed(d, "x", 1);
    feed_str(d, bytes);
}

int
sp_source_digest_end(struct sp_source *s, uint8_t digest[32])
{
    struct digesting *d = (struct digesting *)s;
    unsigned          n = 0;
    bool              ok = !d->failed && d->ctx != NULL && EVP_DigestFinal_ex(d->ctx, digest, &n) == 1 && n == 32;

    EVP_MD_CTX_free(d->ctx);
    d->ctx = NULL;
    return ok ? 0 : -EIO;
}
