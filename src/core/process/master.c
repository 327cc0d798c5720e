/* The master's start and end. */
#include "process/master.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "conf/module.h"
#include "conf/registry.h"
#include "net/bus.h"
#include "net/router.h"
#include "process/daemon.h"
#include "process/notify.h"
#include "process/pidfile.h"
#include "process/privileges.h"
#include "process/probe.h"
#include "sp_config.h"

#define ADDRESS_PATIENCE_MS 2000u /* a predecessor that was killed a moment ago may still be going */

#define OTHER_DESCRIPTORS 256u

/* The master, and what concerns its start only. Every struct sp_master is one of these: sp_master_main makes it. */
struct start {
    struct sp_master m;
    int              errors; /* the error log, to be read; -1 */
    off_t            shown;  /* of it: up to here */
    bool             blind;  /* the error log is a file of a kind that cannot be read */
};

static struct start *
start_of(struct sp_master *m)
{
    return (struct start *)m;
}

/* -- errors of the start: who typed the command sees them, wherever the error log goes -- */

/* From here on what any process of ours writes to the error log is looked at. */
static void
watch_errors(struct sp_master *m)
{
    struct start *s = start_of(m);
    struct stat   log, terminal, again;

    if (fstat(m->logs[0].fd, &log) < 0 ||
        (fstat(STDERR_FILENO, &terminal) == 0 && terminal.st_dev == log.st_dev && terminal.st_ino == log.st_ino)) {
        return;
    }
    s->errors = S_ISREG(log.st_mode) ? open(m->logs[0].path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (s->errors >= 0 && (fstat(s->errors, &again) < 0 || again.st_dev != log.st_dev || again.st_ino != log.st_ino)) {
        close(s->errors);
        s->errors = -1;
    }
    s->blind = s->errors < 0;
    s->shown = log.st_size;
}

/* `2026/11/20 19:10:14 [error] ...` */
static bool
is_error_line(const char *line, size_t n)
{
    static const char *const heads[] = {" [emerg] ", " [alert] ", " [crit] ", " [error] "};
    const size_t             stamp = sizeof("2026/11/20 19:10:14") - 1;

    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        size_t len = strlen(heads[i]);
        if (n >= stamp + len && memcmp(line + stamp, heads[i], len) == 0) {
            return true;
        }
    }
    return false;
}

static void
show_errors(struct sp_master *m)
{
    struct start *s = start_of(m);
    char          block[8192]; /* of several lines: one has 2,048 bytes at most */
    ssize_t       n;

    while (s->errors >= 0 && (n = pread(s->errors, block, sizeof block, s->shown)) > 0) {
        const char *line = block, *end;
        while ((end = memchr(line, '\n', (size_t)(block + n - line))) != NULL) {
            size_t len = (size_t)(end + 1 - line);
            if (is_error_line(line, len) && write(STDERR_FILENO, line, len) < 0) {
                return; /* nobody is there to see it */
            }
            line = end + 1;
        }
        if (line == block && n < (ssize_t)sizeof block) {
            return; /* the rest of this line is still to come */
        }
        s->shown += line == block ? n : line - block;
    }
}

/* It serves, or it has failed. */
static void
end_of_start(struct sp_master *m, bool failed)
{
    struct start *s = start_of(m);

    show_errors(m);
    if (s->errors >= 0) {
        close(s->errors);
        s->errors = -1;
    }
    if (s->blind && failed) {
        fprintf(stderr, "sallyport: the gateway did not start; its error log is %s\n", m->logs[0].path);
    }
    s->blind = false;
}

/* -- logs -- */

void
sp_master_free_logs(struct sp_process_log *logs, unsigned n)
{
    for (unsigned i = 0; logs != NULL && i < n; i++) {
        if (logs[i].fd >= 0) {
            close(logs[i].fd);
        }
        free(logs[i].path);
    }
    free(logs);
}

static int
open_log(const char *path)
{
    if (strcmp(path, "stderr") == 0) {
        int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        return fd < 0 ? -errno : fd;
    }
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
    return fd < 0 ? -errno : fd;
}

