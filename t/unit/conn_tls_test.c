#include "net/conn.h"

#include <sys/stat.h>

#include "net_peer.h"
#include "net_pki.h"
#include "tap.h"

static struct party ca, twin, gateway, drone, gcs, expired, brief, stranger;
static SSL_CTX     *client_ctx;
static char         log_path[] = "/tmp/conn_tls_test.XXXXXX";

#define TRUST(more) "trust t { ca a; certificate c; key k; " more " }\n"
#define ECHO        "echo { listen 127.0.0.1:8883 trust=t; }\n"

/* -- log -- */

static void
log_clear(void)
{
    (void)!truncate(log_path, 0);
}

static bool
log_has(const char *text)
{
    static char bytes[65536];
    int         fd = open(log_path, O_RDONLY | O_CLOEXEC);
    ssize_t     n = read(fd, bytes, sizeof(bytes) - 1);

    close(fd);
    bytes[n > 0 ? n : 0] = '\0';
    if (strstr(bytes, text) == NULL) {
        printf("# log: %s\n", bytes);
        return false;
    }
    return true;
}

/* -- clients -- */

static SSL_SESSION *saved;
static unsigned     tickets;
static size_t       ticket_bytes;

static int
on_session(SSL *ssl, SSL_SESSION *s)
{
    const unsigned char *p;

    (void)ssl;
    tickets++;
    SSL_SESSION_free(saved);
    saved = s;
    SSL_SESSION_get0_ticket(s, &p, &ticket_bytes);
    return 1;
}

static struct client *
tls_new(uint16_t port, struct party *who, SSL_SESSION *session)
{
    struct client *k = client_new(port);

    k->ssl = SSL_new(client_ctx);
    SSL_set_fd(k->ssl, k->fd);
    SSL_set_connect_state(k->ssl);
    if (who != NULL) {
        SSL_use_certificate(k->ssl, who->cert);
        SSL_use_PrivateKey(k->ssl, who->key);
    }
    if (session != NULL) {
        SSL_set_session(k->ssl, session);
    }
    return k;
}

static struct client *
tls_open(uint16_t port, struct party *who, SSL_SESSION *session)
{
    struct client *k = tls_new(port, who, session);

    pump(client_handshake(k));
    return k;
}

/* Opens, says something, waits for the answer. */
static struct client *
tls_hello(uint16_t port, struct party *who, SSL_SESSION *session)
{
    struct client *k = tls_open(port, who, session);

    if (k->ready) {
        client_say(k, "hello\n");
        pump(client_has(k, "hello\n") || k->failed || k->eof);
    }
    client_forget(k);
    return k;
}

static void
use_crl(const char *name, const long *serials, long from, long until)
{
    X509_CRL *crl = pki_crl(&ca, serials, from, until);

    conf_text(name, pki_crl_pem(crl));
    X509_CRL_free(crl);
}

/* -- tests -- */

