/* The master's listening sockets: for each listener one per worker, in one SO_REUSEPORT group. */
#ifndef SP_PROCESS_SOCKETS_H
#define SP_PROCESS_SOCKETS_H

#include "process/plan.h"

struct sp_socket {
    struct sockaddr_storage addr;
    socklen_t               addr_len;
    int                     backlog;
    bool                    listening;
    char                   *address, *where;
    int                    *fds; /* by worker; -1: none */
};

struct sp_sockets {
    struct sp_socket *at;
    unsigned          count;
    unsigned          workers;
};

/* One socket per listener of the plan and worker. Those whose address is in `had` (may be NULL) are duplicates of the same
 * sockets, the others are bound, not yet listening: giving up loses nobody's connection. `patience_ms`: how long an address in use
 * may stay so (a predecessor that was killed). -EADDRINUSE … with a text in *error (malloc'd). */
int sp_sockets_open(const struct sp_plan *plan, const struct sp_sockets *had, unsigned patience_ms,
                    struct sp_sockets **out, char **error);
/* Those that do not listen yet begin to. */
int  sp_sockets_listen(struct sp_sockets *s, char **error);
void sp_sockets_close(struct sp_sockets *s);
/* The descriptors of one worker, in the order of the plan's listeners; the caller has room for s->count. */
void sp_sockets_of(const struct sp_sockets *s, unsigned worker, int *fds);

/* For a binary upgrade: an empty set, to which inherited sockets are added; fds are taken over, also on failure. */
int sp_sockets_empty(unsigned workers, struct sp_sockets **out);
int sp_sockets_adopt(struct sp_sockets *s, unsigned worker, int fd);

#endif
