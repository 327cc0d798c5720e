/* Going into the background: the process that the operator started waits until the gateway serves, or knows why not. */
#ifndef SP_PROCESS_DAEMON_H
#define SP_PROCESS_DAEMON_H

/* Forks. In the child: 0, a new session, and *tell to be given to sp_daemon_tell. The parent does not return: it exits with what
 * the child tells. Negative errno when there is no child. */
int sp_daemon_start(int *tell);
/* Closes *tell and sets it to -1. keep_stderr: the error log goes there. */
void sp_daemon_tell(int *tell, int exit_code, int keep_stderr);

/* Standard input, output and (unless it is kept) error lead nowhere from now on. */
void sp_daemon_detach(int keep_stderr);

#endif