static void
test_echo(void)
{
    struct client *k;
    char          *line = malloc(60001);
    int64_t        writes, reads;
    bool           whole = true;

    worker_start(TRUST("") ECHO);
    k = tls_open(ports[0], &drone, NULL);
    pump(echo.opened == 1);
    ok(k->ready, "handshake");
    is_str(echo.identity, "drone", "the identity is the certificate's name");
    is_str(SSL_get_version(k->ssl), "TLSv1.3", "TLS 1.3");
    ok(echo.last->identity->credential == SP_CRED_CERTIFICATE && echo.last->identity->chain_der.n > 100,
       "with its chain");
    ok(SSL_get0_peer_certificate(echo.last->ssl) == NULL, "which OpenSSL holds no more");
#if OPENSSL_VERSION_NUMBER >= 0x30500000L
    is_str(SSL_get0_group_name(k->ssl), "X25519MLKEM768", "post-quantum key exchange where there is it");
#endif

    writes = sp_net_stats(worker.net)->writes;
    reads = sp_net_stats(worker.net)->reads;
    echo.inputs = 0;
    for (int i = 0; i < 100; i++) {
        client_say(k, "x\n"); /* a record each */
    }
    pump((client_read(k), k->n) == 200);
    ok(echo.inputs <= 2 && sp_net_stats(worker.net)->reads - reads <= 2, "many records, one recv, one call");
    ok(sp_net_stats(worker.net)->writes - writes <= 2, "one send");

    client_forget(k);
    memset(line, 'l', 60000);
    line[60000] = '\n';
    client_send(k, line, 60001);
    pump((client_read(k), k->n) == 60001);
    is_mem(k->in, k->n, line, 60001, "a packet of several records");

    client_forget(k);
    client_say(k, "big 3000000\n");
    pump((client_read(k), k->n) == 3000000);
    for (size_t i = 0; i < k->n; i++) {
        whole = whole && k->in[i] == (char)('a' + i / 1000 % 26);
    }
    ok(whole && k->n == 3000000, "3 MB, in order");
    ok(echo.last->wire == NULL && !echo.last->writing, "nothing is left over");

    client_forget(k);
    SSL_key_update(k->ssl, SSL_KEY_UPDATE_REQUESTED);
    client_say(k, "new keys\n");
    pump(client_has(k, "new keys\n"));
    ok(client_has(k, "new keys\n"), "key update, both ways");

    client_forget(k);
    client_say(k, "a\npause\nb\n");
    pump(client_has(k, "a\n"));
    client_say(k, "c\n");
    for (int i = 0; i < 10; i++) {
        turn();
    }
    ok(client_has(k, "a\n"), "paused");
    sp_conn_resume(echo.last);
    pump(client_has(k, "a\nb\nc\n"));
    ok(client_has(k, "a\nb\nc\n"), "resumed");

    client_forget(k);
    client_say(k, "close\n");
    pump(client_read(k));
    is_mem(k->in, k->n, "bye\n", 4, "last words");
    ok(k->eof && !k->failed, "close_notify");
    ok(echo.closed == 1 && echo.last->ssl == NULL, "the SSL object goes before the socket");
    client_free(k);

    k = tls_hello(ports[0], &drone, NULL);
    SSL_shutdown(k->ssl);
    pump(echo.closed == 2);
    is_int(echo.why, SP_CLOSE_PEER, "the peer's close_notify closes");
    client_free(k);
    free(line);
    worker_stop();
}

static void
refused(struct party *who, const char *text, int alert)
{
    struct client *k;
    unsigned       before = echo.opened;
    unsigned long  e;

    log_clear();
    k = tls_open(ports[0], who, NULL);
    client_say(k, "hello\n");
    pump((client_read(k), k->failed));
    e = ERR_peek_error();
    ok(k->failed && echo.opened == before, "refused: %s", text);
    ok(log_has("tls refused: ") && log_has(text) && log_has("peer=127.0.0.1:"), "the log says so");
    is_int(ERR_GET_REASON(e) - SSL_AD_REASON_OFFSET, alert, "alert %d", alert);
    client_free(k);
}

