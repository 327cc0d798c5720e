/* The command line. Returns what to do; complains to stderr with a suggestion when something is mistyped. */
#ifndef SP_CLI_OPTIONS_H
#define SP_CLI_OPTIONS_H

#include <stdbool.h>

enum sp_exit { SP_EXIT_OK, SP_EXIT_FAILURE, SP_EXIT_USAGE, SP_EXIT_CONF, SP_EXIT_REFUSED };

enum sp_command {
    SP_CMD_START,
    SP_CMD_TEST,       /* -t */
    SP_CMD_DUMP,       /* -T */
    SP_CMD_DIRECTIVES, /* -D */
    SP_CMD_SIGNAL,     /* -s */
    SP_CMD_VERSION,    /* -v */
    SP_CMD_BUILD,      /* -V */
    SP_CMD_HELP,       /* -h */
    SP_CMD_STATUS,
    SP_CMD_EXPLAIN,
    SP_CMD_PKI,
};

struct sp_options {
    enum sp_command command;
    char           *prefix; /* "" (the current directory) or ends in '/'; malloc'd */
    const char     *conf;   /* as the operator wrote it, relative to the prefix */
    bool            conf_given;
    char           *extra; /* all -g, one a line; NULL if none; malloc'd */
    const char     *signal;
    const char     *control; /* --control: a running gateway's socket, instead of asking the configuration */
    bool            man, json;
    const char     *identity, *topic, *action, *application, *client_id;
    int             argc; /* pki: the rest, from "pki" on. Otherwise the whole command line, for a binary upgrade */
    char          **argv;
};

/* SP_EXIT_OK, or SP_EXIT_USAGE after a complaint, or SP_EXIT_FAILURE (no memory). The strings point into argv or are freed by
 * sp_options_free. */
enum sp_exit sp_options_parse(int argc, char **argv, struct sp_options *out);
void         sp_options_free(struct sp_options *o);
void         sp_options_help(void); /* to stdout */

#endif
