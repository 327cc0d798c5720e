#include "process/plan.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "conf/core_directives.h"
#include "conf/policy.h"
#include "net/listener.h"

#define PLAN_VERSION 1

static unsigned
processors(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) < 0 || CPU_COUNT(&set) < 1) {
        return 1;
    }
    return CPU_COUNT(&set) > SP_WORKERS_MAX ? SP_WORKERS_MAX : (unsigned)CPU_COUNT(&set);
}

/* NUL-terminated, for the C library. */
static char *
text_of(struct sp_str s)
{
    char *text = malloc(s.n + 1);

    if (text != NULL) {
        if (s.n > 0) {
            memcpy(text, s.p, s.n);
        }
        text[s.n] = '\0';
    }
    return text;
}

static int
complain(char **error, const struct sp_value *v, const char *what, const char *name)
{
    char where[512], shown[256];

    if (asprintf(error, "%s: error: %s \"%s\" does not exist on this machine\n", sp_where(where, sizeof where, v->node),
                 what, sp_str_escape(shown, sizeof shown, sp_str_c(name))) < 0) {
        *error = NULL;
        return -ENOMEM;
    }
    return -EINVAL;
}

static int
pack_groups(struct sp_pack *out, const char *user, gid_t gid)
{
    int    n = 64;
    gid_t *groups = NULL;

    for (;;) {
        gid_t *more = realloc(groups, (size_t)n * sizeof *groups);
        if (more == NULL) {
            free(groups);
            return -ENOMEM;
        }
        groups = more;
        int had = n;
        if (getgrouplist(user, gid, groups, &n) >= 0) {
            break;
        }
        if (n <= had) {
            n = had * 2;
        }
        if (n > SP_PLAN_GROUPS_MAX) {
            n = 0;
            break;
        }
    }
    sp_pack_u32(out, (uint32_t)n);
    for (int i = 0; i < n; i++) {
        sp_pack_u32(out, groups[i]);
    }
    free(groups);
    return 0;
}

static int
pack_user(const struct sp_snapshot *s, struct sp_pack *out, char **error)
{
    const struct sp_value     *v = sp_block_value(s, s->main, "user");
    const struct sp_user_conf *conf = v == NULL ? NULL : v->u.ptr;
    int                        err = 0;

    sp_pack_u8(out, conf != NULL);
    if (conf == NULL) {
        return 0;
    }
    char *user = text_of(conf->user), *group = text_of(conf->group);
    if (user == NULL || group == NULL) {
        err = -ENOMEM;
        goto done;
    }
    struct passwd *pw = getpwnam(user);
    if (pw == NULL) {
        err = complain(error, v, "user", user);
        goto done;
    }
    uid_t uid = pw->pw_uid;
    gid_t gid = pw->pw_gid;
    if (group[0] != '\0') {
        struct group *gr = getgrnam(group);
        if (gr == NULL) {
            err = complain(error, v, "group", group);
            goto done;
        }
        gid = gr->gr_gid;
    }
    sp_pack_text(out, user);
    sp_pack_u32(out, uid);
    sp_pack_u32(out, gid);
    err = pack_groups(out, user, gid);
done:
    free(user);
    free(group);
    return err;
}

/* Nobody but the operator makes a log's directory, except data_dir. Where we may not look it counts as there. */
static int
check_log(const struct sp_snapshot *s, const struct sp_value *v, struct sp_str path, char **error)
{
    char        where[512], shown[256];
    char       *dir = text_of(path), *slash;
    struct stat st;
    int         err = dir == NULL ? -ENOMEM : 0;

    if (err == 0 && (slash = strrchr(dir, '/')) != NULL && slash != dir) {
        *slash = '\0';
        if (!sp_str_is(sp_block_str(s, s->main, "data_dir"), dir) && stat(dir, &st) < 0 &&
            (errno == ENOENT || errno == ENOTDIR)) {
            err = -EINVAL;
            if (asprintf(error, "%s: error: cannot open the log \"%s\": its directory does not exist\n",
                         sp_where(where, sizeof where, v->node), sp_str_escape(shown, sizeof shown, path)) < 0) {
                *error = NULL;
                err = -ENOMEM;
            }
        }
    }
    free(dir);
    return err;
}

