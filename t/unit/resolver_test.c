/* The resolver as a whole: what is said of a bad configuration, explain, subscriptions, acl files, what is remembered. */
#include "resolver_conf.h"

#define P SP_PUBLISH
#define S SP_SUBSCRIBE

/* What is said begins with `wanted`. */
static void
said(const char *text, bool loads, const char *wanted, const char *name)
{
    struct memory_file  files[] = {{"c", text}, {"acl", "user a\ntopic red x\n"}, {"empty", ""}, {NULL, NULL}};
    char               *errors = NULL;
    struct sp_snapshot *s = conf_load_files(files, &errors);

    ok((s != NULL) == loads, "%s: %s", name, loads ? "loads" : "is refused");
    if (!ok(errors != NULL && strncmp(errors, wanted, strlen(wanted)) == 0, "%s: what is said", name)) {
        tap_show("got   ", errors, errors != NULL ? strlen(errors) : 0);
        tap_show("wanted", wanted, strlen(wanted));
    }
    free(errors);
    sp_snapshot_unref(s);
}

static void
diagnostics(void)
{
    said("realm a { topics x/#; }\nrealm b { topics y x/#; }\n", false,
         "c:2:20: error: the realms a and b have the same filter \"x/#\"\n"
         " 2 | realm b { topics y x/#; }\n"
         "   |                    ^~~ a topic belongs to one realm: the one with the most specific filter\n"
         "c:1:18: note: the other one is here\n"
         " 1 | realm a { topics x/#; }\n"
         "   |                  ^~~\n",
         "two realms with the same filter");
    said("realm a {\n topics x/#;\n topic x/y { max_payload 1k; }\n topic x/y { max_payload 2k; }\n}\n", false,
         "c:4:8: error: ", "two equal topic blocks");
    said("realm a {\n topics x/#;\n allow b publish y/z x/1;\n}\n", true,
         "c:3:18: warning: \"y/z\" can never match: it lies outside the topics of realm a\n"
         " 3 |  allow b publish y/z x/1;\n"
         "   |                  ^~~ expected a filter that the realm's `topics` have something in common with\n",
         "a rule outside its realm");
    said("group ops a;\nrealm a { topics x; allow @opps any x; }", false,
         "c:2:27: error: no group is called \"opps\"\n"
         " 2 | realm a { topics x; allow @opps any x; }\n"
         "   |                           ^~~~~ expected a group that a `group` statement names; did you mean "
         "\"@ops\"?\n",
         "an unknown group");
    said("policy { acl_file acl; }", false,
         "acl:2:7: error: unknown access \"red\"\n"
         " 2 | topic red x\n"
         "   |       ^~~ expected read, write, readwrite or deny\n",
         "an acl_file with a bad line");
    said("policy { acl_file empty; }", false, "c:1:19: error: ", "an empty acl_file");
    said("policy { acl_file none; }", false, "c:1:19: error: ", "an acl_file that is not there");
}

/* n topic blocks in one realm that overlap, and others that do not. */
static void
many_blocks(unsigned n, bool loads)
{
    char                text[40000], *errors = NULL;
    struct memory_file  files[] = {{"c", text}, {NULL, NULL}};
    struct sp_snapshot *s;
    size_t              len = (size_t)sprintf(text, "realm r { topics \"#\";\n");

    for (unsigned i = 0; i < n; i++) { /* a/a/a/…, each level a or +: all match a/a/a/a/a */
        len += (size_t)sprintf(text + len, "topic %c/%c/%c/%c/%c { max_payload 1k; }\n", i & 1 ? 'a' : '+',
                               i & 2 ? 'a' : '+', i & 4 ? 'a' : '+', i & 8 ? 'a' : '+', i & 16 ? 'a' : '+');
    }
    for (unsigned i = 0; i < 300; i++) {
        len += (size_t)sprintf(text + len, "topic b%u/# { max_payload 1k; }\n", i);
    }
    (void)sprintf(text + len, "allow * any \"#\"; }\n");
    s = conf_load_files(files, &errors);
    ok((s != NULL) == loads, "%u topic blocks on one topic: %s", n, loads ? "loads" : "refused");
    if (s != NULL) {
        struct sp_subject       who = conf_subject("x");
        const struct sp_policy *p = sp_resolver()->policy(s, &who, SP_STR("a/a/a/a/a"));
        is_int(p->path.ntopics, n, "all of them hold");
    } else {
        ok(errors != NULL && strstr(errors, "error: more than 16 topic blocks of realm r match one topic") != NULL,
           "and it is said");
    }
    free(errors);
    sp_snapshot_unref(s);
}

