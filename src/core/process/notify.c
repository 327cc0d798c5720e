#include "process/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

static void
tell(const char *text)
{
    const char        *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};

    if (path == NULL || (path[0] != '/' && path[0] != '@')) {
        return;
    }
    size_t n = strlen(path);
    if (n >= sizeof to.sun_path) {
        return;
    }
    memcpy(to.sun_path, path, n);
    if (path[0] == '@') {
        to.sun_path[0] = '\0'; /* an abstract address */
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    if (sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&to,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0) {
        sp_log(SP_LOG_WARN, "cannot notify the service manager: %s", strerror(errno));
    }
    close(fd);
}

void
sp_notify_ready(unsigned long long generation)
{
    char text[128];

    snprintf(text, sizeof text, "READY=1\nMAINPID=%d\nSTATUS=serving generation %llu", (int)getpid(), generation);
    tell(text);
}

void
sp_notify_reloading(void)
{
    char text[96];

    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)(sp_clock_ns() / 1000));
    tell(text);
}

void
sp_notify_stopping(void)
{
    tell("STOPPING=1");
}

void
sp_notify_main_pid(pid_t pid)
{
    char text[48];

    snprintf(text, sizeof text, "MAINPID=%d\nREADY=1", (int)pid);
    tell(text);
}
