#include "cli/pki.h"

#include "cli/pki_ca.h"
#include "cli/pki_cmd.h"
#include "cli/pki_index.h"

#include <stdlib.h>
#include <string.h>

enum {
    EXIT_OK = 0,
    EXIT_RUNTIME = 1,
    EXIT_USAGE = 2,
};

enum option {
    OPT_DIR = 1 << 0,
    OPT_DAYS = 1 << 1,
    OPT_KEY_TYPE = 1 << 2,
    OPT_CN = 1 << 3,
    OPT_SERVER = 1 << 4,
    OPT_SAN = 1 << 5,
    OPT_NEW_KEY = 1 << 6,
    OPT_REVOKE_OLD = 1 << 7,
    OPT_REASON = 1 << 8,
    OPT_JSON = 1 << 9,
    OPT_HELP = 1 << 10,
};

struct option_info {
    const char *name;
    enum option option;
    const char *value; /* NULL: takes none */
    const char *help;
};

struct command {
    const char *name;
    int (*run)(const struct sp_pki_run *run);
    bool        takes_name;
    unsigned    options;
    const char *help;
};

static const struct option_info options[] = {
    {"--dir", OPT_DIR, "DIR", "the directory of the CA (default: pki)"},
    {"--days", OPT_DAYS, "N", "how long it lasts, 1 to 36500 (CA 3650, others 90, a CRL as the last one, first 30)"},
    {"--key-type", OPT_KEY_TYPE, "TYPE", "ec (P-256, default), ed25519, rsa (3072 bits), ml-dsa-65 (OpenSSL 3.5)"},
    {"--cn", OPT_CN, "TEXT", "the CA's common name (default: one with random digits)"},
    {"--server", OPT_SERVER, NULL, "it may serve TLS, too (serverAuth)"},
    {"--san", OPT_SAN, "LIST", "a server's names: DNS:HOST or IP:ADDRESS, with commas or repeated (default: DNS:NAME)"},
    {"--new-key", OPT_NEW_KEY, NULL, "make a new key instead of keeping the old one"},
    {"--revoke-old", OPT_REVOKE_OLD, NULL, "revoke the certificates that the new one replaces"},
    {"--reason", OPT_REASON, "REASON",
     "unspecified (default), keyCompromise, affiliationChanged, superseded (default of "
     "--revoke-old), cessationOfOperation, privilegeWithdrawn"},
    {"--json", OPT_JSON, NULL, "print JSON"},
    {"--help", OPT_HELP, NULL, "print this"},
};

static const struct command commands[] = {
    {"init", sp_pki_cmd_init, false, OPT_DIR | OPT_DAYS | OPT_KEY_TYPE | OPT_CN,
     "make a CA: ca.crt, ca.key, an empty ca.crl, index"},
    {"issue", sp_pki_cmd_issue, true, OPT_DIR | OPT_DAYS | OPT_KEY_TYPE | OPT_SERVER | OPT_SAN,
     "make NAME.key and NAME.crt"},
    {"renew", sp_pki_cmd_renew, true,
     OPT_DIR | OPT_DAYS | OPT_KEY_TYPE | OPT_SERVER | OPT_SAN | OPT_NEW_KEY | OPT_REVOKE_OLD | OPT_REASON,
     "a new certificate for NAME with the same key and names; 'ca' renews the CA.\n"
     "The old certificate stays valid until it expires, unless --revoke-old"},
    {"revoke", sp_pki_cmd_revoke, true, OPT_DIR | OPT_REASON, "revoke all certificates of NAME and write the CRL"},
    {"crl", sp_pki_cmd_crl, false, OPT_DIR | OPT_DAYS, "write the CRL anew, with the next number"},
    {"list", sp_pki_cmd_list, false, OPT_DIR | OPT_JSON, "print what there is and when it expires, worst first"},
    {"demo", sp_pki_cmd_demo, false, OPT_DIR | OPT_DAYS | OPT_KEY_TYPE,
     "init, then gateway (a server), drone, gcs, controller, operator.\n"
     "Run again, it keeps what is there and adds what is missing or expired"},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *
command_at(size_t i, const void *arg)
{
    (void)arg;
    return i < COUNT(commands) ? commands[i].name : NULL;
}

static const char *
option_at(size_t i, const void *arg)
{
    (void)arg;
    return i < COUNT(options) ? options[i].name : NULL;
}

static const char *
key_type_at(size_t i, const void *arg)
{
    (void)arg;
    return sp_pki_key_type_at(i);
}

static const char *
reason_at(size_t i, const void *arg)
{
    (void)arg;
    return sp_pki_reason_at(i);
}

/* Edits (insert, delete, replace, swap neighbours) from a to b; words of up to 31. */
static size_t
distance(const char *a, const char *b)
{
    size_t d[32][32];
    size_t m = strlen(a), n = strlen(b), i, j, best;

    if (m > 31 || n > 31) {
        return 32;
    }
    for (i = 0; i <= m; i++) {
        for (j = 0; j <= n; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
            best = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && d[i - 2][j - 2] + 1 < best) {
                best = d[i - 2][j - 2] + 1;
            }
            d[i][j] = best;
        }
    }
    return d[m][n];
}

