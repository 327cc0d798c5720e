/* What happens as time goes by: the commands take the time from their caller. */
#include "cli/pki_cmd.h"
#include "cli/pki_store.h"
#include "tap.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#define START 1800000000 /* 2027 */
#define DAY   86400

static char root[64];

/* The state of name in the store at that time, or -1. */
static int
health_of(const char *name, time_t now, FILE *out)
{
    struct sp_pki_store store;
    enum sp_pki_health  health;
    const char         *text;
    int                 rc = sp_pki_store_lock(&store, root, false, now, out);

    if (rc == 0) {
        rc = sp_pki_store_load(&store, false);
    }
    if (rc == 0) {
        rc = sp_pki_store_inspect(&store, name, &health, &text);
    }
    sp_pki_store_close(&store);
    return rc == 0 ? (int)health : -1;
}

/* Does NAME.crt verify at that time, CRL included? */
static bool
verifies(const char *name, time_t now)
{
    struct sp_pki_dir  dir;
    X509_STORE_CTX    *ctx = X509_STORE_CTX_new();
    X509_VERIFY_PARAM *param;
    X509_STORE        *trust = X509_STORE_new();
    X509              *ca = NULL, *cert = NULL;
    X509_CRL          *crl = NULL;
    char               file[SP_PKI_FILE_SIZE];
    bool               good = false;

    sp_pki_store_file(file, name, ".crt");
    if (sp_pki_dir_open(&dir, root, 0, 0) == 0 && sp_pki_cert_read(&dir, "ca.crt", &ca) == 0 &&
        sp_pki_cert_read(&dir, file, &cert) == 0 && sp_pki_crl_read(&dir, "ca.crl", &crl) == 0) {
        X509_STORE_add_cert(trust, ca);
        X509_STORE_add_crl(trust, crl);
        X509_STORE_CTX_init(ctx, trust, cert, NULL);
        param = X509_STORE_CTX_get0_param(ctx);
        X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_X509_STRICT);
        X509_VERIFY_PARAM_set_time(param, now);
        good = X509_verify_cert(ctx) == 1;
        if (!good) {
            printf("# %s: %s\n", name, X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
        }
    }
    sp_pki_dir_close(&dir);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(trust);
    X509_free(ca);
    X509_free(cert);
    X509_CRL_free(crl);
    return good;
}

static void
test_demo_over_time(FILE *out)
{
    struct sp_pki_run run = {.dir = root, .now = START, .out = out};
    time_t            late = START + 91 * DAY;
    time_t            very_late = START + 3651 * (time_t)DAY;

    is_int(sp_pki_cmd_demo(&run), 0, "demo");
    ok(verifies("gateway", START - 240), "verifies by a clock that is 4 minutes slow");
    ok(verifies("drone", START + 90 * DAY - 1), "verifies until the last second of 90 days");
    ok(!verifies("drone", late), "and not after");
    is_int(health_of("drone", late, out), SP_PKI_EXPIRED, "has expired by then");

    run.now = late;
    run.name = "operator";
    is_int(sp_pki_cmd_revoke(&run), 0, "revoke an expired one");
    run.name = NULL;
    is_int(sp_pki_cmd_demo(&run), 0, "demo, 91 days later");
    ok(verifies("drone", late), "the drone verifies again");
    ok(verifies("gateway", late), "the gateway, too");
    is_int(health_of("operator", late, out), SP_PKI_WITHDRAWN, "a revoked one stays revoked");

    run.now = very_late;
    run.name = "gcs";
    ok(sp_pki_cmd_renew(&run) < 0, "an expired CA signs nothing");
    run.name = "ca";
    run.days = 30;
    is_int(sp_pki_cmd_renew(&run), 0, "renew ca");
    run.name = "gcs";
    run.days = 90;
    is_int(sp_pki_cmd_renew(&run), 0, "renew gcs, for longer than the CA");
    is_int(health_of("gcs", very_late + 30 * DAY - 1, out), SP_PKI_FINE, "good while the CA is");
    is_int(health_of("gcs", very_late + 30 * DAY, out), SP_PKI_EXPIRED, "ends with the CA");
    run.name = NULL;
    run.days = 0;
    run.now = very_late + 31 * DAY;
    is_int(sp_pki_cmd_demo(&run), 0, "demo with an expired CA");
    ok(verifies("gcs", run.now), "has renewed all");
}

static void
test_crash_points(FILE *out)
{
    struct sp_pki_run run = {.dir = root, .now = START + 4000 * (time_t)DAY, .out = out};
    char              from[128], to[128];

    is_int(sp_pki_cmd_demo(&run), 0, "demo");
    snprintf(from, sizeof(from), "%s/gcs.key", root);
    snprintf(to, sizeof(to), "%s/drone.key", root);
    is_int(rename(from, to), 0, "killed between key and certificate");
    is_int(health_of("drone", run.now, out), SP_PKI_BROKEN, "the key does not fit");
    is_int(health_of("gcs", run.now, out), SP_PKI_BROKEN, "the key is missing");
    run.name = "drone";
    ok(sp_pki_cmd_issue(&run) < 0, "issue says so");
    run.name = NULL;
    is_int(sp_pki_cmd_demo(&run), 0, "demo mends it");
    is_int(health_of("drone", run.now, out), SP_PKI_FINE, "drone");
    is_int(health_of("gcs", run.now, out), SP_PKI_FINE, "gcs");
}

static void
remove_root(void)
{
    struct dirent *item;
    DIR           *dir = opendir(root);
    char           path[400];

    while (dir != NULL && (item = readdir(dir)) != NULL) {
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0) {
            snprintf(path, sizeof(path), "%s/%s", root, item->d_name);
            unlink(path);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    rmdir(root);
}

int
main(void)
{
    FILE *out = fopen("/dev/null", "w");

    strcpy(root, "/tmp/sp_pki_cmd.XXXXXX");
    if (out == NULL || mkdtemp(root) == NULL) {
        printf("Bail out! no temporary directory\n");
        return 1;
    }
    test_demo_over_time(out);
    test_crash_points(out);
    remove_root();
    fclose(out);
    return done_testing();
}
