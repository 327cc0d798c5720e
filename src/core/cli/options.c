#include "cli/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/diag.h"
#include "sp_config.h"

struct option {
    char        letter; /* 0: none */
    const char *name;
    const char *value; /* what it takes, NULL: nothing */
    const char *help;
};

static const struct option options[] = {
    {'c', "config", "FILE", "the configuration (default " SP_CONF_PATH ")"},
    {'p', "prefix", "DIR", "where relative paths start (default " SP_PREFIX ")"},
    {'g', "directive", "TEXT", "directives that go before the file's, such as \"daemon on;\""},
    {'t', "test", NULL, "test the configuration and exit"},
    {'T', "dump", NULL, "print the effective configuration, each value with its place"},
    {'D', "directives", NULL, "print the reference of all directives (with --man: as manual page source)"},
    {'s', "signal", "COMMAND", "reload, stop, quit, reopen or upgrade: waits for the verdict"},
    {'v', "version", NULL, "print the version"},
    {'V', "build", NULL, "print how it was built and which libraries are in use"},
    {'h', "help", NULL, "print this"},
    {0, "man", NULL, NULL},
    {0, "json", NULL, NULL},
    {0, "control", "SOCKET", "the control socket, instead of the configuration's"},
    {0, "identity", "NAME", NULL},
    {0, "topic", "TOPIC", NULL},
    {0, "do", "ACTION", NULL},
    {0, "application", "NAME", NULL},
    {0, "client-id", "ID", NULL},
};
#define NOPTIONS (sizeof options / sizeof options[0])

static const char *const commands[] = {"status", "explain", "pki", NULL};
static const char *const signals[] = {"reload", "stop", "quit", "reopen", "upgrade", NULL};

void
sp_options_help(void)
{
    fputs("usage: sallyport [-c FILE] [-p DIR] [-g TEXT]           start\n"
          "       sallyport -t | -T | -D [--man]                   test, dump, list directives\n"
          "       sallyport -s reload|stop|quit|reopen|upgrade     tell a running one, wait for the verdict\n"
          "       sallyport -v | -V | -h                           version, build, help\n"
          "       sallyport status [--json]                        processes, generation, listeners, sessions, queues\n"
          "       sallyport explain --identity NAME --topic TOPIC [--do publish|subscribe] [--application NAME]\n"
          "                         [--client-id ID] [--json]      who may, under which values, and why; with -c FILE\n"
          "                                                        by that file, else by the running gateway\n"
          "       sallyport pki COMMAND                            a small certificate authority; pki help\n"
          "\n",
          stdout);
    for (size_t i = 0; i < NOPTIONS; i++) {
        const struct option *o = &options[i];
        if (o->help != NULL) {
            char left[48];
            snprintf(left, sizeof left, "%s%c%s--%s%s%s", o->letter ? "-" : " ", o->letter ? o->letter : ' ',
                     o->letter ? ", " : "  ", o->name, o->value ? " " : "", o->value ? o->value : "");
            printf("  %-26s %s\n", left, o->help);
        }
    }
    puts("\nexit codes: 0 ok, 1 failure, 2 usage, 3 bad configuration, 4 reload refused");
}

static enum sp_exit
usage(const char *what, const char *word, const char *const *candidates)
{
    char        shown[256];
    const char *near = candidates == NULL ? NULL : sp_suggest(sp_str_c(word), candidates);

    fprintf(stderr, "sallyport: %s \"%s\"", what, sp_str_escape(shown, sizeof shown, sp_str_c(word)));
    if (near != NULL) {
        fprintf(stderr, "; did you mean \"%s\"?\n", near);
        return SP_EXIT_USAGE;
    }
    for (size_t i = 0; candidates != NULL && candidates[i] != NULL; i++) {
        fprintf(stderr, "%s%s", i == 0 ? "; there are " : ", ", candidates[i]);
    }
    fputs(candidates == NULL ? "; try sallyport -h\n" : "\n", stderr);
    return SP_EXIT_USAGE;
}

static enum sp_exit
unknown_option(const char *word)
{
    static char names[NOPTIONS][20];
    const char *candidates[NOPTIONS + 1];

    for (size_t i = 0; i < NOPTIONS; i++) {
        snprintf(names[i], sizeof names[i], "--%s", options[i].name);
        candidates[i] = names[i];
    }
    candidates[NOPTIONS] = NULL;
    if (sp_suggest(sp_str_c(word), candidates) == NULL) {
        return usage("unknown option", word, NULL);
    }
    return usage("unknown option", word, candidates);
}

