/*
 * Runs every t/conf/golden/NAME.conf through a build with the fake module, with the directory as prefix: NAME.err holds the exact
 * text of its diagnostics, or NAME.ok its dump (warnings in front, if any) which must parse back to itself.
 * An argument names one case; with -u before it, or alone, what came out is written down as what is expected.
 */
#include <dirent.h>
#include <unistd.h>

#include "conf/text.h"
#include "conf_fake.h"
#include "tap.h"

#define DIRECTORY "t/conf/golden/"

static struct sp_registry *registry;
static bool                update;

static int
append(void *arg, struct sp_str text)
{
    sp_text_add(arg, text);
    return 0;
}

/* Without the lines of built-in values: those of the core's other tables may change. */
static int
append_stated(void *arg, struct sp_str text)
{
    const struct sp_str end = SP_STR(";  default\n");

    if (text.n >= end.n && sp_str_eq((struct sp_str){text.p + text.n - end.n, end.n}, end)) {
        return 0;
    }
    return append(arg, text);
}

static char *
slurp(const char *name, const char *suffix)
{
    char  path[512];
    char *p = calloc(1, 1 << 20);
    FILE *f;

    (void)snprintf(path, sizeof(path), DIRECTORY "%s%s", name, suffix);
    f = fopen(path, "rb");
    if (f == NULL || p == NULL) {
        free(p);
        return NULL;
    }
    (void)!fread(p, 1, (1 << 20) - 1, f);
    (void)fclose(f);
    return p;
}

static void
write_down(const char *name, const char *suffix, const char *text)
{
    char  path[512];
    FILE *f;

    (void)snprintf(path, sizeof(path), DIRECTORY "%s%s", name, suffix);
    f = fopen(path, "wb");
    if (f != NULL) {
        (void)fputs(text, f);
        (void)fclose(f);
    }
}

/* The bare dump of a dump is the bare dump. */
static void
round_trip(const char *name, const struct sp_snapshot *s)
{
    struct sp_text      full = {0}, first = {0}, second = {0};
    struct sp_snapshot *again;
    char               *errors;

    (void)sp_snapshot_dump(s, append, &full);
    (void)sp_snapshot_dump_bare(s, append, &first);
    (void)sp_text_str(&full);
    if (full.n == 0) {
        sp_text_add(&full, SP_STR("# nothing\n"));
    }
    const struct fake_file_text files[] = {
        {"main.conf", full.p, full.n, 0}, {"parts/rules.txt", "rule\n", 0, 0}, {NULL, NULL, 0, 0}};
    int err = fake_snapshot(registry, files, &again, &errors);
    is_int(err, 0, "%s: the dump is a configuration", name);
    if (err == 0) {
        (void)sp_snapshot_dump_bare(again, append, &second);
        is_str(sp_text_str(&second).p, sp_text_str(&first).p, "%s: the dump of the dump is the same", name);
    } else {
        printf("# %s\n", errors);
    }
    free(errors);
    sp_snapshot_unref(again);
    sp_text_free(&full);
    sp_text_free(&first);
    sp_text_free(&second);
}

static void
run(const char *name)
{
    char                       path[300];
    struct sp_snapshot_options o = {.prefix = DIRECTORY, .path = path, .generation = 1, .check_only = true};
    struct sp_source          *files;
    struct sp_snapshot        *s = NULL;
    struct sp_text             got = {0};
    char                      *errors, *want;
    const char                *suffix;

    (void)snprintf(path, sizeof(path), "%s.conf", name);
    (void)sp_source_files(&files);
    suffix = sp_snapshot_build(registry, files, &o, &s, &errors) == 0 ? ".ok" : ".err";
    if (errors != NULL) {
        sp_text_add(&got, sp_str_c(errors));
    }
    if (s != NULL) {
        (void)sp_snapshot_dump(s, append_stated, &got);
    }
    want = slurp(name, suffix);
    if (update) {
        write_down(name, suffix, sp_text_str(&got).p);
    } else if (!is_str(sp_text_str(&got).p, want, "%s%s", name, suffix)) {
        printf("# got:\n%s", got.p);
    }
    if (s != NULL) {
        round_trip(name, s);
    }
    free(want);
    free(errors);
    sp_text_free(&got);
    sp_snapshot_unref(s);
    sp_source_close(files);
}

static int
is_case(const struct dirent *d)
{
    size_t n = strlen(d->d_name);

    return n > 5 && strcmp(d->d_name + n - 5, ".conf") == 0;
}

int
main(int argc, char **argv)
{
    struct dirent **list;
    int             n = scandir(DIRECTORY, &list, is_case, alphasort);

    if (argc > 1 && strcmp(argv[1], "-u") == 0) {
        update = true;
        argv++;
        argc--;
    }
    is_int(sp_registry_create(fake_modules, &registry), 0, "registry");
    ok(n > 60, "there are cases");
    for (int i = 0; i < n; i++) {
        char name[256];
        (void)snprintf(name, sizeof(name), "%.*s", (int)(strlen(list[i]->d_name) - 5), list[i]->d_name);
        if (argc < 2 || strcmp(argv[1], name) == 0) {
            run(name);
        }
        free(list[i]);
    }
    free(list);
    is_int(sp_snapshots_live(), 0, "no snapshot is left");
    sp_registry_destroy(registry);
    return done_testing();
}