/* Is it the directory that is missing? Nobody but the operator makes one: whose it is and who may read it is for him to say. */
static const char *
open_failure(const char *path, int err)
{
    char       *dir = strdup(path), *slash = dir == NULL ? NULL : strrchr(dir, '/');
    struct stat st;
    bool        missing = false;

    if (err == -ENOENT && slash != NULL && slash != dir) {
        *slash = '\0';
        missing = stat(dir, &st) < 0 && errno == ENOENT;
    }
    free(dir);
    return missing ? "its directory does not exist" : strerror(-err);
}

int
sp_master_open_logs(const struct sp_plan *plan, struct sp_process_log **out, char **error)
{
    struct sp_process_log *logs = calloc(plan->nlogs, sizeof *logs);

    if (logs == NULL) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < plan->nlogs; i++) {
        logs[i].path = strdup(plan->logs[i]);
        logs[i].fd = open_log(plan->logs[i]);
        if (logs[i].path == NULL || logs[i].fd < 0) {
            int err = logs[i].fd < 0 ? logs[i].fd : -ENOMEM;
            if (asprintf(error, "cannot open the log %s: %s\n", plan->logs[i], open_failure(plan->logs[i], err)) < 0) {
                *error = NULL;
            }
            sp_master_free_logs(logs, i + 1);
            return err;
        }
    }
    *out = logs;
    return 0;
}

static void
send_logs(struct sp_master *m, unsigned level)
{
    struct sp_pack body = {0};
    int           *fds = calloc(m->nlogs + 1u, sizeof *fds);

    sp_pack_u32(&body, level);
    sp_pack_u32(&body, m->nlogs);
    for (unsigned i = 0; fds != NULL && i < m->nlogs; i++) {
        sp_pack_text(&body, m->logs[i].path);
        fds[i] = m->logs[i].fd;
    }
    for (unsigned i = 0; fds != NULL && !body.failed && i < m->nslots; i++) {
        if (m->slots[i].channel != NULL) {
            (void)sp_channel_send(m->slots[i].channel, SP_MSG_REOPEN, 0, (struct sp_str){body.p, body.n}, fds,
                                  m->nlogs);
        }
    }
    sp_pack_free(&body);
    free(fds);
}

void
sp_master_use_logs(struct sp_master *m, struct sp_process_log *logs, unsigned n, unsigned level)
{
    int fd = fcntl(logs[0].fd, F_DUPFD_CLOEXEC, 3);

    if (fd >= 0) {
        sp_log_use_fd(fd, (enum sp_log_level)level);
    }
    sp_master_free_logs(m->logs, m->nlogs);
    m->logs = logs;
    m->nlogs = n;
    send_logs(m, level);
}

/* -- ready -- */

static void
say_ready(const struct sp_master *m)
{
    struct sp_pack text = {0};

    for (unsigned i = 0; i < m->plan->nlisteners; i++) {
        const char *address = m->plan->listeners[i].address;
        sp_pack_bytes(&text, i == 0 ? " " : ", ", i == 0 ? 1 : 2);
        sp_pack_bytes(&text, address, strlen(address));
    }
    if (m->plan->nlisteners == 0) {
        sp_pack_bytes(&text, " nothing", 8);
    }
    sp_log(SP_LOG_NOTICE, "sallyport %s: ready, generation %llu, %u worker%s, listening on%.*s", SP_VERSION,
           (unsigned long long)m->generation, m->plan->workers, m->plan->workers == 1 ? "" : "s", (int)text.n, text.p);
    sp_pack_free(&text);
}

void
sp_master_check_ready(struct sp_master *m)
{
    if (m->phase != SP_PHASE_START) {
        return;
    }
    for (unsigned i = 0; i < m->nslots; i++) {
        const struct sp_slot *s = &m->slots[i];
        if (s->state != SP_SLOT_UP || (s->kind == SP_WORKER && !s->accepting)) {
            return;
        }
    }
    m->phase = SP_PHASE_RUN;
    if (m->successor != NULL) {
        sp_successor_ready(m);
    }
    if (m->phase != SP_PHASE_RUN) {
        return; /* it could not take over */
    }
    say_ready(m);
    sp_notify_ready(m->generation);
    end_of_start(m, false);
    sp_daemon_tell(&m->parent_pipe, SP_EXIT_OK, strcmp(m->plan->logs[0], "stderr") == 0);
}

