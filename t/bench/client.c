#include "client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"

static void
arm(struct sp_client *c, uint32_t events)
{
    struct epoll_event event = {.events = events, .data = {.ptr = c}};

    if (c->armed != events) {
        epoll_ctl(c->epfd, EPOLL_CTL_MOD, c->fd, &event);
        c->armed = events;
    }
}

static int
source_bind(int fd, uint32_t source)
{
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(source)}};
    int                on = 1;

    /* Leaves the choice of the port to connect(), which may then reuse one for another destination. */
    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0 ||
        bind(fd, (struct sockaddr *)&local, sizeof local) != 0) {
        return -errno;
    }
    return 0;
}

int
sp_client_open(struct sp_client *c, int epfd, const struct sockaddr *addr, socklen_t addr_len, uint32_t source,
               SSL_CTX *tls)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data = {.ptr = c}};
    int                on = 1, rc = 0;

    c->epfd = epfd;
    c->armed = event.events;
    c->fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        return -errno;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (source != 0 && addr->sa_family == AF_INET) {
        rc = source_bind(c->fd, source);
        if (rc != 0) {
            goto fail_socket;
        }
    }
    if (connect(c->fd, addr, addr_len) != 0 && errno != EINPROGRESS) {
        rc = -errno;
        goto fail_socket;
    }
    if (tls != NULL) {
        c->ssl = SSL_new(tls);
        if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1) {
            rc = -ENOMEM;
            goto fail_ssl;
        }
        SSL_set_connect_state(c->ssl);
    }
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, c->fd, &event) != 0) {
        rc = -errno;
        goto fail_ssl;
    }
    c->state = SP_CLIENT_CONNECTING;
    return 0;

fail_ssl:
    SSL_free(c->ssl);
    c->ssl = NULL;
fail_socket:
    close(c->fd);
    c->fd = -1;
    return rc;
}

int
sp_client_connected(struct sp_client *c)
{
    int       error = 0;
    socklen_t len = sizeof error;

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0) {
        return -errno;
    }
    if (error == 0) {
        arm(c, EPOLLIN);
    }
    return -error;
}

/* What a failed TLS call means: 0 wait, else negative. */
static int
tls_verdict(struct sp_client *c, int rc)
{
    switch (SSL_get_error(c->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return 0;
    case SSL_ERROR_WANT_WRITE:
        arm(c, EPOLLIN | EPOLLOUT);
        return 0;
    case SSL_ERROR_ZERO_RETURN:
        return -ECONNRESET;
    case SSL_ERROR_SYSCALL:
        return errno != 0 ? -errno : -ECONNRESET;
    default:
        return -EPROTO;
    }
}

int
sp_client_handshake(struct sp_client *c)
{
    int rc, verdict;

    ERR_clear_error();
    errno = 0;
    rc = SSL_do_handshake(c->ssl);
    if (rc == 1) {
        arm(c, EPOLLIN);
        return 1;
    }
    verdict = tls_verdict(c, rc);
    if (verdict == 0 && !SSL_want_write(c->ssl)) {
        arm(c, EPOLLIN);
    }
    return verdict;
}

uint8_t *
sp_client_room(struct sp_client *c, size_t n)
{
    size_t used = sp_client_pending(c);

    if (c->out_cap - c->out_end >= n) {
        return c->out + c->out_end;
    }
    if (used + n > c->out_cap) {
        size_t   cap = c->out_cap < 256 ? 256 : c->out_cap * 2;
        uint8_t *p;

        while (cap < used + n) {
            cap *= 2;
        }
        p = realloc(c->out, cap);
        if (p == NULL) {
            return NULL;
        }
        c->out = p;
        c->out_cap = cap;
    }
    memmove(c->out, c->out + c->out_start, used);
    c->out_start = 0;
    c->out_end = used;
    return c->out + used;
}

void
sp_client_wrote(struct sp_client *c, size_t n)
{
    c->out_end += n;
}

static ssize_t
write_some(struct sp_client *c)
{
    const uint8_t *p = c->out + c->out_start;
    size_t         n = sp_client_pending(c), done = 0;
    ssize_t        rc;

    if (c->ssl == NULL) {
        rc = send(c->fd, p, n, MSG_NOSIGNAL);
        if (rc >= 0) {
            return rc;
        }
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    }
    ERR_clear_error();
    errno = 0;
    rc = SSL_write_ex(c->ssl, p, n, &done);
    return rc == 1 ? (ssize_t)done : tls_verdict(c, (int)rc);
}

int
sp_client_flush(struct sp_client *c)
{
    while (sp_client_pending(c) > 0) {
        ssize_t n = write_some(c);

        if (n < 0) {
            return (int)n;
        }
        if (n == 0) {
            arm(c, EPOLLIN | EPOLLOUT);
            return 0;
        }
        c->out_start += (size_t)n;
    }
    c->out_start = c->out_end = 0;
    arm(c, EPOLLIN);
    return 0;
}

ssize_t
sp_client_read(struct sp_client *c, uint8_t *p, size_t n)
{
    size_t  done = 0;
    ssize_t rc;

    if (c->ssl == NULL) {
        rc = recv(c->fd, p, n, 0);
        if (rc > 0) {
            return rc;
        }
        if (rc == 0) {
            return -ECONNRESET;
        }
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    }
    ERR_clear_error();
    errno = 0;
    rc = SSL_read_ex(c->ssl, p, n, &done);
    return rc == 1 ? (ssize_t)done : tls_verdict(c, (int)rc);
}

void
sp_client_close(struct sp_client *c)
{
    if (c->ssl != NULL) {
        if (c->state >= SP_CLIENT_CONNACK && c->state <= SP_CLIENT_READY) {
            SSL_shutdown(c->ssl);
        }
        SSL_free(c->ssl);
        c->ssl = NULL;
    }
    if (c->fd >= 0) {
        close(c->fd);
        c->fd = -1;
    }
    free(c->out);
    free(c->rest);
    c->out = c->rest = NULL;
    c->out_start = c->out_end = c->out_cap = c->rest_len = 0;
    c->state = SP_CLIENT_CLOSED;
}

SSL_CTX *
sp_client_tls(const char *cafile, const char *cert, const char *key, const char *groups, bool lean)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1) {
        goto fail;
    }
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (lean) {
        SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    } else {
        SSL_CTX_set_read_ahead(ctx, 1);
        SSL_CTX_set_default_read_buffer_len(ctx, 64 * 1024);
    }
    if (cafile != NULL) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        if (SSL_CTX_load_verify_locations(ctx, cafile, NULL) != 1) {
            goto fail;
        }
    }
    if (cert != NULL && (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1 ||
                         SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)) {
        goto fail;
    }
    if (groups != NULL && SSL_CTX_set1_groups_list(ctx, groups) != 1) {
        goto fail;
    }
    return ctx;

fail:
    fputs("spload: TLS cannot be set up:\n", stderr);
    ERR_print_errors_fp(stderr);
    SSL_CTX_free(ctx);
    return NULL;
}
