/* sallyport explain: may this identity do that, under which values, and which line of which file decided? */
#ifndef SP_CLI_EXPLAIN_H
#define SP_CLI_EXPLAIN_H

#include "cli/options.h"
#include "conf/snapshot.h"

struct sp_question {
    const char *identity, *topic, *action, *application, *client_id; /* absent ones are "" */
    bool        json;
};

#define SP_QUESTION_ARGS 7

/* The question as arguments that a control client sends: "explain", then the fields. args has room for SP_QUESTION_ARGS. */
void sp_question_args(const struct sp_options *o, const char **args);
/* Back again; false when it is malformed. The fields point into args. */
bool sp_question_parse(char *const *args, unsigned n, struct sp_question *out);

/* SP_EXIT_OK with the answer in *text, SP_EXIT_USAGE with what is wrong with the question (a topic that cannot be), or
 * SP_EXIT_FAILURE. *text is malloc'd, NULL when out of memory. */
enum sp_exit sp_explain(struct sp_snapshot *s, const struct sp_question *q, char **text);

/* The command: by the file with -c, else by the running gateway. */
enum sp_exit sp_explain_main(const struct sp_options *o, const struct sp_registry *r);

#endif
