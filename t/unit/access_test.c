/* Who may do what: allow and deny at every level, subjects of every kind, references, realms. */
#include "base/topic.h"
#include "resolver_conf.h"

#define P SP_PUBLISH
#define S SP_SUBSCRIBE

static const char fleet[] =
    "policy { unknown_realm deny; allow operator subscribe \"$SYS/#\"; deny mallory any \"#\"; }\n"      /* 1 */
    "group ground gcs ~^station-[0-9]+$;\n"                                                              /* 2 */
    "realm fleet {\n"                                                                                    /* 3 */
    "  topics /health/# /algo/# /policy/# /rl/#;\n"                                                      /* 4 */
    "  allow drone publish /health/%i /algo/ack;\n"                                                      /* 5 */
    "  allow ~^drone-[0-9]+$ publish /health/%i;\n"                                                      /* 6 */
    "  allow @ground subscribe /algo/# /policy/#;\n"                                                     /* 7 */
    "  allow * subscribe /policy/public;\n"                                                              /* 8 */
    "  allow anonymous subscribe /policy/motd;\n"                                                        /* 9 */
    "  allow mallory any /health/#;\n"                                                                   /* 10 */
    "  allow controller any /rl/#;\n"                                                                    /* 11 */
    "  topic /rl/secret/# { deny controller publish /rl/secret/key; }\n"                                 /* 12 */
    "  topic /algo/+/# { allow %1 any /algo/%1/#; }\n"                                                   /* 13 */
    "  topic /rl/closed { allow reset; }\n"                                                              /* 14 */
    "  application firmware { allow drone publish /rl/firmware; }\n"                                     /* 15 */
    "}\n"                                                                                                /* 16 */
    "realm inner { topics /health/inner/# $own/#; allow drone any \"#\"; allow * subscribe $own/x; }\n"; /* 17 */

static void
levels(void)
{
    struct sp_snapshot *s = conf_load(fleet);

    ok(s != NULL, "a configuration with rules at every level");
    ok(conf_may(s, "drone", P, "/health/drone"), "%%i is the name");
    ok(!conf_may(s, "drone", P, "/health/gcs"), "and no other");
    ok(!conf_may(s, "drone", S, "/health/drone"), "publish is not subscribe");
    is_str(conf_where(s, "drone", P, "/health/drone"), "test.conf:5", "the rule is named");
    is_str(conf_where(s, "drone", P, "/health/gcs"), "test.conf:3", "else the realm");
    ok(conf_may(s, "drone-17", P, "/health/drone-17"), "a regular expression");
    ok(!conf_may(s, "xdrone-17", P, "/health/xdrone-17"), "anchored");
    ok(!conf_may(s, "drone-17\n", P, "/health/drone-17\n"), "$ is the very end");
    ok(conf_may(s, "gcs", S, "/algo/x/y"), "a member of a group by name");
    ok(conf_may(s, "station-4", S, "/policy/x"), "by regular expression");
    ok(!conf_may(s, "station-x", S, "/policy/x"), "no member");
    ok(conf_may(s, "whoever", S, "/policy/public"), "* is whoever has a name");
    ok(!conf_may(s, "anonymous", S, "/policy/public"), "but not anonymous");
    ok(conf_may(s, "anonymous", S, "/policy/motd"), "anonymous");
    ok(!conf_may(s, "mallory", P, "/health/x"), "a global deny wins over an allow within");
    is_str(conf_where(s, "mallory", P, "/health/x"), "test.conf:1", "and is named");
    ok(conf_may(s, "controller", P, "/rl/secret/x"), "a topic block adds");
    ok(!conf_may(s, "controller", P, "/rl/secret/key"), "and forbids");
    ok(conf_may(s, "controller", S, "/rl/secret/key"), "for one action");
    ok(!conf_may(s, "controller", P, "/rl/closed"), "reset cuts off the outer list");
    ok(conf_may(s, "alice", P, "/algo/alice/x"), "%%1 as the name: what the block's wildcard matched");
    ok(!conf_may(s, "alice", P, "/algo/bob/x"), "another one");
    sp_snapshot_unref(s);
}

