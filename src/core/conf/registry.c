#include "conf/registry.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/log.h"
#include "conf/core_directives.h"
#include "conf/module.h"
#include "net/trust.h"
#include "store/store.h"

struct entry {
    const struct sp_directive *directive;
    struct entry              *same; /* the next one of this name */
    unsigned                   id;
};

struct sp_registry {
    const struct sp_module *const *modules;
    unsigned                       nmodules, count, npolicy;
    struct entry                 **entries; /* by id */
    unsigned                      *policy_ids;
    struct sp_map                  names; /* the first entry of each name */
};

static bool
has_word(const char *words, struct sp_str word)
{
    struct sp_str rest = sp_str_c(words);

    while (rest.p != NULL) {
        if (sp_str_eq(sp_str_cut(&rest, ' '), word) && word.n > 0) {
            return true;
        }
    }
    return false;
}

bool
sp_directive_in(const struct sp_directive *d, const char *context)
{
    return has_word(d->contexts, sp_str_c(context)) || has_word(d->contexts, SP_STR("*"));
}

bool
sp_directive_is_policy(const struct sp_directive *d)
{
    struct sp_str levels = SP_STR(SP_POLICY_LEVELS);

    if (d->merge == SP_LOCAL || d->type == &sp_type_block) {
        return false;
    }
    while (levels.p != NULL) {
        if (has_word(d->contexts, sp_str_cut(&levels, ' '))) {
            return true;
        }
    }
    return false;
}

static const char *
malformed(const struct sp_directive *d)
{
    if (d->name == NULL || d->name[0] == '\0' ||
        strspn(d->name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(d->name)) {
        return "its name";
    }
    if (d->contexts == NULL || d->contexts[strspn(d->contexts, " ")] == '\0') {
        return "its contexts";
    }
    if (d->type == NULL || (d->type != &sp_type_block && (d->type->parse == NULL || d->type->expects == NULL))) {
        return "its type";
    }
    if (d->min_args > d->max_args || (d->type != &sp_type_block && d->min_args == 0)) {
        return "its number of arguments";
    }
    if ((d->merge == SP_STRICTEST && d->type->compare == NULL) || (unsigned)d->merge > SP_LOCAL ||
        (unsigned)d->apply > SP_RESTART) {
        return "its merge or apply rule";
    }
    if (d->type == &sp_type_block && d->fallback != NULL) {
        return "its default";
    }
    return d->help == NULL ? "its help" : NULL;
}

/* The word of `a`'s contexts that `b` has too; empty if none. */
static struct sp_str
shared_context(const struct sp_directive *a, const struct sp_directive *b)
{
    struct sp_str rest = sp_str_c(a->contexts), word;

    while (rest.p != NULL) {
        word = sp_str_cut(&rest, ' ');
        if (word.n > 0 && (has_word(b->contexts, word) || has_word(b->contexts, SP_STR("*")) || sp_str_is(word, "*"))) {
            return word;
        }
    }
    return (struct sp_str){NULL, 0};
}

static int
add(struct sp_registry *r, const char *owner, const struct sp_directive *d)
{
    const char   *what = malformed(d);
    struct entry *e, *first;

    if (what != NULL) {
        sp_log(SP_LOG_EMERG, "%s: the directive \"%s\" is malformed: %s", owner, d->name == NULL ? "?" : d->name, what);
        return -EINVAL;
    }
    first = sp_map_get(&r->names, sp_str_c(d->name));
    for (e = first; e != NULL; e = e->same) {
        struct sp_str context = shared_context(d, e->directive);
        if (context.n > 0) {
            sp_log(SP_LOG_EMERG, "%s: the directive \"%s\" is declared twice for the context \"%.*s\"", owner, d->name,
                   SP_STR_ARG(context));
            return -EEXIST;
        }
    }
    e = calloc(1, sizeof(*e));
    if (e == NULL) {
        return -ENOMEM;
    }
    e->directive = d;
    e->id = r->count;
    r->entries[r->count++] = e;
    if (first != NULL) {
        e->same = first->same;
        first->same = e;
        return 0;
    }
    return sp_map_put(&r->names, sp_str_c(d->name), e, NULL);
}

static int
add_all(struct sp_registry *r, const char *owner, const struct sp_directive *d, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int err = add(r, owner, &d[i]);
        if (err < 0) {
            return err;
        }
    }
    return 0;
}

