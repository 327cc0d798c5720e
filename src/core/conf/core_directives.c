#include "conf/core_directives.h"

#include <errno.h>
#include <stdio.h>
#include <sys/un.h>

#include "base/hash.h"
#include "base/topic.h"
#include "conf/path.h"
#include "conf/snapshot.h"
#include "conf/text.h"
#include "net/access_log.h"

#define TOPIC_LEVELS_MAX 1000

static int
parse_workers(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    struct sp_str s = node->args[1].text;
    uint64_t      n;
    char          shown[64];

    if (sp_str_is(s, "auto")) {
        v->u.num = SP_WORKERS_AUTO;
        return 0;
    }
    if (sp_str_u64(s, SP_WORKERS_MAX, &n) < 0 || n == 0) {
        return sp_build_error(b, node, 1, "expected a number from 1 to 64, or auto", "%s is no number of workers",
                              sp_word_quote(shown, sizeof(shown), s));
    }
    v->u.num = (int64_t)n;
    return 0;
}

/* A path, or a word that stands for something else and stays as it is. */
static struct sp_str
path_or(struct sp_build *b, struct sp_str s, const char *word)
{
    return sp_str_is(s, word) ? sp_arena_str(b->arena, s) : sp_path_full(b->arena, b->prefix, s);
}

static int
empty(struct sp_build *b, const struct sp_conf_node *node, unsigned i, const char *hint)
{
    struct sp_str s = node->args[i].text;

    return s.n == 0 ? sp_build_error(b, node, i, hint, "empty argument") : 0;
}

static int
parse_error_log(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    static const char *const  levels[] = {"emerg", "alert", "crit", "error", "warn", "notice", "info", "debug", NULL};
    struct sp_error_log_conf *c = sp_arena_alloc(b->arena, sizeof(*c));
    const char               *near;
    char                      hint[160], shown[64];

    v->u.ptr = c;
    c->level = SP_LOG_NOTICE;
    if (empty(b, node, 1, "expected stderr or a file's path") < 0) {
        return -EINVAL;
    }
    c->path = path_or(b, node->args[1].text, "stderr");
    if (node->nargs > 2 && sp_log_level_parse(node->args[2].text, &c->level) < 0) {
        near = sp_suggest(node->args[2].text, levels);
        (void)snprintf(hint, sizeof(hint), "expected emerg, alert, crit, error, warn, notice, info or debug%s%s%s",
                       near == NULL ? "" : "; did you mean \"", near == NULL ? "" : near, near == NULL ? "" : "\"?");
        return sp_build_error(b, node, 2, hint, "%s is no log level",
                              sp_word_quote(shown, sizeof(shown), node->args[2].text));
    }
    return 0;
}

static int
parse_access_log(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    struct sp_access_log_conf *c = sp_arena_alloc(b->arena, sizeof(*c));

    v->u.ptr = c;
    if (empty(b, node, 1, "expected a file's path, or off") < 0) {
        return -EINVAL;
    }
    if (sp_str_is(node->args[1].text, "off")) {
        c->off = true;
        return node->nargs == 2
                   ? 0
                   : sp_build_error(b, node, 2, "expected \";\"", "an access log that is off has no format");
    }
    c->path = path_or(b, node->args[1].text, "stderr");
    if (node->nargs > 2) {
        c->json = sp_str_is(node->args[2].text, "json");
        c->format_name = c->json ? (struct sp_str){NULL, 0} : node->args[2].text;
    }
    return 0;
}

static int
parse_log_format(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    struct sp_log_format *f = sp_arena_alloc(b->arena, sizeof(*f));
    struct sp_text        text = {0};

    v->u.ptr = f;
    f->name = node->args[1].text;
    if (empty(b, node, 1, "expected a name for the format") < 0) {
        return -EINVAL;
    }
    if (sp_str_is(f->name, "json")) {
        return sp_build_error(b, node, 1, "expected another name", "the format \"json\" is built in");
    }
    for (unsigned i = 2; i < node->nargs; i++) {
        sp_text_add(&text, node->args[i].text);
    }
    f->text = sp_arena_str(b->arena, sp_text_str(&text));
    sp_text_free(&text);
    return f->text.n > 0 ? 0 : sp_build_error(b, node, 2, "expected the text of a line", "empty format");
}

static int
parse_user(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    struct sp_user_conf *c = sp_arena_alloc(b->arena, sizeof(*c));

    v->u.ptr = c;
    c->user = sp_arena_str(b->arena, node->args[1].text);
    if (node->nargs > 2) {
        c->group = sp_arena_str(b->arena, node->args[2].text);
        if (empty(b, node, 2, "expected the name of a group") < 0) {
            return -EINVAL;
        }
    }
    return empty(b, node, 1, "expected the name of a user");
}

