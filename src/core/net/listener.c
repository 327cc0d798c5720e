#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "conf/snapshot.h"
#include "conf/text.h"
#include "net/net_directives.h"

#define BACKLOG_DEFAULT 1024
#define BACKLOG_MAX     65535

const char *
sp_address_print(const struct sockaddr *addr, char *dst, size_t cap)
{
    char text[INET6_ADDRSTRLEN] = "?";

    if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *a = (const void *)addr;
        (void)inet_ntop(AF_INET, &a->sin_addr, text, sizeof(text));
        (void)snprintf(dst, cap, "%s:%u", text, ntohs(a->sin_port));
    } else if (addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const void *)addr;
        if (IN6_IS_ADDR_V4MAPPED(&a->sin6_addr)) {
            (void)inet_ntop(AF_INET, &a->sin6_addr.s6_addr[12], text, sizeof(text));
            (void)snprintf(dst, cap, "%s:%u", text, ntohs(a->sin6_port));
        } else {
            (void)inet_ntop(AF_INET6, &a->sin6_addr, text, sizeof(text));
            (void)snprintf(dst, cap, "[%s]:%u", text, ntohs(a->sin6_port));
        }
    } else {
        (void)snprintf(dst, cap, "local"); /* a Unix socket: tests */
    }
    return dst;
}

/* -- one line -- */

static int
parse_port(struct sp_str s, uint16_t *port)
{
    uint64_t n;

    if (sp_str_u64(s, 65535, &n) < 0 || n == 0) {
        return -EINVAL;
    }
    *port = htons((uint16_t)n);
    return 0;
}

static int
parse_v6(struct sp_str host, uint16_t port, struct sp_listener_conf *l)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = port};
    char                text[INET6_ADDRSTRLEN];

    if (host.n >= sizeof(text)) {
        return -EINVAL;
    }
    (void)snprintf(text, sizeof(text), "%.*s", SP_STR_ARG(host));
    if (inet_pton(AF_INET6, text, &a.sin6_addr) != 1 || IN6_IS_ADDR_V4MAPPED(&a.sin6_addr)) {
        return -EINVAL;
    }
    memcpy(&l->addr, &a, sizeof(a));
    l->addr_len = sizeof(a);
    return 0;
}

static int
parse_v4(struct sp_str host, uint16_t port, struct sp_listener_conf *l)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = port};
    char               text[INET_ADDRSTRLEN];

    if (host.n >= sizeof(text)) {
        return -EINVAL;
    }
    (void)snprintf(text, sizeof(text), "%.*s", SP_STR_ARG(host));
    if (inet_pton(AF_INET, text, &a.sin_addr) != 1) {
        return -EINVAL;
    }
    memcpy(&l->addr, &a, sizeof(a));
    l->addr_len = sizeof(a);
    return 0;
}

static int
parse_address(struct sp_build *b, const struct sp_conf_node *node, struct sp_listener_conf *l)
{
    struct sp_str s = node->args[1].text, host, rest;
    const char   *colon = s.n == 0 ? NULL : memrchr(s.p, ':', s.n);
    const char   *hint = "expected PORT, ADDRESS:PORT or [ADDRESS]:PORT with an address in digits, port 1 to 65535";
    char          shown[96];
    uint16_t      port;
    int           err;

    host = colon == NULL ? (struct sp_str){NULL, 0} : (struct sp_str){s.p, (size_t)(colon - s.p)};
    rest = colon == NULL ? s : (struct sp_str){colon + 1, s.n - host.n - 1};
    err = parse_port(rest, &port);
    if (err == 0 && colon == NULL) {
        err = parse_v6(SP_STR("::"), port, l);
    } else if (err == 0 && host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
        err = parse_v6((struct sp_str){host.p + 1, host.n - 2}, port, l);
    } else if (err == 0) {
        err = memchr(host.p, ':', host.n) == NULL ? parse_v4(host, port, l) : -EINVAL;
        if (sp_str_is(host, "localhost")) {
            hint = "expected an address in digits, such as 127.0.0.1:PORT or [::1]:PORT";
        } else if (memchr(host.p, ':', host.n) != NULL) {
            hint = "expected an IPv6 address in brackets, such as [::1]:8883";
        }
    }
    if (err < 0) {
        return sp_build_error(b, node, 1, hint, "%s is no address to listen on",
                              sp_word_quote(shown, sizeof(shown), s));
    }
    (void)sp_address_print((const struct sockaddr *)&l->addr, l->address, sizeof(l->address));
    return 0;
}

