/*
 * One client connection, plain or TLS, never blocking. It owns its socket, TLS state and output buffer, and knows nothing of
 * MQTT beyond the state names. Whoever drives it (fleet.h) tells it about readiness.
 */
#ifndef SP_BENCH_CLIENT_H
#define SP_BENCH_CLIENT_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

enum sp_client_state {
    SP_CLIENT_NEW,
    SP_CLIENT_CONNECTING, /* TCP */
    SP_CLIENT_HANDSHAKE,  /* TLS */
    SP_CLIENT_CONNACK,    /* CONNECT sent */
    SP_CLIENT_SUBACK,     /* SUBSCRIBE sent */
    SP_CLIENT_READY,
    SP_CLIENT_CLOSED
};

struct sp_client {
    SSL                 *ssl; /* NULL: plain */
    uint8_t             *out;
    size_t               out_start, out_end, out_cap;
    uint8_t             *rest; /* the beginning of a packet that is not all there */
    size_t               rest_len;
    uint64_t             written_ns;
    int                  fd, epfd;
    uint32_t             armed; /* epoll events asked for */
    unsigned             index;
    enum sp_client_state state;
    uint16_t             receive_max;
};

/*
 * Start connecting to addr, from the local IPv4 address `source` (host order, 0: any), and register with epfd (data.ptr =
 * c). tls may be NULL. 0 or negative errno; on an error nothing is left open.
 */
int sp_client_open(struct sp_client *c, int epfd, const struct sockaddr *addr, socklen_t addr_len, uint32_t source,
                   SSL_CTX *tls);

/* After the socket became writable: 0 or what SO_ERROR says, negative. */
int sp_client_connected(struct sp_client *c);

/* Go on with the TLS handshake: 1 done, 0 waiting, negative errno (-EPROTO: TLS, see the OpenSSL error queue). */
int sp_client_handshake(struct sp_client *c);

/* At least n bytes to write an outgoing packet to, or NULL. Then say how many were written. */
uint8_t *sp_client_room(struct sp_client *c, size_t n);
void     sp_client_wrote(struct sp_client *c, size_t n);

/* Bytes not yet taken by the socket. */
static inline size_t
sp_client_pending(const struct sp_client *c)
{
    return c->out_end - c->out_start;
}

/* Write what there is; asks epoll for EPOLLOUT while something is left. 0 or negative errno. */
int sp_client_flush(struct sp_client *c);

/* Read up to n bytes: the count, 0 when nothing is there, negative errno (-ECONNRESET: the peer closed). */
ssize_t sp_client_read(struct sp_client *c, uint8_t *p, size_t n);

/* Close and free everything; the state becomes SP_CLIENT_CLOSED. */
void sp_client_close(struct sp_client *c);

/*
 * A TLS client context from files (each may be NULL) and a group list (NULL: library default): TLS 1.3, the peer's chain
 * verified when cafile is given, no resumption. lean: release buffers of idle connections instead of reading ahead.
 * NULL after a message on stderr.
 */
SSL_CTX *sp_client_tls(const char *cafile, const char *cert, const char *key, const char *groups, bool lean);

#endif
