#include "net/listener.h"

#include <netinet/in.h>

#include "net_conf.h"
#include "net_pki.h"
#include "tap.h"

static void
accepted(const char *text, const char *address, const char *warning)
{
    char               *errors;
    struct sp_snapshot *s = conf_build(text, &errors);

    ok(s != NULL, "taken: %s", text);
    if (s == NULL) {
        printf("# %s\n", errors);
        free(errors);
        return;
    }
    is_str(s->listeners->address, address, "address %s", address);
    if (warning == NULL) {
        ok(errors == NULL, "no warning");
    } else {
        ok(errors != NULL && strstr(errors, warning) != NULL, "warns: %s", warning);
    }
    free(errors);
    sp_snapshot_unref(s);
}

static void
refused(const char *text, const char *place, const char *message)
{
    char               *errors;
    struct sp_snapshot *s = conf_build(text, &errors);
    bool                told = errors != NULL && strstr(errors, message) != NULL && strstr(errors, place) != NULL;

    ok(s == NULL && told, "refused: %s", message);
    if (!told) {
        printf("# %s\n", errors == NULL ? "no text" : errors);
    }
    free(errors);
    if (s != NULL) {
        sp_snapshot_unref(s);
    }
}

static void
test_details(void)
{
    char               *errors;
    struct sp_snapshot *s =
        conf_build("trust fleet { certificate c; key k; ca a; }\nrealm fleet { topics \"#\"; }\n"
                   "echo { listen 127.0.0.1:1883 plain backlog=7;\n"
                   " listen [::1]:8883 trust=fleet identity=san-uri client_cert=optional realm=fleet; }\n",
                   &errors);
    const struct sp_listener_conf *one, *two;

    if (s == NULL) { /* topics is a directive of policy_resolver: without it there is none */
        free(errors);
        s = conf_build("trust fleet { certificate c; key k; ca a; }\nrealm fleet { }\n"
                       "echo { listen 127.0.0.1:1883 plain backlog=7;\n"
                       " listen [::1]:8883 trust=fleet identity=san-uri client_cert=optional realm=fleet; }\n",
                       &errors);
    }
    ok(s != NULL, "two listeners");
    if (s == NULL) {
        printf("# %s\n", errors);
        return;
    }
    free(errors);
    one = s->listeners;
    two = one->next;
    ok(one->trust == NULL && one->plain && one->backlog == 7 && one->index == 0, "the plain one");
    ok(one->addr.ss_family == AF_INET && sp_listener_is_loopback(one), "IPv4 loopback");
    is_str(one->protocol, "echo", "protocol");
    ok(two->trust != NULL && two->trust == sp_trust_find(s, SP_STR("fleet")), "its trust");
    ok(two->identity_from == SP_ID_SAN_URI && two->client_cert == SP_CLIENT_CERT_OPTIONAL, "its options");
    ok(two->realm != NULL && sp_str_is(two->realm->node->args[1].text, "fleet"), "its realm");
    ok(two->index == 1 && two->next == NULL && two->backlog > 100, "its place and backlog");
    ok(memcmp(one->session_context, two->session_context, 32) != 0, "session contexts differ");
    ok(sp_listener_successor(s, two) == two && sp_listener_successor(s, one) == one, "each succeeds itself");
    sp_snapshot_unref(s);
}

static void
test_print(void)
{
    struct sockaddr_in  four = {.sin_family = AF_INET, .sin_port = htons(5555)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(1)};
    char                text[64];

    four.sin_addr.s_addr = htonl(0xc0000201);
    is_str(sp_address_print((struct sockaddr *)&four, text, sizeof(text)), "192.0.2.1:5555", "IPv4");
    six.sin6_addr = in6addr_loopback;
    is_str(sp_address_print((struct sockaddr *)&six, text, sizeof(text)), "[::1]:1", "IPv6");
    memset(&six.sin6_addr, 0, 16);
    memset(&six.sin6_addr.s6_addr[10], 0xff, 2);
    six.sin6_addr.s6_addr[12] = 10;
    is_str(sp_address_print((struct sockaddr *)&six, text, sizeof(text)), "10.0.0.0:1", "IPv4 in IPv6");
}