const char *
sp_pki_suggest(const char *word, const char *(*word_at)(size_t i, const void *arg), const void *arg)
{
    const char *near = NULL, *candidate;
    size_t      least = 3, edits, i;

    for (i = 0; (candidate = word_at(i, arg)) != NULL; i++) {
        edits = distance(word, candidate);
        if (edits < least && edits * 2 < strlen(candidate)) {
            least = edits;
            near = candidate;
        }
    }
    return near;
}

static int
unknown(const char *what, const char *word, const char *near, const char *expected)
{
    if (near != NULL) {
        sp_pki_error("%s '%s'; did you mean '%s'?", what, word, near);
    } else {
        sp_pki_error("%s '%s'; expected %s", what, word, expected);
    }
    return EXIT_USAGE;
}

static void
print_indented(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        fputc(*text, out);
        if (*text == '\n') {
            fprintf(out, "%16s", "");
        }
    }
    fputc('\n', out);
}

static void
print_options(FILE *out, unsigned which)
{
    char   left[32];
    size_t i;

    for (i = 0; i < COUNT(options); i++) {
        if (options[i].option & which) {
            snprintf(left, sizeof(left), "%s %s", options[i].name, options[i].value != NULL ? options[i].value : "");
            fprintf(out, "  %-18s %s\n", left, options[i].help);
        }
    }
}

static void
print_help(FILE *out)
{
    char   left[32];
    size_t i;

    fputs("usage: sallyport pki COMMAND [NAME] [OPTION]...\n\n"
          "A certificate authority for a fleet, kept in one directory.\n\n",
          out);
    for (i = 0; i < COUNT(commands); i++) {
        snprintf(left, sizeof(left), "%s%s", commands[i].name, commands[i].takes_name ? " NAME" : "");
        fprintf(out, "  %-13s ", left);
        print_indented(out, commands[i].help);
    }
    fputs("\n'sallyport pki COMMAND --help' lists the options of COMMAND.\n"
          "Exit status: 0 done, 1 failed, 2 wrong usage.\n",
          out);
}

static void
print_command_help(FILE *out, const struct command *command)
{
    fprintf(out, "usage: sallyport pki %s%s [OPTION]...\n\n%s.\n\n", command->name, command->takes_name ? " NAME" : "",
            command->help);
    print_options(out, command->options | OPT_HELP);
}

static int
parse_days(const char *text, unsigned *days)
{
    unsigned long value = 0;
    size_t        len = strlen(text);

    if (len > 0 && len <= 5 && strspn(text, "0123456789") == len) {
        value = strtoul(text, NULL, 10);
    }
    if (value < 1 || value > SP_PKI_DAYS_MAX) {
        sp_pki_error("--days '%s': expected a whole number from 1 to %d", text, SP_PKI_DAYS_MAX);
        return EXIT_USAGE;
    }
    *days = (unsigned)value;
    return EXIT_OK;
}

