#include "conf/snapshot.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "conf/core_directives.h"
#include "conf/digest.h"
#include "conf/fold.h"
#include "conf/module.h"
#include "conf/path.h"
#include "conf/registry.h"
#include "conf/schema.h"
#include "net/trust.h"

static _Atomic unsigned live; /* a gauge; a build may run in a helper thread */

/* Everything after the schema pass. Goes on after an error, so that one run reports all there is. */
static int
build_parts(struct sp_build *b)
{
    struct sp_snapshot *s = b->snapshot;
    int                 err = sp_policy_check(b), part;

    part = sp_core_build(b);
    err = part < 0 ? part : err;
    part = sp_net_build(b);
    err = part < 0 ? part : err;
    for (unsigned i = 0; i < sp_registry_modules(b->registry); i++) {
        const struct sp_module *m = sp_registry_module(b->registry, i);
        if (m->build == NULL) {
            continue;
        }
        part = m->build(b, &s->module[i]);
        if (part < 0 && sp_diag_errors(b->diag) == 0) {
            sp_diag_add(b->diag, SP_ERROR, (struct sp_pos){0}, NULL, "module %s: %s", m->name, strerror(-part));
        }
        err = part < 0 ? part : err;
    }
    return err;
}

static int
build_all(struct sp_build *b, const struct sp_snapshot_options *o)
{
    struct sp_conf_node *root = NULL;
    int                  err, parsed;

    err = sp_schema_defaults(b);
    parsed = sp_conf_parse(b->arena, b->source, b->prefix, o->path, o->extra, b->diag, &root);
    if (sp_schema_apply(b, root) < 0) {
        err = -EINVAL;
    }
    if (root->bad) {
        return -EINVAL; /* part of the text was not understood: what it may have defined would be missed everywhere */
    }
    sp_fold_init(b->snapshot);
    if (build_parts(b) < 0) {
        err = -EINVAL;
    }
    return err < 0 || parsed < 0 || sp_diag_errors(b->diag) > 0 ? -EINVAL : 0;
}

static struct sp_snapshot *
create(const struct sp_registry *r, const struct sp_snapshot_options *o)
{
    struct sp_arena    *arena;
    struct sp_snapshot *s;

    if (sp_arena_create(&arena) < 0) {
        return NULL;
    }
    s = sp_arena_alloc(arena, sizeof(*s));
    s->arena = arena;
    s->refs = 1;
    s->generation = o->generation;
    s->registry = r;
    s->module = sp_arena_array(arena, sp_registry_modules(r), sizeof(*s->module));
    atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    return s;
}

static char *
text_copy(struct sp_str text)
{
    char *p = text.n == 0 ? NULL : malloc(text.n + 1);

    if (p != NULL) {
        memcpy(p, text.p, text.n);
        p[text.n] = '\0';
    }
    return p;
}

int
sp_snapshot_build(const struct sp_registry *r, struct sp_source *src, const struct sp_snapshot_options *o,
                  struct sp_snapshot **out, char **errors)
{
    struct sp_build     b = {.registry = r, .check_only = o->check_only};
    struct sp_snapshot *s = create(r, o);
    struct sp_str       text;
    int                 err = -ENOMEM;

    *errors = NULL;
    if (s == NULL) {
        return err;
    }
    if (sp_diag_create(&b.diag) < 0 || sp_source_digest(src, &b.source) < 0) {
        goto done;
    }
    b.snapshot = s;
    b.arena = s->arena;
    b.prefix = sp_path_prefix(s->arena, o->prefix);
    sp_source_digest_add(b.source, sp_str_c(o->extra));
    err = build_all(&b, o);
    if (sp_source_digest_end(b.source, s->digest) < 0 && err == 0) {
        sp_diag_add(b.diag, SP_ERROR, (struct sp_pos){0}, NULL, "SHA-256 does not work");
        err = -EINVAL;
    }
    if (err < 0 && sp_diag_errors(b.diag) == 0) {
        sp_diag_add(b.diag, SP_ERROR, (struct sp_pos){0}, NULL, "the configuration was refused without a reason");
    }
    text = sp_diag_text(b.diag);
    *errors = text_copy(text);
    if (err == 0 && text.n > 0) {
        s->warnings = (char *)(uintptr_t)sp_arena_str(s->arena, text).p;
    }
done:
    sp_source_close(b.source);
    sp_diag_destroy(b.diag);
    if (err < 0) {
        sp_snapshot_unref(s);
        return err;
    }
    *out = s;
    return 0;
}

void
sp_snapshot_unref(struct sp_snapshot *s)
{
    if (s == NULL || --s->refs > 0) {
        return;
    }
    struct sp_arena *arena = s->arena; /* s itself lies in it */
    sp_arena_destroy(arena);
    atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
}

unsigned
sp_snapshots_live(void)
{
    return atomic_load_explicit(&live, memory_order_relaxed);
}
