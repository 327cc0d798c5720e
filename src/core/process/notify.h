/* systemd's notification protocol (sd_notify(3)): nothing happens when NOTIFY_SOCKET is not set. */
#ifndef SP_PROCESS_NOTIFY_H
#define SP_PROCESS_NOTIFY_H

#include <sys/types.h>

void sp_notify_ready(unsigned long long generation);
void sp_notify_reloading(void);
void sp_notify_stopping(void);
void sp_notify_main_pid(pid_t pid); /* a successor took over */

#endif
