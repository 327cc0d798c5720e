/* The pid file: the number of the master, written whole or not at all. */
#ifndef SP_PROCESS_PIDFILE_H
#define SP_PROCESS_PIDFILE_H

#include <sys/types.h>

/* Replaces whatever is there (a stale one too) through a temporary file. 0 or negative errno, logged. */
int sp_pidfile_write(const char *path, pid_t pid);
/* Removes it if it still holds this pid. */
void sp_pidfile_remove(const char *path, pid_t pid);
/* The number in it, 0 if there is none. */
pid_t sp_pidfile_read(const char *path);
/* Makes the directories above `path`, 0755. 0 or negative errno. */
int sp_make_parents(const char *path);

#endif
