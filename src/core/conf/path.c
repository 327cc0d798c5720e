#include "conf/path.h"

#include <errno.h>

struct sp_str
sp_path_full(struct sp_arena *a, const char *prefix, struct sp_str path)
{
    size_t prefix_n = strlen(prefix), n;
    char  *p;

    if ((path.n > 0 && path.p[0] == '/') || prefix_n == 0 || !sp_size_add(&n, prefix_n, path.n)) {
        return sp_arena_str(a, path);
    }
    p = sp_arena_alloc(a, n + 1);
    memcpy(p, prefix, prefix_n);
    if (path.n > 0) {
        memcpy(p + prefix_n, path.p, path.n);
    }
    return (struct sp_str){p, n};
}

struct sp_str
sp_path_shown(const char *prefix, struct sp_str full)
{
    struct sp_str pre = sp_str_c(prefix);

    if (pre.n > 0 && full.n > pre.n && sp_str_prefix(full, pre)) {
        return (struct sp_str){full.p + pre.n, full.n - pre.n};
    }
    return full;
}

const char *
sp_path_prefix(struct sp_arena *a, const char *prefix)
{
    size_t n = prefix == NULL ? 0 : strlen(prefix);

    if (n == 0) {
        return "";
    }
    return sp_arena_printf(a, "%s%s", prefix, prefix[n - 1] == '/' ? "" : "/");
}

bool
sp_str_has_glob(struct sp_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '*' || s.p[i] == '?' || s.p[i] == '[') {
            return true;
        }
    }
    return false;
}

const char *
sp_file_error(int err)
{
    switch (-err) {
    case ENOENT:
        return "no such file";
    case ENOTDIR:
        return "a part of the path is no directory";
    case EACCES:
    case EPERM:
        return "permission denied";
    case EISDIR:
        return "it is a directory";
    case ENOTSUP:
        return "it is no regular file";
    case EFBIG:
        return "it is larger than 64m";
    case EAGAIN:
        return "it keeps changing (half-written?)";
    case ENODATA:
        return "it is empty (half-written?)";
    case ELOOP:
        return "too many symbolic links";
    case ENAMETOOLONG:
        return "the name is too long";
    case EMFILE:
    case ENFILE:
        return "too many open files";
    case ENOMEM:
        return "out of memory";
    default:
        return strerror(-err);
    }
}
