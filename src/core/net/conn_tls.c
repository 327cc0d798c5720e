/*
 * TLS on a connection. OpenSSL reads from and writes to two buffers of the worker through one BIO, so a turn costs one recv and one
 * send, whatever the number of records, and nothing is allocated for an idle connection but the SSL object itself.
 */
#include <errno.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "net/net_state.h"
#include "net/ticket.h"

/* -- the BIO -- */

static int
bio_read(BIO *bio, char *dst, int size)
{
    struct sp_net *n = BIO_get_data(bio);
    size_t         part = n->rx_end - n->rx_at;

    BIO_clear_retry_flags(bio);
    if (size <= 0) {
        return 0;
    }
    if (part == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    part = part < (size_t)size ? part : (size_t)size;
    memcpy(dst, n->rx + n->rx_at, part);
    n->rx_at += part;
    return (int)part;
}

static int
bio_write(BIO *bio, const char *src, int size)
{
    struct sp_net *n = BIO_get_data(bio);
    size_t         room = SP_NET_TX - n->tx_end;

    BIO_clear_retry_flags(bio);
    if (size <= 0) {
        return 0;
    }
    if (room == 0) {
        BIO_set_retry_write(bio);
        return -1;
    }
    room = room < (size_t)size ? room : (size_t)size;
    memcpy(n->tx + n->tx_end, src, room);
    n->tx_end += room;
    return (int)room;
}

static long
bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void)bio;
    (void)num;
    (void)ptr;
    return cmd == BIO_CTRL_FLUSH;
}

int
sp_tls_start(struct sp_net *n)
{
    n->bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sallyport");
    if (n->bio_method == NULL || BIO_meth_set_read(n->bio_method, bio_read) != 1 ||
        BIO_meth_set_write(n->bio_method, bio_write) != 1 || BIO_meth_set_ctrl(n->bio_method, bio_ctrl) != 1) {
        return -ENOMEM;
    }
    n->bio = BIO_new(n->bio_method);
    if (n->bio == NULL) {
        return -ENOMEM;
    }
    BIO_set_data(n->bio, n);
    BIO_set_init(n->bio, 1);
    return 0;
}

void
sp_tls_stop(struct sp_net *n)
{
    BIO_free(n->bio);
    BIO_meth_free(n->bio_method);
}

/* -- output -- */

static int
wire_append(struct sp_conn *c, const char *p, size_t n)
{
    size_t waits = c->wire_end - c->wire_at;
    char  *wire = waits + n > UINT32_MAX ? NULL : malloc(waits + n);

    if (wire == NULL) {
        return -ENOMEM;
    }
    if (waits > 0) {
        memcpy(wire, c->wire + c->wire_at, waits);
    }
    memcpy(wire + waits, p, n);
    free(c->wire);
    c->wire = wire;
    c->wire_at = 0;
    c->wire_end = (uint32_t)(waits + n);
    return 0;
}

int
sp_tls_send(struct sp_conn *c)
{
    struct sp_net *n = sp_conn_net(c);
    struct iovec   iov = {n->tx, n->tx_end};
    ssize_t        sent = 0;
    size_t         left = n->tx_end;

    n->tx_end = 0;
    if (left == 0) {
        return 0;
    }
    if (c->wire == NULL) {
        sent = sp_conn_send(c, &iov, 1);
        if (sent < 0) {
            return (int)sent;
        }
    }
    left -= (size_t)sent;
    return left == 0 ? 0 : wire_append(c, n->tx + sent, left);
}

/* The next record's worth: in place if it lies in one piece or is large, else gathered. */
static struct sp_str
next_record(struct sp_conn *c)
{
    struct sp_net *n = sp_conn_net(c);
    struct iovec   iov[16];
    int            count = sp_outq_peek(&c->out, iov, 16);
    size_t         at = 0;

    if (count == 1 || iov[0].iov_len >= SP_NET_RECORD) {
        return (struct sp_str){iov[0].iov_base, iov[0].iov_len < SP_NET_RECORD ? iov[0].iov_len : SP_NET_RECORD};
    }
    for (int i = 0; i < count && at < SP_NET_RECORD; i++) {
        size_t part = SP_NET_RECORD - at < iov[i].iov_len ? SP_NET_RECORD - at : iov[i].iov_len;
        memcpy(n->record + at, iov[i].iov_base, part);
        at += part;
    }
    return (struct sp_str){n->record, at};
}

int
sp_tls_encrypt(struct sp_conn *c)
{
    struct sp_net *n = sp_conn_net(c);
    bool           ticket = false;
    int            wrote;

    if (c->ticket_due) {
        c->ticket_due = false;
        ticket = sp_ticket_issue(c->ssl, c->identity, c->full_handshake_s, (int64_t)(sp_clock_wall_ms() / 1000));
    }
    ERR_clear_error();
    while (c->out.bytes > 0 && SP_NET_TX - n->tx_end >= 2 * SP_NET_TX_SPARE) {
        struct sp_str part = next_record(c);
        wrote = SSL_write(c->ssl, part.p, (int)part.n);
        if (wrote <= 0) {
            ERR_clear_error();
            n->tx_end = 0;
            return -EPIPE;
        }
        sp_outq_drain(&c->out, &c->process->outq_pool, (size_t)wrote);
        if (ticket) {
            ticket = false;
            sp_ticket_sent(c->ssl);
        }
    }
    return 0;
}