static void
test_refusals(void)
{
    const long     serials[] = {12, 0};
    struct client *k;

    use_crl("crl", serials, -60, DAY);
    worker_start(TRUST("crl crl;") ECHO);
    k = tls_hello(ports[0], &drone, NULL);
    ok(k->ready && echo.opened == 1, "a good one");
    client_free(k);
    refused(&gcs, "certificate revoked: subject=\"O=Test,CN=gcs\" serial=0C revoked=20", SSL_AD_CERTIFICATE_REVOKED);
    refused(&expired, "certificate expired: subject=\"O=Test,CN=expired\" serial=0D not_after=20",
            SSL_AD_CERTIFICATE_EXPIRED);
    refused(&stranger, "certificate not accepted: ", SSL_AD_UNKNOWN_CA);
    refused(NULL, "it sent no certificate", SSL_AD_CERTIFICATE_REQUIRED);
    is_int(sp_net_stats(worker.net)->handshake_failures, 4, "all counted");

    log_clear();
    k = client_new(ports[0]);
    client_say(k, "GET / HTTP/1.1\r\n\r\n");
    pump(client_read(k));
    ok(log_has("tls failed: "), "something that is no TLS");
    client_free(k);

    k = tls_new(ports[0], &drone, NULL);
    SSL_set_max_proto_version(k->ssl, TLS1_2_VERSION);
    pump(client_handshake(k));
    ok(k->failed, "TLS 1.2 unless it is allowed");
    client_free(k);
    pump(sp_net_stats(worker.net)->connections == 0);
    worker_stop();

    worker_start(TRUST("protocols TLSv1.3 TLSv1.2;") ECHO);
    k = tls_new(ports[0], &drone, NULL);
    SSL_set_max_proto_version(k->ssl, TLS1_2_VERSION);
    pump(client_handshake(k));
    client_say(k, "hello\n");
    pump(client_has(k, "hello\n"));
    ok(client_has(k, "hello\n") && strcmp(echo.identity, "drone") == 0, "TLS 1.2 where it is");
    client_free(k);
    worker_stop();

    worker_start(TRUST("") "echo { listen 127.0.0.1:8883 trust=t client_cert=optional; }\n");
    k = tls_hello(ports[0], NULL, NULL);
    is_str(echo.identity, "anonymous", "an optional certificate that is not there");
    client_free(k);
    k = tls_hello(ports[0], &gcs, NULL);
    is_str(echo.identity, "gcs", "and one that is");
    client_free(k);
    worker_stop();
}

static void
test_tickets(void)
{
    struct client *k;
    SSL_SESSION   *first;
    const long     serials[] = {11, 0};

    worker_start(TRUST("") ECHO);
    tickets = 0;
    k = tls_hello(ports[0], &drone, NULL);
    is_int(tickets, 1, "one ticket");
    ok(ticket_bytes < 900 && ticket_bytes > 300, "of a reasonable size (%zu)", ticket_bytes);
    ok(SSL_SESSION_get_ticket_lifetime_hint(saved) <= 3600, "for an hour at most");
    client_free(k);
    SSL_SESSION_up_ref(saved);
    first = saved;

    echo.identity[0] = '\0';
    k = tls_hello(ports[0], &drone, first);
    ok(SSL_session_reused(k->ssl) == 1, "resumed");
    is_str(echo.identity, "drone", "as the same identity");
    is_int(sp_net_stats(worker.net)->resumed, 1, "counted");
    is_int(tickets, 2, "with a new ticket");
    client_free(k);

    k = tls_hello(ports[0], NULL, saved);
    ok(SSL_session_reused(k->ssl) == 1 && strcmp(echo.identity, "drone") == 0, "the new ticket is good too");
    client_free(k);

    worker_commit(TRUST("session_lifetime 30m;") ECHO "# the same CA\n");
    k = tls_hello(ports[0], &drone, saved);
    ok(SSL_session_reused(k->ssl) == 1, "a reload with the same CA keeps tickets");
    client_free(k);

    use_crl("crl", serials, -60, DAY);
    worker_commit(TRUST("crl crl;") ECHO);
    log_clear();
    k = tls_open(ports[0], &drone, saved);
    client_say(k, "hello\n");
    pump((client_read(k), k->failed));
    ok(k->failed && log_has("certificate revoked"), "no ticket outlives a revocation");
    client_free(k);
    k = tls_open(ports[0], NULL, saved);
    pump((client_read(k), k->failed));
    ok(k->failed, "not even without showing the certificate");
    client_free(k);
    worker_stop();

    worker_start(TRUST("session_tickets off;") ECHO);
    tickets = 0;
    k = tls_hello(ports[0], &drone, first);
    ok(tickets == 0 && SSL_session_reused(k->ssl) == 0, "none where they are off");
    client_free(k);
    worker_stop();

    worker_start(TRUST("") "echo { listen 127.0.0.1:8883 trust=t; listen 127.0.0.1:8884 trust=t; }\n");
    k = tls_hello(ports[0], &drone, NULL);
    client_free(k);
    k = tls_hello(ports[1], &drone, saved);
    ok(SSL_session_reused(k->ssl) == 0, "a ticket of one listener is none of another");
    client_free(k);
    worker_stop();

    worker_start(TRUST("") ECHO);
    k = tls_hello(ports[0], &brief, NULL);
    ok(SSL_SESSION_get_ticket_lifetime_hint(saved) <= 4, "a ticket ends with the certificate");
    pump(echo.closed == 1);
    is_int(echo.why, SP_CLOSE_CREDENTIAL, "and so does the session");
    client_read(k);
    is_mem(k->in, k->n, "farewell\n", 9, "with a good-bye");
    client_free(k);
    worker_stop();
    SSL_SESSION_free(first);
}

