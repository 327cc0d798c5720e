#include "process/pack.h"

#include <stdlib.h>

static char *
room(struct sp_pack *k, size_t n)
{
    size_t need;

    if (k->failed || !sp_size_add(&need, k->n, n)) {
        k->failed = true;
        return NULL;
    }
    if (need > k->capacity) {
        size_t capacity = k->capacity == 0 ? 256 : k->capacity;
        while (capacity < need) {
            if (!sp_size_mul(&capacity, capacity, 2)) {
                k->failed = true;
                return NULL;
            }
        }
        char *p = realloc(k->p, capacity);
        if (p == NULL) {
            k->failed = true;
            return NULL;
        }
        k->p = p;
        k->capacity = capacity;
    }
    char *at = k->p + k->n;
    k->n = need;
    return at;
}

void
sp_pack_bytes(struct sp_pack *k, const void *bytes, size_t n)
{
    char *at = room(k, n);

    if (at != NULL && n > 0) {
        memcpy(at, bytes, n);
    }
}

void
sp_pack_u8(struct sp_pack *k, uint8_t v)
{
    sp_pack_bytes(k, &v, sizeof v);
}

void
sp_pack_u32(struct sp_pack *k, uint32_t v)
{
    sp_pack_bytes(k, &v, sizeof v);
}

void
sp_pack_u64(struct sp_pack *k, uint64_t v)
{
    sp_pack_bytes(k, &v, sizeof v);
}

void
sp_pack_str(struct sp_pack *k, struct sp_str s)
{
    if (s.n > UINT32_MAX) {
        k->failed = true;
        return;
    }
    sp_pack_u32(k, (uint32_t)s.n);
    sp_pack_bytes(k, s.p, s.n);
}

void
sp_pack_text(struct sp_pack *k, const char *text)
{
    sp_pack_str(k, sp_str_c(text));
}

void
sp_pack_free(struct sp_pack *k)
{
    free(k->p);
    *k = (struct sp_pack){0};
}

void
sp_unpack_bytes(struct sp_unpack *u, void *dst, size_t n)
{
    if (u->failed || u->n < n) {
        u->failed = true;
        memset(dst, 0, n);
        return;
    }
    memcpy(dst, u->p, n);
    u->p += n;
    u->n -= n;
}

uint8_t
sp_unpack_u8(struct sp_unpack *u)
{
    uint8_t v;

    sp_unpack_bytes(u, &v, sizeof v);
    return v;
}

uint32_t
sp_unpack_u32(struct sp_unpack *u)
{
    uint32_t v;

    sp_unpack_bytes(u, &v, sizeof v);
    return v;
}

uint64_t
sp_unpack_u64(struct sp_unpack *u)
{
    uint64_t v;

    sp_unpack_bytes(u, &v, sizeof v);
    return v;
}

struct sp_str
sp_unpack_str(struct sp_unpack *u)
{
    uint32_t n = sp_unpack_u32(u);

    if (u->failed || u->n < n) {
        u->failed = true;
        return (struct sp_str){"", 0};
    }
    struct sp_str s = {u->p, n};
    u->p += n;
    u->n -= n;
    return s;
}

char *
sp_unpack_text(struct sp_unpack *u)
{
    struct sp_str s = sp_unpack_str(u);

    if (u->failed || memchr(s.p, '\0', s.n) != NULL) {
        u->failed = true;
        return NULL;
    }
    char *text = malloc(s.n + 1);
    if (text == NULL) {
        u->failed = true;
        return NULL;
    }
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    return text;
}

bool
sp_unpack_whole(const struct sp_unpack *u)
{
    return !u->failed && u->n == 0;
}
