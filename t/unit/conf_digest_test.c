#include "conf/digest.h"
#include "conf_fake.h"
#include "tap.h"

static void
digest(const char *first, const char *second, const char *extra, uint8_t out[32])
{
    const struct fake_file_text files[] = {{"a", first, 0, 0}, {"b", second, 0, 0}, {NULL, NULL, 0, 0}};
    struct fake_source          inner = fake_source(files);
    struct sp_source           *s;
    struct sp_str               text, *paths;
    size_t                      count;

    is_int(sp_source_digest(&inner.source, &s), 0, "source");
    (void)s->read(s, "a", &text);
    (void)s->glob(s, "*", &paths, &count);
    (void)s->read(s, "b", &text);
    (void)s->read(s, "none", &text);
    sp_source_digest_add(s, sp_str_c(extra));
    is_int(sp_source_digest_end(s, out), 0, "end");
    is_int(s->read(s, "a", &text), 0, "reads on, uncounted");
    sp_source_close(s);
}

int
main(void)
{
    uint8_t one[32], other[32];

    digest("x", "yz", "e", one);
    digest("x", "yz", "e", other);
    ok(memcmp(one, other, 32) == 0, "the same answers");
    digest("xy", "z", "e", other);
    ok(memcmp(one, other, 32) != 0, "the same bytes in other files");
    digest("x", "yz", "f", other);
    ok(memcmp(one, other, 32) != 0, "more that counts");
    return done_testing();
}