static int
parse_control(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    struct sockaddr_un un;

    if (empty(b, node, 1, "expected the path of a Unix socket") < 0) {
        return -EINVAL;
    }
    v->u.str = sp_path_full(b->arena, b->prefix, node->args[1].text);
    if (v->u.str.n >= sizeof(un.sun_path)) {
        return sp_build_error(b, node, 1, "expected a shorter one",
                              "the path of a Unix socket has at most %zu bytes, this one %zu", sizeof(un.sun_path) - 1,
                              v->u.str.n);
    }
    return 0;
}

static int
parse_include(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    (void)v; /* the parser has replaced every include by what it names */
    return sp_build_error(b, node, 0, NULL, "include cannot stand here");
}

static const char *const durabilities[] = {"commit", "memory", NULL};

static const struct sp_type type_workers = {"number", "a number from 1 to 64, or auto", parse_workers, NULL, NULL};
static const struct sp_type type_error_log = {"log", "stderr or a path, and a level", parse_error_log, NULL, NULL};
static const struct sp_type type_access_log = {"log", "a path and a format, or off", parse_access_log, NULL, NULL};
static const struct sp_type type_log_format = {"format", "a name and a text", parse_log_format, NULL, NULL};
static const struct sp_type type_user = {"user", "a user and perhaps a group", parse_user, NULL, NULL};
static const struct sp_type type_control = {"path", "a path", parse_control, NULL, NULL};
static const struct sp_type type_include = {"path", "a path or glob pattern", parse_include, NULL, NULL};
static const struct sp_type type_durability = {"durability", "commit or memory", sp_parse_choice, sp_compare_choice,
                                               durabilities};

const struct sp_directive sp_core_directives[] = {
    {"worker_processes", &type_workers, "main", 1, 1, false, SP_LOCAL, SP_RESTART, "auto", "NUMBER | auto",
     "How many worker processes serve connections; `auto` means one for each processor."},
    {"worker_connections", &sp_type_number, "main", 1, 1, false, SP_LOCAL, SP_LIVE, "65536", "NUMBER",
     "How many connections one worker holds at a time; further ones wait in the listener's backlog."},
    {"daemon", &sp_type_flag, "main", 1, 1, false, SP_LOCAL, SP_RESTART, "off", "on | off",
     "Whether sallyport goes into the background after it has started."},
    {"user", &type_user, "main", 1, 2, false, SP_LOCAL, SP_RESTART, NULL, "NAME [GROUP]",
     "Workers and keeper run as this user and group (the user's own if none is named) when sallyport is started by "
     "root."},
    {"pid", &sp_type_path, "main", 1, 1, false, SP_LOCAL, SP_RESTART, "data/sallyport.pid", "PATH",
     "File that holds the master's process id."},
    {"data_dir", &sp_type_path, "main", 1, 1, false, SP_LOCAL, SP_RESTART, "data", "PATH",
     "Directory of the keeper's store: retained messages, sessions, records."},
    {"control", &type_control, "main", 1, 1, false, SP_LOCAL, SP_RESTART, "data/control.sock", "PATH",
     "Unix socket on which the master answers `sallyport -s`, `status` and `explain`."},
    {"error_log", &type_error_log, "main", 1, 2, false, SP_LOCAL, SP_LIVE, "stderr notice", "stderr | PATH [LEVEL]",
     "Where the error log goes, and the least severe level in it: emerg, alert, crit, error, warn, notice, info or "
     "debug."},
    {"access_log", &type_access_log, "main", 1, 2, false, SP_LOCAL, SP_LIVE, "off", "PATH [FORMAT | json] | off",
     "One line for each session and each refused request, in a format that log_format names, or in JSON."},
    {"log_format", &type_log_format, "main", 2, 255, true, SP_LOCAL, SP_LIVE, NULL, "NAME 'TEXT' ...",
     "Names a format for access_log. Several texts are put together. Variables: $time, $event (connect, disconnect, "
     "refused or "
     "denied), $worker, $generation (of the configuration), $identity, $client (its id), $peer (address and port), "
     "$listener, "
     "$protocol, $version (of the protocol), $realm, $topic, $action, $qos, $received and $sent (bytes), $duration "
     "(milliseconds), "
     "$reason and $where (file and line of the rule). One that is not known of an event prints -."},
    {"include", &type_include, "*", 1, 1, true, SP_LOCAL, SP_LIVE, NULL, "PATH | PATTERN",
     "Reads another file, or all files that match a pattern in the order of their names, in this place. A pattern may "
     "match none."},
    {"policy", &sp_type_block, "main", 0, 0, false, SP_LOCAL, SP_LIVE, NULL, "{ ... }",
     "The global level: what holds unless a realm, topic or application within says otherwise."},
    {"realm", &sp_type_block, "main", 1, 1, true, SP_LOCAL, SP_LIVE, NULL, "NAME { ... }",
     "A tenant or workload, which owns topics; the second level of policy."},
    {"topic", &sp_type_block, "realm", 1, 1, true, SP_LOCAL, SP_LIVE, NULL, "FILTER { ... }",
     "What holds for the topics of the realm that match the filter; the third level of policy. Where several match, "
     "the more "
     "specific filter is the inner one."},
    {"application", &sp_type_block, "realm", 1, 1, true, SP_LOCAL, SP_LIVE, NULL, "NAME { ... }",
     "What holds for messages of one application; the fourth and innermost level of policy."},
    {"max_payload", &sp_type_size, SP_POLICY_LEVELS, 1, 1, false, SP_STRICTEST, SP_LIVE, "1m", "SIZE",
     "The largest payload of a message."},
    {"rate", &sp_type_rate, SP_POLICY_LEVELS, 1, 3, false, SP_STRICTEST, SP_LIVE, "off",
     "N/s | N/m | N/h [burst=N] [over=delay | drop | disconnect] | off",
     "How many messages a session may publish, and what happens to one that publishes more: it is read more slowly "
     "(delay), "
     "its QoS 0 messages are dropped, or it is disconnected."},
    {"durability", &type_durability, SP_POLICY_LEVELS, 1, 1, false, SP_REPLACE, SP_LIVE, "commit", "commit | memory",
     "When a message for a persistent session counts as taken: on disk, or in memory already."},
};
const size_t sp_core_ndirectives = sizeof(sp_core_directives) / sizeof(sp_core_directives[0]);