void
sp_tls_end(struct sp_conn *c)
{
    struct sp_net *n = sp_conn_net(c);

    ERR_clear_error();
    n->tx_end = 0;
    (void)SSL_shutdown(c->ssl);
    ERR_clear_error();
    SSL_free(c->ssl);
    c->ssl = NULL;
    if (sp_tls_send(c) < 0) {
        sp_conn_kill(c, SP_CLOSE_PEER);
        return;
    }
    free(c->wire); /* a socket that is full of what nobody reads gets no close_notify */
    c->wire = NULL;
    c->wire_at = c->wire_end = 0;
}

/* -- input -- */

int
sp_tls_input(struct sp_conn *c)
{
    struct sp_net *n = sp_conn_net(c);
    char          *to = n->in + SP_NET_TAIL_COPY;
    size_t         got = 0;
    int            r, error, result = 0;

    ERR_clear_error();
    for (;;) {
        r = SSL_read(c->ssl, to + got, (int)(SP_NET_READ - got));
        if (r > 0) {
            got += (size_t)r; /* rx is smaller than in: it cannot fill up */
            continue;
        }
        error = SSL_get_error(c->ssl, r);
        if (error == SSL_ERROR_WANT_WRITE && sp_tls_send(c) == 0 && c->wire == NULL) {
            continue; /* answers to key updates */
        }
        result = error == SSL_ERROR_WANT_READ ? 0 : error == SSL_ERROR_ZERO_RETURN ? -EPIPE : -EPROTO;
        break;
    }
    ERR_clear_error();
    n->rx_at = n->rx_end = 0;
    if (n->tx_end > 0 && sp_tls_send(c) < 0) {
        result = -EPIPE;
    }
    if (got > 0) {
        sp_conn_input(c, got);
    }
    return c->state == SP_CONN_OPEN ? result : 0;
}

/* -- handshake -- */

static void
log_refusal(struct sp_conn *c, const char *why)
{
    static struct sp_log_limit verify_limit, other_limit;
    unsigned long              e = ERR_peek_last_error();
    const char                *reason = e == 0 ? NULL : ERR_reason_error_string(e);
    char                       peer[64];

    (void)sp_conn_peer(c, peer, sizeof(peer));
    if (why[0] != '\0') {
        sp_log_limited(&verify_limit, 20, SP_LOG_WARN, "peer=%s tls refused: %s", peer, why);
    } else if (ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_REASON(e) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        sp_log_limited(&verify_limit, 20, SP_LOG_WARN, "peer=%s tls refused: it sent no certificate", peer);
    } else if (ERR_GET_LIB(e) == ERR_LIB_SSL && ERR_GET_REASON(e) > SSL_AD_REASON_OFFSET) {
        sp_log_limited(&other_limit, 10, SP_LOG_NOTICE, "peer=%s tls failed: it refuses us: %s", peer,
                       reason == NULL ? "alert" : reason);
    } else {
        sp_log_limited(&other_limit, 10, SP_LOG_NOTICE, "peer=%s tls failed: %s", peer,
                       reason == NULL ? "unknown error" : reason);
    }
}

/* The alert is in tx. */
static void
handshake_failed(struct sp_conn *c, const char *why)
{
    struct sp_net *n = sp_conn_net(c);

    log_refusal(c, why);
    ERR_clear_error();
    n->stats.handshake_failures++;
    (void)sp_tls_send(c);
    n->rx_at = n->rx_end = 0;
    SSL_free(c->ssl);
    c->ssl = NULL;
    sp_conn_pending_remove(c);
    c->closing = true;
    c->why = SP_CLOSE_CREDENTIAL;
    c->state = SP_CONN_CLOSING;
    sp_conn_finish(c);
}

