#include "process/probe.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "conf/bundle.h"
#include "process/fork.h"
#include "process/privileges.h"

#define RESULT_MAX (16u << 20)

struct result_head {
    int32_t  err;
    uint32_t bytes;
};

/* -- the probe proper -- */

/* Compares with the configuration in force. 0, or -EINVAL and *errors. */
static int
check_restart(const struct sp_probe_request *q, const struct sp_snapshot *now, char **errors)
{
    struct sp_snapshot_options o = {q->options->prefix, q->options->conf, q->options->extra, q->generation - 1, true};
    struct sp_source          *source;
    struct sp_snapshot        *was;
    char                      *ignored = NULL;

    int err = sp_source_bundle(q->current, &source);
    if (err == 0) {
        err = sp_snapshot_build(q->registry, source, &o, &was, &ignored);
        free(ignored);
        if (err == 0) {
            err = sp_snapshot_restart_check(was, now, errors);
            sp_snapshot_unref(was);
        }
        sp_source_close(source);
    }
    return err;
}

static int
say_failed(int socket, char *errors, int err)
{
    if (errors == NULL && asprintf(&errors, "the configuration could not be checked: %s\n", strerror(-err)) < 0) {
        return 1;
    }
    err = sp_probe_failed(socket, errors, strlen(errors));
    free(errors);
    return err < 0;
}

static int
probe_main(const struct sp_probe_request *q, int socket, pid_t parent)
{
    struct sp_snapshot_options o = {q->options->prefix, q->options->conf, q->options->extra, q->generation, true};
    struct sp_source          *source;
    struct sp_snapshot        *s = NULL;
    struct sp_pack             plan = {0};
    char                      *errors = NULL;

    int err = q->plan != NULL ? sp_privileges_drop(q->plan, parent) : sp_privileges_drop_all(parent);
    if (err < 0) {
        return 1;
    }
    err = sp_source_remote(socket, &source);
    if (err < 0) {
        return 1;
    }
    err = sp_snapshot_build(q->registry, source, &o, &s, &errors);
    if (err < 0) {
        return say_failed(socket, errors, err);
    }
    free(errors); /* the warnings, which are in the plan too */
    errors = NULL;
    if (q->current >= 0) {
        err = check_restart(q, s, &errors);
    }
    if (err == 0) {
        err = sp_plan_make(s, &plan, &errors);
    }
    if (err < 0) {
        return say_failed(socket, errors, err);
    }
    return sp_probe_done(socket, plan.p, plan.n) < 0;
}

/* -- the reader -- */

static int
send_whole(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) {
            return -errno;
        }
        if (sent > 0) {
            p += sent;
            n -= (size_t)sent;
        }
    }
    return 0;
}

static int
send_result(int fd, int err, const char *bytes, size_t n, int bundle)
{
    struct result_head head = {err, (uint32_t)n};
    union {
        struct cmsghdr align;
        char           bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec  iov = {&head, sizeof head};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (n > RESULT_MAX) {
        return -EMSGSIZE;
    }
    if (bundle >= 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = sizeof control.bytes;
        struct cmsghdr *h = CMSG_FIRSTHDR(&msg);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(h), &bundle, sizeof bundle);
    }
    if (sendmsg(fd, &msg, MSG_NOSIGNAL) != (ssize_t)sizeof head) {
        return -EIO;
    }
    return send_whole(fd, bytes, n);
}

/* What became of the probe, when it did not say so itself. */
static char *
obituary(pid_t pid, int err)
{
    char  how[96], *text = NULL;
    int   status = 0;
    pid_t got;

    if (err == -ETIMEDOUT) {
        kill(pid, SIGKILL);
    }
    do {
        got = waitpid(pid, &status, 0);
    } while (got < 0 && errno == EINTR);
    if (err == -ETIMEDOUT) {
        if (asprintf(&text, "the configuration could not be read within %u s\n", SP_PROBE_TIMEOUT_MS / 1000) < 0) {
            return NULL;
        }
    } else if (asprintf(&text, "the process that checks the configuration %s\n",
                        sp_exit_text(how, sizeof how, status)) < 0) {
        return NULL;
    }
    return text;
}

