#include "cli/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/registry.h"
#include "conf/source.h"
#include "process/plan.h"

static int
to_stdout(void *arg, struct sp_str text)
{
    (void)arg;
    return fwrite(text.p, 1, text.n, stdout) == text.n ? 0 : -EIO;
}

static enum sp_exit
finish_stdout(int err)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        err = -EIO;
    }
    if (err < 0) {
        fprintf(stderr, "sallyport: cannot write: %s\n", strerror(-err));
        return SP_EXIT_FAILURE;
    }
    return SP_EXIT_OK;
}

/* The machine's part of the check: does the user exist? */
static int
check_plan(const struct sp_snapshot *s)
{
    struct sp_pack plan = {0};
    char          *error = NULL;

    int err = sp_plan_make(s, &plan, &error);
    if (err < 0) {
        fputs(error != NULL ? error : "sallyport: out of memory\n", stderr);
    }
    free(error);
    sp_pack_free(&plan);
    return err;
}

struct sp_snapshot *
sp_check_build(const struct sp_options *o, const struct sp_registry *r, bool warnings)
{
    struct sp_snapshot_options how = {o->prefix, o->conf, o->extra, 1, true};
    struct sp_source          *source;
    struct sp_snapshot        *s = NULL;
    char                      *errors = NULL;

    int err = sp_source_files(&source);
    if (err < 0) {
        fprintf(stderr, "sallyport: cannot read files: %s\n", strerror(-err));
        return NULL;
    }
    err = sp_snapshot_build(r, source, &how, &s, &errors);
    if (errors != NULL && (err < 0 || warnings)) {
        fputs(errors, stderr);
    }
    free(errors);
    sp_source_close(source);
    if (err < 0) {
        return NULL;
    }
    if (check_plan(s) < 0) {
        sp_snapshot_unref(s);
        return NULL;
    }
    return s;
}

/* The name as messages show it: with the prefix unless it is absolute. */
static void
say(const struct sp_options *o, FILE *to, const char *what)
{
    fprintf(to, "sallyport: configuration %s%s %s\n", o->conf[0] == '/' ? "" : o->prefix, o->conf, what);
}

enum sp_exit
sp_check_test(const struct sp_options *o, const struct sp_registry *r)
{
    struct sp_snapshot *s = sp_check_build(o, r, true);

    if (s == NULL) {
        say(o, stderr, "test failed");
        return SP_EXIT_CONF;
    }
    sp_snapshot_unref(s);
    say(o, stderr, "test is successful");
    return SP_EXIT_OK;
}

enum sp_exit
sp_check_dump(const struct sp_options *o, const struct sp_registry *r)
{
    struct sp_snapshot *s = sp_check_build(o, r, true);

    if (s == NULL) {
        say(o, stderr, "test failed");
        return SP_EXIT_CONF;
    }
    int err = sp_snapshot_dump(s, to_stdout, NULL);
    sp_snapshot_unref(s);
    return finish_stdout(err);
}

enum sp_exit
sp_check_directives(const struct sp_options *o, const struct sp_registry *r)
{
    return finish_stdout(sp_registry_print(r, o->man, to_stdout, NULL));
}