/* -- start -- */

void
sp_master_log_lines(int level, const char *text)
{
    for (const char *end; text != NULL && *text != '\0'; text = *end == '\0' ? end : end + 1) {
        end = strchrnul(text, '\n');
        if (end > text) {
            sp_log((enum sp_log_level)level, "%.*s", (int)(end - text), text);
        }
    }
}

/* The first configuration. Complaints go to stderr as they are: no log is known yet. */
static enum sp_exit
first_probe(struct sp_master *m)
{
    struct sp_probe_request q = {m->options, m->registry, m->generation, -1, NULL};
    struct sp_probe         probe;
    struct sp_probe_result  result;

    int err = sp_probe_start(&q, &probe);
    if (err < 0) {
        fprintf(stderr, "sallyport: cannot start: %s\n", strerror(-err));
        sp_successor_failed(m, strerror(-err));
        return SP_EXIT_FAILURE;
    }
    sp_probe_finish(&probe, SP_PROBE_TIMEOUT_MS + 5000, &result);
    (void)waitpid(probe.pid, NULL, 0);
    if (result.err < 0) {
        fputs(result.text == NULL ? "sallyport: out of memory\n" : result.text, stderr);
        sp_successor_failed(m, result.text == NULL ? "out of memory" : result.text);
        free(result.text);
        return result.err == -EINVAL ? SP_EXIT_CONF : SP_EXIT_FAILURE;
    }
    m->plan = result.plan;
    m->bundle = result.bundle;
    return SP_EXIT_OK;
}

static enum sp_exit
fail(struct sp_master *m, char *text, int err)
{
    const char *what = text != NULL ? text : strerror(-err);

    sp_master_log_lines(SP_LOG_EMERG, what);
    show_errors(m);
    if (start_of(m)->blind) {
        fprintf(stderr, "sallyport: %s%s", what, text != NULL && strchr(text, '\n') != NULL ? "" : "\n");
    }
    sp_successor_failed(m, what);
    free(text);
    return SP_EXIT_FAILURE;
}

static bool
is_within(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    return strncmp(path, dir, n) == 0 && path[n] == '/' && strstr(path + n, "/../") == NULL;
}

/* The directory of the pid file or the control socket: made within data_dir, elsewhere it has to be there. */
static int
make_place(const struct sp_plan *plan, const char *what, const char *path, char **error)
{
    char       *dir = strdup(path), *slash = dir == NULL ? NULL : strrchr(dir, '/');
    int         err = dir == NULL ? -ENOMEM : 0;
    struct stat st;

    if (err == 0 && is_within(path, plan->data_dir)) {
        err = sp_make_parents(path);
    } else if (err == 0 && slash != NULL && slash != dir) {
        *slash = '\0';
        err = stat(dir, &st) < 0 ? -errno : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
    }
    free(dir);
    if (err < 0 && asprintf(error, "cannot make the %s %s: its directory: %s\n", what, path, strerror(-err)) < 0) {
        *error = NULL;
    }
    return err;
}

/* data_dir, as the keeper's user can use it. No other directory is made outside of it. */
static int
make_data_dir(const struct sp_plan *plan, char **error)
{
    int err = mkdir(plan->data_dir, 0700) < 0 ? -errno : 0;

    if (err == 0 && plan->drop && geteuid() == 0 && lchown(plan->data_dir, plan->uid, plan->gid) < 0) {
        err = -errno;
    }
    if (err < 0 && err != -EEXIST) {
        if (asprintf(error, "cannot make data_dir %s: %s\n", plan->data_dir,
                     err == -ENOENT ? "the directory above it does not exist" : strerror(-err)) < 0) {
            *error = NULL;
        }
        return err;
    }
    err = make_place(plan, "pid file", plan->pid_path, error);
    return err < 0 ? err : make_place(plan, "control socket", plan->control_path, error);
}