static int
choice(struct sp_build *b, const struct sp_conf_node *node, unsigned i, struct sp_str value, const char *const *words,
       const char *expected)
{
    char        shown[96], hint[128];
    const char *near;

    for (int k = 0; words[k] != NULL; k++) {
        if (sp_str_is(value, words[k])) {
            return k;
        }
    }
    near = sp_suggest(value, words);
    (void)snprintf(hint, sizeof(hint), "expected %s%s%s%s", expected, near == NULL ? "" : "; did you mean \"",
                   near == NULL ? "" : near, near == NULL ? "" : "\"?");
    return sp_build_error(b, node, i, hint, "%s is not known here", sp_word_quote(shown, sizeof(shown), value));
}

/* Index of the option; the part behind "name=" in *value. */
static int
option(struct sp_build *b, const struct sp_conf_node *node, unsigned i, struct sp_str *value)
{
    static const char *const names[] = {"plain", "trust=", "identity=", "client_cert=", "realm=", "backlog=", NULL};
    struct sp_str            s = node->args[i].text;

    for (int k = 1; names[k] != NULL; k++) {
        struct sp_str name = sp_str_c(names[k]);
        if (sp_str_prefix(s, name)) {
            *value = (struct sp_str){s.p + name.n, s.n - name.n};
            return k;
        }
    }
    *value = (struct sp_str){NULL, 0};
    return choice(b, node, i, s, names, "trust=, plain, identity=, client_cert=, realm= or backlog=");
}

static int
parse_option(struct sp_build *b, const struct sp_conf_node *node, unsigned i, struct sp_listener_conf *l,
             unsigned *seen)
{
    static const char *const from[] = {"cn", "san-uri", "san-dns", NULL};
    static const char *const cert[] = {"required", "optional", "off", NULL};
    struct sp_str            value;
    char                     shown[96];
    uint64_t                 n;
    int                      k, which = option(b, node, i, &value);

    if (which < 0) {
        return which;
    }
    if ((*seen & 1u << which) != 0) {
        return sp_build_error(b, node, i, NULL, "%s is said twice",
                              sp_word_quote(shown, sizeof(shown), node->args[i].text));
    }
    *seen |= 1u << which;
    switch (which) {
    case 0:
        l->plain = true;
        return 0;
    case 1:
        l->trust_name = value;
        l->trust_arg = (uint8_t)i;
        return value.n > 0 ? 0 : sp_build_error(b, node, i, "expected trust=NAME", "no name");
    case 2:
        k = choice(b, node, i, value, from, "cn, san-uri or san-dns");
        l->identity_from = k < 0 ? SP_ID_CN : (enum sp_identity_from)k;
        return k < 0 ? k : 0;
    case 3:
        k = choice(b, node, i, value, cert, "required, optional or off");
        l->client_cert = k < 0 ? SP_CLIENT_CERT_REQUIRED : (enum sp_client_cert)k;
        return k < 0 ? k : 0;
    case 4:
        l->realm_name = value;
        l->realm_arg = (uint8_t)i;
        return value.n > 0 ? 0 : sp_build_error(b, node, i, "expected realm=NAME", "no name");
    default:
        if (sp_str_u64(value, BACKLOG_MAX, &n) < 0 || n == 0) {
            return sp_build_error(b, node, i, "expected backlog=N, 1 to 65535", "%s is no backlog",
                                  sp_word_quote(shown, sizeof(shown), value));
        }
        l->backlog = (int)n;
        return 0;
    }
}

