#include "process/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "process/fork.h"

int
sp_daemon_start(int *tell)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0) {
        return -errno;
    }
    fflush(NULL);
    pid_t pid = sp_fork();
    if (pid < 0) {
        close(ends[0]);
        close(ends[1]);
        return (int)pid;
    }
    if (pid > 0) {
        unsigned char code = 1; /* what it is when the child dies without a word */
        close(ends[1]);
        while (read(ends[0], &code, 1) < 0 && errno == EINTR) {
        }
        _exit(code);
    }
    close(ends[0]);
    if (setsid() < 0) {
        int err = -errno;
        close(ends[1]);
        return err;
    }
    *tell = ends[1];
    return 0;
}

void
sp_daemon_detach(int keep_stderr)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0) {
        return;
    }
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(null, STDOUT_FILENO);
    if (!keep_stderr) {
        (void)dup2(null, STDERR_FILENO);
    }
    if (null > STDERR_FILENO) {
        close(null);
    }
}

void
sp_daemon_tell(int *tell, int exit_code, int keep_stderr)
{
    unsigned char code = (unsigned char)exit_code;

    if (*tell < 0) {
        return;
    }
    sp_daemon_detach(keep_stderr);
    while (write(*tell, &code, 1) < 0 && errno == EINTR) {
    }
    close(*tell);
    *tell = -1;
}