static void
test_reload(void)
{
    struct client *k, *l, *m;
    const long     serials[] = {12, 0}, none[] = {0};
    char          *pem = pki_cert_pem(twin.cert);

    use_crl("crl", none, -60, DAY);
    worker_start(TRUST("crl crl;") ECHO);
    k = tls_hello(ports[0], &drone, NULL);
    l = tls_hello(ports[0], &gcs, NULL);
    m = tls_hello(ports[0], &gcs, NULL);
    use_crl("crl", serials, -60, DAY);
    worker_commit(TRUST("crl crl;") ECHO);
    log_clear();
    worker_sweep();
    ok(swept.kept == 1 && swept.closed == 2, "a CRL closes whom it names and nobody else");
    pump((client_read(l), l->eof) && (client_read(m), m->eof));
    is_mem(l->in, l->n, "farewell\n", 9, "with a good-bye");
    ok(echo.farewell_why == SP_CLOSE_CREDENTIAL && echo.why == SP_CLOSE_CREDENTIAL, "for its credential");
    ok(log_has("client=gcs closed: certificate revoked: subject=\"O=Test,CN=gcs\" serial=0C revoked=20"),
       "as the log says");
    client_say(k, "hello\n");
    pump(client_has(k, "hello\n"));
    ok(client_has(k, "hello\n"), "the other goes on");
    client_forget(k);
    client_free(l);
    client_free(m);

    conf_text("twin", pem);
    worker_commit("trust t { ca twin; certificate c; key k; }\n" ECHO);
    worker_sweep();
    pump(client_read(k));
    ok(swept.closed == 1 && k->eof, "another CA closes those it does not vouch for");
    client_free(k);
    worker_stop();
}

static void
test_handshakes(void)
{
    static struct client *k[60];
    struct client        *slow;
    unsigned              done = 0;

    worker_start("handshake_timeout 300ms;\n" TRUST("") ECHO);
    k[0] = client_new(ports[0]);
    k[1] = client_new(ports[0]);
    client_say(k[1], "\x16\x03\x01");
    pump(sp_net_stats(worker.net)->pending == 2);
    pump((client_read(k[0]), k[0]->eof) && (client_read(k[1]), k[1]->eof || k[1]->reset));
    is_int(sp_net_stats(worker.net)->handshake_timeouts, 2, "handshakes have a deadline");
    client_free(k[0]);
    client_free(k[1]);
    worker_stop();

    worker_start("max_handshakes 4;\n" TRUST("") ECHO);
    for (int i = 0; i < 5; i++) {
        k[i] = client_new(ports[0]);
    }
    pump(sp_net_stats(worker.net)->pending == 4);
    slow = tls_open(ports[0], &drone, NULL); /* behind the fifth */
    ok(slow->ready, "those that never begin make room for those that do");
    ok(sp_net_stats(worker.net)->handshake_timeouts >= 1 && sp_net_stats(worker.net)->pending <= 4,
       "the oldest was cut off");
    client_free(slow);
    for (int i = 0; i < 5; i++) {
        client_free(k[i]);
    }
    worker_stop();

    worker_start(TRUST("") ECHO);
    for (int i = 0; i < 60; i++) {
        k[i] = tls_new(ports[0], i % 2 == 0 ? &drone : &gcs, NULL);
    }
    for (int rounds = 0; done < 60 && rounds < 10000; rounds++) {
        done = 0;
        for (int i = 0; i < 60; i++) {
            done += k[i]->ready || client_handshake(k[i]);
        }
        turn();
    }
    is_int(done, 60, "60 handshakes side by side");
    for (int i = 0; i < 60; i++) {
        client_say(k[i], i % 3 == 0 ? "one\n" : "another\n");
    }
    done = 0;
    for (int i = 0; i < 60; i++) {
        pump(client_has(k[i], i % 3 == 0 ? "one\n" : "another\n"));
        done += client_has(k[i], i % 3 == 0 ? "one\n" : "another\n");
    }
    is_int(done, 60, "each with its own echo");
    is_int(echo.last->identity->refs, 30, "connections with one certificate share the identity");
    for (int i = 0; i < 60; i++) {
        client_free(k[i]);
    }
    worker_stop();
}