static const char fleet[] = "policy {\n"
                            "    max_payload  64k  floor;\n"
                            "    rate         500/s;\n"
                            "    allow operator subscribe \"$SYS/#\";\n"
                            "}\n"
                            "realm fleet {\n"
                            "    topics  /health/# /algo/# /rl/#;\n"
                            "    allow  drone       publish    /health/%i /algo/ack;\n"
                            "    allow  controller  publish    /algo/desired /rl/log;\n"
                            "    deny   ~^dr        subscribe  /health/#;\n"
                            "    topic /health/# { rate 2/s burst=4; max_payload 1k; }\n"
                            "}\n";

static void
explains(struct sp_snapshot *s, const char *identity, enum sp_action action, const char *topic, bool json,
         const char *wanted)
{
    struct sp_subject who = conf_subject(identity);
    char             *text = NULL;

    is_int(sp_resolver()->explain(s, &who, action, sp_str_c(topic), json, &text), 0, "explain");
    is_str(text, wanted, "says so");
    free(text);
}

#define GLOBAL_VALUES                                                                                                  \
    "values in force\n"                                                                                                \
    "  max_payload   64k      global   test.conf:2   floor\n"                                                          \
    "  rate          500/s    global   test.conf:3\n"                                                                  \
    "  durability    commit   default\n"                                                                               \
    "  subscription  overlap  default\n"

static void
no_such_application(void)
{
    struct sp_snapshot *s = conf_load(
        "realm fleet { topics /health/#; allow drone publish /health/%i; application nav { max_payload 1k; } }");
    struct sp_subject who = conf_subject("drone");
    char             *text = NULL;

    who.application = SP_STR("gps\n");
    is_int(sp_resolver()->explain(s, &who, P, SP_STR("/health/drone"), false, &text), 0, "explain");
    ok(strstr(text, "\n  no application gps\\x0a in realm fleet\nvalues in force\n") != NULL,
       "no such application: as text");
    free(text);
    is_int(sp_resolver()->explain(s, &who, P, SP_STR("/health/drone"), true, &text), 0, "explain");
    ok(strstr(text, "\"application\":null,\"note\":\"no application gps\\\\x0a in realm fleet\",") != NULL, "as JSON");
    free(text);
    is_int(sp_resolver()->explain(s, &who, P, SP_STR("/none"), false, &text), 0, "explain");
    ok(strstr(text, "no application") == NULL, "nothing is said of it without a realm");
    free(text);
    who.application = SP_STR("nav");
    is_int(sp_resolver()->explain(s, &who, P, SP_STR("/health/drone"), false, &text), 0, "explain");
    ok(strstr(text, "no application") == NULL && strstr(text, "application nav") != NULL, "one that is there");
    free(text);
    is_int(sp_resolver()->explain(s, &who, P, SP_STR("/health/drone"), true, &text), 0, "explain");
    ok(strstr(text, "\"application\":\"nav\",\"note\":null,") != NULL, "as JSON");
    free(text);
    sp_snapshot_unref(s);
}