static int
reader_main(const struct sp_probe_request *q, int out)
{
    struct sp_bundle *bundle;
    char             *reply = NULL;
    size_t            bytes = 0;
    int               ends[2], sealed = -1;
    pid_t             self = getpid();

    if (sp_bundle_create(&bundle) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        return 1;
    }
    pid_t pid = sp_fork();
    if (pid < 0) {
        return 1;
    }
    if (pid == 0) {
        const int keep[] = {ends[1], q->current};
        sp_close_others(keep, 2);
        _exit(probe_main(q, ends[1], self));
    }
    close(ends[1]);
    int err = sp_bundle_serve(bundle, ends[0], SP_PROBE_TIMEOUT_MS, &reply, &bytes);
    if (err == 0) {
        err = sp_bundle_seal(bundle, &sealed);
    }
    if (err < 0 && err != -EINVAL) {
        free(reply);
        reply = obituary(pid, err);
        bytes = reply == NULL ? 0 : strlen(reply);
    }
    err = send_result(out, err, reply, bytes, sealed);
    free(reply);
    sp_bundle_destroy(bundle);
    return err < 0;
}

/* -- the master -- */

int
sp_probe_start(const struct sp_probe_request *q, struct sp_probe *out)
{
    int   ends[2];
    pid_t parent = getpid();

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        return -errno;
    }
    pid_t pid = sp_fork();
    if (pid == 0) {
        const int keep[] = {ends[1], q->current};
        sp_log_ident("probe");
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent) {
            _exit(1);
        }
        sp_close_others(keep, 2);
        _exit(reader_main(q, ends[1]));
    }
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return (int)pid;
    }
    *out = (struct sp_probe){pid, ends[0]};
    return 0;
}

/* The head and perhaps a descriptor. */
static int
receive_head(int fd, struct result_head *head, int *bundle)
{
    union {
        struct cmsghdr align;
        char           bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec  iov = {head, sizeof *head};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};

    ssize_t n;
    do { /* a socket with a timeout is not restarted after a SIGCHLD */
        n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC | MSG_WAITALL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return -errno;
    }
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&msg); h != NULL; h = CMSG_NXTHDR(&msg, h)) {
        if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS && h->cmsg_len == CMSG_LEN(sizeof(int))) {
            memcpy(bundle, CMSG_DATA(h), sizeof *bundle);
        }
    }
    return n == (ssize_t)sizeof *head && head->bytes <= RESULT_MAX ? 0 : -EPIPE;
}

static int
receive(int fd, unsigned timeout_ms, struct result_head *head, char **bytes, int *bundle)
{
    const struct timeval patience = {5, 0};
    struct pollfd        pfd = {fd, POLLIN, 0};

    int ready;
    do {
        ready = poll(&pfd, 1, (int)timeout_ms);
    } while (ready < 0 && errno == EINTR);
    if (ready <= 0) {
        return -ETIMEDOUT;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    int err = receive_head(fd, head, bundle);
    if (err < 0) {
        return err;
    }
    *bytes = malloc(head->bytes + 1u);
    if (*bytes == NULL) {
        return -ENOMEM;
    }
    (*bytes)[head->bytes] = '\0';
    for (size_t got = 0; got < head->bytes;) {
        ssize_t n = recv(fd, *bytes + got, head->bytes - got, 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n == 0 ? -EPIPE : -errno;
        }
        got += (size_t)n;
    }
    return 0;
}

void
sp_probe_finish(struct sp_probe *p, unsigned timeout_ms, struct sp_probe_result *out)
{
    struct result_head head = {0};
    char              *bytes = NULL;

    *out = (struct sp_probe_result){.bundle = -1};
    int err = receive(p->fd, timeout_ms, &head, &bytes, &out->bundle);
    if (err == 0 && head.err < 0) {
        out->err = head.err;
        out->text = bytes;
        bytes = NULL;
    } else if (err == 0) {
        err = sp_plan_parse((struct sp_str){bytes, head.bytes}, &out->plan);
        if (err == 0 && out->bundle < 0) {
            err = -EBADMSG;
        }
    }
    free(bytes);
    if (err < 0) {
        out->err = err;
        if (asprintf(&out->text, "the configuration could not be checked: %s\n", strerror(-err)) < 0) {
            out->text = NULL;
        }
    }
    if (out->err < 0) {
        sp_plan_free(out->plan);
        out->plan = NULL;
        if (out->bundle >= 0) {
            close(out->bundle);
            out->bundle = -1;
        }
    }
    if (err == -ETIMEDOUT) {
        kill(p->pid, SIGKILL);
    }
    close(p->fd);
    p->fd = -1;
}

void
sp_probe_cancel(struct sp_probe *p)
{
    if (p->fd >= 0) {
        close(p->fd);
        p->fd = -1;
    }
    if (p->pid > 0) {
        kill(p->pid, SIGKILL);
    }
}
