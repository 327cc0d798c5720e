/*
 * The schema pass: a parsed tree against the directive tables. Gives blocks with typed values; reports unknown directives (with
 * where they belong or what was meant), arity, duplicates, operators out of place, forgotten semicolons.
 */
#ifndef SP_CONF_SCHEMA_H
#define SP_CONF_SCHEMA_H

#include "conf/build.h"

/* Types the built-in defaults into snapshot->defaults. 0 or -EINVAL: a table has a bad default. */
int sp_schema_defaults(struct sp_build *b);
/* Makes snapshot->main and all blocks below it out of `root`. 0, or -EINVAL with diagnostics; what could be understood is
 * there in either case, and nothing else: a block in the result always has the arguments that its table demands. */
int sp_schema_apply(struct sp_build *b, struct sp_conf_node *root);

/* The level that a context is; SP_LEVEL_GLOBAL for those that are none. */
enum sp_level sp_context_level(const char *context);

/* -- schema_report.c: what is said about a statement that does not fit -- */

void sp_schema_unknown(struct sp_build *b, const struct sp_conf_node *node, struct sp_str name, const char *context);
/* Number of arguments, braces. 0 or -EINVAL. */
int  sp_schema_shape(struct sp_build *b, const struct sp_conf_node *node, const struct sp_directive *d);
void sp_schema_duplicate(struct sp_build *b, const struct sp_conf_node *node, const struct sp_conf_node *first,
                         bool named);

#endif