static int
parse_san(const char *list, GENERAL_NAMES **san)
{
    const char *stop;
    char        item[300];
    size_t      len;

    for (;; list = stop + 1) {
        stop = strchrnul(list, ',');
        len = (size_t)(stop - list);
        if (len >= sizeof(item)) {
            len = sizeof(item) - 1; /* too long for any name; refused as such */
        }
        memcpy(item, list, len);
        item[len] = '\0';
        if (sp_pki_san_add(san, item) < 0) {
            return EXIT_USAGE;
        }
        if (*stop == '\0') {
            return EXIT_OK;
        }
    }
}

static int
parse_cn(const char *text, const char **cn)
{
    size_t len = strlen(text), i;

    for (i = 0; i < len; i++) {
        if (text[i] < ' ' || text[i] > '~') {
            break;
        }
    }
    if (len == 0 || len > 64 || i < len) {
        sp_pki_error("--cn: expected 1 to 64 printable ASCII characters");
        return EXIT_USAGE;
    }
    *cn = text;
    return EXIT_OK;
}

static int
parse_key_type(const char *text, const char **type)
{
    size_t i;

    for (i = 0; sp_pki_key_type_at(i) != NULL; i++) {
        if (strcmp(text, sp_pki_key_type_at(i)) == 0) {
            *type = text;
            return EXIT_OK;
        }
    }
    return unknown("unknown --key-type", text, sp_pki_suggest(text, key_type_at, NULL),
                   "ec, ed25519, rsa or ml-dsa-65");
}

static int
set_option(struct sp_pki_run *run, enum option option, const char *value)
{
    switch (option) {
    case OPT_DIR:
        run->dir = value;
        break;
    case OPT_DAYS:
        return parse_days(value, &run->days);
    case OPT_KEY_TYPE:
        return parse_key_type(value, &run->key_type);
    case OPT_CN:
        return parse_cn(value, &run->cn);
    case OPT_SERVER:
        run->server = true;
        break;
    case OPT_SAN:
        return parse_san(value, &run->san);
    case OPT_NEW_KEY:
        run->new_key = true;
        break;
    case OPT_REVOKE_OLD:
        run->revoke_old = true;
        break;
    case OPT_REASON:
        if (sp_pki_reason_parse(value, &run->reason) < 0) {
            return unknown("unknown --reason", value, sp_pki_suggest(value, reason_at, NULL),
                           "one that 'sallyport pki revoke --help' lists");
        }
        break;
    case OPT_JSON:
        run->json = true;
        break;
    case OPT_HELP:
        break;
    }
    return EXIT_OK;
}

/* argv[*i] begins with a hyphen; *i moves on if its value is the next word. */
static int
parse_option(const struct command *command, struct sp_pki_run *run, unsigned *given, int argc, char **argv, int *i)
{
    const struct option_info *info = NULL;
    const char               *word = argv[*i], *value = strchr(word, '=');
    size_t                    len = value != NULL ? (size_t)(value - word) : strlen(word);
    char                      name[32];
    size_t                    k;

    if (strcmp(word, "-h") == 0) {
        *given |= OPT_HELP;
        return EXIT_OK;
    }
    for (k = 0; k < COUNT(options); k++) {
        if (strlen(options[k].name) == len && strncmp(options[k].name, word, len) == 0) {
            info = &options[k];
        }
    }
    if (info == NULL) {
        snprintf(name, sizeof(name), "%.*s", (int)(len < 31 ? len : 31), word);
        return unknown("unknown option", name, sp_pki_suggest(name, option_at, NULL),
                       "one that 'sallyport pki COMMAND --help' lists");
    }
    if (!(info->option & (command->options | OPT_HELP))) {
        sp_pki_error("'%s' does not take %s; 'sallyport pki %s --help' lists what it takes", command->name, info->name,
                     command->name);
        return EXIT_USAGE;
    }
    if (info->value == NULL && value != NULL) {
        sp_pki_error("%s: expected no value", info->name);
        return EXIT_USAGE;
    }
    if (info->value != NULL) {
        value = value != NULL ? value + 1 : *i + 1 < argc ? argv[++*i] : NULL;
        if (value == NULL) {
            sp_pki_error("%s: expected %s after it", info->name, info->value);
            return EXIT_USAGE;
        }
    }
    *given |= info->option;
    return set_option(run, info->option, value);
}