static void
explanations(void)
{
    struct sp_snapshot *s = conf_load(fleet);

    explains(s, "drone", P, "/rl/log", false,
             "publish /rl/log by drone: DENIED\n"
             "  no allow rule matches            realm fleet        test.conf:6\n"
             "  nearest: allow controller publish \"/rl/log\"         test.conf:9\n" GLOBAL_VALUES);
    explains(s, "controller", P, "/rl/log", false,
             "publish /rl/log by controller: ALLOWED\n"
             "  allow controller publish \"/rl/log\"  realm fleet     test.conf:9\n" GLOBAL_VALUES);
    explains(s, "drone", S, "/health/x", false,
             "subscribe /health/x by drone: DENIED\n"
             "  deny ~^dr subscribe \"/health/#\"  realm fleet        test.conf:10\n"
             "values in force\n"
             "  max_payload   1k           topic /health/#  test.conf:11   over 64k test.conf:2 floor\n"
             "  rate          2/s burst=4  topic /health/#  test.conf:11   over 500/s test.conf:3\n"
             "  durability    commit       default\n"
             "  subscription  overlap      default\n");
    explains(s, "drone", P, "/elth/x", false,
             "publish /elth/x by drone: DENIED\n"
             "  no realm claims the topic        global             default\n"
             "  nearest: realm fleet topics \"/health/#\"             test.conf:7\n" GLOBAL_VALUES);
    explains(s, "gcs", S, "/algo/ack", false,
             "subscribe /algo/ack by gcs: DENIED\n"
             "  no allow rule matches            realm fleet        test.conf:6\n" GLOBAL_VALUES);
    explains(s, "drone\n", P, "$SYS/\x01", false,
             "publish $SYS/\\x01 by drone\\x0a: DENIED\n"
             "  nobody may publish to the gateway's own topics  global  default\n" GLOBAL_VALUES);
    explains(s, "drone", S, "/algo/+", false,
             "subscribe /algo/+ by drone: DENIED\n"
             "  the filter can match nothing that is allowed  realm fleet  test.conf:6\n"
             "  nearest: allow drone publish \"/algo/ack\"                   test.conf:8\n" GLOBAL_VALUES);
    explains(s, "operator", S, "$SYS/#", false,
             "subscribe $SYS/# by operator: ALLOWED\n"
             "  allow operator subscribe \"$SYS/#\"  global           test.conf:4\n" GLOBAL_VALUES);
    explains(
        s, "dron\"e", P, "/algo/ack", true,
        "{\"action\":\"publish\",\"topic\":\"/algo/"
        "ack\",\"identity\":\"dron\\\"e\",\"anonymous\":false,\"allowed\":false,\"in_part\":false,"
        "\"reason\":\"no allow rule matches\",\"rule\":null,\"level\":\"realm fleet\",\"where\":\"test.conf:6\","
        "\"nearest\":{\"rule\":\"allow drone publish "
        "\\\"/algo/"
        "ack\\\"\",\"where\":\"test.conf:8\"},\"realm\":\"fleet\",\"topics\":[],\"application\":null,\"note\":null,"
        "\"values\":[{\"name\":\"max_payload\",\"value\":\"64k\",\"level\":\"global\",\"where\":\"test.conf:2\","
        "\"floor\":true,"
        "\"over\":[{\"value\":\"1m\",\"level\":\"default\",\"where\":\"default\",\"floor\":false}]},"
        "{\"name\":\"rate\",\"value\":\"500/s\",\"level\":\"global\",\"where\":\"test.conf:3\",\"floor\":false,"
        "\"over\":[{\"value\":\"off\",\"level\":\"default\",\"where\":\"default\",\"floor\":false}]},"
        "{\"name\":\"durability\",\"value\":\"commit\",\"level\":\"default\",\"where\":\"default\",\"floor\":false,"
        "\"over\":[]},"
        "{\"name\":\"subscription\",\"value\":\"overlap\",\"level\":\"default\",\"where\":\"default\",\"floor\":false,"
        "\"over\":[]}]}\n");
    sp_snapshot_unref(s);
}