static bool
one_of(const char *word, const char *const *choices)
{
    for (; *choices != NULL; choices++) {
        if (strcmp(word, *choices) == 0) {
            return true;
        }
    }
    return false;
}

static enum sp_exit
set_command(struct sp_options *o, enum sp_command command, const char *word)
{
    if (o->command != SP_CMD_START && o->command != command) {
        return usage("only one thing at a time, not also", word, NULL);
    }
    o->command = command;
    return SP_EXIT_OK;
}

static enum sp_exit
add_extra(struct sp_options *o, const char *text)
{
    size_t had = o->extra == NULL ? 0 : strlen(o->extra), more = strlen(text);
    char  *joined = realloc(o->extra, had + more + 2);

    if (joined == NULL) {
        return SP_EXIT_FAILURE;
    }
    memcpy(joined + had, text, more);
    joined[had + more] = '\n';
    joined[had + more + 1] = '\0';
    o->extra = joined;
    return SP_EXIT_OK;
}

static enum sp_exit
set_prefix(struct sp_options *o, const char *dir)
{
    size_t n = strlen(dir);
    char  *prefix = malloc(n + 2);

    if (prefix == NULL) {
        return SP_EXIT_FAILURE;
    }
    memcpy(prefix, dir, n + 1);
    if (n > 0 && prefix[n - 1] != '/') {
        memcpy(prefix + n, "/", 2);
    }
    free(o->prefix);
    /* "." is the current directory: paths in messages then read as they were written */
    if (strcmp(prefix, "./") == 0) {
        prefix[0] = '\0';
    }
    o->prefix = prefix;
    return SP_EXIT_OK;
}

static enum sp_exit
apply(struct sp_options *o, const struct option *option, const char *word, char *value)
{
    static const char *const actions[] = {"publish", "subscribe", NULL};

    switch (option->letter) {
    case 'c':
        o->conf = value;
        o->conf_given = true;
        return value[0] == '\0' ? usage("a file's name is wanted behind", word, NULL) : SP_EXIT_OK;
    case 'p':
        return set_prefix(o, value);
    case 'g':
        return add_extra(o, value);
    case 't':
        return set_command(o, SP_CMD_TEST, word);
    case 'T':
        return set_command(o, SP_CMD_DUMP, word);
    case 'D':
        return set_command(o, SP_CMD_DIRECTIVES, word);
    case 'v':
        return set_command(o, SP_CMD_VERSION, word);
    case 'V':
        return set_command(o, SP_CMD_BUILD, word);
    case 'h':
        return set_command(o, SP_CMD_HELP, word);
    case 's':
        o->signal = value;
        return one_of(value, signals) ? set_command(o, SP_CMD_SIGNAL, word) : usage("-s does not know", value, signals);
    default:
        break;
    }
    if (strcmp(option->name, "man") == 0) {
        o->man = true;
    } else if (strcmp(option->name, "json") == 0) {
        o->json = true;
    } else if (strcmp(option->name, "control") == 0) {
        o->control = value;
    } else if (strcmp(option->name, "identity") == 0) {
        o->identity = value;
    } else if (strcmp(option->name, "topic") == 0) {
        o->topic = value;
    } else if (strcmp(option->name, "application") == 0) {
        o->application = value;
    } else if (strcmp(option->name, "client-id") == 0) {
        o->client_id = value;
    } else {
        o->action = value;
        return one_of(value, actions) ? SP_EXIT_OK : usage("--do does not know", value, actions);
    }
    return SP_EXIT_OK;
}

/* --name, --name=value, --name value. *i is moved behind what was taken. */
static enum sp_exit
long_option(struct sp_options *o, int argc, char **argv, int *i)
{
    char  *word = argv[*i];
    char  *eq = strchr(word, '=');
    size_t n = eq == NULL ? strlen(word + 2) : (size_t)(eq - word - 2);

    for (size_t k = 0; k < NOPTIONS; k++) {
        if (strlen(options[k].name) != n || memcmp(options[k].name, word + 2, n) != 0) {
            continue;
        }
        if (options[k].value == NULL) {
            return eq != NULL ? usage("no value is wanted in", word, NULL) : apply(o, &options[k], word, NULL);
        }
        if (eq != NULL) {
            return apply(o, &options[k], word, eq + 1);
        }
        if (*i + 1 >= argc) {
            return usage("a value is wanted behind", word, NULL);
        }
        return apply(o, &options[k], word, argv[++*i]);
    }
    if (eq != NULL) {
        *eq = '\0';
    }
    return unknown_option(word);
}