static void
reach(void)
{
    struct sp_snapshot *s = conf_load(fleet);
    struct sp_subject   who = conf_subject("drone");
    struct sp_decision  d;

    ok(!conf_may(s, "drone", P, "/elsewhere"), "a topic of no realm is denied");
    sp_resolver()->decide(s, &who, P, sp_str_c("/elsewhere"), &d);
    is_str(d.reason, "no realm claims the topic", "with the reason");
    ok(d.policy != NULL && d.policy->path.realm == NULL, "and the global values");
    ok(conf_may(s, "drone", P, "/health/inner/x"), "the most specific realm owns the topic");
    ok(!conf_may(s, "drone-1", P, "/health/inner/drone-1"), "rules of the wider realm do not count in it");
    ok(conf_may(s, "operator", S, "$SYS/broker/uptime"), "$SYS by an explicit global allow");
    ok(!conf_may(s, "drone", S, "$SYS/broker/uptime"), "only");
    ok(!conf_may(s, "operator", P, "$SYS/broker/uptime"), "nobody publishes to $SYS");
    ok(!conf_may(s, "operator", P, "$CONTROL/x") && !conf_may(s, "operator", P, "$share/g/x"),
       "nor to $CONTROL and $share");
    ok(conf_may(s, "x", S, "$own/x"), "a realm may own a $ topic");
    ok(!conf_may(s, "drone", P, "$own/y"), "which # does not match");
    who.realm = sp_block_next(sp_block_first(s->main, "realm"));
    sp_resolver()->decide(s, &who, P, sp_str_c("/health/inner/x"), &d);
    ok(d.allowed, "a listener tied to a realm reaches it");
    sp_resolver()->decide(s, &who, P, sp_str_c("/health/drone"), &d);
    ok(!d.allowed, "and no other");
    is_str(d.reason, "the listener is tied to another realm", "which is said");
    who.realm = NULL;
    sp_resolver()->decide(s, &who, P, sp_str_c("/rl/firmware"), &d);
    ok(!d.allowed, "a rule of an application");
    who.application = SP_STR("firmware");
    sp_resolver()->decide(s, &who, P, sp_str_c("/rl/firmware"), &d);
    ok(d.allowed && d.policy->path.application != NULL, "holds for that application");
    sp_snapshot_unref(s);
}

static void
identities(void)
{
    struct sp_snapshot *s =
        conf_load("realm r { topics \"#\"; allow * publish /x/%i %i/up; allow anonymous publish /a/%i;\n"
                  "  deny * publish /x/%i/no; allow * publish /x/a/b/ok; deny a/b publish /x/a/b/ok/%i; }\n");

    ok(conf_may(s, "a", P, "/x/a") && conf_may(s, "a", P, "a/up"), "a plain name");
    ok(!conf_may(s, "a/b", P, "/x/a/b"), "a name that spans levels gets nothing from %%i");
    ok(!conf_may(s, "+", P, "/x/+") && !conf_may(s, "#", P, "/x/q") && !conf_may(s, "+", P, "/x/q"),
       "nor one that is a wildcard");
    ok(!conf_may(s, "$SYS", P, "$SYS/up"), "nor one that makes a $ topic");
    ok(!conf_may(s, "anonymous", P, "/x/anonymous"), "anonymous is no name");
    sp_snapshot_unref(s);
    s = conf_load(
        "realm r { topics \"#\"; allow anonymous any /free; allow \"~.\" any /named; allow joe%% any /p/100%%; }");
    ok(s != NULL && !conf_may(s, "anonymous", P, "/named") && conf_may(s, "joe%%", P, "/p/100%"),
       "%% is a percent sign in filters only");
    struct sp_subject  liar = {.identity = SP_STR("anonymous")};
    struct sp_decision d;
    sp_resolver()->decide(s, &liar, P, sp_str_c("/free"), &d);
    ok(!d.allowed, "a certificate for \"anonymous\" is not anonymous");
    sp_resolver()->decide(s, &liar, P, sp_str_c("/named"), &d);
    ok(d.allowed, "but a name");
    sp_snapshot_unref(s);
}