static void
refusal(struct sp_snapshot *s, const char *identity, const char *filter, const char *reason, const char *where)
{
    struct sp_subject  who = conf_subject(identity);
    struct sp_decision d;
    char               got[100];

    ok(sp_resolver()->grant(s, &who, sp_str_c(filter), &d) == SP_GRANT_NONE && !d.allowed && d.policy != NULL,
       "%s may not subscribe %s", identity, filter);
    (void)snprintf(got, sizeof(got), "%s, %.*s", d.reason, SP_STR_ARG(d.where));
    char want[100];
    (void)snprintf(want, sizeof(want), "%s, %s", reason, where);
    is_str(got, want, "and hears why");
}

static void
subscriptions(void)
{
    struct sp_snapshot *s = conf_load(
        "policy { allow op subscribe \"$SYS/#\"; }\n"                                                     /* 1 */
        "realm a { topics a/#; allow x subscribe a/1/+ a/2/%i; deny x subscribe a/1/#;\n"                 /* 2 */
        "  allow y any a/#; allow y publish a/#; topic a/w/# { subscription within;\n"                    /* 3 */
        "    allow z subscribe a/w/1/#; } allow * subscribe a/m; topic a/c/+ { allow %1 any \"#\"; } }\n" /* 4 */
        "realm b { topics a/b/# b/#; allow z subscribe a/b/1; }\n");                                      /* 5 */

    is_int(conf_grant(s, "y", "a/1/#"), SP_GRANT_WHOLE, "all of it is allowed");
    is_int(conf_grant(s, "y", "a/#"), SP_GRANT_OVERLAP, "another realm owns a part");
    is_int(conf_grant(s, "y", "#"), SP_GRANT_OVERLAP, "the rest of the world is in no realm");
    is_int(conf_grant(s, "y", "$share/g/a/1/#"), SP_GRANT_WHOLE, "a shared subscription is judged by its filter");
    is_int(conf_grant(s, "y", "$share/g+/a/1/#"), SP_GRANT_NONE, "unless it is malformed");
    is_int(conf_grant(s, "y", "$share/g"), SP_GRANT_NONE, "or has no filter");
    is_int(conf_grant(s, "x", "a/2/+"), SP_GRANT_OVERLAP, "%%i is within it");
    is_int(conf_grant(s, "x", "a/2/x"), SP_GRANT_WHOLE, "a topic is a filter");
    refusal(s, "x", "a/1/+", "denied by rule", "test.conf:2");
    refusal(s, "x", "a/3/#", "the filter can match nothing that is allowed", "test.conf:2");
    refusal(s, "z", "a/w/#", "the filter is wider than what is allowed", "test.conf:2");
    is_int(conf_grant(s, "z", "a/w/1/#"), SP_GRANT_WHOLE, "within: what is not wider");
    refusal(s, "z", "c/#", "no realm claims what the filter can match", "default");
    refusal(s, "q", "b/#", "the filter can match nothing that is allowed", "test.conf:5");
    is_int(conf_grant(s, "op", "$SYS/#"), SP_GRANT_WHOLE, "$SYS by a global rule");
    is_int(conf_grant(s, "op", "$SYS/broker/+"), SP_GRANT_WHOLE, "or a part of it");
    refusal(s, "x", "$SYS/#", "the filter can match nothing that is allowed", "test.conf:1");
    is_int(conf_grant(s, "q", "a/c/+"), SP_GRANT_OVERLAP, "%%1 as the name");
    is_int(conf_grant(s, "q", "a/c/p/#"), SP_GRANT_NONE, "another's");
    is_int(conf_grant(s, "anonymous", "a/+"), SP_GRANT_NONE, "* is not anonymous");
    sp_snapshot_unref(s);
}

static bool
may_as(struct sp_snapshot *s, const char *identity, const char *client, enum sp_action action, const char *topic)
{
    struct sp_subject  who = conf_subject(identity);
    struct sp_decision d;

    who.client_id = sp_str_c(client);
    sp_resolver()->decide(s, &who, action, sp_str_c(topic), &d);
    return d.allowed;
}