/* The client's bytes go out one by one. True at the end. */
static bool
dribble(struct client *k, BIO *outer)
{
    char bytes[8192];
    int  n;

    if (!k->ready && client_handshake(k) && k->ready) {
        client_say(k, "hello\n");
    }
    while ((n = BIO_read(outer, bytes, sizeof(bytes))) > 0) {
        for (int i = 0; i < n; i++) {
            (void)send(k->fd, bytes + i, 1, MSG_NOSIGNAL);
            turn();
        }
    }
    while ((n = (int)recv(k->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
        BIO_write(outer, bytes, n);
    }
    return client_has(k, "hello\n");
}

static void
test_dribble(void)
{
    struct client *k;
    BIO           *inner, *outer;

    worker_start(TRUST("") ECHO);
    k = client_new(ports[0]);
    k->ssl = SSL_new(client_ctx);
    BIO_new_bio_pair(&inner, 65536, &outer, 65536);
    SSL_set_bio(k->ssl, inner, inner);
    SSL_set_connect_state(k->ssl);
    SSL_use_certificate(k->ssl, drone.cert);
    SSL_use_PrivateKey(k->ssl, drone.key);
    pump(dribble(k, outer));
    ok(client_has(k, "hello\n"), "a handshake a byte at a time");
    BIO_free(outer);
    client_free(k);
    worker_stop();
}

int
main(void)
{
    int fd = mkstemp(log_path);

    signal(SIGPIPE, SIG_IGN);
    close(fd);
    (void)sp_log_open(log_path, SP_LOG_INFO);
    ca = pki_make("ca", NULL, 1, -60, 365 * DAY, 1, NULL);
    twin = pki_make("ca", NULL, 2, -60, 365 * DAY, 1, NULL);
    gateway = pki_make("gateway", &ca, 10, -60, DAY, 0, NULL);
    drone = pki_make("drone", &ca, 11, -60, DAY, 0, NULL);
    gcs = pki_make("gcs", &ca, 12, -60, DAY, 0, NULL);
    expired = pki_make("expired", &ca, 13, -2 * DAY, -DAY, 0, NULL);
    stranger = pki_make("stranger", &twin, 14, -60, DAY, 0, NULL);
    conf_text("a", pki_cert_pem(ca.cert));
    conf_text("c", pki_cert_pem(gateway.cert));
    conf_text("k", pki_key_pem(gateway.key, NULL));
    client_ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(client_ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(client_ctx, on_session);
    (void)sp_protocol_register(&echo_protocol);

    test_echo();
    test_refusals();
    brief = pki_make("brief", &ca, 15, -60, 3, 0, NULL);
    test_tickets();
    test_reload();
    test_handshakes();
    test_dribble();

    SSL_SESSION_free(saved);
    SSL_CTX_free(client_ctx);
    pki_free_texts();
    sp_registry_destroy(conf_registry);
    if (getenv("KEEP") == NULL)
        unlink(log_path);
    return done_testing();
}
