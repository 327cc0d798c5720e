#include "conf_fake.h"
#include "tap.h"

static void
says(struct sp_registry *r, const char *text, int want, const char *diagnostics)
{
    struct sp_snapshot *s = NULL;
    char               *errors = NULL;

    is_int(fake_text(r, text, &s, &errors), want, "%s", text);
    is_str(errors == NULL ? "" : errors, diagnostics, "what is said of it");
    free(errors);
    sp_snapshot_unref(s);
}

static void
test_formats(struct sp_registry *r)
{
    says(r, "log_format f '$time $peer' ' $identty';", -EINVAL,
         "main.conf:1:28: error: unknown variable $identty in a log format\n"
         " 1 | log_format f '$time $peer' ' $identty';\n"
         "   |                            ^~~~~~~~~~~ did you mean $identity?\n");
    says(r, "log_format f $to pic1;", -EINVAL,
         "main.conf:1:14: error: unknown variable $topic1 in a log format\n"
         " 1 | log_format f $to pic1;\n"
         "   |              ^~~ did you mean $topic?\n");
    says(r, "log_format f '' '' 5$;", -EINVAL,
         "main.conf:1:20: error: a $ in a log format names no variable\n"
         " 1 | log_format f '' '' 5$;\n"
         "   |                    ^~ expected one of $time $event $worker $identity $client $peer $listener $protocol "
         "$version $realm "
         "$topic $action $qos $received $sent $duration $reason $where $generation\n");
    says(r, "log_format f $time.$qos-$where;", 0, "");
    says(r, "log_format f x; log_format g x; log_format f y;", -EINVAL,
         "main.conf:1:44: error: the log format \"f\" is defined twice\n"
         " 1 | log_format f x; log_format g x; log_format f y;\n"
         "   |                                            ^\n"
         "main.conf:1:12: note: first defined here\n"
         " 1 | log_format f x; log_format g x; log_format f y;\n"
         "   |            ^\n");
}

/* The help of log_format names each variable, and no other. */
static void
test_help(void)
{
    static const char *const names[] = {"time",     "event",    "worker", "identity", "client",    "peer", "listener",
                                        "protocol", "version",  "realm",  "topic",    "action",    "qos",  "received",
                                        "sent",     "duration", "reason", "where",    "generation"};
    const char              *help = NULL;
    unsigned                 dollars = 0;

    for (size_t i = 0; i < sp_core_ndirectives; i++) {
        help = strcmp(sp_core_directives[i].name, "log_format") == 0 ? sp_core_directives[i].help : help;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "$%s", names[i]);
        ok(strstr(help, name) != NULL, "the help names %s", name);
    }
    for (const char *p = help; *p != '\0'; p++) {
        dollars += *p == '$';
    }
    is_int(dollars, sizeof(names) / sizeof(names[0]), "and no other");
}

static void
test_daemon(struct sp_registry *r)
{
    says(r, "daemon on; error_log stderr info;", 0,
         "main.conf:1:8: warning: in the background the error log still goes to stderr\n"
         " 1 | daemon on; error_log stderr info;\n"
         "   |        ^~ set error_log to a file's path\n"
         "main.conf:1:22: note: error_log is set here\n"
         " 1 | daemon on; error_log stderr info;\n"
         "   |                      ^~~~~~\n");
    says(r, "daemon on;", 0,
         "main.conf:1:8: warning: in the background the error log still goes to stderr\n"
         " 1 | daemon on;\n"
         "   |        ^~ set error_log to a file's path\n");
    says(r, "daemon on; error_log e.log;", 0, "");
    says(r, "daemon off; error_log stderr;", 0, "");
}

static void
test_absent(struct sp_registry *r)
{
    says(r, "realm x { app_layer noise; }", -EINVAL,
         "main.conf:1:11: error: unknown directive \"app_layer\"\n"
         " 1 | realm x { app_layer noise; }\n"
         "   |           ^~~~~~~~~ not in this build; sallyport -D lists all directives that are\n");
    says(r, "policy_file x;", -EINVAL,
         "main.conf:1:1: error: unknown directive \"policy_file\"\n"
         " 1 | policy_file x;\n"
         "   | ^~~~~~~~~~~ not in this build; sallyport -D lists all directives that are\n");
}

int
main(void)
{
    struct sp_registry              *r;
    struct sp_snapshot              *s;
    const struct sp_error_log_conf  *e;
    const struct sp_access_log_conf *a;
    const struct sp_user_conf       *u;
    const struct fake_file_text      files[] = {
             {"/p/main.conf",
              "worker_processes 3; error_log logs/e.log debug; user u g; access_log a.log f;\n"
                   "log_format f 'one' \" two\"; log_format g x; pid run/p; control c.sock;\n"
                   "policy { max_payload 1k; durability memory; }\n",
              0, 0},
             {NULL, NULL, 0, 0}};
    struct fake_source         src = fake_source(files);
    struct sp_snapshot_options o = {.prefix = "/p", .path = "main.conf"};
    char                      *errors;

    is_int(sp_registry_create(fake_modules, &r), 0, "registry");
    is_int(sp_snapshot_build(r, &src.source, &o, &s, &errors), 0, "build");
    if (errors != NULL) {
        printf("# %s\n", errors);
    }
    is_int(sp_block_num(s, s->main, "worker_processes"), 3, "workers");
    e = sp_block_value(s, s->main, "error_log")->u.ptr;
    ok(sp_str_is(e->path, "/p/logs/e.log") && e->level == SP_LOG_DEBUG, "error_log");
    u = sp_block_value(s, s->main, "user")->u.ptr;
    ok(sp_str_is(u->user, "u") && sp_str_is(u->group, "g"), "user");
    a = sp_block_value(s, s->main, "access_log")->u.ptr;
    ok(!a->off && !a->json && sp_str_is(a->path, "/p/a.log") && a->format != NULL &&
           sp_str_is(a->format->text, "one two"),
       "access_log with its format");
    ok(sp_log_format_find(s, SP_STR("g")) != NULL && sp_log_format_find(s, SP_STR("h")) == NULL, "formats by name");
    ok(sp_str_is(sp_block_str(s, s->main, "pid"), "/p/run/p") &&
           sp_str_is(sp_block_str(s, s->main, "data_dir"), "/p/data") &&
           sp_str_is(sp_block_str(s, s->main, "control"), "/p/c.sock"),
       "paths");
    is_int(sp_block_num(s, sp_block_first(s->main, "policy"), "durability"), SP_DURABILITY_MEMORY, "durability");
    sp_snapshot_unref(s);

    is_int(fake_text(r, "worker_processes auto;", &s, &errors), 0, "build");
    is_int(sp_block_num(s, s->main, "worker_processes"), SP_WORKERS_AUTO, "auto");
    e = sp_block_value(s, s->main, "error_log")->u.ptr;
    ok(sp_str_is(e->path, "stderr") && e->level == SP_LOG_NOTICE, "built-in error_log");
    a = sp_block_value(s, s->main, "access_log")->u.ptr;
    ok(a->off, "built-in access_log");
    ok(sp_block_value(s, s->main, "user") == NULL, "no user");
    sp_snapshot_unref(s);
    test_formats(r);
    test_help();
    test_daemon(r);
    test_absent(r);
    sp_registry_destroy(r);
    return done_testing();
}
