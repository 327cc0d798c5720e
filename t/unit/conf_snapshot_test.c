#include <time.h>

#include "conf/text.h"
#include "conf_fake.h"
#include "tap.h"

static struct sp_registry *registry;

static void
test_references(void)
{
    struct sp_snapshot *s;
    char               *errors;

    is_int(fake_text(registry, "policy { max_payload 1k; }\nrealm a { max_payload 2k; }\n", &s, &errors), 0, "build");
    ok(errors != NULL && strstr(errors, "warning: max_payload 2k") != NULL, "warnings come with success");
    is_str(s->warnings, errors, "and stay with the snapshot");
    free(errors);
    is_int(s->generation, 1, "generation");
    ok(s->module[0] == s->arena, "what the module built");
    is_int(sp_snapshots_live(), 1, "one lives");
    (void)sp_snapshot_ref(s);
    sp_snapshot_unref(s);
    is_int(sp_snapshots_live(), 1, "while somebody holds it");
    sp_snapshot_unref(s);
    is_int(sp_snapshots_live(), 0, "none");
    sp_snapshot_unref(NULL);
    is_int(fake_text(registry, "no;", &s, &errors), -EINVAL, "refused");
    ok(errors != NULL && s == NULL, "with the reasons");
    free(errors);
    is_int(sp_snapshots_live(), 0, "nothing is left of it");
}

static void
digest_of(const char *text, const char *inc, const char *extra, uint8_t out[32])
{
    const struct fake_file_text files[] = {{"main.conf", text, 0, 0}, {"a.inc", inc, 0, 0}, {NULL, NULL, 0, 0}};
    struct fake_source          src = fake_source(files);
    struct sp_snapshot_options  o = {.path = "main.conf", .extra = extra};
    struct sp_snapshot         *s;
    char                       *errors = NULL;

    is_int(sp_snapshot_build(registry, &src.source, &o, &s, &errors), 0, "build");
    memcpy(out, s->digest, 32);
    sp_snapshot_unref(s);
    free(errors); /* warnings */
}

static void
test_digest(void)
{
    uint8_t a[32], b[32];

    digest_of("include *.inc;", "# 1", NULL, a);
    digest_of("include *.inc;", "# 1", NULL, b);
    ok(memcmp(a, b, 32) == 0, "the same digest");
    digest_of("include *.inc;", "# 2", NULL, b);
    ok(memcmp(a, b, 32) != 0, "another include");
    digest_of("include *.inc;", "# 1", "daemon on;", b);
    ok(memcmp(a, b, 32) != 0, "another -g");
}

/* No time is asserted; it is printed. */
static void
test_large(void)
{
    struct sp_text      t = {0};
    struct timespec     from, to;
    struct sp_snapshot *s;
    char               *errors;

    sp_text_printf(&t, "policy { quality 2; max_payload 64k floor; }\n");
    for (int r = 0; r < 1000; r++) {
        sp_text_printf(&t, "realm tenant%d {\n    filters \"tenant%d/#\";\n    rate 100/s;\n", r, r);
        for (int i = 0; i < 10; i++) {
            sp_text_printf(&t, "    grant device%d \"tenant%d/device%d/#\" \"tenant%d/all\";\n", i, r, i, r);
            sp_text_printf(&t, "    topic \"tenant%d/device%d/#\" { rate 10/s burst=20; max_payload 1k; }\n", r, i);
        }
        sp_text_printf(&t, "}\n");
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    is_int(fake_text(registry, sp_text_str(&t).p, &s, &errors), 0, "1,000 realms with 10,000 rules and 10,000 topics");
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    printf("# %.1f ms, %zu KiB of text, %zu KiB of snapshot\n",
           (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6, t.n / 1024,
           sp_arena_bytes(s->arena) / 1024);
    free(errors);
    sp_snapshot_unref(s);
    sp_text_free(&t);
}

int
main(void)
{
    is_int(sp_registry_create(fake_modules, &registry), 0, "registry");
    test_references();
    test_digest();
    test_large();
    sp_registry_destroy(registry);
    return done_testing();
}
