#include "process/control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "process/control_wire.h"
#include "process/pack.h"
#include "process/pidfile.h"
#include "process/unixsock.h"

#define CLIENTS_MAX    64u
#define REQUEST_WAIT_S 5
#define OUTPUT_MAX     (32u << 20)

struct sp_client {
    struct sp_control  *control; /* NULL once the socket was closed */
    struct bufferevent *bev;     /* NULL: the client has gone */
    struct sp_client   *next, **prev;
    bool                may_command;
    bool                asked; /* a handler has it */
    bool                over;  /* the verdict is in the buffer */
};

struct sp_control {
    struct event_base *base;
    int                fd;
    struct event      *listener, *pause;
    uid_t              asker;
    sp_control_fn      fn;
    void              *arg;
    struct sp_client  *clients;
    unsigned           nclients;
};

static void
unlink_client(struct sp_client *c)
{
    if (c->prev != NULL) {
        *c->prev = c->next;
        if (c->next != NULL) {
            c->next->prev = c->prev;
        }
        c->prev = NULL;
        c->control->nclients--;
    }
    c->control = NULL;
}

/* The connection goes; the rest stays while a handler has it. */
static void
drop(struct sp_client *c)
{
    if (c->bev != NULL) {
        bufferevent_free(c->bev);
        c->bev = NULL;
    }
    unlink_client(c);
    if (!c->asked || c->over) {
        free(c);
    }
}

static void
frame(struct sp_client *c, enum sp_control_frame kind, const void *bytes, size_t n)
{
    struct sp_pack head = {0};

    if (c->bev == NULL || c->over) {
        return;
    }
    struct evbuffer *out = bufferevent_get_output(c->bev);
    if (n > SP_CONTROL_FRAME_MAX || evbuffer_get_length(out) + n > OUTPUT_MAX) {
        sp_log(SP_LOG_ERROR, "control: an answer of %zu bytes is too long", n);
        return;
    }
    sp_pack_u8(&head, (uint8_t)kind);
    sp_pack_u32(&head, (uint32_t)n);
    if (head.failed || evbuffer_add(out, head.p, head.n) < 0 || evbuffer_add(out, bytes, n) < 0) {
        sp_log(SP_LOG_ERROR, "control: out of memory");
    }
    sp_pack_free(&head);
}

void
sp_client_out(struct sp_client *c, struct sp_str text)
{
    frame(c, SP_CONTROL_OUT, text.p, text.n);
}

void
sp_client_err(struct sp_client *c, struct sp_str text)
{
    frame(c, SP_CONTROL_ERR, text.p, text.n);
}

void
sp_client_errf(struct sp_client *c, const char *fmt, ...)
{
    va_list ap;
    char   *text = NULL;

    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) >= 0) {
        sp_client_err(c, sp_str_c(text));
        free(text);
    }
    va_end(ap);
}

void
sp_client_exit(struct sp_client *c, enum sp_exit code)
{
    uint32_t n = code;

    frame(c, SP_CONTROL_EXIT, &n, sizeof n);
    c->over = true;
    if (c->bev == NULL) {
        free(c);
        return;
    }
    const struct timeval patience = {REQUEST_WAIT_S, 0};
    bufferevent_set_timeouts(c->bev, &patience, &patience);
    (void)bufferevent_enable(c->bev, EV_WRITE);
}

bool
sp_client_may_command(const struct sp_client *c)
{
    return c->may_command;
}

static void
on_written(struct bufferevent *bev, void *arg)
{
    struct sp_client *c = arg;

    if (c->over && evbuffer_get_length(bufferevent_get_output(bev)) == 0) {
        drop(c);
    }
}

static void
on_event(struct bufferevent *bev, short what, void *arg)
{
    struct sp_client *c = arg;
    (void)bev;

    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR | BEV_EVENT_TIMEOUT)) != 0) {
        drop(c);
    }
}

static void
malformed(struct sp_client *c)
{
    c->asked = true;
    sp_client_err(c, SP_STR("sallyport: malformed request\n"));
    sp_client_exit(c, SP_EXIT_USAGE);
}

static void
handle(struct sp_client *c, struct sp_str body)
{
    struct sp_unpack u = {body.p, body.n, false};
    char            *args[SP_CONTROL_ARGS_MAX] = {NULL};
    uint32_t         n = sp_unpack_u32(&u);

    for (uint32_t i = 0; i < n && i < SP_CONTROL_ARGS_MAX && !u.failed; i++) {
        args[i] = sp_unpack_text(&u);
    }
    if (n == 0 || n > SP_CONTROL_ARGS_MAX || !sp_unpack_whole(&u)) {
        malformed(c);
    } else {
        c->asked = true;
        c->control->fn(c->control->arg, c, args, n);
    }
    for (unsigned i = 0; i < SP_CONTROL_ARGS_MAX; i++) {
        free(args[i]);
    }
}

