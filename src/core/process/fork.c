#include "process/fork.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

pid_t
sp_fork(void)
{
    sigset_t all, before;

    /* a signal that arrives in the child before its handlers are reset would be written into the parent's loop */
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    pid_t pid = fork();
    int   err = errno;
    if (pid == 0) {
        struct sigaction plain = {.sa_handler = SIG_DFL};
        for (int s = 1; s < NSIG; s++) {
            if (s != SIGKILL && s != SIGSTOP && s != SIGSEGV && s != SIGBUS && s != SIGFPE && s != SIGILL &&
                s != SIGABRT) {
                (void)sigaction(s, &plain, NULL);
            }
        }
        plain.sa_handler = SIG_IGN;
        (void)sigaction(SIGPIPE, &plain, NULL);
        sigemptyset(&before);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid < 0 ? -err : pid;
}

static int
ascending(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;

    return x < y ? -1 : x > y;
}

static void
close_between(unsigned first, unsigned last)
{
    if (first > last || syscall(SYS_close_range, first, last, 0) == 0) {
        return;
    }
    long most = sysconf(_SC_OPEN_MAX);
    for (unsigned fd = first; fd <= last && (long)fd < (most < 0 ? 65536 : most); fd++) {
        close((int)fd);
    }
}

void
sp_close_others(const int *keep, size_t n)
{
    int   *sorted = malloc((n + 1) * sizeof *sorted);
    size_t count = n + 1;

    if (sorted == NULL) {
        sp_log(SP_LOG_EMERG, "out of memory after a fork");
        _exit(1);
    }
    memcpy(sorted, keep, n * sizeof *sorted);
    sorted[n] = sp_log_fd();
    qsort(sorted, count, sizeof sorted[0], ascending);
    unsigned next = 3;
    for (size_t i = 0; i < count; i++) {
        if (sorted[i] < (int)next) {
            continue;
        }
        close_between(next, (unsigned)sorted[i] - 1);
        next = (unsigned)sorted[i] + 1;
    }
    close_between(next, ~0u);
    free(sorted);
}

const char *
sp_exit_text(char *dst, size_t cap, int wait_status)
{
    if (WIFSIGNALED(wait_status)) {
        int signal_number = WTERMSIG(wait_status);
        snprintf(dst, cap, "was killed by signal %d (%s)%s", signal_number, strsignal(signal_number),
                 WCOREDUMP(wait_status) ? ", core dumped" : "");
    } else {
        snprintf(dst, cap, "exited with code %d", WEXITSTATUS(wait_status));
    }
    return dst;
}
