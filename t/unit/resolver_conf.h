/* Configurations from memory for the tests of policy_resolver: a source with a few named texts, and the questions in short. */
#ifndef SP_T_UNIT_RESOLVER_CONF_H
#define SP_T_UNIT_RESOLVER_CONF_H

#include <errno.h>
#include <stdlib.h>

#include "conf/module.h"
#include "conf/policy.h"
#include "conf/registry.h"
#include "tap.h"

extern const struct sp_module sp_policy_resolver_module;

struct memory_file {
    const char *path, *text;
};

struct memory_source {
    struct sp_source          source;
    const struct memory_file *files; /* ends with a NULL path */
};

__attribute__((unused)) static int
memory_read(struct sp_source *s, const char *path, struct sp_str *out)
{
    const struct memory_file *f = ((struct memory_source *)s)->files;

    for (; f->path != NULL; f++) {
        if (strcmp(f->path, path) == 0) {
            *out = sp_str_c(f->text);
            return 0;
        }
    }
    return -ENOENT;
}

__attribute__((unused)) static int
memory_glob(struct sp_source *s, const char *pattern, struct sp_str **paths, size_t *count)
{
    (void)s;
    (void)pattern;
    *paths = NULL;
    *count = 0;
    return 0;
}

__attribute__((unused)) static void
memory_close(struct sp_source *s)
{
    (void)s;
}

static struct sp_registry *conf_registry;

/* Once, before the first conf_load. */
__attribute__((unused)) static void
conf_start(void)
{
    static const struct sp_module *const modules[] = {&sp_policy_resolver_module, NULL};

    if (sp_registry_create(modules, &conf_registry) < 0 || sp_policy_resolver_module.init() < 0) {
        printf("Bail out! no registry\n");
        exit(1);
    }
}

__attribute__((unused)) static void
conf_end(void)
{
    sp_registry_destroy(conf_registry);
}

/* files[0] is the configuration. *errors: diagnostics or NULL; the caller frees. */
__attribute__((unused)) static struct sp_snapshot *
conf_load_files(const struct memory_file *files, char **errors)
{
    struct memory_source       src = {{memory_read, memory_glob, memory_close}, files};
    struct sp_snapshot_options o = {.prefix = "", .path = files[0].path, .generation = 1};
    struct sp_snapshot        *s = NULL;

    return sp_snapshot_build(conf_registry, &src.source, &o, &s, errors) < 0 ? NULL : s;
}

/* As above, with one file; diagnostics are shown when it fails. */
__attribute__((unused)) static struct sp_snapshot *
conf_load(const char *text)
{
    struct memory_file  files[] = {{"test.conf", text}, {NULL, NULL}};
    char               *errors;
    struct sp_snapshot *s = conf_load_files(files, &errors);

    if (s == NULL) {
        printf("# %s\n", errors == NULL ? "?" : errors);
    }
    free(errors);
    return s;
}

__attribute__((unused)) static struct sp_subject
conf_subject(const char *identity)
{
    struct sp_subject who = {.identity = sp_str_c(identity), .anonymous = strcmp(identity, "anonymous") == 0};

    return who;
}

__attribute__((unused)) static bool
conf_may(struct sp_snapshot *s, const char *identity, enum sp_action action, const char *topic)
{
    struct sp_subject  who = conf_subject(identity);
    struct sp_decision d;

    sp_resolver()->decide(s, &who, action, sp_str_c(topic), &d);
    return d.allowed;
}

__attribute__((unused)) static enum sp_grant
conf_grant(struct sp_snapshot *s, const char *identity, const char *filter)
{
    struct sp_subject  who = conf_subject(identity);
    struct sp_decision d;

    return sp_resolver()->grant(s, &who, sp_str_c(filter), &d);
}

/* "file:line" of what decided; in a static buffer. */
__attribute__((unused)) static const char *
conf_where(struct sp_snapshot *s, const char *identity, enum sp_action action, const char *topic)
{
    static char        where[200];
    struct sp_subject  who = conf_subject(identity);
    struct sp_decision d;

    sp_resolver()->decide(s, &who, action, sp_str_c(topic), &d);
    (void)snprintf(where, sizeof(where), "%.*s", SP_STR_ARG(d.where));
    return where;
}

#endif
