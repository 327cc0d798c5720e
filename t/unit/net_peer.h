/*
 * For conn_test: a worker of one process with an echo protocol, and clients in the same loop. pump() turns the loop until something has
 * happened; a deadline of 10 s stands for "never".
 */
#ifndef SP_T_UNIT_NET_PEER_H
#define SP_T_UNIT_NET_PEER_H

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/conn.h"
#include "net_conf.h"
#include "process/process.h"

static struct sp_process worker;

/* -- the protocol: lines come back; some are commands -- */

static struct {
    unsigned          opened, closed, inputs, drained, farewells, rebinds;
    enum sp_close_why why, farewell_why;
    enum sp_verdict   verdict;
    struct sp_conn   *last;
    uint64_t          last_id;
    char              identity[64];
    size_t            tail_limit;
    bool              refuse_open;
} echo = {.tail_limit = 100000};

__attribute__((unused)) static int
echo_open(struct sp_conn *c)
{
    echo.opened++;
    echo.last = c;
    echo.last_id = c->id;
    snprintf(echo.identity, sizeof(echo.identity), "%.*s", SP_STR_ARG(c->identity->name));
    c->session = &echo;
    return echo.refuse_open ? -1 : 0;
}

__attribute__((unused)) static void
echo_out(struct sp_conn *c, const void *p, size_t n)
{
    sp_outq_append(&c->out, &c->process->outq_pool, p, n);
    sp_conn_touch(c);
}

__attribute__((unused)) static void
echo_big(struct sp_conn *c, size_t n)
{
    static char block[1000];

    for (size_t i = 0; i < n; i += sizeof(block)) {
        memset(block, (int)('a' + i / sizeof(block) % 26), sizeof(block));
        echo_out(c, block, n - i < sizeof(block) ? n - i : sizeof(block));
    }
}

__attribute__((unused)) static bool
echo_line(struct sp_conn *c, struct sp_str line)
{
    if (sp_str_is(line, "pause")) {
        sp_conn_pause(c);
    } else if (sp_str_is(line, "close")) {
        echo_out(c, "bye\n", 4);
        sp_conn_close(c, SP_CLOSE_PROTOCOL);
    } else if (sp_str_is(line, "bad")) {
        return false;
    } else if (sp_str_prefix(line, SP_STR("big "))) {
        echo_big(c, (size_t)atol(line.p + 4));
    } else {
        echo_out(c, line.p, line.n);
        echo_out(c, "\n", 1);
    }
    return true;
}

__attribute__((unused)) static ssize_t
echo_input(struct sp_conn *c, const char *bytes, size_t n)
{
    size_t at = 0;

    echo.inputs++;
    while (at < n && c->paused == 0 && !c->closing) {
        const char *end = memchr(bytes + at, '\n', n - at);
        if (end == NULL) {
            break;
        }
        if (!echo_line(c, (struct sp_str){bytes + at, (size_t)(end - bytes) - at})) {
            return -1;
        }
        at = (size_t)(end - bytes) + 1;
    }
    return (ssize_t)at;
}

__attribute__((unused)) static void
echo_drained(struct sp_conn *c)
{
    (void)c;
    echo.drained++;
}

__attribute__((unused)) static size_t
echo_tail_limit(struct sp_conn *c)
{
    (void)c;
    return echo.tail_limit;
}

__attribute__((unused)) static enum sp_verdict
echo_rebind(struct sp_conn *c, struct sp_snapshot *was, struct sp_snapshot *now)
{
    echo.rebinds += c->snapshot == was && now == c->process->snapshot;
    return echo.verdict;
}

__attribute__((unused)) static void
echo_farewell(struct sp_conn *c, enum sp_close_why why)
{
    echo.farewells++;
    echo.farewell_why = why;
    echo_out(c, "farewell\n", 9);
}

__attribute__((unused)) static void
echo_closed(struct sp_conn *c, enum sp_close_why why)
{
    if (c->session != &echo) {
        abort();
    }
    echo.closed++;
    echo.why = why;
}

static const struct sp_protocol echo_protocol = {"echo",          echo_open,   echo_input,    echo_drained,
                                                 echo_tail_limit, echo_rebind, echo_farewell, echo_closed};

/* -- the worker -- */

__attribute__((unused)) static void
turn(void)
{
    event_base_loop(worker.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    sp_clock_update();
    sp_net_flush(worker.net);
}

#define pump(cond) pump_while(!(cond))
#define pump_while(cond)                                                                                               \
    do {                                                                                                               \
        uint64_t pump_end = sp_clock_ns() + UINT64_C(10000000000);                                                     \
        while ((cond) && sp_clock_ns() < pump_end) {                                                                   \
            turn();                                                                                                    \
        }                                                                                                              \
    } while (0)

__attribute__((unused)) static int
listen_any(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    socklen_t          n = sizeof(a);
    int                fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &n) < 0) {
        abort();
    }
    *port = ntohs(a.sin_port);
    return fd;
}

static uint16_t ports[4];

/* Every listener gets a socket on a port of the kernel's choice: ports[]. */
__attribute__((unused)) static void
worker_listen(void)
{
    int      fds[4];
    unsigned n = 0;

    for (const struct sp_listener_conf *l = worker.snapshot->listeners; l != NULL && n < 4; l = l->next) {
        fds[n] = listen_any(&ports[n]);
        n++;
    }
    sp_net_listen(worker.net, fds, n);
}

