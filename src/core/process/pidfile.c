#include "process/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

int
sp_make_parents(const char *path)
{
    char   dir[PATH_MAX];
    size_t n = strlen(path);

    if (n >= sizeof dir) {
        return -ENAMETOOLONG;
    }
    memcpy(dir, path, n + 1);
    for (char *at = dir + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        if (mkdir(dir, 0755) < 0 && errno != EEXIST) {
            return -errno;
        }
        *at = '/';
    }
    return 0;
}

int
sp_pidfile_write(const char *path, pid_t pid)
{
    char temporary[PATH_MAX], text[24];
    int  n = snprintf(text, sizeof text, "%d\n", (int)pid);
    int  fd = -1, err;

    if (snprintf(temporary, sizeof temporary, "%s.%d.new", path, (int)pid) >= (int)sizeof temporary) {
        err = -ENAMETOOLONG;
        goto fail;
    }
    (void)unlink(temporary);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0 || write(fd, text, (size_t)n) != n) {
        err = -errno;
        goto fail;
    }
    close(fd);
    fd = -1;
    if (rename(temporary, path) < 0) {
        err = -errno;
        (void)unlink(temporary);
        goto fail;
    }
    return 0;

fail:
    if (fd >= 0) {
        close(fd);
        (void)unlink(temporary);
    }
    sp_log(SP_LOG_EMERG, "cannot write pid file %s: %s", path, strerror(-err));
    return err;
}

pid_t
sp_pidfile_read(const char *path)
{
    char text[24];
    int  fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        return 0;
    }
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) {
        return 0;
    }
    text[n] = '\0';
    char *end;
    long  pid = strtol(text, &end, 10);
    return (*end == '\n' || *end == '\0') && pid > 0 && pid <= INT_MAX ? (pid_t)pid : 0;
}

void
sp_pidfile_remove(const char *path, pid_t pid)
{
    if (sp_pidfile_read(path) == pid) {
        (void)unlink(path);
    }
}