static int
parse_listen(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    struct sp_listener_conf *l = sp_arena_alloc(b->arena, sizeof(*l));
    unsigned                 seen = 0;
    int                      err = parse_address(b, node, l);

    l->node = node;
    l->backlog = BACKLOG_DEFAULT;
    for (unsigned i = 2; i < node->nargs; i++) {
        if (parse_option(b, node, i, l, &seen) < 0) {
            err = -EINVAL;
        }
    }
    if (err < 0) {
        return err;
    }
    if (l->plain && l->trust_name.n > 0) {
        return sp_build_error(b, node, l->trust_arg, "expected one of them",
                              "a listener is plain or has a trust, not both");
    }
    if (!l->plain && l->trust_name.n == 0) {
        return sp_build_error(b, node, node->nargs, "expected trust=NAME, or plain for a listener without TLS",
                              "the listener on %s does not say whom it trusts", l->address);
    }
    if (l->plain && (seen & (1u << 2 | 1u << 3)) != 0) {
        return sp_build_error(b, node, 2, "expected trust=NAME",
                              "identity= and client_cert= have no meaning without TLS");
    }
    v->u.ptr = l;
    return 0;
}

const struct sp_type sp_type_listen = {"listener", "an address, and a trust or plain", parse_listen, NULL, NULL};

/* -- all of them -- */

static bool
any_address(const struct sp_listener_conf *l)
{
    const struct sockaddr_in  *four = (const void *)&l->addr;
    const struct sockaddr_in6 *six = (const void *)&l->addr;

    return l->addr.ss_family == AF_INET ? four->sin_addr.s_addr == htonl(INADDR_ANY)
                                        : IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr);
}

static uint16_t
port_of(const struct sp_listener_conf *l)
{
    return l->addr.ss_family == AF_INET ? ((const struct sockaddr_in *)(const void *)&l->addr)->sin_port
                                        : ((const struct sockaddr_in6 *)(const void *)&l->addr)->sin6_port;
}

bool
sp_listener_same_address(const struct sp_listener_conf *a, const struct sp_listener_conf *b)
{
    if (port_of(a) != port_of(b)) {
        return false;
    }
    if (any_address(a) && any_address(b)) { /* [::] takes IPv4 too */
        return true;
    }
    return a->addr_len == b->addr_len && memcmp(&a->addr, &b->addr, a->addr_len) == 0;
}

bool
sp_listener_is_loopback(const struct sp_listener_conf *l)
{
    const struct sockaddr_in  *four = (const void *)&l->addr;
    const struct sockaddr_in6 *six = (const void *)&l->addr;

    return l->addr.ss_family == AF_INET ? ntohl(four->sin_addr.s_addr) >> 24 == 127
                                        : IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
}

const struct sp_listener_conf *
sp_listener_successor(const struct sp_snapshot *now, const struct sp_listener_conf *was)
{
    const struct sp_listener_conf *l = now->listeners;

    while (l != NULL && (strcmp(l->protocol, was->protocol) != 0 || l->addr_len != was->addr_len ||
                         memcmp(&l->addr, &was->addr, l->addr_len) != 0)) {
        l = l->next;
    }
    return l;
}

/* A block of this name that could not be built is not missing. */
static const struct sp_block *
block_named(const struct sp_build *b, const char *context, struct sp_str name)
{
    const struct sp_block *block = sp_block_first(b->snapshot->main, context);

    while (block != NULL && !sp_str_eq(block->node->args[1].text, name)) {
        block = sp_block_next(block);
    }
    return block;
}

static int
no_such(struct sp_build *b, const struct sp_listener_conf *l, unsigned arg, const char *context, struct sp_str name)
{
    const char *names[33], *near;
    char        shown[128], hint[160];
    size_t      n = 0;

    for (const struct sp_block *k = sp_block_first(b->snapshot->main, context); k != NULL && n < 32;
         k = sp_block_next(k)) {
        names[n++] = sp_arena_str(b->arena, k->node->args[1].text).p;
    }
    names[n] = NULL;
    near = sp_suggest(name, names);
    if (near == NULL) {
        (void)snprintf(hint, sizeof(hint), "expected the name of a `%s NAME { ... }`", context);
    } else {
        (void)snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
    }
    return sp_build_error(b, l->node, arg, hint, "there is no %s %s", context,
                          sp_word_quote(shown, sizeof(shown), name));
}