static int
parse_arguments(const struct command *command, struct sp_pki_run *run, unsigned *given, int argc, char **argv)
{
    bool only_names = false;
    int  i, rc;

    for (i = 2; i < argc; i++) {
        if (!only_names && strcmp(argv[i], "--") == 0) {
            only_names = true;
        } else if (!only_names && argv[i][0] == '-' && argv[i][1] != '\0') {
            rc = parse_option(command, run, given, argc, argv, &i);
            if (rc != EXIT_OK) {
                return rc;
            }
        } else if (!command->takes_name) {
            sp_pki_error("'%s' takes no name; got '%s'", command->name, argv[i]);
            return EXIT_USAGE;
        } else if (run->name != NULL) {
            sp_pki_error("'%s' takes one NAME; got '%s' and '%s'", command->name, run->name, argv[i]);
            return EXIT_USAGE;
        } else {
            run->name = argv[i];
        }
    }
    return EXIT_OK;
}

/* What each option alone cannot tell. */
static int
check_arguments(const struct command *command, const struct sp_pki_run *run, unsigned given)
{
    const char *expected;
    bool        renew = strcmp(command->name, "renew") == 0;

    if (!command->takes_name) {
        return EXIT_OK;
    }
    if (run->name == NULL) {
        sp_pki_error("'%s': expected a NAME, such as drone", command->name);
        return EXIT_USAGE;
    }
    if (renew && strcmp(run->name, "ca") == 0) {
        if (given & ~(unsigned)(OPT_DIR | OPT_DAYS)) {
            sp_pki_error("'renew ca' keeps key and name; expected only --dir and --days");
            return EXIT_USAGE;
        }
        return EXIT_OK;
    }
    expected = sp_pki_name_check(run->name);
    if (expected != NULL) {
        sp_pki_error("name '%s': %s", run->name, expected);
        return EXIT_USAGE;
    }
    if (!renew && (given & OPT_SAN) && !(given & OPT_SERVER)) {
        sp_pki_error("--san names a server; expected --server with it");
        return EXIT_USAGE;
    }
    if (renew && (given & OPT_KEY_TYPE) && !(given & OPT_NEW_KEY)) {
        sp_pki_error("--key-type: the old key is kept; expected --new-key with it");
        return EXIT_USAGE;
    }
    if (renew && (given & OPT_REASON) && !(given & OPT_REVOKE_OLD)) {
        sp_pki_error("--reason: nothing is revoked; expected --revoke-old with it");
        return EXIT_USAGE;
    }
    return EXIT_OK;
}

static int
run_command(const struct command *command, int argc, char **argv)
{
    struct sp_pki_run run = {.dir = "pki", .now = time(NULL), .out = stdout};
    unsigned          given = 0;
    int               rc = parse_arguments(command, &run, &given, argc, argv);

    if (rc == EXIT_OK && (given & OPT_HELP)) {
        print_command_help(stdout, command);
    } else if (rc == EXIT_OK) {
        rc = check_arguments(command, &run, given);
        if (run.revoke_old && !(given & OPT_REASON)) {
            (void)sp_pki_reason_parse("superseded", &run.reason);
        }
        if (rc == EXIT_OK && command->run(&run) < 0) {
            rc = EXIT_RUNTIME;
        }
    }
    GENERAL_NAMES_free(run.san);
    return rc;
}

int
sp_pki_main(int argc, char **argv)
{
    size_t i;
    int    rc = -1;

    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        rc = EXIT_OK;
    }
    for (i = 0; rc < 0 && i < COUNT(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            rc = run_command(&commands[i], argc, argv);
        }
    }
    if (rc < 0) {
        return unknown("unknown command", argv[1], sp_pki_suggest(argv[1], command_at, NULL),
                       "init, issue, renew, revoke, crl, list or demo");
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        sp_pki_error("cannot write to standard output");
        rc = rc == EXIT_OK ? EXIT_RUNTIME : rc;
    }
    return rc;
}