static void
unknown_global(void)
{
    struct sp_snapshot *s = conf_load("policy { unknown_realm global; allow bob any \"#\"; max_payload 7; }\n"
                                      "realm r { topics r/#; allow eve any r/#; max_payload 5; }\n");
    struct sp_subject   who = conf_subject("bob");
    struct sp_decision  d;
    int                 id = sp_registry_policy_id(conf_registry, "max_payload");

    sp_resolver()->decide(s, &who, P, sp_str_c("any/where"), &d);
    ok(d.allowed && sp_policy_num(d.policy, id, 0) == 7, "unknown_realm global: the global rules and values");
    sp_resolver()->decide(s, &who, P, sp_str_c("r/x"), &d);
    ok(d.allowed && sp_policy_num(d.policy, id, 0) == 5, "which hold in realms too, under the realm's values");
    ok(!conf_may(s, "eve", P, "any/where"), "a realm's rules stay in it");
    ok(!conf_may(s, "bob", P, "$x"), "# does not match $ topics");
    sp_snapshot_unref(s);
    s = conf_load("realm r { topics r/#; }");
    ok(!conf_may(s, "bob", P, "x") && !conf_may(s, "bob", P, "r/x"), "without any rule all is denied");
    sp_snapshot_unref(s);
    s = conf_load("worker_processes 1;");
    ok(!conf_may(s, "bob", P, "x") && !conf_may(s, "anonymous", S, "$SYS/x"), "as with an empty configuration");
    ok(sp_resolver()->policy(s, &who, sp_str_c("x")) != NULL, "which has values nevertheless");
    sp_snapshot_unref(s);
}

/* A regular expression that takes too long: denials hold, permissions do not. */
static void
limits(void)
{
    struct sp_snapshot *s =
        conf_load("realm r { topics \"#\"; allow * any /a; deny ~^(a+)+$ any /a; allow ~^(a+)+$ any /b; }");
    char name[60];

    memset(name, 'a', sizeof(name));
    name[sizeof(name) - 2] = '!';
    name[sizeof(name) - 1] = '\0';
    ok(conf_may(s, "b", P, "/a") && !conf_may(s, "aa", P, "/a") && conf_may(s, "aa", P, "/b"),
       "a slow expression on short names");
    ok(!conf_may(s, name, P, "/a"), "beyond its limits a deny holds");
    ok(!conf_may(s, name, P, "/b"), "and an allow does not");
    sp_snapshot_unref(s);
}

/* Long lists go through a trie, short ones do not: both must say the same. */
static void
long_lists(void)
{
    char               *text = malloc(1 << 20);
    size_t              n = 0;
    struct sp_snapshot *s;
    bool                all = true, none = false;

    n += (size_t)sprintf(text + n, "realm r { topics \"#\";\n");
    for (int i = 0; i < 500; i++) {
        n += (size_t)sprintf(text + n, "allow a publish /t/%d/+; deny a publish /t/%d/no;\n", i, i);
    }
    (void)sprintf(text + n, "allow a publish /t/%%i/#; }\n");
    s = conf_load(text);
    for (int i = 0; i < 500; i++) {
        char topic[64], where[64];
        (void)snprintf(topic, sizeof(topic), "/t/%d/x", i);
        (void)snprintf(where, sizeof(where), "test.conf:%d", i + 2);
        all = all && conf_may(s, "a", P, topic) && strcmp(conf_where(s, "a", P, topic), where) == 0;
        (void)snprintf(topic, sizeof(topic), "/t/%d/no", i);
        none = none || conf_may(s, "a", P, topic) || strcmp(conf_where(s, "a", P, topic), where) != 0;
    }
    ok(all, "500 rules for one name allow what they say, and are named");
    ok(!none, "as do their denials");
    ok(conf_may(s, "a", P, "/t/a/b/c"), "a filter with %%i among them");
    ok(!conf_may(s, "a", P, "/t/500/x") && !conf_may(s, "b", P, "/t/1/x"), "nothing else");
    sp_snapshot_unref(s);
    free(text);
}

int
main(void)
{
    conf_start();
    levels();
    reach();
    identities();
    unknown_global();
    limits();
    long_lists();
    conf_end();
    return done_testing();
}