static int
resolve(struct sp_build *b, struct sp_listener_conf *l)
{
    int err = 0;

    if (l->trust_name.n > 0) {
        const struct sp_block *block = block_named(b, "trust", l->trust_name);
        l->trust = sp_trust_find(b->snapshot, l->trust_name);
        if (block == NULL) {
            err = no_such(b, l, l->trust_arg, "trust", l->trust_name);
        } else if (l->trust != NULL && !l->trust->has_ca && l->client_cert != SP_CLIENT_CERT_OFF) {
            err = sp_build_error(b, l->node, l->trust_arg, "expected `ca FILE;` in that trust, or client_cert=off here",
                                 "this listener asks clients for certificates, and the trust has no ca");
            sp_build_note(b, block->node, 1, "the trust");
        }
    }
    if (l->realm_name.n > 0) {
        l->realm = block_named(b, "realm", l->realm_name);
        if (l->realm == NULL) {
            err = no_such(b, l, l->realm_arg, "realm", l->realm_name);
        }
    }
    return err;
}

static int
refuse_duplicate(struct sp_build *b, const struct sp_listener_conf *l)
{
    for (const struct sp_listener_conf *k = b->snapshot->listeners; k != NULL; k = k->next) {
        if (sp_listener_same_address(k, l)) {
            (void)sp_build_error(b, l->node, 1, "expected another port or address", "%s is taken by another listener%s",
                                 l->address, strcmp(k->protocol, l->protocol) == 0 ? "" : " with another protocol");
            sp_build_note(b, k->node, 1, "the other one");
            return -EINVAL;
        }
    }
    return 0;
}

static void
warn_open(struct sp_build *b, const struct sp_listener_conf *l)
{
    char hint[128];

    if (sp_listener_is_loopback(l)) {
        return;
    }
    if (l->plain) {
        (void)snprintf(hint, sizeof(hint), "expected trust=NAME, or 127.0.0.1:%u for this machine alone",
                       ntohs(port_of(l)));
        sp_build_warn(b, l->node, 1, hint, "anyone who reaches %s may connect, unencrypted and without a certificate",
                      l->address);
    } else if (l->client_cert == SP_CLIENT_CERT_OFF) {
        sp_build_warn(b, l->node, 1, "client_cert=required asks for certificates",
                      "anyone who reaches %s may connect without a certificate", l->address);
    }
}

static void
make_session_context(struct sp_listener_conf *l)
{
    char text[512];
    int  n = snprintf(text, sizeof(text), "%s %s %d %d %.*s", l->address, l->protocol, (int)l->identity_from,
                      (int)l->client_cert, l->trust_name.n > 255 ? 255 : (int)l->trust_name.n, l->trust_name.p);

    (void)EVP_Digest(text, (size_t)n, l->session_context, NULL, EVP_sha256(), NULL);
}

int
sp_listener_build(struct sp_build *b)
{
    struct sp_listener_conf **end = &b->snapshot->listeners;
    unsigned                  n = 0;
    int                       err = 0;

    for (const struct sp_block *block = b->snapshot->main->children; block != NULL; block = block->next) {
        for (const struct sp_value *v = sp_block_value(b->snapshot, block, "listen"); v != NULL; v = v->next) {
            /* The snapshot is ours until it is finished. */
            struct sp_listener_conf *l = (struct sp_listener_conf *)(uintptr_t)v->u.ptr;
            if (l == NULL || v->directive->type != &sp_type_listen) {
                continue;
            }
            l->block = block;
            l->protocol = block->context;
            l->index = n++;
            if (resolve(b, l) < 0 || refuse_duplicate(b, l) < 0) {
                err = -EINVAL;
                continue;
            }
            warn_open(b, l);
            make_session_context(l);
            *end = l;
            end = &l->next;
        }
    }
    return err;
}