/* -t, -tc FILE, -cFILE, -c FILE */
static enum sp_exit
short_options(struct sp_options *o, int argc, char **argv, int *i)
{
    char *word = argv[*i];

    for (char *at = word + 1; *at != '\0'; at++) {
        const struct option *found = NULL;
        for (size_t k = 0; k < NOPTIONS && found == NULL; k++) {
            found = options[k].letter == *at ? &options[k] : NULL;
        }
        if (found == NULL) {
            return unknown_option(word);
        }
        if (found->value == NULL) {
            enum sp_exit rc = apply(o, found, word, NULL);
            if (rc != SP_EXIT_OK) {
                return rc;
            }
            continue;
        }
        if (at[1] != '\0') {
            return apply(o, found, word, at + 1);
        }
        if (*i + 1 >= argc) {
            return usage("a value is wanted behind", word, NULL);
        }
        return apply(o, found, word, argv[++*i]);
    }
    return SP_EXIT_OK;
}

static enum sp_exit
check(const struct sp_options *o)
{
    bool asks = o->identity || o->topic || o->action || o->application || o->client_id;

    if (asks && o->command != SP_CMD_EXPLAIN) {
        fputs("sallyport: --identity, --topic, --do, --application and --client-id belong to explain\n", stderr);
        return SP_EXIT_USAGE;
    }
    if (o->json && o->command != SP_CMD_EXPLAIN && o->command != SP_CMD_STATUS) {
        fputs("sallyport: --json belongs to status and explain\n", stderr);
        return SP_EXIT_USAGE;
    }
    if (o->man && o->command != SP_CMD_DIRECTIVES) {
        fputs("sallyport: --man belongs to -D\n", stderr);
        return SP_EXIT_USAGE;
    }
    if (o->command == SP_CMD_EXPLAIN && (o->topic == NULL || o->identity == NULL)) {
        fprintf(stderr, "sallyport: explain wants --%s\n", o->identity == NULL ? "identity NAME" : "topic TOPIC");
        return SP_EXIT_USAGE;
    }
    if (o->command == SP_CMD_EXPLAIN && o->conf_given && o->control != NULL) {
        fputs("sallyport: explain asks a file (-c) or a running gateway (--control), not both\n", stderr);
        return SP_EXIT_USAGE;
    }
    return SP_EXIT_OK;
}

/* Without -p: a relative -c starts where the shell is, and so does what that file names. */
static enum sp_exit
defaults(struct sp_options *o)
{
    enum sp_exit rc = SP_EXIT_OK;

    if (o->prefix == NULL) {
        rc = set_prefix(o, o->conf_given && o->conf[0] != '/' ? "" : SP_PREFIX);
    }
    if (o->conf == NULL) {
        o->conf = SP_CONF_PATH;
    }
    return rc;
}

static enum sp_exit
parse_words(int argc, char **argv, struct sp_options *o)
{
    bool named = false;

    for (int i = 1; i < argc; i++) {
        char        *word = argv[i];
        enum sp_exit rc;
        if (word[0] == '-' && word[1] == '-' && word[2] != '\0') {
            rc = long_option(o, argc, argv, &i);
        } else if (word[0] == '-' && word[1] != '\0' && word[1] != '-') {
            rc = short_options(o, argc, argv, &i);
        } else if (named || o->command != SP_CMD_START) {
            return usage("unexpected argument", word, NULL);
        } else if (strcmp(word, "pki") == 0) {
            o->command = SP_CMD_PKI;
            o->argc = argc - i;
            o->argv = argv + i;
            return SP_EXIT_OK;
        } else if (strcmp(word, "status") == 0 || strcmp(word, "explain") == 0) {
            o->command = word[0] == 's' ? SP_CMD_STATUS : SP_CMD_EXPLAIN;
            named = true;
            rc = SP_EXIT_OK;
        } else {
            return usage("unknown command", word, commands);
        }
        if (rc != SP_EXIT_OK) {
            return rc;
        }
    }
    return SP_EXIT_OK;
}

enum sp_exit
sp_options_parse(int argc, char **argv, struct sp_options *out)
{
    *out = (struct sp_options){.argc = argc, .argv = argv};
    enum sp_exit rc = parse_words(argc, argv, out);
    if (rc == SP_EXIT_OK && out->command != SP_CMD_PKI) {
        rc = check(out);
    }
    if (rc == SP_EXIT_OK) {
        rc = defaults(out);
    }
    if (rc == SP_EXIT_FAILURE) {
        fputs("sallyport: out of memory\n", stderr);
    }
    if (rc != SP_EXIT_OK) {
        sp_options_free(out);
    }
    return rc;
}

void
sp_options_free(struct sp_options *o)
{
    free(o->prefix);
    free(o->extra);
    o->prefix = NULL;
    o->extra = NULL;
}
