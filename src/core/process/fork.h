/* Forking from a process that has signal handlers and many descriptors. */
#ifndef SP_PROCESS_FORK_H
#define SP_PROCESS_FORK_H

#include <stddef.h>
#include <sys/types.h>

/* fork(2); the child starts with default handlers, nothing blocked, SIGPIPE ignored. Negative errno on failure. */
pid_t sp_fork(void);

/* Closes every descriptor from 3 on but those named (negative ones are skipped) and the log's. */
void sp_close_others(const int *keep, size_t n);

/* "exited with code 3", "was killed by signal 11 (Segmentation fault)"; returns dst. */
const char *sp_exit_text(char *dst, size_t cap, int wait_status);

#endif