static int
check_logs(const struct sp_snapshot *s, char **error)
{
    const struct sp_value          *v = sp_block_value(s, s->main, "error_log");
    const struct sp_error_log_conf *log = v == NULL ? NULL : v->u.ptr;
    int                             err = log == NULL ? 0 : check_log(s, v, log->path, error);

    for (v = sp_block_value(s, s->main, "access_log"); err == 0 && v != NULL; v = v->next) {
        const struct sp_access_log_conf *access = v->u.ptr;
        if (access != NULL && !access->off) {
            err = check_log(s, v, access->path, error);
        }
    }
    return err;
}

static void
pack_logs(const struct sp_snapshot *s, struct sp_pack *out)
{
    const struct sp_value          *v = sp_block_value(s, s->main, "error_log");
    const struct sp_error_log_conf *log = v == NULL ? NULL : v->u.ptr;
    uint32_t                        n = 1;

    for (v = sp_block_value(s, s->main, "access_log"); v != NULL && n < SP_PLAN_LOGS_MAX; v = v->next) {
        n += v->u.ptr != NULL && !((const struct sp_access_log_conf *)v->u.ptr)->off;
    }
    sp_pack_u32(out, log == NULL ? SP_LOG_NOTICE : log->level);
    sp_pack_u32(out, n);
    sp_pack_str(out, log == NULL ? SP_STR("stderr") : log->path);
    for (v = sp_block_value(s, s->main, "access_log"); v != NULL && n > 1; v = v->next) {
        const struct sp_access_log_conf *access = v->u.ptr;
        if (access != NULL && !access->off) {
            sp_pack_str(out, access->path);
            n--;
        }
    }
}

static void
pack_listeners(const struct sp_snapshot *s, struct sp_pack *out)
{
    char     where[512];
    uint32_t n = 0;

    for (const struct sp_listener_conf *l = s->listeners; l != NULL; l = l->next) {
        n++;
    }
    sp_pack_u32(out, n);
    for (const struct sp_listener_conf *l = s->listeners; l != NULL; l = l->next) {
        sp_pack_str(out, (struct sp_str){(const char *)&l->addr, l->addr_len});
        sp_pack_u32(out, (uint32_t)l->backlog);
        sp_pack_text(out, l->address);
        sp_pack_text(out, sp_where(where, sizeof where, l->node));
        sp_pack_text(out, l->protocol);
        sp_pack_str(out, l->trust == NULL ? SP_STR("") : l->trust->name);
    }
}

int
sp_plan_make(const struct sp_snapshot *s, struct sp_pack *out, char **error)
{
    int64_t workers = sp_block_num(s, s->main, "worker_processes");

    sp_pack_u32(out, PLAN_VERSION);
    sp_pack_u32(out, workers == SP_WORKERS_AUTO ? processors() : (uint32_t)workers);
    sp_pack_u8(out, sp_block_num(s, s->main, "daemon") == 1);
    sp_pack_u64(out, (uint64_t)sp_block_num(s, s->main, "worker_connections"));
    int err = pack_user(s, out, error);
    if (err == 0) {
        err = check_logs(s, error);
    }
    if (err < 0) {
        return err;
    }
    sp_pack_str(out, sp_block_str(s, s->main, "pid"));
    sp_pack_str(out, sp_block_str(s, s->main, "control"));
    sp_pack_str(out, sp_block_str(s, s->main, "data_dir"));
    pack_logs(s, out);
    pack_listeners(s, out);
    sp_pack_bytes(out, s->digest, sizeof s->digest);
    sp_pack_text(out, s->warnings);
    return out->failed ? -ENOMEM : 0;
}

