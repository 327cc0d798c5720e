/* sallyport -t, -T, -D: what needs no running gateway. They bind nothing and write nothing but their answer. */
#ifndef SP_CLI_CHECK_H
#define SP_CLI_CHECK_H

#include "cli/options.h"
#include "conf/snapshot.h"

/* Builds from the real files, with check_only. Diagnostics go to stderr. NULL when it cannot be. */
struct sp_snapshot *sp_check_build(const struct sp_options *o, const struct sp_registry *r, bool warnings);

enum sp_exit sp_check_test(const struct sp_options *o, const struct sp_registry *r);
enum sp_exit sp_check_dump(const struct sp_options *o, const struct sp_registry *r);
enum sp_exit sp_check_directives(const struct sp_options *o, const struct sp_registry *r);

#endif
