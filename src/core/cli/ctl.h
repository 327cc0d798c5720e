/*
 * The client of a running gateway's control socket: sends a list of arguments, prints what comes back, and ends with the
 * exit code that the gateway gives.
 */
#ifndef SP_CLI_CTL_H
#define SP_CLI_CTL_H

#include "cli/options.h"
#include "process/pack.h"

/* Waits for the verdict. The answer is printed as it comes, or with `collect` its standard output is kept there. */
enum sp_exit sp_ctl(const struct sp_options *o, const char *const *args, unsigned n, struct sp_pack *collect);

/* -s COMMAND, and status. */
enum sp_exit sp_ctl_signal(const struct sp_options *o);
enum sp_exit sp_ctl_status(const struct sp_options *o);

#endif
