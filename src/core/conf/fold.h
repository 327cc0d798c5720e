/* The fold's inside, for the build and the checks. */
#ifndef SP_CONF_FOLD_H
#define SP_CONF_FOLD_H

#include "conf/policy.h"

/* After the schema pass, before any sp_policy_fold. */
void sp_fold_init(struct sp_snapshot *s);
/* Is v looser than the other one? For a type without an order and for lists: is it any different? */
bool sp_fold_looser(const struct sp_value *v, const struct sp_value *than);
/* The strictest floor among a value in force and what it overrode; NULL if there is none. */
const struct sp_value *sp_fold_floor(const struct sp_value *v);

#endif