static int
begin(struct sp_conn *c)
{
    const struct sp_listener_conf *l;
    struct sp_net                 *n = sp_conn_net(c);

    if (!sp_conn_adopt(c)) {
        return -ESTALE;
    }
    l = c->listener;
    c->ssl = SSL_new(l->trust->ctx);
    if (c->ssl == NULL || SSL_set_session_id_context(c->ssl, l->session_context, sizeof(l->session_context)) != 1) {
        return -ENOMEM;
    }
    if (l->client_cert != SP_CLIENT_CERT_REQUIRED) {
        SSL_set_verify(c->ssl, l->client_cert == SP_CLIENT_CERT_OFF ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    }
    (void)BIO_up_ref(n->bio);
    SSL_set_bio(c->ssl, n->bio, n->bio);
    SSL_set_accept_state(c->ssl);
    c->state = SP_CONN_HANDSHAKE;
    return 0;
}

/* Whom a resumed session belongs to is in its ticket. */
static int
resumed_identity(struct sp_conn *c, struct sp_identity **id, char *why, size_t cap)
{
    const struct sp_listener_conf *l = c->listener;
    struct sp_net                 *n = sp_conn_net(c);
    struct sp_str                  chain;

    n->stats.resumed++;
    if (sp_ticket_read(c->ssl, &c->full_handshake_s, &chain) < 0) {
        (void)snprintf(why, cap, "the session ticket holds no identity");
        return -EBADMSG;
    }
    if (chain.n == 0) {
        *id = sp_identities_anonymous(n->identities);
        return 0;
    }
    return sp_trust_identity(l->trust, n->identities, l->identity_from, chain, id, why, cap);
}

/* Who it is, under the snapshot in force now. */
static int
credential(struct sp_conn *c, struct sp_handshake *h, struct sp_identity **id)
{
    int err = 0;

    if (SSL_session_reused(c->ssl)) {
        err = resumed_identity(c, id, h->why, sizeof(h->why));
    } else {
        c->full_handshake_s = (int64_t)(sp_clock_wall_ms() / 1000);
        *id = c->identity != NULL ? sp_identity_ref(c->identity) : sp_identities_anonymous(sp_conn_net(c)->identities);
    }
    if (err == 0 && !sp_conn_adopt(c)) {
        (void)snprintf(h->why, sizeof(h->why), "the listener is gone since the handshake began");
        err = -ESTALE;
    }
    if (err == 0 && (*id)->credential == SP_CRED_NONE && c->listener->client_cert == SP_CLIENT_CERT_REQUIRED) {
        (void)snprintf(h->why, sizeof(h->why), "it sent no certificate");
        err = -EACCES;
    }
    return err == 0 ? sp_trust_check(c->listener->trust, *id, h->why, sizeof(h->why)) : err;
}

static void
handshake_done(struct sp_conn *c, struct sp_handshake *h)
{
    struct sp_net      *n = sp_conn_net(c);
    struct sp_identity *id = NULL;
    bool                more;

    if (credential(c, h, &id) < 0) {
        sp_identity_unref(id);
        (void)SSL_shutdown(c->ssl);
        handshake_failed(c, h->why);
        return;
    }
    n->stats.handshakes++;
    sp_ticket_slim(c->ssl);
    c->ticket_due = true;
    more = n->rx_at < n->rx_end;
    sp_conn_open(c, id);
    if (more && c->state == SP_CONN_OPEN && sp_tls_input(c) < 0) {
        sp_conn_end(c);
    }
    n->rx_at = n->rx_end = 0;
}

/* One step with what was read. */
static void
step(struct sp_conn *c)
{
    struct sp_trust    *t = c->listener->trust; /* the one that c->ssl was made with */
    struct sp_net      *n = sp_conn_net(c);
    struct sp_handshake h = {.identities = n->identities, .from = c->listener->identity_from};
    int                 r, error;

    h.why[0] = '\0';
    ERR_clear_error();
    t->handshake = &h;
    r = SSL_do_handshake(c->ssl);
    error = r == 1 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, r);
    t->handshake = NULL;
    if (h.identity != NULL) { /* verified, but whether it is the peer's own only the end of the handshake says */
        sp_identity_unref(c->identity);
        c->identity = h.identity;
    }
    if (r == 1 && sp_tls_send(c) < 0) { /* TLS 1.2 ends with a flight of ours */
        sp_conn_kill(c, SP_CLOSE_PEER);
    } else if (r == 1) {
        handshake_done(c, &h);
    } else if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        if (sp_tls_send(c) < 0) {
            sp_conn_kill(c, SP_CLOSE_PEER);
        } else {
            sp_conn_watch(c, true, c->wire != NULL);
        }
    } else {
        handshake_failed(c, h.why);
    }
}

void
sp_tls_handshake(struct sp_conn *c)
{
    struct sp_net *n = sp_conn_net(c);
    uint64_t       from;
    ssize_t        got;

    if (n->turn_ns > SP_NET_TURN_NS) {
        return; /* the event comes again in the next turn */
    }
    from = sp_clock_ns();
    got = recv(c->fd, n->rx, SP_NET_RX, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (got <= 0) {
        sp_conn_kill(c, SP_CLOSE_PEER);
        return;
    }
    n->rx_at = 0;
    n->rx_end = (size_t)got;
    n->tx_end = 0;
    if (c->ssl == NULL && begin(c) < 0) {
        sp_conn_kill(c, SP_CLOSE_SHUTDOWN);
    } else {
        step(c);
    }
    n->rx_at = n->rx_end = 0;
    n->turn_ns += sp_clock_ns() - from;
}