static void
on_readable(struct bufferevent *bev, void *arg)
{
    struct sp_client *c = arg;
    struct evbuffer  *in = bufferevent_get_input(bev);
    char              head[SP_CONTROL_HEAD_BYTES];

    if (c->asked) { /* nothing more is wanted */
        evbuffer_drain(in, evbuffer_get_length(in));
        return;
    }
    if (evbuffer_get_length(in) < sizeof head) {
        return;
    }
    evbuffer_copyout(in, head, sizeof head);
    struct sp_unpack u = {head, sizeof head, false};
    uint32_t         magic = sp_unpack_u32(&u), bytes = sp_unpack_u32(&u);
    if (magic != SP_CONTROL_MAGIC || bytes > SP_CONTROL_REQUEST_MAX) {
        evbuffer_drain(in, evbuffer_get_length(in));
        malformed(c);
        return;
    }
    if (evbuffer_get_length(in) < sizeof head + bytes) {
        return;
    }
    bufferevent_set_timeouts(bev, NULL, NULL);
    char *whole = malloc(sizeof head + bytes);
    if (whole == NULL) {
        drop(c);
        return;
    }
    evbuffer_remove(in, whole, sizeof head + bytes);
    handle(c, (struct sp_str){whole + sizeof head, bytes});
    free(whole);
}

static bool
admit(const struct sp_control *control, int fd, bool *may_command)
{
    struct ucred peer;
    socklen_t    n = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0) {
        return false;
    }
    *may_command = peer.uid == 0 || peer.uid == geteuid();
    if (*may_command || (control->asker != (uid_t)-1 && peer.uid == control->asker)) {
        return true;
    }
    sp_log(SP_LOG_WARN, "control: refused uid %u, pid %d", (unsigned)peer.uid, (int)peer.pid);
    return false;
}

static void
take(struct sp_control *control, int fd)
{
    const struct timeval patience = {REQUEST_WAIT_S, 0};
    bool                 may_command = false;
    struct sp_client    *c = NULL;

    if (control->nclients >= CLIENTS_MAX || !admit(control, fd, &may_command) || (c = calloc(1, sizeof *c)) == NULL) {
        close(fd);
        return;
    }
    c->bev = bufferevent_socket_new(control->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (c->bev == NULL) {
        close(fd);
        free(c);
        return;
    }
    c->control = control;
    c->may_command = may_command;
    c->next = control->clients;
    c->prev = &control->clients;
    if (c->next != NULL) {
        c->next->prev = &c->next;
    }
    control->clients = c;
    control->nclients++;
    bufferevent_setcb(c->bev, on_readable, on_written, on_event, c);
    bufferevent_set_timeouts(c->bev, &patience, &patience);
    (void)bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

static void
on_connection(evutil_socket_t fd, short what, void *arg)
{
    struct sp_control *control = arg;
    (void)what;

    for (;;) {
        int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (peer < 0) {
            if (errno == EINTR || errno == ECONNABORTED) {
                continue;
            }
            if (errno != EAGAIN) {
                const struct timeval second = {1, 0};
                sp_log(SP_LOG_CRIT, "control: cannot accept: %s", strerror(errno));
                event_del(control->listener);
                event_add(control->pause, &second);
            }
            return;
        }
        take(control, peer);
    }
}

static void
on_pause_over(evutil_socket_t fd, short what, void *arg)
{
    struct sp_control *control = arg;
    (void)fd;
    (void)what;

    event_add(control->listener, NULL);
}

bool
sp_control_is_alive(const char *path)
{
    int fd = sp_unix_connect(path);

    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

int
sp_control_open(struct event_base *base, const char *path, uid_t asker, gid_t group, sp_control_fn fn, void *arg,
                struct sp_control **out)
{
    struct sp_control *c = calloc(1, sizeof *c);
    int                err = c == NULL ? -ENOMEM : sp_make_parents(path);

    if (err == 0) {
        /* the workers' group may open it; who it is decides what he may */
        bool shared = asker != (uid_t)-1;
        c->fd = sp_unix_listen(path, shared ? 0660 : 0600, (uid_t)-1, shared ? group : (gid_t)-1);
        err = c->fd < 0 ? c->fd : 0;
    }
    if (err < 0) {
        sp_log(SP_LOG_EMERG, "cannot open the control socket %s: %s", path, strerror(-err));
        free(c);
        return err;
    }
    c->base = base;
    c->asker = asker;
    c->fn = fn;
    c->arg = arg;
    c->listener = event_new(base, c->fd, EV_READ | EV_PERSIST, on_connection, c);
    c->pause = evtimer_new(base, on_pause_over, c);
    if (c->listener == NULL || c->pause == NULL || event_add(c->listener, NULL) < 0) {
        sp_control_close(c);
        return -ENOMEM;
    }
    *out = c;
    return 0;
}

/* Writes what waits, for a last time. */
static void
flush(struct sp_client *c)
{
    struct evbuffer *out = bufferevent_get_output(c->bev);
    int              fd = bufferevent_getfd(c->bev);
    struct pollfd    pfd = {fd, POLLOUT, 0};

    (void)bufferevent_disable(c->bev, EV_WRITE | EV_READ);
    /* a disabled bufferevent keeps its output's end frozen for others */
    evbuffer_unfreeze(out, 1);
    while (evbuffer_get_length(out) > 0 && poll(&pfd, 1, 1000) > 0 && evbuffer_write(out, fd) > 0) {
    }
}

void
sp_control_close(struct sp_control *c)
{
    if (c == NULL) {
        return;
    }
    while (c->clients != NULL) {
        struct sp_client *client = c->clients;
        flush(client);
        drop(client);
    }
    if (c->listener != NULL) {
        event_free(c->listener);
    }
    if (c->pause != NULL) {
        event_free(c->pause);
    }
    close(c->fd);
    free(c);
}
