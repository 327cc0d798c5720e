#include "process/privileges.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "sp_config.h"

#define NOBODY 65534u

#if defined(__SANITIZE_ADDRESS__) || defined(SP_DEBUG)
#define KEEP_CORES 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define KEEP_CORES 1
#endif
#endif

void
sp_privileges_descriptors(uint64_t connections, unsigned others)
{
    struct rlimit limit;
    rlim_t        want = connections > (1u << 24) ? (1u << 24) : (rlim_t)connections;

    want += others;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= want) {
        return;
    }
    struct rlimit more = {want, limit.rlim_max > want ? limit.rlim_max : want};
    if (setrlimit(RLIMIT_NOFILE, &more) == 0) {
        return;
    }
    more = (struct rlimit){limit.rlim_max < want ? limit.rlim_max : want, limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &more) < 0) {
        more = limit;
    }
    sp_log(SP_LOG_WARN,
           "worker_connections %llu needs %llu open files per process, the limit is %llu: raise it (ulimit -n, "
           "LimitNOFILE=)",
           (unsigned long long)connections, (unsigned long long)want, (unsigned long long)more.rlim_cur);
}

static int
failed(const char *what)
{
    int err = -errno;

    sp_log(SP_LOG_EMERG, "cannot drop privileges: %s: %s", what, strerror(-err));
    return err;
}

/* What holds for whoever we are. Last, because changing the user resets the death signal and the dumpable flag. */
static int
harden(int parent)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return failed("no_new_privs");
    }
#ifndef KEEP_CORES
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) < 0) {
        return failed("core limit");
    }
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) {
        return failed("dumpable");
    }
#endif
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) {
        return failed("parent death signal");
    }
    return getppid() == (pid_t)parent ? 0 : -ESRCH; /* it died before the line above */
}

static int
become(uid_t uid, gid_t gid, const gid_t *groups, size_t ngroups)
{
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* kernels without them have none to clear */
    if (setgroups(ngroups, groups) < 0) {
        return failed("setgroups");
    }
    if (setresgid(gid, gid, gid) < 0) {
        return failed("setgid");
    }
    if (setresuid(uid, uid, uid) < 0) { /* from root this clears every capability set too */
        return failed("setuid");
    }
    if (uid != 0 && (setuid(0) == 0 || seteuid(0) == 0)) {
        errno = EPERM;
        return failed("root is still within reach");
    }
    return 0;
}

int
sp_privileges_drop(const struct sp_plan *plan, int parent)
{
    int err = 0;

    if (plan->drop && geteuid() == 0) {
        err = become(plan->uid, plan->gid, plan->groups, plan->ngroups);
    }
    return err < 0 ? err : harden(parent);
}

int
sp_privileges_drop_all(int parent)
{
    const gid_t nogroup = NOBODY;
    int         err = 0;

    if (geteuid() == 0) {
        err = become(NOBODY, NOBODY, &nogroup, 1);
    }
    return err < 0 ? err : harden(parent);
}
