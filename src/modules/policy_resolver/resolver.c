#include "modules/policy_resolver/resolver.h"

#include <errno.h>

#include "conf/module.h"
#include "conf/registry.h"
#include "conf/snapshot.h"
#include "modules/policy_resolver/directives.h"

static void
destroy(void *arg)
{
    struct sp_resolver_part *r = arg;

    sp_memo_clear(&r->memo);
    for (unsigned i = 0; i < sizeof(r->scratch) / sizeof(r->scratch[0]); i++) {
        sp_scratch_free(&r->scratch[i]);
    }
}

/* One acl_file statement. */
static int
load_acl(struct sp_build *b, struct sp_resolver_part *r, const struct sp_block *block)
{
    const struct sp_value *v = sp_block_value(b->snapshot, block, "acl_file");
    struct sp_conf_file   *file;
    struct sp_str          bytes;
    struct sp_acl         *acl;

    if (v == NULL || v->node == NULL) {
        return 0;
    }
    if (sp_build_file(b, v->node, 1, &bytes) < 0) {
        return -EINVAL;
    }
    file = sp_arena_alloc(b->arena, sizeof(*file));
    file->path = v->node->args[1].text;
    file->text = sp_arena_str(b->arena, bytes); /* the source's bytes go when the build is over */
    acl = sp_arena_alloc(b->arena, sizeof(*acl));
    acl->node = v->node;
    acl->where = sp_where_str(b->arena, v->node);
    if (sp_aclfile_parse(b->arena, b->diag, file, &acl->file) < 0) {
        return -EINVAL;
    }
    acl->next = r->acls;
    r->acls = acl;
    r->memo.clients = true;
    return 0;
}

/* In every block outside the realms that may hold the directive. */
static int
load_acls(struct sp_build *b, struct sp_resolver_part *r)
{
    int err = 0;

    for (const struct sp_block *c = b->snapshot->main->children; c != NULL; c = c->next) {
        if (load_acl(b, r, c) < 0) {
            err = -EINVAL;
        }
    }
    return err;
}

int
sp_resolver_build(struct sp_build *b, void **data)
{
    struct sp_resolver_part *r = sp_arena_alloc(b->arena, sizeof(*r));
    const struct sp_block   *policy = sp_block_first(b->snapshot->main, "policy");
    const struct sp_value   *unknown = policy == NULL ? NULL : sp_block_value(b->snapshot, policy, "unknown_realm");
    int                      err;

    *data = r;
    r->snapshot = b->snapshot;
    sp_arena_defer(b->arena, destroy, r);
    r->subscription_id = sp_registry_policy_id(b->registry, "subscription");
    r->unknown_global = unknown != NULL && unknown->u.num == SP_UNKNOWN_GLOBAL;
    r->unknown_node = unknown == NULL ? NULL : unknown->node;
    r->unknown_where = sp_where_str(b->arena, r->unknown_node);
    err = sp_subjects_build(b, &r->subjects);
    if (r->subjects == NULL) {
        return err;
    }
    if (sp_scope_build(b, r->subjects, policy, SP_LEVEL_GLOBAL, &r->global) < 0) {
        err = -EINVAL;
    }
    if (sp_realms_build(b, r->subjects, &r->realms) < 0) {
        err = -EINVAL;
    }
    if (load_acls(b, r) < 0) {
        err = -EINVAL;
    }
    return err;
}

struct sp_resolver_part *
sp_resolver_part(const struct sp_snapshot *s)
{
    for (unsigned i = 0; i < sp_registry_modules(s->registry); i++) {
        if (sp_registry_module(s->registry, i) == &sp_policy_resolver_module) {
            return s->module[i];
        }
    }
    return NULL;
}
