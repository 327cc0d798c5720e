#include "cli/options.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sp_config.h"
#include "tap.h"

static struct sp_options o;

/* The words of a command line, separated by single spaces; _ stands for an empty word. */
static enum sp_exit
parse(const char *line)
{
    static char  text[512];
    static char *argv[40];
    int          argc = 0;

    snprintf(text, sizeof text, "sallyport %s", line);
    for (char *save, *word = strtok_r(text, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        argv[argc++] = strcmp(word, "_") == 0 ? word + 1 : word;
    }
    argv[argc] = NULL;
    sp_options_free(&o);
    return sp_options_parse(argc, argv, &o);
}

static void
good(void)
{
    is_int(parse(""), SP_EXIT_OK, "nothing: start");
    is_int(o.command, SP_CMD_START, "nothing: start");
    is_str(o.prefix, SP_PREFIX "/", "the built-in prefix");
    is_str(o.conf, SP_CONF_PATH, "the built-in configuration");

    is_int(parse("-c my.conf"), SP_EXIT_OK, "-c");
    is_str(o.prefix, "", "a relative -c without -p: from where the shell is");
    is_str(o.conf, "my.conf", "-c");
    is_int(parse("-c /etc/my.conf"), SP_EXIT_OK, "-c absolute");
    is_str(o.prefix, SP_PREFIX "/", "an absolute -c leaves the prefix");
    is_int(parse("-p /srv -c my.conf"), SP_EXIT_OK, "-p");
    is_str(o.prefix, "/srv/", "a slash is put behind the prefix");
    is_int(parse("-p ."), SP_EXIT_OK, "-p .");
    is_str(o.prefix, "", "-p . is nothing in front");
    is_int(parse("-p /srv/ -tcx.conf"), SP_EXIT_OK, "letters together");
    is_int(o.command, SP_CMD_TEST, "-t of -tcx.conf");
    is_str(o.conf, "x.conf", "-c of -tcx.conf");
    is_int(parse("--config=a --test --prefix b"), SP_EXIT_OK, "long names");
    is_str(o.conf, "a", "--config=a");
    is_str(o.prefix, "b/", "--prefix b");
    is_int(parse("-g a; -g b;"), SP_EXIT_OK, "-g twice");
    is_str(o.extra, "a;\nb;\n", "one a line");

    is_int(parse("-s reload"), SP_EXIT_OK, "-s");
    is_str(o.signal, "reload", "-s reload");
    is_int(parse("status --json"), SP_EXIT_OK, "status --json");
    ok(o.command == SP_CMD_STATUS && o.json, "status --json");
    is_int(parse("-p x explain --identity a --topic b --do subscribe --application c --client-id=d"), SP_EXIT_OK,
           "explain");
    ok(o.command == SP_CMD_EXPLAIN, "explain");
    is_str(o.identity, "a", "--identity");
    is_str(o.topic, "b", "--topic");
    is_str(o.action, "subscribe", "--do");
    is_str(o.application, "c", "--application");
    is_str(o.client_id, "d", "--client-id");
    is_int(parse("pki issue --days 3 drone"), SP_EXIT_OK, "pki");
    ok(o.command == SP_CMD_PKI && o.argc == 5, "the rest is pki's");
    is_str(o.argv[0], "pki", "from its name on");
    is_int(parse("-D --man"), SP_EXIT_OK, "-D --man");
}

static void
bad(void)
{
    static const char *const lines[] = {
        "-x",
        "--nothing",
        "-c",
        "--config",
        "-c _",
        "stauts",
        "status more",
        "-s",
        "-s jump",
        "-t -T",
        "--version=1",
        "-t status",
        "--json",
        "-s stop --json",
        "--man",
        "-t --man",
        "explain",
        "explain --identity a",
        "explain --topic b",
        "explain --identity a --topic b --do eat",
        "explain --identity a --topic b -c x --control y",
        "--topic b",
        "- a",
        "--",
    };
    int null = open("/dev/null", O_WRONLY), keep = dup(2);

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        dup2(null, 2);
        enum sp_exit rc = parse(lines[i]);
        dup2(keep, 2);
        is_int(rc, SP_EXIT_USAGE, "%s", lines[i]);
    }
    close(null);
    close(keep);
}

int
main(void)
{
    good();
    bad();
    sp_options_free(&o);
    return done_testing();
}