static void
unpack_user(struct sp_unpack *u, struct sp_plan *plan)
{
    plan->drop = sp_unpack_u8(u) != 0;
    if (!plan->drop) {
        plan->user = strdup("");
        return;
    }
    plan->user = sp_unpack_text(u);
    plan->uid = sp_unpack_u32(u);
    plan->gid = sp_unpack_u32(u);
    plan->ngroups = sp_unpack_u32(u);
    if (plan->ngroups > SP_PLAN_GROUPS_MAX) {
        u->failed = true;
        plan->ngroups = 0;
    }
    plan->groups = calloc(plan->ngroups + 1, sizeof *plan->groups);
    for (unsigned i = 0; plan->groups != NULL && i < plan->ngroups; i++) {
        plan->groups[i] = sp_unpack_u32(u);
    }
    u->failed |= plan->groups == NULL;
}

static void
unpack_logs(struct sp_unpack *u, struct sp_plan *plan)
{
    plan->log_level = sp_unpack_u32(u);
    uint32_t n = sp_unpack_u32(u);
    if (n == 0 || n > SP_PLAN_LOGS_MAX || plan->log_level > SP_LOG_DEBUG) {
        u->failed = true;
        return;
    }
    plan->logs = calloc(n, sizeof *plan->logs);
    if (plan->logs == NULL) {
        u->failed = true;
        return;
    }
    plan->nlogs = n;
    for (uint32_t i = 0; i < n; i++) {
        plan->logs[i] = sp_unpack_text(u);
    }
}

static void
unpack_listeners(struct sp_unpack *u, struct sp_plan *plan)
{
    uint32_t n = sp_unpack_u32(u);

    if (n > SP_PLAN_LISTENERS_MAX) {
        u->failed = true;
        return;
    }
    plan->listeners = calloc(n + 1u, sizeof *plan->listeners);
    if (plan->listeners == NULL) {
        u->failed = true;
        return;
    }
    plan->nlisteners = n;
    for (uint32_t i = 0; i < n; i++) {
        struct sp_plan_listener *l = &plan->listeners[i];
        struct sp_str            addr = sp_unpack_str(u);
        if (addr.n < sizeof(sa_family_t) || addr.n > sizeof l->addr) {
            u->failed = true;
        } else {
            memcpy(&l->addr, addr.p, addr.n);
            l->addr_len = (socklen_t)addr.n;
        }
        l->backlog = (int)sp_unpack_u32(u);
        l->address = sp_unpack_text(u);
        l->where = sp_unpack_text(u);
        l->protocol = sp_unpack_text(u);
        l->trust = sp_unpack_text(u);
    }
}

int
sp_plan_parse(struct sp_str bytes, struct sp_plan **out)
{
    struct sp_unpack u = {bytes.p, bytes.n, false};
    struct sp_plan  *plan = calloc(1, sizeof *plan);

    if (plan == NULL) {
        return -ENOMEM;
    }
    u.failed = sp_unpack_u32(&u) != PLAN_VERSION;
    plan->workers = sp_unpack_u32(&u);
    plan->daemon = sp_unpack_u8(&u) != 0;
    plan->connections = sp_unpack_u64(&u);
    unpack_user(&u, plan);
    plan->pid_path = sp_unpack_text(&u);
    plan->control_path = sp_unpack_text(&u);
    plan->data_dir = sp_unpack_text(&u);
    unpack_logs(&u, plan);
    unpack_listeners(&u, plan);
    sp_unpack_bytes(&u, plan->digest, sizeof plan->digest);
    plan->warnings = sp_unpack_text(&u);
    if (!sp_unpack_whole(&u) || plan->workers < 1 || plan->workers > SP_WORKERS_MAX) {
        sp_plan_free(plan);
        return -EBADMSG;
    }
    *out = plan;
    return 0;
}

void
sp_plan_free(struct sp_plan *plan)
{
    if (plan == NULL) {
        return;
    }
    for (unsigned i = 0; i < plan->nlisteners; i++) {
        free(plan->listeners[i].address);
        free(plan->listeners[i].where);
        free(plan->listeners[i].protocol);
        free(plan->listeners[i].trust);
    }
    for (unsigned i = 0; i < plan->nlogs; i++) {
        free(plan->logs[i]);
    }
    free(plan->listeners);
    free(plan->logs);
    free(plan->groups);
    free(plan->user);
    free(plan->pid_path);
    free(plan->control_path);
    free(plan->data_dir);
    free(plan->warnings);
    free(plan);
}