int
main(void)
{
    struct party ca = pki_make("ca", NULL, 1, -60, DAY, 1, NULL), own = pki_make("gw", &ca, 2, -60, DAY, 0, NULL);
    char        *a = pki_cert_pem(ca.cert), *c = pki_cert_pem(own.cert), *k = pki_key_pem(own.key, NULL);

    conf_text("a", a);
    conf_text("c", c);
    conf_text("k", k);
    accepted("echo { listen 127.0.0.1:1883 plain; }", "127.0.0.1:1883", NULL);
    accepted("echo { listen [::1]:1883 plain; }", "[::1]:1883", NULL);
    accepted("echo { listen 1883 plain; }", "[::]:1883", "anyone who reaches [::]:1883 may connect");
    accepted("echo { listen 0.0.0.0:1883 plain; }", "0.0.0.0:1883", "anyone who reaches");
    accepted("trust t { certificate c; key k; ca a; } echo { listen 8883 trust=t; }", "[::]:8883", NULL);
    accepted("trust t { certificate c; key k; } echo { listen 8883 trust=t client_cert=off; }", "[::]:8883",
             "without a certificate");
    test_details();
    test_print();

    refused("echo { listen 1883; }", "t.conf:1:", "does not say whom it trusts");
    refused("echo { listen 1883 plian; }", "t.conf:1:20", "did you mean \"plain\"?");
    refused("echo { listen 0 plain; }", "t.conf:1:15", "no address to listen on");
    refused("echo { listen 65536 plain; }", "t.conf:1:15", "no address to listen on");
    refused("echo { listen localhost:1883 plain; }", "t.conf:1:15", "expected an address in digits");
    refused("echo { listen ::1:1883 plain; }", "t.conf:1:15", "in brackets");
    refused("echo { listen [::1]1883 plain; }", "t.conf:1:15", "no address to listen on");
    refused("echo { listen 1.2.3:1883 plain; }", "t.conf:1:15", "no address to listen on");
    refused("echo { listen \"\" plain; }", "t.conf:1:15", "no address to listen on");
    refused("echo { listen 1883 plain plain; }", "t.conf:1:26", "said twice");
    refused("echo { listen 1883 plain backlog=0; }", "t.conf:1:26", "no backlog");
    refused("echo { listen 1883 plain identity=cn; }", "t.conf:1:", "no meaning without TLS");
    refused("echo { listen 1883 plain realm=nowhere; }", "t.conf:1:26", "there is no realm \"nowhere\"");
    refused("trust fleet { certificate c; key k; ca a; } echo { listen 1883 trust=fleet plain; }",
            "t.conf:1:", "not both");
    refused("trust fleet { certificate c; key k; ca a; } echo { listen 1883 trust=flet; }", "t.conf:1:64",
            "did you mean \"fleet\"?");
    refused("trust fleet { certificate c; key k; ca a; } echo { listen 1883 trust=fleet identity=sn-uri; }",
            "t.conf:1:", "did you mean \"san-uri\"?");
    refused("trust t { certificate c; key k; }\necho { listen 1883 trust=t; }", "t.conf:2:20", "the trust has no ca");
    refused("echo {\n listen 1883 plain;\n listen 0.0.0.0:1883 plain; }", "t.conf:3:9", "taken by another listener");
    refused("echo {\n listen 1883 plain;\n listen 0.0.0.0:1883 plain; }", "t.conf:2:9", "the other one");
    refused("echo { listen 127.0.0.1:1 plain; }\nother { listen 127.0.0.1:1 plain; }", "t.conf:2:16",
            "with another protocol");
    pki_free_texts();
    pki_free(&ca);
    pki_free(&own);
    sp_registry_destroy(conf_registry);
    return done_testing();
}
