/* Snapshots out of texts in memory, for the tests of src/core/net. */
#ifndef SP_T_UNIT_NET_CONF_H
#define SP_T_UNIT_NET_CONF_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conf/module.h"
#include "conf/registry.h"
#include "conf/snapshot.h"
#include "conf/source.h"
#include "net/listener.h"

/* Two protocols, as modules would bring them. */
static const struct sp_directive conf_directives[] = {
    {"echo", &sp_type_block, "main", 0, 0, false, SP_LOCAL, SP_LIVE, NULL, "{ ... }", "A protocol of the test."},
    SP_LISTEN_DIRECTIVE("echo"),
    {"other", &sp_type_block, "main", 0, 0, false, SP_LOCAL, SP_LIVE, NULL, "{ ... }", "Another one."},
    SP_LISTEN_DIRECTIVE("other"),
};
static const struct sp_module        conf_module = {.name = "test",
                                                    .abi = SP_MODULE_ABI,
                                                    .directives = conf_directives,
                                                    .ndirectives = sizeof(conf_directives) / sizeof(conf_directives[0])};
static const struct sp_module *const conf_modules[] = {&conf_module, NULL};

struct conf_file {
    const char *path;
    const void *bytes;
    size_t      n;
};
static struct conf_file conf_files[32];

/* The bytes must live on. */
__attribute__((unused)) static void
conf_file(const char *path, const void *bytes, size_t n)
{
    for (size_t i = 0; i < sizeof(conf_files) / sizeof(conf_files[0]); i++) {
        if (conf_files[i].path == NULL || strcmp(conf_files[i].path, path) == 0) {
            conf_files[i] = (struct conf_file){path, bytes, n};
            return;
        }
    }
    abort();
}

__attribute__((unused)) static void
conf_text(const char *path, const char *text)
{
    conf_file(path, text, strlen(text));
}

__attribute__((unused)) static int
conf_read(struct sp_source *s, const char *path, struct sp_str *out)
{
    (void)s;
    for (size_t i = 0; i < sizeof(conf_files) / sizeof(conf_files[0]) && conf_files[i].path != NULL; i++) {
        if (strcmp(conf_files[i].path, path) == 0) {
            *out = (struct sp_str){conf_files[i].bytes, conf_files[i].n};
            return 0;
        }
    }
    return -ENOENT;
}

__attribute__((unused)) static int
conf_glob(struct sp_source *s, const char *pattern, struct sp_str **paths, size_t *count)
{
    (void)s;
    (void)pattern;
    *paths = NULL;
    *count = 0;
    return 0;
}

__attribute__((unused)) static void
conf_close(struct sp_source *s)
{
    (void)s;
}

static uint64_t            conf_generation;
static struct sp_registry *conf_registry;

/* NULL when it is refused; the diagnostics (also warnings) in *errors, malloc'd or NULL. */
__attribute__((unused)) static struct sp_snapshot *
conf_build(const char *text, char **errors)
{
    struct sp_source           source = {conf_read, conf_glob, conf_close};
    struct sp_snapshot_options o = {"", "t.conf", NULL, ++conf_generation, false};
    struct sp_snapshot        *s = NULL;

    if (conf_registry == NULL && sp_registry_create(conf_modules, &conf_registry) < 0) {
        abort();
    }
    conf_text("t.conf", text);
    *errors = NULL;
    return sp_snapshot_build(conf_registry, &source, &o, &s, errors) < 0 ? NULL : s;
}

#endif