static enum sp_exit
take_ground(struct sp_master *m, struct sp_sockets *inherited)
{
    struct sp_process_log *logs;
    char                  *error = NULL;

    int err = make_data_dir(m->plan, &error); /* first: a log may be in it */
    if (err == 0) {
        err = sp_master_open_logs(m->plan, &logs, &error);
    }
    if (err < 0) {
        return fail(m, error, err);
    }
    sp_master_use_logs(m, logs, m->plan->nlogs, m->plan->log_level);
    watch_errors(m);
    sp_master_log_lines(SP_LOG_WARN, m->plan->warnings);
    if (geteuid() == 0 && !m->plan->drop) {
        sp_log(SP_LOG_WARN, "workers and keeper run as root: name a user in the configuration (user NAME;)");
    } else if (geteuid() != 0 && m->plan->drop) {
        sp_log(SP_LOG_WARN, "user %s is not used: sallyport was not started by root", m->plan->user);
    }
    if (m->successor == NULL && sp_control_is_alive(m->plan->control_path)) {
        if (asprintf(&error, "a gateway is running already: it answers at %s", m->plan->control_path) < 0) {
            error = NULL;
        }
        return fail(m, error, -EADDRINUSE);
    }
    /* inherited by all */
    sp_privileges_descriptors(m->plan->connections,
                              OTHER_DESCRIPTORS + m->plan->workers * (2 * m->plan->nlisteners + 2));
    err = sp_successor_check(m, &error);
    if (err == 0) {
        err = sp_sockets_open(m->plan, inherited, ADDRESS_PATIENCE_MS, &m->sockets, &error);
    }
    if (err == 0 && m->successor == NULL) {
        err = sp_sockets_listen(m->sockets, &error);
    }
    return err < 0 ? fail(m, error, err) : SP_EXIT_OK;
}

static int
make_metrics(struct sp_master *m)
{
    unsigned n = sp_registry_modules(m->registry);

    m->metric_base = calloc(n + 1, sizeof *m->metric_base);
    int err = m->metric_base == NULL ? -ENOMEM : sp_metrics_create(&m->metrics, m->plan->workers + 2);
    if (err < 0) {
        return err;
    }
    m->router_metrics = sp_metrics_register(m->metrics, sp_router_metrics, sp_router_nmetrics);
    for (unsigned i = 0; i < n; i++) {
        const struct sp_module *module = sp_registry_module(m->registry, i);
        m->metric_base[i] = sp_metrics_register(m->metrics, module->metrics, (unsigned)module->nmetrics);
        if (m->metric_base[i] < 0) {
            sp_log(SP_LOG_EMERG, "module %s has too many counters", module->name);
            return m->metric_base[i];
        }
    }
    sp_metrics_attach(m->metrics, m->plan->workers + 1);
    return m->router_metrics < 0 ? m->router_metrics : 0;
}

static int
make_shared(struct sp_master *m)
{
    if (m->base == NULL) {
        m->base = event_base_new();
    }
    int err = m->base == NULL ? -ENOMEM : make_metrics(m);
    if (err == 0) {
        err = sp_bus_shared_create(m->plan->workers + 1, 0, &m->bus);
    }
    if (err == 0) {
        err = sp_orders_signals(m);
    }
    return err == 0 ? sp_spawn_slots(m) : err;
}

int
sp_master_take_names(struct sp_master *m)
{
    const struct sp_plan *plan = m->plan;
    bool                  other = plan->drop && geteuid() == 0 && plan->uid != 0;

    int err = sp_control_open(m->base, plan->control_path, other ? plan->uid : (uid_t)-1, other ? plan->gid : (gid_t)-1,
                              sp_orders_request, m, &m->control);
    return err == 0 ? sp_pidfile_write(plan->pid_path, getpid()) : err;
}

