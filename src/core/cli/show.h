/*
 * A status in JSON, as text for a person: values as `name  value`, objects as indented sections, lists of flat objects as
 * tables, on their side where that is narrower.
 */
#ifndef SP_CLI_SHOW_H
#define SP_CLI_SHOW_H

#include <stdio.h>

#include "base/str.h"

/* json: an object, as sp_status makes it; its member `leave_out` (NULL: none) is not shown. 0, -ENOMEM or -EBADMSG; some of it
 * may have been printed then. */
int sp_show(FILE *out, struct sp_str json, const char *leave_out);

#endif
