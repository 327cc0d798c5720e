/* The directives of this module: their types and what they make of a statement (scope.h says it of allow and deny). */
#ifndef SP_POLICY_RESOLVER_DIRECTIVES_H
#define SP_POLICY_RESOLVER_DIRECTIVES_H

#include "conf/directive.h"

enum sp_unknown_realm { SP_UNKNOWN_DENY, SP_UNKNOWN_GLOBAL };                  /* unknown_realm: u.num */
enum sp_subscription_mode { SP_SUBSCRIPTION_WITHIN, SP_SUBSCRIPTION_OVERLAP }; /* subscription: u.num */

#define SP_POLICY_RESOLVER_NDIRECTIVES 7
extern const struct sp_directive sp_policy_resolver_directives[SP_POLICY_RESOLVER_NDIRECTIVES];

#endif