static void
acl_files(void)
{
    struct memory_file files[] = {
        {"c", "policy { unknown_realm global; acl_file etc/acl; allow conf any x/#; deny foe any \"#\"; }\n"
              "realm r { topics r/#; deny al any r/no; subscription within; }\n"},
        {"etc/acl", "topic read motd\nuser al\ntopic r/#\ntopic deny x/no\ntopic read s/1/#\nuser foe\ntopic x/#\n"
                    "user conf\ntopic deny x/no\npattern write in/%u/%c\npattern deny in/+/bad\n"},
        {NULL, NULL}};
    char               *errors;
    struct sp_snapshot *s = conf_load_files(files, &errors);

    ok(s != NULL && errors != NULL &&
           strstr(errors, "etc/acl:11:14: warning: the pattern refers to neither %u nor %c") != NULL,
       "an acl_file with a warning");
    free(errors);
    ok(may_as(s, "al", "k", P, "r/x"), "its rules count in realms");
    is_str(conf_where(s, "al", P, "r/x"), "etc/acl:3", "and are named");
    ok(!may_as(s, "al", "k", P, "r/no"), "a deny of the configuration wins");
    ok(may_as(s, "conf", "k", P, "x/y") && !may_as(s, "conf", "k", P, "x/no"), "as does one of the file");
    is_str(conf_where(s, "conf", P, "x/no"), "etc/acl:9", "which is named");
    ok(!may_as(s, "foe", "k", P, "x/1"), "a global deny");
    ok(may_as(s, "al", "k1", P, "in/al/k1") && !may_as(s, "al", "k2", P, "in/al/k1"),
       "the client id is part of what is remembered");
    ok(!may_as(s, "al", "bad", P, "in/al/bad"), "a pattern that denies");
    ok(may_as(s, "anonymous", "k", S, "motd") && !may_as(s, "al", "k", S, "motd"), "lines before the first user");
    is_int(conf_grant(s, "al", "s/#"), SP_GRANT_OVERLAP, "a filter that meets a rule of the file");
    is_int(conf_grant(s, "al", "q/#"), SP_GRANT_NONE, "one that does not");
    is_int(conf_grant(s, "al", "r/+"), SP_GRANT_NONE, "within: a deny touches it");
    is_int(conf_grant(s, "al", "s/1/+"), SP_GRANT_WHOLE, "a whole one");
    is_int(conf_grant(s, "foe", "x/#"), SP_GRANT_NONE, "denied by the configuration");
    struct sp_subject who = conf_subject("conf");
    char             *text = NULL;
    is_int(sp_resolver()->explain(s, &who, P, SP_STR("x/no"), false, &text), 0, "explain");
    ok(text != NULL &&
           strstr(text, "DENIED\n  topic deny x/no                  acl_file           etc/acl:9\n") != NULL,
       "shows the line of the file");
    free(text);
    sp_snapshot_unref(s);
}

/* More questions than are remembered, twice: each answer stays what it was. */
static void
remembering(void)
{
    struct sp_snapshot *s = conf_load("realm r { topics t/#; allow ~^a any t/+/1; deny a7 any t/#; }");
    unsigned            wrong = 0;

    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 20000; i++) {
            char identity[16], topic[1200];
            (void)snprintf(identity, sizeof(identity), "%c%u", i % 3 == 0 ? 'b' : 'a', i % 11);
            (void)snprintf(topic, sizeof(topic), "t/%0*u/%u", i % 100 == 0 ? 1100 : 1, i, i % 2);
            bool want = i % 3 != 0 && i % 11 != 7 && i % 2 == 1;
            wrong += conf_may(s, identity, i % 5 ? P : S, topic) != want;
        }
    }
    is_int(wrong, 0, "what is remembered is what would be found anew");
    sp_snapshot_unref(s);
}

int
main(void)
{
    conf_start();
    diagnostics();
    many_blocks(16, true);
    many_blocks(17, false);
    explanations();
    no_such_application();
    subscriptions();
    acl_files();
    remembering();
    ok(sp_resolver_register(sp_resolver()) == -EBUSY, "a second resolver is refused");
    conf_end();
    return done_testing();
}