const struct sp_log_format *
sp_log_format_find(const struct sp_snapshot *s, struct sp_str name)
{
    for (const struct sp_value *v = sp_block_value(s, s->main, "log_format"); v != NULL; v = v->next) {
        const struct sp_log_format *f = v->u.ptr;
        if (sp_str_eq(f->name, name)) {
            return f;
        }
    }
    return NULL;
}

static int
check_formats(struct sp_build *b)
{
    struct sp_map          names = {0};
    const struct sp_value *first;
    int                    err = 0;
    char                   shown[128];

    for (const struct sp_value *v = sp_block_value(b->snapshot, b->snapshot->main, "log_format"); v != NULL;
         v = v->next) {
        const struct sp_log_format *f = v->u.ptr;

        if (sp_access_format_check(b, v->node, f->text) < 0) {
            err = -EINVAL;
        }
        first = sp_map_get(&names, f->name);
        if (first != NULL) {
            err = sp_build_error(b, v->node, 1, NULL, "the log format %s is defined twice",
                                 sp_word_quote(shown, sizeof(shown), f->name));
            sp_build_note(b, first->node, 1, "first defined here");
        } else if (sp_map_put(&names, f->name, (void *)(uintptr_t)v, NULL) < 0) {
            err = sp_build_error(b, NULL, 0, NULL, "out of memory");
            break;
        }
    }
    sp_map_clear(&names);
    return err;
}

static int
check_logs(struct sp_build *b)
{
    const struct sp_value *log = sp_block_value(b->snapshot, b->snapshot->main, "access_log");
    int                    err = check_formats(b);
    char                   shown[128];

    if (log != NULL && log->node != NULL) {
        struct sp_access_log_conf *c = (struct sp_access_log_conf *)(uintptr_t)log->u.ptr;
        c->format = sp_log_format_find(b->snapshot, c->format_name);
        if (c->format == NULL && c->format_name.n > 0) {
            err = sp_build_error(b, log->node, 2, "expected json or the name of a log_format",
                                 "no log format is called %s", sp_word_quote(shown, sizeof(shown), c->format_name));
        }
    }
    return err;
}

/* In the background standard error still is that of whoever started sallyport: a terminal that is closed, a pipe nobody reads. */
static void
check_daemon(struct sp_build *b)
{
    const struct sp_value          *daemon = sp_block_value(b->snapshot, b->snapshot->main, "daemon");
    const struct sp_value          *log = sp_block_value(b->snapshot, b->snapshot->main, "error_log");
    const struct sp_error_log_conf *c = log == NULL ? NULL : log->u.ptr;

    if (daemon == NULL || daemon->u.num != 1 || c == NULL || !sp_str_is(c->path, "stderr")) {
        return;
    }
    sp_build_warn(b, daemon->node, 1, "set error_log to a file's path",
                  "in the background the error log still goes to stderr");
    if (log->node != NULL) {
        sp_build_note(b, log->node, 1, "error_log is set here");
    }
}

int
sp_core_build(struct sp_build *b)
{
    int  err = check_logs(b);
    char shown[200];

    check_daemon(b);
    for (const struct sp_block *r = sp_block_first(b->snapshot->main, "realm"); r != NULL; r = sp_block_next(r)) {
        for (const struct sp_block *t = sp_block_first(r, "topic"); t != NULL; t = sp_block_next(t)) {
            if (!sp_topic_filter_valid(t->node->args[1].text, TOPIC_LEVELS_MAX)) {
                err = sp_build_error(
                    b, t->node, 1, "expected levels separated by /, where + stands for one level and # for the rest",
                    "%s is no topic filter", sp_word_quote(shown, sizeof(shown), t->node->args[1].text));
            }
        }
    }
    return err;
}
