#include "conf_fake.h"
#include "tap.h"

static struct sp_registry *registry;

static char *
check(const char *was, const char *now, int want)
{
    struct sp_snapshot *a, *b;
    char               *errors;

    is_int(fake_text(registry, was, &a, &errors), 0, "was");
    is_int(fake_text(registry, now, &b, &errors), 0, "now");
    is_int(sp_snapshot_restart_check(a, b, &errors), want, "from {%s} to {%s}", was, now);
    sp_snapshot_unref(a);
    sp_snapshot_unref(b);
    return errors;
}

static void
same(const char *was, const char *now)
{
    char *errors = check(was, now, 0);

    ok(errors == NULL, "nothing to say");
    free(errors);
}

static void
differs(const char *was, const char *now, const char *part)
{
    char *errors = check(was, now, -EINVAL);

    ok(errors != NULL && strstr(errors, part) != NULL, "%s", part);
    if (errors != NULL && strstr(errors, part) == NULL) {
        printf("# %s\n", errors);
    }
    free(errors);
}

int
main(void)
{
    is_int(sp_registry_create(fake_modules, &registry), 0, "registry");
    same("worker_processes 2;", "# a line more\nworker_processes \"2\";");
    same("data_dir data;", "#");
    same("worker_connections 5; policy { quality 1; }", "realm a { }");
    same("fakeproto { threads 1; }", "fakeproto { }");
    same("fakeproto { threads 07; }", "fakeproto { threads 7; }");
    differs("worker_processes 2;", "\nworker_processes 4;",
            "main.conf:2:18: error: worker_processes cannot change by a reload: 2 is in force, 4 is asked for\n"
            " 2 | worker_processes 4;\n   |                  ^ restart sallyport to change it\n"
            "main.conf:1:18: note: in force since this was read\n 1 | worker_processes 2;\n");
    differs("#", "data_dir other;", "data_dir cannot change by a reload: data is in force, other is asked for\n");
    differs("data_dir other;", "#", "data_dir cannot change by a reload: other is in force, data is asked for\n");
    differs("user a;", "#", "user cannot change by a reload: a is in force, not set is asked for\n");
    differs("fakeproto { threads 2; }", "fakeproto { }",
            "threads cannot change by a reload: 2 is in force, 1 is asked for\n");
    differs("fakeproto { threads 2; }", "#", "threads cannot change by a reload: 2 is in force, 1 is asked for\n");
    differs("#", "fakeproto { threads 2; }", "threads cannot change by a reload: 1 is in force, 2 is asked for\n");
    sp_registry_destroy(registry);
    return done_testing();
}
