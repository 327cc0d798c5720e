/* Mosquitto's acl_file: what each line means, what is refused, and answers against a plain reading of Mosquitto's algorithm. */
#include <stdlib.h>

#include "base/topic.h"
#include "conf/diag.h"
#include "modules/policy_resolver/aclfile.h"
#include "tap.h"

static struct sp_arena  *arena;
static struct sp_diag   *diag;
static struct sp_scratch scratch;

static struct sp_aclfile *
load(const char *text)
{
    struct sp_conf_file *file;
    struct sp_aclfile   *acl = NULL;

    sp_diag_destroy(diag);
    sp_arena_destroy(arena);
    if (sp_arena_create(&arena) < 0 || sp_diag_create(&diag) < 0) {
        exit(1);
    }
    file = sp_arena_alloc(arena, sizeof(*file));
    *file = (struct sp_conf_file){SP_STR("aclfile"), sp_str_c(text)};
    return sp_aclfile_parse(arena, diag, file, &acl) < 0 ? NULL : acl;
}

/* user NULL: without a name. "allow aclfile:3", "deny", "none" … */
static const char *
ask(const struct sp_aclfile *acl, const char *user, const char *client, uint8_t action, const char *topic)
{
    static char               out[100];
    static const char *const  words[] = {"none", "allow", "deny"};
    struct sp_question        q = {.topic = sp_str_c(topic),
                                   .action = action,
                                   .identity = sp_str_c(user),
                                   .client = sp_str_c(client),
                                   .scratch = &scratch};
    const struct sp_acl_line *line;
    enum sp_acl_verdict       v = sp_aclfile_ask(acl, user == NULL, &q, &line);

    (void)snprintf(out, sizeof(out), "%s%s%.*s", words[v], line == NULL ? "" : " ",
                   line == NULL ? 0 : (int)line->where.n, line == NULL ? "" : line->where.p);
    return out;
}

#define R SP_ACTION_SUBSCRIBE
#define W SP_ACTION_PUBLISH

static void
meaning(void)
{
    struct sp_aclfile *acl = load("# clients without a name\n"              /* 1 */
                                  "topic read public/#\n"                   /* 2 */
                                  "topic  readwrite   with blank in it  \n" /* 3 */
                                  "\n"                                      /* 4 */
                                  "user alice\r\n"                          /* 5 */
                                  "topic a/#\n"                             /* 6 */
                                  "topic deny a/secret\n"                   /* 7 */
                                  "topic write $SYS/x\n"                    /* 8 */
                                  "user bob smith\n"                        /* 9 */
                                  "topic write b/%u\n"                      /* 10 */
                                  "pattern read home/%u/#\n"                /* 11 */
                                  "pattern write in/%c\n"                   /* 12 */
                                  "pattern deny home/%u/no\n"               /* 13 */
                                  "user alice\n"                            /* 14 */
                                  "topic read read\n"                       /* 15 */
                                  "topic write");                           /* 16 */

    ok(acl != NULL, "a file with everything in it");
    is_str(ask(acl, NULL, "c", R, "public/x"), "allow aclfile:2",
           "lines before the first user: for clients without a name");
    is_str(ask(acl, NULL, "c", W, "public/x"), "none", "read is not write");
    is_str(ask(acl, NULL, "c", W, "with blank in it"), "allow aclfile:3", "a filter with blanks");
    is_str(ask(acl, "alice", "c", R, "public/x"), "none", "who has a name does not inherit them");
    is_str(ask(acl, "alice", "c", W, "a/b"), "allow aclfile:6", "without an access: both");
    is_str(ask(acl, "alice", "c", R, "a/secret"), "deny aclfile:7", "deny first");
    is_str(ask(acl, "alice", "c", W, "$SYS/x"), "allow aclfile:8", "a $ topic by a rule with $");
    is_str(ask(acl, "alice", "c", R, "read"), "allow aclfile:15", "the section goes on further down");
    is_str(ask(acl, "alice", "c", R, "write"), "allow aclfile:16", "a lone word is a filter; no line feed at the end");
    is_str(ask(acl, "bob smith", "c", W, "b/%u"), "allow aclfile:10", "%%u is plain text in a topic line");
    is_str(ask(acl, "carol", "c", R, "home/carol/x"), "allow aclfile:11", "a pattern");
    is_str(ask(acl, "carol", "c", R, "home/bob/x"), "none", "for nobody else");
    is_str(ask(acl, "carol", "c", R, "home/carol/no"), "deny aclfile:13", "a pattern that denies");
    is_str(ask(acl, "carol", "k1", W, "in/k1"), "allow aclfile:12", "%%c");
    is_str(ask(acl, NULL, "k1", W, "in/k1"), "allow aclfile:12", "without a name, too");
    is_str(ask(acl, NULL, "k1", R, "home//x"), "none", "but no %%u then");
    is_str(ask(acl, "a/b", "c", R, "home/a/b/x"), "allow aclfile:11", "a slash in a name spans levels");
    is_str(ask(acl, "+", "c", R, "home/carol/x"), "deny", "a name that is a wildcard");
    is_str(ask(acl, "carol", "#", R, "home/carol/x"), "deny", "a client id that is one");
    is_str(ask(acl, "alice", "#", R, "a/x"), "allow aclfile:6", "which the own section does not mind");
}

