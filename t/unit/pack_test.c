#include "process/pack.h"

#include <stdlib.h>

#include "tap.h"

static void
round_trip(void)
{
    struct sp_pack k = {0};
    char           raw[3];

    sp_pack_u8(&k, 7);
    sp_pack_u32(&k, 0xdeadbeef);
    sp_pack_u64(&k, UINT64_MAX);
    sp_pack_text(&k, "hello");
    sp_pack_text(&k, NULL);
    sp_pack_str(&k, (struct sp_str){"a\0b", 3});
    sp_pack_bytes(&k, "xyz", 3);
    ok(!k.failed, "packed");

    struct sp_unpack u = {k.p, k.n, false};
    is_int(sp_unpack_u8(&u), 7, "u8");
    is_int(sp_unpack_u32(&u), 0xdeadbeef, "u32");
    ok(sp_unpack_u64(&u) == UINT64_MAX, "u64");
    char *text = sp_unpack_text(&u);
    is_str(text, "hello", "text");
    free(text);
    text = sp_unpack_text(&u);
    is_str(text, "", "NULL is an empty text");
    free(text);
    is_int((long long)sp_unpack_str(&u).n, 3, "bytes with a NUL");
    ok(!sp_unpack_whole(&u), "something is left");
    sp_unpack_bytes(&u, raw, sizeof raw);
    ok(memcmp(raw, "xyz", 3) == 0, "raw bytes");
    ok(sp_unpack_whole(&u), "nothing is left");

    /* every shorter version of it fails, and reads nothing beyond its end */
    unsigned bad = 0;
    for (size_t n = 0; n < k.n; n++) {
        char *cut = malloc(n == 0 ? 1 : n);
        memcpy(cut, k.p, n);
        u = (struct sp_unpack){cut, n, false};
        (void)sp_unpack_u8(&u);
        (void)sp_unpack_u32(&u);
        (void)sp_unpack_u64(&u);
        free(sp_unpack_text(&u));
        free(sp_unpack_text(&u));
        (void)sp_unpack_str(&u);
        sp_unpack_bytes(&u, raw, sizeof raw);
        bad += sp_unpack_whole(&u);
        free(cut);
    }
    is_int(bad, 0, "no truncation passes");
    sp_pack_free(&k);
    ok(k.p == NULL && k.n == 0, "freed");
}

static void
malformed(void)
{
    char             huge[4] = {(char)0xff, (char)0xff, (char)0xff, (char)0xff};
    struct sp_unpack u = {huge, sizeof huge, false};

    is_int((long long)sp_unpack_str(&u).n, 0, "a length beyond the end is empty");
    ok(u.failed, "and a failure");
    struct sp_pack k = {0};
    sp_pack_str(&k, (struct sp_str){"a\0b", 3});
    u = (struct sp_unpack){k.p, k.n, false};
    ok(sp_unpack_text(&u) == NULL && u.failed, "a text with a NUL is refused");
    ok(sp_unpack_u32(&u) == 0 && sp_unpack_text(&u) == NULL, "everything after a failure fails");
    sp_pack_free(&k);
    k.failed = true;
    sp_pack_u32(&k, 1);
    ok(k.n == 0, "nothing is packed after a failure");
    sp_pack_free(&k);
}

int
main(void)
{
    round_trip();
    malformed();
    return done_testing();
}