__attribute__((unused)) static void
worker_start(const char *conf)
{
    char *errors;

    memset(&worker, 0, sizeof(worker));
    worker.slot = 3;
    worker.epoch = 2;
    worker.workers = 4;
    worker.base = event_base_new();
    worker.snapshot = conf_build(conf, &errors);
    if (worker.snapshot == NULL) {
        printf("# %s\n", errors);
        abort();
    }
    free(errors);
    if (sp_wheel_create(worker.base, &worker.wheel) < 0 || sp_net_start(&worker, &worker.net) < 0) {
        abort();
    }
    worker_listen();
    sp_net_accept(worker.net, true);
    memset(&echo, 0, sizeof(echo));
    echo.tail_limit = 100000;
}

__attribute__((unused)) static void
worker_stop(void)
{
    sp_net_stop(worker.net);
    worker.net = NULL;
    sp_outq_pool_clear(&worker.outq_pool);
    sp_wheel_destroy(worker.wheel);
    event_base_free(worker.base);
    sp_snapshot_unref(worker.snapshot);
}

static struct {
    bool     done;
    unsigned kept, trimmed, closed;
} swept;

__attribute__((unused)) static void
on_swept(struct sp_process *p, unsigned kept, unsigned trimmed, unsigned closed)
{
    (void)p;
    swept.done = true;
    swept.kept = kept;
    swept.trimmed = trimmed;
    swept.closed = closed;
}

/* Swaps, without the sweep. */
__attribute__((unused)) static void
worker_commit(const char *conf)
{
    struct sp_snapshot *was = worker.snapshot;
    char               *errors;

    worker.snapshot = conf_build(conf, &errors);
    if (worker.snapshot == NULL) {
        printf("# %s\n", errors);
        abort();
    }
    free(errors);
    worker_listen();
    sp_snapshot_unref(was);
}

__attribute__((unused)) static void
worker_sweep(void)
{
    memset(&swept, 0, sizeof(swept));
    sp_net_sweep(worker.net, on_swept);
    pump(swept.done);
}

/* -- clients -- */

struct client {
    int      fd;
    SSL     *ssl;
    bool     ready, eof, reset, failed;
    char     in[4 << 20];
    size_t   n;
    unsigned reads;
};

__attribute__((unused)) static struct client *
client_new(uint16_t port)
{
    struct client     *k = calloc(1, sizeof(*k));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    k->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(k->fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        abort();
    }
    fcntl(k->fd, F_SETFL, O_NONBLOCK);
    setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return k;
}

__attribute__((unused)) static void
client_free(struct client *k)
{
    if (k->ssl != NULL) {
        SSL_set_shutdown(k->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* or its session could not be resumed */
    }
    SSL_free(k->ssl);
    close(k->fd);
    free(k);
}

__attribute__((unused)) static void
client_send(struct client *k, const char *bytes, size_t n)
{
    size_t at = 0;

    while (at < n) {
        ssize_t w = k->ssl != NULL ? SSL_write(k->ssl, bytes + at, (int)(n - at))
                                   : send(k->fd, bytes + at, n - at, MSG_NOSIGNAL);
        if (w > 0) {
            at += (size_t)w;
        } else if (k->ssl != NULL ? SSL_get_error(k->ssl, (int)w) != SSL_ERROR_WANT_WRITE : errno != EAGAIN) {
            return;
        }
        turn();
    }
}

/* In one segment, without a turn between. */
__attribute__((unused)) static void
client_say(struct client *k, const char *text)
{
    if (k->ssl != NULL) {
        (void)SSL_write(k->ssl, text, (int)strlen(text));
    } else {
        (void)send(k->fd, text, strlen(text), MSG_NOSIGNAL);
    }
}

/* Takes what there is; true when the connection has ended. */
__attribute__((unused)) static bool
client_read(struct client *k)
{
    ssize_t r;

    do {
        size_t room = sizeof(k->in) - k->n;
        ERR_clear_error();
        r = k->ssl != NULL ? SSL_read(k->ssl, k->in + k->n, (int)room) : recv(k->fd, k->in + k->n, room, 0);
        if (r > 0) {
            k->n += (size_t)r;
            k->reads++;
        }
    } while (r > 0);
    if (k->ssl != NULL) {
        int e = SSL_get_error(k->ssl, (int)r);
        k->eof = k->eof || e == SSL_ERROR_ZERO_RETURN;
        k->failed = k->failed || e == SSL_ERROR_SSL || e == SSL_ERROR_SYSCALL;
    } else {
        k->eof = k->eof || r == 0;
        k->reset = k->reset || (r < 0 && errno == ECONNRESET);
    }
    return k->eof || k->reset || k->failed;
}

__attribute__((unused)) static bool
client_has(struct client *k, const char *text)
{
    (void)client_read(k);
    return k->n == strlen(text) && memcmp(k->in, text, k->n) == 0;
}

__attribute__((unused)) static void
client_forget(struct client *k)
{
    k->n = 0;
    k->reads = 0;
}

/* One step of the client's handshake; true when it is done or has failed. */
__attribute__((unused)) static bool
client_handshake(struct client *k)
{
    int r;

    ERR_clear_error();
    r = SSL_do_handshake(k->ssl);
    if (r == 1) {
        k->ready = true;
    } else {
        int e = SSL_get_error(k->ssl, r);
        k->failed = e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE;
    }
    return k->ready || k->failed;
}

#endif
