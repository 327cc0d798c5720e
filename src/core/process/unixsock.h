/* Unix stream sockets at paths of any length (sun_path holds 107 bytes). */
#ifndef SP_PROCESS_UNIXSOCK_H
#define SP_PROCESS_UNIXSOCK_H

#include <sys/types.h>

/* Blocking; the descriptor or negative errno (-ECONNREFUSED: nobody listens there any more). */
int sp_unix_connect(const char *path);
/* A listening socket at `path`: made under a temporary name, given mode and owner (uid, gid; -1: ours), then moved there, so
 * whoever connects meets the old one or the new one. Negative errno. */
int sp_unix_listen(const char *path, mode_t mode, uid_t uid, gid_t gid);

#endif
