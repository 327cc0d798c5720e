/*
 * Listeners: `listen [ADDR:]PORT [trust=NAME [identity=cn|san-uri|san-dns]
 * [client_cert=required|optional|off] | plain] [realm=NAME] [backlog=N];` inside the block of a protocol
 * module (context named by the module). The type is the core's, so every protocol has the same options. `plain` (no TLS)
 * must be said; without `trust` and `plain` it is an error. A bare port means every address, IPv6 and IPv4 through one socket, as
 * [::] does (the master falls back to 0.0.0.0 where there is no IPv6); 0.0.0.0 means IPv4 alone.
 */
#ifndef SP_NET_LISTENER_H
#define SP_NET_LISTENER_H

#include <sys/socket.h>

#include "net/trust.h"

struct sp_listener_conf {
    struct sp_listener_conf   *next;
    const struct sp_conf_node *node;
    const struct sp_block     *block;    /* the protocol's block: its own settings for sessions of this listener */
    const char                *protocol; /* the block's context: "mqtt" */
    struct sockaddr_storage    addr;
    socklen_t                  addr_len;
    char                       address[64]; /* "[::]:8883" */
    struct sp_trust           *trust;       /* NULL: plain */
    enum sp_client_cert        client_cert;
    enum sp_identity_from      identity_from;
    const struct sp_block     *realm; /* tied to it, or NULL */
    int                        backlog;
    unsigned                   index;                  /* position in snapshot->listeners */
    struct sp_str              trust_name, realm_name; /* as written; empty: none */
    bool                       plain;
    uint8_t                    trust_arg, realm_arg; /* which argument of node */
    uint8_t session_context[32]; /* of address, protocol, trust and identity: a ticket of one is none of another */
};

extern const struct sp_type sp_type_listen; /* u.ptr = struct sp_listener_conf * */
#define SP_LISTEN_DIRECTIVE(context)                                                                                   \
    {                                                                                                                  \
        "listen", &sp_type_listen, (context), 1, 8, true, SP_LOCAL, SP_LIVE, NULL,                                     \
            "[ADDRESS:]PORT trust=NAME [identity=cn|san-uri|san-dns] [client_cert=required|optional|off] | plain  "    \
            "[realm=NAME] [backlog=N]",                                                                                \
            "Accepts connections there. `plain` means without TLS and must be said; the identity is then "             \
            "`anonymous`, as it is "                                                                                   \
            "of clients that need not show a certificate and show none."                                               \
    }

/* Do two listeners want the same address? ([::] and 0.0.0.0 with one port do.) */
bool sp_listener_same_address(const struct sp_listener_conf *a, const struct sp_listener_conf *b);
bool sp_listener_is_loopback(const struct sp_listener_conf *l);
/* The listener of the snapshot that stands for `was` of an earlier one: same protocol and address. NULL: it was taken out. */
const struct sp_listener_conf *sp_listener_successor(const struct sp_snapshot *now, const struct sp_listener_conf *was);
/* "192.0.2.1:5555" or "[2001:db8::1]:5555", IPv4 in IPv6 as IPv4; returns dst. cap >= 64. */
const char *sp_address_print(const struct sockaddr *addr, char *dst, size_t cap);

#endif
