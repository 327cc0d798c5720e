/* What a process may do: limits, user, capabilities. */
#ifndef SP_PROCESS_PRIVILEGES_H
#define SP_PROCESS_PRIVILEGES_H

#include "process/plan.h"

/* Raises the limit of descriptors to what `connections` need (as far as it may); warns in the log when it cannot. */
void sp_privileges_descriptors(uint64_t connections, unsigned others);

/* In a child: no core file, no debugger, and with `plan->drop` the plan's user and groups, no capabilities, no way back.
 * Dies with its parent (`parent` is its pid; -ESRCH when it has gone already). 0 or negative errno, logged. */
int sp_privileges_drop(const struct sp_plan *plan, int parent);

/* Nobody: for the first probe, before any plan is known. As above; not fatal when we are not root. */
int sp_privileges_drop_all(int parent);

#endif
