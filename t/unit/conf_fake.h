/*
 * For tests of the configuration: a module "fake" whose directives have one of each kind, a source that holds files in memory,
 * and a build of a text. Static: included by each test that needs it.
 */
#ifndef SP_T_CONF_FAKE_H
#define SP_T_CONF_FAKE_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/core_directives.h"
#include "conf/module.h"
#include "conf/path.h"
#include "conf/policy.h"
#include "conf/registry.h"

/* -- module -- */

static const char *const    fake_colours[] = {"red", "green", "blue", NULL};
static const struct sp_type fake_colour = {"colour", "red, green or blue", sp_parse_choice, NULL, fake_colours};
static const struct sp_type fake_grade = {"grade", "red, green or blue", sp_parse_choice, sp_compare_choice,
                                          fake_colours};

static int
fake_parse_file(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    return sp_build_file(b, node, 1, &v->u.str) < 0 ? -EINVAL : 0;
}

static int
fake_parse_words(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    (void)b;
    v->u.ptr = node;
    return 0;
}

static const struct sp_type fake_file = {"file", "a file", fake_parse_file, NULL, NULL};
static const struct sp_type fake_words = {"words", "words", fake_parse_words, NULL, NULL};

static const struct sp_directive fake_directives[] = {
    {"fakeproto", &sp_type_block, "main", 0, 0, true, SP_LOCAL, SP_LIVE, NULL, "{ ... }", "A protocol."},
    {"keep_idle", &sp_type_time_off, "fakeproto", 1, 1, false, SP_LOCAL, SP_NEW_SESSIONS, "60s", "TIME | off",
     "Idle time."},
    {"serve", &sp_type_number, "fakeproto", 1, 1, true, SP_LOCAL, SP_LIVE, NULL, "PORT", "Opens a port."},
    {"threads", &sp_type_number, "fakeproto", 1, 1, false, SP_LOCAL, SP_RESTART, "1", "NUMBER", "Needs a restart."},
    {"rules", &fake_file, "fakeproto", 1, 1, false, SP_LOCAL, SP_LIVE, NULL, "FILE", "A file that must not be empty."},
    {"quality", &sp_type_number, SP_POLICY_LEVELS, 1, 1, false, SP_STRICTEST, SP_LIVE, "2", "0 | 1 | 2", "A limit."},
    {"colour", &fake_colour, SP_POLICY_LEVELS, 1, 1, false, SP_REPLACE, SP_LIVE, "green", "red | green | blue",
     "No order."},
    {"grade", &fake_grade, SP_POLICY_LEVELS, 1, 1, false, SP_REPLACE, SP_LIVE, "blue", "red | green | blue",
     "An order."},
    {"hold", &sp_type_flag, SP_POLICY_LEVELS, 1, 1, false, SP_REPLACE, SP_LIVE, "off", "on | off", "A flag."},
    {"pick", &fake_words, SP_POLICY_LEVELS, 1, 255, false, SP_EXTEND, SP_LIVE, "first", "WORD ...", "A list."},
    {"filters", &fake_words, "realm", 1, 255, true, SP_LOCAL, SP_LIVE, NULL, "FILTER ...", "What the realm owns."},
    {"grant", &fake_words, "realm topic", 2, 255, true, SP_LOCAL, SP_LIVE, NULL, "WHO WHAT ...", "A rule."},
};

static int
fake_build(struct sp_build *b, void **data)
{
    *data = b->arena;
    for (const struct sp_block *p = sp_block_first(b->snapshot->main, "fakeproto"); p != NULL; p = sp_block_next(p)) {
        for (const struct sp_value *v = sp_block_value(b->snapshot, p, "serve"); v != NULL; v = v->next) {
            if (v->u.num > 65535) {
                return sp_build_error(b, v->node, 1, "expected a port up to 65535", "no such port");
            }
        }
    }
    return 0;
}

static const struct sp_module fake_module = {
    .name = "fake",
    .abi = SP_MODULE_ABI,
    .directives = fake_directives,
    .ndirectives = sizeof(fake_directives) / sizeof(fake_directives[0]),
    .build = fake_build,
};
static const struct sp_module *const fake_modules[] = {&fake_module, NULL};

/* -- source -- */

struct fake_file_text {
    const char *path;
    const char *text;
    size_t      n; /* 0: strlen(text) */
    int         error;
};

struct fake_source {
    struct sp_source             source;
    const struct fake_file_text *files; /* path NULL at the end */
    struct sp_str                found[16];
};

__attribute__((unused)) static int
fake_read(struct sp_source *s, const char *path, struct sp_str *out)
{
    for (const struct fake_file_text *f = ((struct fake_source *)s)->files; f->path != NULL; f++) {
        if (strcmp(f->path, path) == 0) {
            *out = (struct sp_str){f->text, f->n != 0 || f->text == NULL ? f->n : strlen(f->text)};
            return f->error;
        }
    }
    return -ENOENT;
}

/* Only DIR*SUFFIX. */
__attribute__((unused)) static int
fake_glob(struct sp_source *s, const char *pattern, struct sp_str **paths, size_t *count)
{
    struct fake_source *f = (struct fake_source *)s;
    const char         *star = strchr(pattern, '*');
    size_t              head = star == NULL ? strlen(pattern) : (size_t)(star - pattern);
    size_t              tail = star == NULL ? 0 : strlen(star + 1);

    *paths = f->found;
    *count = 0;
    for (const struct fake_file_text *t = f->files; t->path != NULL && *count < 16; t++) {
        size_t n = strlen(t->path);
        if (n >= head + tail && strncmp(t->path, pattern, head) == 0 &&
            (star == NULL || strcmp(t->path + n - tail, star + 1) == 0)) {
            f->found[(*count)++] = sp_str_c(t->path);
        }
    }
    return 0;
}

__attribute__((unused)) static void
fake_close(struct sp_source *s)
{
    (void)s;
}

__attribute__((unused)) static struct fake_source
fake_source(const struct fake_file_text *files)
{
    return (struct fake_source){.source = {fake_read, fake_glob, fake_close}, .files = files};
}

/* -- build -- */

/* Builds "main.conf" of the files. *errors as sp_snapshot_build gives them. */
__attribute__((unused)) static int
fake_snapshot(const struct sp_registry *r, const struct fake_file_text *files, struct sp_snapshot **out, char **errors)
{
    struct fake_source         s = fake_source(files);
    struct sp_snapshot_options o = {.prefix = "", .path = "main.conf", .generation = 1};

    *out = NULL;
    return sp_snapshot_build(r, &s.source, &o, out, errors);
}

/* Builds one text. */
__attribute__((unused)) static int
fake_text(const struct sp_registry *r, const char *text, struct sp_snapshot **out, char **errors)
{
    const struct fake_file_text files[] = {{"main.conf", text, 0, 0}, {NULL, NULL, 0, 0}};

    return fake_snapshot(r, files, out, errors);
}

#endif
