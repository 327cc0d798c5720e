/*
 * The control socket's end in the master: takes requests of local operators, one per connection, and keeps the connection
 * until the verdict. Whoever connects is asked for his uid (SO_PEERCRED): root and the master's own user may command, the
 * workers' user may only ask.
 */
#ifndef SP_PROCESS_CONTROL_H
#define SP_PROCESS_CONTROL_H

#include <sys/types.h>

#include "base/str.h"
#include "cli/options.h"

struct event_base;
struct sp_control;
struct sp_client; /* one request on its way; the handler ends it with sp_client_exit, at once or later */

typedef void (*sp_control_fn)(void *arg, struct sp_client *c, char *const *args, unsigned n);

/* Listens on `path`, made anew. asker: the uid that may only ask; -1: nobody. 0 or negative errno, logged. */
int sp_control_open(struct event_base *base, const char *path, uid_t asker, gid_t group, sp_control_fn fn, void *arg,
                    struct sp_control **out);
/* Clients that still wait are told that it is over; what they were sent is written, for at most a second each. */
void sp_control_close(struct sp_control *c);
/* Does a gateway answer at this path? */
bool sp_control_is_alive(const char *path);

bool sp_client_may_command(const struct sp_client *c);
void sp_client_out(struct sp_client *c, struct sp_str text);
void sp_client_err(struct sp_client *c, struct sp_str text);
void sp_client_errf(struct sp_client *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The verdict; `c` is not the caller's any more. */
void sp_client_exit(struct sp_client *c, enum sp_exit code);

#endif
