#include "cli/explain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/topic.h"
#include "cli/check.h"
#include "cli/ctl.h"
#include "conf/policy.h"

#define LEVELS_MAX 1000

static const char *
or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

void
sp_question_args(const struct sp_options *o, const char **args)
{
    args[0] = "explain";
    args[1] = or_empty(o->identity);
    args[2] = or_empty(o->topic);
    args[3] = o->action == NULL ? "publish" : o->action;
    args[4] = or_empty(o->application);
    args[5] = or_empty(o->client_id);
    args[6] = o->json ? "json" : "text";
}

bool
sp_question_parse(char *const *args, unsigned n, struct sp_question *out)
{
    if (n != SP_QUESTION_ARGS) {
        return false;
    }
    *out = (struct sp_question){args[1], args[2], args[3], args[4], args[5], strcmp(args[6], "json") == 0};
    return strcmp(out->action, "publish") == 0 || strcmp(out->action, "subscribe") == 0;
}

static enum sp_exit
refuse(char **text, const char *what, const char *word)
{
    char shown[256];

    if (asprintf(text, "sallyport: %s: \"%s\"\n", what, sp_str_escape(shown, sizeof shown, sp_str_c(word))) < 0) {
        *text = NULL;
        return SP_EXIT_FAILURE;
    }
    return SP_EXIT_USAGE;
}

enum sp_exit
sp_explain(struct sp_snapshot *s, const struct sp_question *q, char **text)
{
    const bool        subscribe = strcmp(q->action, "subscribe") == 0;
    struct sp_str     topic = sp_str_c(q->topic);
    struct sp_subject who = {
        .identity = sp_str_c(q->identity),
        .anonymous = strcmp(q->identity, "anonymous") == 0,
        .client_id = sp_str_c(q->client_id),
        .application = sp_str_c(q->application),
    };

    *text = NULL;
    if (q->identity[0] == '\0') {
        return refuse(text, "explain wants an identity", q->identity);
    }
    if (subscribe ? !sp_topic_filter_valid(topic, LEVELS_MAX) : !sp_topic_name_valid(topic, LEVELS_MAX)) {
        return refuse(text,
                      subscribe ? "not a valid topic filter" : "not a valid topic (wildcards are for --do subscribe)",
                      q->topic);
    }
    int err = sp_resolver()->explain(s, &who, subscribe ? SP_SUBSCRIBE : SP_PUBLISH, topic, q->json, text);
    if (err < 0) {
        free(*text);
        if (asprintf(text, "sallyport: cannot explain: %s\n", strerror(-err)) < 0) {
            *text = NULL;
        }
        return SP_EXIT_FAILURE;
    }
    return SP_EXIT_OK;
}

enum sp_exit
sp_explain_main(const struct sp_options *o, const struct sp_registry *r)
{
    const char *args[SP_QUESTION_ARGS];
    char       *text = NULL;

    sp_question_args(o, args);
    if (!o->conf_given) {
        return sp_ctl(o, args, SP_QUESTION_ARGS, NULL);
    }
    struct sp_snapshot *s = sp_check_build(o, r, false);
    if (s == NULL) {
        return SP_EXIT_CONF;
    }
    struct sp_question q = {args[1], args[2], args[3], args[4], args[5], o->json};
    enum sp_exit       rc = sp_explain(s, &q, &text);
    fputs(text == NULL ? "sallyport: out of memory\n" : text, rc == SP_EXIT_OK ? stdout : stderr);
    free(text);
    sp_snapshot_unref(s);
    return rc;
}