static void
refused(const char *text, const char *wanted, const char *name)
{
    struct sp_aclfile *acl = load(text);
    char               got[200];
    struct sp_str      said = sp_diag_text(diag);

    (void)snprintf(got, sizeof(got), "%.*s", (int)(said.n > 0 ? strcspn(said.p, "\n") : 0), said.p);
    ok(acl == NULL, "refused: %s", name);
    is_str(got, wanted, "with its place");
}

static void
errors(void)
{
    refused("user a\ntopic red x\n", "aclfile:2:7: error: unknown access \"red\"", "an unknown access");
    refused("topic read a/#/b\n", "aclfile:1:12: error: \"a/#/b\" is no topic filter", "a bad filter");
    refused("user a\ntopic\n", "aclfile:2:6: error: the topic is missing", "a rule without a filter");
    refused("user\ntopic x\n", "aclfile:1:5: error: the user's name is missing", "a user without a name");
    refused("user a\ntopic x\nus", "aclfile:3:1: error: invalid line, \"us\" is no keyword", "a half-written line");
    refused("topic\tread x\n", "aclfile:1:1: error: invalid line, \"topic\\x09read\" is no keyword",
            "tabs do not part words");
    refused(" # comment\ntopic x\n", "aclfile:1:2: error: invalid line, \"#\" is no keyword",
            "a comment that begins later");
    refused("# nothing\n\n", "aclfile:1:1: error: no rule in this file", "comments only");
    refused("\n", "aclfile:1:1: error: no rule in this file", "an empty line");
    refused("user a\n", "aclfile:1:1: error: no rule in this file", "a user without rules");
    refused("\xef\xbb\xbftopic x\n", "aclfile:1:1: error: invalid line, \"\\xef\\xbb\\xbftopic\" is no keyword",
            "a byte order mark");
    ok(load("pattern read all/#\n") != NULL && sp_diag_warnings(diag) == 1,
       "a pattern without a reference is a warning");
}

/* ---- against Mosquitto's own way, read line by line ---- */

struct line {
    char        user[8]; /* "" : none yet */
    bool        pattern;
    uint8_t     access; /* 0: deny */
    const char *filter;
};

static bool
expand(const char *filter, const char *user, const char *client, char *out)
{
    for (; *filter != '\0'; filter++) {
        const char *with = filter[0] == '%' && filter[1] == 'c'   ? client
                           : filter[0] == '%' && filter[1] == 'u' ? user
                                                                  : "";

        if (filter[0] == '%' && (filter[1] == 'c' || filter[1] == 'u')) {
            if (with == NULL) {
                return false;
            }
            out += sprintf(out, "%s", with);
            filter++;
        } else {
            *out++ = *filter;
        }
    }
    *out = '\0';
    return true;
}