static int
allocate(struct sp_registry *r)
{
    size_t n = sp_core_ndirectives + sp_net_ndirectives + sp_store_ndirectives;

    for (unsigned i = 0; i < r->nmodules; i++) {
        n += r->modules[i]->ndirectives;
    }
    r->entries = calloc(n + 1, sizeof(struct entry *));
    r->policy_ids = calloc(n + 1, sizeof(unsigned));
    return r->entries == NULL || r->policy_ids == NULL ? -ENOMEM : 0;
}

int
sp_registry_create(const struct sp_module *const *modules, struct sp_registry **out)
{
    struct sp_registry *r = calloc(1, sizeof(*r));
    int                 err;

    if (r == NULL) {
        return -ENOMEM;
    }
    r->modules = modules;
    for (; modules[r->nmodules] != NULL; r->nmodules++) {
        const struct sp_module *m = modules[r->nmodules];
        if (m->abi != SP_MODULE_ABI) {
            sp_log(SP_LOG_EMERG, "module %s: built for ABI %u, this is %u", m->name, m->abi, SP_MODULE_ABI);
            err = -EPROTO;
            goto fail;
        }
    }
    err = allocate(r);
    if (err == 0) {
        err = add_all(r, "core", sp_core_directives, sp_core_ndirectives);
    }
    if (err == 0) {
        err = add_all(r, "core", sp_net_directives, sp_net_ndirectives);
    }
    if (err == 0) {
        err = add_all(r, "core", sp_store_directives, sp_store_ndirectives);
    }
    for (unsigned i = 0; i < r->nmodules && err == 0; i++) {
        err = add_all(r, modules[i]->name, modules[i]->directives, modules[i]->ndirectives);
    }
    if (err < 0) {
        goto fail;
    }
    for (unsigned id = 0; id < r->count; id++) {
        if (sp_directive_is_policy(r->entries[id]->directive)) {
            r->policy_ids[r->npolicy++] = id;
        }
    }
    *out = r;
    return 0;
fail:
    sp_registry_destroy(r);
    return err;
}

void
sp_registry_destroy(struct sp_registry *r)
{
    if (r == NULL) {
        return;
    }
    for (unsigned i = 0; i < r->count; i++) {
        free(r->entries[i]);
    }
    sp_map_clear(&r->names);
    free(r->entries);
    free(r->policy_ids);
    free(r);
}

unsigned
sp_registry_count(const struct sp_registry *r)
{
    return r->count;
}

const struct sp_directive *
sp_registry_at(const struct sp_registry *r, unsigned id)
{
    return id < r->count ? r->entries[id]->directive : NULL;
}

const struct sp_directive *
sp_registry_find(const struct sp_registry *r, struct sp_str name, const char *context)
{
    for (const struct entry *e = sp_map_get(&r->names, name); e != NULL; e = e->same) {
        if (sp_directive_in(e->directive, context)) {
            return e->directive;
        }
    }
    return NULL;
}

const struct sp_directive *
sp_registry_next(const struct sp_registry *r, struct sp_str name, const struct sp_directive *after)
{
    const struct entry *e = sp_map_get(&r->names, name);

    while (e != NULL && after != NULL) {
        if (e->directive == after) {
            after = NULL;
        }
        e = e->same;
    }
    return e == NULL ? NULL : e->directive;
}

int
sp_registry_id(const struct sp_registry *r, const struct sp_directive *d)
{
    for (const struct entry *e = sp_map_get(&r->names, sp_str_c(d->name)); e != NULL; e = e->same) {
        if (e->directive == d) {
            return (int)e->id;
        }
    }
    return -ENOENT;
}

int
sp_registry_policy_id(const struct sp_registry *r, const char *name)
{
    for (unsigned i = 0; i < r->npolicy; i++) {
        if (strcmp(r->entries[r->policy_ids[i]]->directive->name, name) == 0) {
            return (int)r->policy_ids[i];
        }
    }
    return -ENOENT;
}

const unsigned *
sp_registry_policy_ids(const struct sp_registry *r, unsigned *count)
{
    *count = r->npolicy;
    return r->policy_ids;
}

unsigned
sp_registry_modules(const struct sp_registry *r)
{
    return r->nmodules;
}

const struct sp_module *
sp_registry_module(const struct sp_registry *r, unsigned index)
{
    return index < r->nmodules ? r->modules[index] : NULL;
}

int
sp_registry_module_index(const struct sp_registry *r, const char *name)
{
    for (unsigned i = 0; i < r->nmodules; i++) {
        if (strcmp(r->modules[i]->name, name) == 0) {
            return (int)i;
        }
    }
    return -ENOENT;
}
