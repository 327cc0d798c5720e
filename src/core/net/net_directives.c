#include "net/net_directives.h"

#include <errno.h>
#include <stdio.h>

#include "conf/snapshot.h"
#include "conf/text.h"

/* crl_stale deny | allow | grace=TIME: u.num is the grace in seconds. */
static int
parse_crl_stale(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    static const char *const words[] = {"deny", "allow", "grace=", NULL};
    struct sp_str            s = node->args[1].text;
    const char              *near;
    char                     shown[64], hint[96];
    int64_t                  ms;

    if (sp_str_is(s, "deny")) {
        v->u.num = 0;
        return 0;
    }
    if (sp_str_is(s, "allow")) {
        v->u.num = INT64_MAX;
        return 0;
    }
    if (sp_str_prefix(s, SP_STR("grace="))) {
        if (sp_parse_time_text((struct sp_str){s.p + 6, s.n - 6}, &ms) < 0) {
            return sp_build_error(b, node, 1, "expected a time such as grace=12h", "%s names no time",
                                  sp_word_quote(shown, sizeof(shown), s));
        }
        v->u.num = ms / 1000;
        return 0;
    }
    near = sp_suggest(s, words);
    (void)snprintf(hint, sizeof(hint),
                   near == NULL ? "expected deny, allow or grace=TIME"
                                : "expected deny, allow or grace=TIME; did you mean \"%s\"?",
                   near);
    return sp_build_error(b, node, 1, hint, "%s is not known here", sp_word_quote(shown, sizeof(shown), s));
}

const struct sp_type sp_type_crl_stale = {"choice", "deny, allow or grace=TIME", parse_crl_stale, NULL, NULL};

/* At least one byte; every argument is looked at where it is used. */
static int
parse_words(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    for (unsigned i = 1; i < node->nargs; i++) {
        if (node->args[i].text.n == 0) {
            return sp_build_error(b, node, i, NULL, "empty argument");
        }
    }
    v->u.str = node->args[1].text;
    return 0;
}

static const struct sp_type type_files = {"path", "paths", parse_words, NULL, NULL};
static const struct sp_type type_words = {"list", "a list of names", parse_words, NULL, NULL};

#define MAIN(name, type, fallback, syntax, help)                                                                       \
    {                                                                                                                  \
        name, type, "main", 1, 1, false, SP_LOCAL, SP_LIVE, fallback, syntax, help                                     \
    }
#define TRUST(name, type, max, repeat, fallback, syntax, help)                                                         \
    {                                                                                                                  \
        name, type, "trust", 1, max, repeat, SP_LOCAL, SP_LIVE, fallback, syntax, help                                 \
    }

const struct sp_directive sp_net_directives[] = {
    {"trust", &sp_type_block, "main", 1, 1, true, SP_LOCAL, SP_LIVE, NULL, "NAME { ... }",
     "A credential set: who we are and whom we believe. Listeners name it with trust=NAME."},
    TRUST("ca", &type_files, 1, false, NULL, "FILE",
          "Certificates of the authorities whose clients are believed, PEM or DER. Intermediate ones may be among "
          "them, and must be "
          "when they have a CRL."),
    TRUST("certificate", &type_files, 1, false, NULL, "FILE",
          "Our certificate, followed by the intermediate ones that peers need."),
    TRUST("key", &type_files, 1, false, NULL, "FILE", "Our private key, without a passphrase."),
    TRUST(
        "crl", &type_files, 255, true, NULL, "FILE ...",
        "Certificate revocation lists of authorities in `ca`. With one, a client whose issuer has no list is refused; "
        "when every "
        "authority has one, intermediate certificates are checked too. Read anew at every reload: sessions of revoked "
        "certificates are then closed, and their tickets are worthless."),
    TRUST("crl_stale", &sp_type_crl_stale, 1, false, "deny", "deny | allow | grace=TIME",
          "What a revocation list is worth after its next-update date: `deny` refuses every client of that authority "
          "until there "
          "is a newer one, `grace` does so after that time, `allow` never."),
    TRUST("verify_depth", &sp_type_number, 1, false, "4", "NUMBER",
          "How many intermediate certificates a client's chain may have."),
    TRUST("protocols", &type_words, 2, false, "TLSv1.3", "TLSv1.3 [TLSv1.2]",
          "Versions of TLS. Sessions of TLS 1.2 are not resumed."),
    TRUST("groups", &type_words, 255, false, NULL, "GROUP ...",
          "Key exchange groups, preferred ones first. Without it: X25519MLKEM768 where this OpenSSL has it, X25519, "
          "P-256, P-384."),
    TRUST("ciphersuites", &type_words, 255, false, NULL, "SUITE ...",
          "Cipher suites of TLS 1.3, preferred ones first. Without it: OpenSSL's own choice."),
    TRUST("session_tickets", &sp_type_flag, 1, false, "on", "on | off",
          "Whether clients may resume sessions, with one ticket for each connection. A resumed session is checked like "
          "a new one."),
    TRUST("session_lifetime", &sp_type_time, 1, false, "1h", "TIME",
          "How long after its full handshake a client may resume; never longer than its certificate is valid."),
    MAIN("handshake_timeout", &sp_type_time, "10s", "TIME", "A TLS handshake that has not ended by then is cut off."),
    MAIN("max_handshakes", &sp_type_number, "2048", "NUMBER",
         "Unfinished TLS handshakes in one worker. Over that, the oldest is cut off for a new one when it has had a "
         "second; else new "
         "connections wait in the listener's backlog."),
    MAIN("max_connections_per_address", &sp_type_number_off, "off", "NUMBER | off",
         "Connections from one address in one worker; further ones are closed at once."),
    MAIN("send_timeout", &sp_type_time, "60s", "TIME",
         "A peer that accepts no byte of waiting output for that long is cut off."),
};
const size_t sp_net_ndirectives = sizeof(sp_net_directives) / sizeof(sp_net_directives[0]);

void
sp_net_limits_read(const struct sp_snapshot *s, struct sp_net_limits *out)
{
    out->handshake_timeout_ms = sp_block_num(s, s->main, "handshake_timeout");
    out->send_timeout_ms = sp_block_num(s, s->main, "send_timeout");
    out->max_handshakes = sp_block_num(s, s->main, "max_handshakes");
    out->max_per_address = sp_block_num(s, s->main, "max_connections_per_address");
    out->max_connections = sp_block_num(s, s->main, "worker_connections");
}

int
sp_net_build(struct sp_build *b)
{
    int trusts = sp_trust_build(b), listeners = sp_listener_build(b);

    return trusts < 0 ? trusts : listeners;
}