/* 1 allow, 2 deny, 0 nothing: over the lines of the section or the patterns, denials first. */
static int
section(const struct line *lines, unsigned n, bool patterns, const char *user, const char *client, uint8_t action,
        const char *topic)
{
    char filter[100];
    int  verdict = 0;

    for (int pass = 0; pass < 2 && verdict == 0; pass++) {
        for (unsigned i = 0; i < n && verdict == 0; i++) {
            const struct line *l = &lines[i];
            if (l->pattern != patterns || (l->access == 0) != (pass == 0) ||
                (!patterns && strcmp(l->user, user == NULL ? "" : user) != 0)) {
                continue;
            }
            (void)strcpy(filter, l->filter);
            if (patterns && !expand(l->filter, user, client, filter)) {
                continue;
            }
            if (sp_topic_matches(sp_str_c(filter), sp_str_c(topic))) {
                verdict = l->access == 0 ? 2 : (l->access & action) != 0 ? 1 : 0;
            }
        }
    }
    return verdict;
}

static unsigned
pick(unsigned n)
{
    return (unsigned)rand() % n;
}

static void
random_files(void)
{
    static const char *const filters[] = {"a/b", "a/+", "#", "+/b", "a/#", "$s/#", "+", "u/%u", "c/%c/#", "%u/%c", "b"};
    static const char *const users[] = {NULL, "al", "bo", "a/b", "c+"};
    static const char *const topics[] = {"a/b", "a/c", "b", "$s/x", "u/al", "c/k/x", "bo/k", "a", "u/a/b", "u/c+"};
    static const char *const names[] = {"deny", "write", "read", "readwrite"};
    static const uint8_t     access[] = {0, W, R, R | W};
    struct line              lines[80];
    unsigned                 wrong = 0, asked = 0;

    for (int round = 0; round < 3000; round++) {
        char     text[8000], user[8] = "";
        size_t   len = 0;
        unsigned n = 0, want = 1 + pick(round % 10 == 0 ? 80 : 8);
        bool     patterns = false;

        while (n < want) {
            unsigned kind = pick(4), a = pick(4);
            if (pick(4) == 0) {
                (void)strcpy(user, users[1 + pick(4)]);
                len += (size_t)sprintf(text + len, "user %s\n", user);
            }
            lines[n].pattern = kind == 0;
            lines[n].access = access[a];
            lines[n].filter = filters[pick(11)];
            (void)strcpy(lines[n].user, user);
            patterns = patterns || kind == 0;
            len +=
                (size_t)sprintf(text + len, "%s %s %s\n", kind == 0 ? "pattern" : "topic", names[a], lines[n].filter);
            n++;
        }
        struct sp_aclfile *acl = load(text);
        for (unsigned u = 0; u < 5 && acl != NULL; u++) {
            for (unsigned t = 0; t < 10; t++) {
                for (unsigned c = 0; c < 4; c++, asked++) {
                    uint8_t     action = c & 1 ? R : W;
                    const char *client = c & 2 ? "k" : "k#", *got = ask(acl, users[u], client, action, topics[t]);
                    int         v = section(lines, n, false, users[u], client, action, topics[t]);
                    bool danger = strchr(client, '#') != NULL || (users[u] != NULL && strchr(users[u], '+') != NULL);

                    if (v == 0 && patterns) {
                        v = danger ? 2 : section(lines, n, true, users[u], client, action, topics[t]);
                    }
                    if (strncmp(got, v == 0 ? "none" : v == 1 ? "allow" : "deny", 4) != 0 && wrong++ < 3) {
                        printf("# %s %s %s %d: %s, not %d in\n%s", users[u] == NULL ? "-" : users[u], client, topics[t],
                               action, got, v, text);
                    }
                }
            }
        }
        wrong += acl == NULL;
    }
    is_int(wrong, 0, "random files answer as Mosquitto's algorithm does (%u questions)", asked);
}

int
main(void)
{
    meaning();
    errors();
    random_files();
    sp_scratch_free(&scratch);
    sp_diag_destroy(diag);
    sp_arena_destroy(arena);
    return done_testing();
}
