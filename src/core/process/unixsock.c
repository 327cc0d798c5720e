#include "process/unixsock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The address of `path`: itself, or by way of a descriptor of its directory when it is too long. *dir: to be closed later, or -1. */
static int
address(const char *path, struct sockaddr_un *addr, int *dir)
{
    char        parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t      n = strlen(path);

    *dir = -1;
    *addr = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (n == 0) {
        return -EINVAL;
    }
    if (n < sizeof addr->sun_path) {
        memcpy(addr->sun_path, path, n + 1);
        return 0;
    }
    if (slash == NULL || (size_t)(slash - path) >= sizeof parent) {
        return -ENAMETOOLONG;
    }
    memcpy(parent, path, (size_t)(slash - path));
    parent[slash - path] = '\0';
    *dir = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*dir < 0) {
        return -errno;
    }
    int wrote = snprintf(addr->sun_path, sizeof addr->sun_path, "/proc/self/fd/%d/%s", *dir, slash + 1);
    if (wrote < 0 || (size_t)wrote >= sizeof addr->sun_path) {
        close(*dir);
        *dir = -1;
        return -ENAMETOOLONG;
    }
    return 0;
}

int
sp_unix_connect(const char *path)
{
    struct sockaddr_un addr;
    int                dir;

    int err = address(path, &addr, &dir);
    if (err < 0) {
        return err;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        err = -errno;
    } else if (connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0) {
        err = -errno;
        close(fd);
    }
    if (dir >= 0) {
        close(dir);
    }
    return err < 0 ? err : fd;
}

int
sp_unix_listen(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
    struct sockaddr_un addr;
    char               temporary[PATH_MAX];
    int                dir, err = 0;

    if (snprintf(temporary, sizeof temporary, "%s.%d", path, (int)getpid()) >= (int)sizeof temporary) {
        return -ENAMETOOLONG;
    }
    (void)unlink(temporary);
    err = address(temporary, &addr, &dir);
    if (err < 0) {
        return err;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        err = -errno;
        goto done;
    }
    mode_t mask = umask(0177); /* never open to others, not even for a moment */
    int    bound = bind(fd, (struct sockaddr *)&addr, sizeof addr);
    err = bound < 0 ? -errno : 0;
    (void)umask(mask);
    if (err < 0) {
        goto fail;
    }
    if ((uid != (uid_t)-1 || gid != (gid_t)-1) && lchown(temporary, uid, gid) < 0) {
        err = -errno;
        goto fail_bound;
    }
    if (chmod(temporary, mode) < 0 || listen(fd, 64) < 0 || rename(temporary, path) < 0) {
        err = -errno;
        goto fail_bound;
    }
    goto done;

fail_bound:
    (void)unlink(temporary);
fail:
    close(fd);
    fd = -1;
done:
    if (dir >= 0) {
        close(dir);
    }
    return err < 0 ? err : fd;
}
