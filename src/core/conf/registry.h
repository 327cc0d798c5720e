/* All directives of the core and of the modules, by name and context; made once per process, before any build. */
#ifndef SP_CONF_REGISTRY_H
#define SP_CONF_REGISTRY_H

#include "conf/directive.h"

struct sp_module;

struct sp_registry;

/* modules: NULL-terminated (objs/sp_modules.c); their order is the module index everywhere. Fails with -EEXIST and a log
 * line when two tables declare one directive in one context, -EINVAL when a table is malformed, -EPROTO on a wrong abi. */
int  sp_registry_create(const struct sp_module *const *modules, struct sp_registry **out);
void sp_registry_destroy(struct sp_registry *r);

unsigned                   sp_registry_count(const struct sp_registry *r);
const struct sp_directive *sp_registry_at(const struct sp_registry *r, unsigned id);
/* The directive called `name` that `context` may hold; NULL if none. */
const struct sp_directive *sp_registry_find(const struct sp_registry *r, struct sp_str name, const char *context);
/* Ids are dense, 0 .. count-1, the same in every process of one binary. */
int sp_registry_id(const struct sp_registry *r, const struct sp_directive *d);
/* The id of a policy value by name, for modules that read it on the hot path; -ENOENT when its module is left out. */
int sp_registry_policy_id(const struct sp_registry *r, const char *name);

/* May a block of this context hold it? ("*" in a table: every block.) */
bool sp_directive_in(const struct sp_directive *d, const char *context);
/* Is it folded over the policy levels? (Allowed in one of them, not LOCAL, no block.) */
bool sp_directive_is_policy(const struct sp_directive *d);
/* The ids of all policy values, ascending. */
const unsigned *sp_registry_policy_ids(const struct sp_registry *r, unsigned *count);
/* The next directive of the same name, for other contexts; start with NULL for the first. NULL at the end. */
const struct sp_directive *sp_registry_next(const struct sp_registry *r, struct sp_str name,
                                            const struct sp_directive *after);

unsigned                sp_registry_modules(const struct sp_registry *r);
const struct sp_module *sp_registry_module(const struct sp_registry *r, unsigned index);
int                     sp_registry_module_index(const struct sp_registry *r, const char *name);

/* -D: the reference, as text or as man page source (mdoc). */
int sp_registry_print(const struct sp_registry *r, bool mdoc, int (*write)(void *arg, struct sp_str text), void *arg);

#endif