static enum sp_exit
launch(struct sp_master *m)
{
    int err = make_shared(m);

    if (err == 0 && m->successor == NULL) {
        err = sp_master_take_names(m);
    }
    for (unsigned i = 0; err == 0 && i < m->nslots; i++) {
        /* a successor's keeper starts when the predecessor's has let go of the store */
        if (m->slots[i].kind == SP_WORKER || m->successor == NULL) {
            err = sp_spawn(&m->slots[i]);
        }
    }
    return err < 0 ? fail(m, NULL, err) : SP_EXIT_OK;
}

static void
finish(struct sp_master *m)
{
    m->phase = SP_PHASE_STOP;
    sp_reload_cancel(m, "the gateway has ended");
    sp_reload_free(m);
    sp_gather_free(m);
    sp_upgrade_free(m);
    sp_successor_free(m);
    if (m->plan != NULL && !m->handed_over && m->control != NULL) {
        sp_pidfile_remove(m->plan->pid_path, getpid());
        (void)unlink(m->plan->control_path);
    }
    for (unsigned i = 0; i < m->nenders; i++) {
        sp_client_out(m->enders[i], SP_STR("sallyport has ended\n"));
        sp_client_exit(m->enders[i], SP_EXIT_OK);
    }
    sp_control_close(m->control);
    sp_spawn_free(m);
    sp_orders_free(m);
    sp_sockets_close(m->sockets);
    sp_bus_shared_destroy(m->bus);
    if (m->metrics != NULL) {
        sp_metrics_destroy(m->metrics);
    }
    free(m->metric_base);
    if (m->bundle >= 0) {
        close(m->bundle);
    }
    end_of_start(m, m->exit_code != SP_EXIT_OK);
    sp_daemon_tell(&m->parent_pipe, m->exit_code, 1);
    sp_plan_free(m->plan);
    if (m->base != NULL) {
        event_base_free(m->base);
    }
    sp_master_free_logs(m->logs, m->nlogs);
    free(m->binary);
}

static void
run(struct sp_master *m)
{
    while (sp_spawn_alive(m, SP_WORKER) + sp_spawn_alive(m, SP_KEEPER) > 0 || m->phase < SP_PHASE_QUIT) {
        if (event_base_loop(m->base, EVLOOP_ONCE) < 0) {
            sp_log(SP_LOG_EMERG, "the event loop failed");
            m->exit_code = SP_EXIT_FAILURE;
            break;
        }
        show_errors(m);
    }
    sp_log(SP_LOG_NOTICE, "sallyport %s has ended", SP_VERSION);
}

enum sp_exit
sp_master_main(const struct sp_options *o, const struct sp_registry *r)
{
    struct start start = {
        .m = {.options = o, .registry = r, .bundle = -1, .parent_pipe = -1, .router_metrics = -1, .generation = 1},
        .errors = -1};
    struct sp_master  *m = &start.m;
    struct sp_sockets *inherited = NULL;

    signal(SIGPIPE, SIG_IGN);
    sp_log_ident("master");
    sp_clock_update();
    m->started_ms = sp_clock_ms();
    m->binary = realpath("/proc/self/exe", NULL);
    sp_random(m->ticket_secret, sizeof m->ticket_secret);
    int joined = sp_successor_join(m, &inherited);
    if (joined < 0) {
        sp_log(SP_LOG_EMERG, "cannot take over from the old gateway: %s", strerror(-joined));
        finish(m);
        return SP_EXIT_FAILURE;
    }
    enum sp_exit rc = first_probe(m);
    if (rc == SP_EXIT_OK) {
        rc = take_ground(m, inherited);
    }
    sp_sockets_close(inherited);
    if (rc == SP_EXIT_OK && m->plan->daemon && m->successor == NULL) {
        int err = sp_daemon_start(&m->parent_pipe);
        if (err < 0) {
            rc = fail(m, NULL, err);
        }
    }
    if (rc == SP_EXIT_OK) {
        rc = launch(m);
        if (rc != SP_EXIT_OK) {
            sp_orders_end(m, SP_PHASE_STOP);
        }
        if (m->base != NULL) {
            run(m);
        }
    }
    if (rc != SP_EXIT_OK) {
        m->exit_code = (int)rc;
    }
    finish(m);
    return (enum sp_exit)m->exit_code;
}
