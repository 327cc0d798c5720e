/*
 * What a policy decision costs: builds a configuration of R realms with 10 rules each and two topic blocks, asks, prints
 * nanoseconds. A program of its own; from the source tree, after `make`:
 *
 *   cc $CFLAGS -Isrc/core -Isrc -Iobjs t/bench/policy/policy_bench.c objs/sp_modules.o MODULE_OBJECTS objs/libsallyport.a $LIBS
 *
 *   policy_bench [REALMS [ROUNDS]]
 *
 * "cold" asks each question for the first time under this snapshot, every realm having been asked something before; "first" the
 * very first question to each realm, which also folds its values.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "conf/module.h"
#include "conf/policy.h"
#include "conf/registry.h"

extern const struct sp_module sp_policy_resolver_module;

struct memory {
    struct sp_source source;
    struct sp_str    text;
};

static int
read_text(struct sp_source *s, const char *path, struct sp_str *out)
{
    (void)path;
    *out = ((struct memory *)s)->text;
    return 0;
}

static int
no_glob(struct sp_source *s, const char *pattern, struct sp_str **paths, size_t *count)
{
    (void)s;
    (void)pattern;
    *paths = NULL;
    *count = 0;
    return 0;
}

static void
no_close(struct sp_source *s)
{
    (void)s;
}

static double
now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static char *
configuration(unsigned realms)
{
    char  *text = NULL;
    size_t n = 0;
    FILE  *f = open_memstream(&text, &n);

    fprintf(
        f,
        "policy { deny mallory any \"#\"; allow operator subscribe \"$SYS/#\"; }\ngroup staff ~^staff- alice bob;\n");
    for (unsigned r = 0; r < realms; r++) {
        fprintf(f,
                "realm r%u {\n topics \"site/%u/#\";\n"
                " allow \"~^drone-%u-[0-9]+$\" publish \"site/%u/health/%%i\" \"site/%u/ack\";\n"
                " allow gcs-%u publish \"site/%u/cmd/+\";\n allow gcs-%u subscribe \"site/%u/health/#\";\n"
                " allow @staff subscribe \"site/%u/#\";\n allow * subscribe \"site/%u/public/#\";\n"
                " deny guest any \"site/%u/#\";\n allow controller-%u any \"site/%u/cmd/#\";\n"
                " topic \"site/%u/health/#\" { allow auditor subscribe \"site/%u/health/#\"; rate 2/s; }\n"
                " topic \"site/%u/cmd/#\" { deny trainee publish \"site/%u/cmd/#\"; allow backup-%u publish "
                "\"site/%u/cmd/x\"; }\n}\n",
                r, r, r, r, r, r, r, r, r, r, r, r, r, r, r, r, r, r, r, r);
    }
    (void)fclose(f);
    return text;
}

struct question {
    char             *identity, *topic;
    struct sp_subject who;
    enum sp_action    action;
};

/* Half of them allowed, spread over all realms. */
static struct question *
make_questions(unsigned realms, unsigned round, unsigned count)
{
    struct question *q = calloc(count, sizeof(*q));

    for (unsigned i = 0; q != NULL && i < count; i++) {
        unsigned r = (i * 7919u + round) % realms, n = round * count + i;
        int      bytes;

        if (i % 4 == 0) {
            bytes = asprintf(&q[i].identity, "drone-%u-%u", r, n) +
                    asprintf(&q[i].topic, "site/%u/health/drone-%u-%u", r, r, n);
        } else if (i % 4 == 1) {
            bytes = asprintf(&q[i].identity, "gcs-%u", r) + asprintf(&q[i].topic, "site/%u/cmd/%u", r, n);
        } else if (i % 4 == 2) {
            bytes = asprintf(&q[i].identity, "staff-%u", n) + asprintf(&q[i].topic, "site/%u/a/b/%u", r, n);
        } else {
            bytes = asprintf(&q[i].identity, "guest") + asprintf(&q[i].topic, "site/%u/public/%u", r, n);
        }
        if (bytes < 0) {
            abort();
        }
        q[i].action = i % 4 < 2 ? SP_PUBLISH : SP_SUBSCRIBE;
        q[i].who.identity = sp_str_c(q[i].identity);
    }
    return q;
}

static double
ask(struct sp_snapshot *s, const struct question *q, unsigned count, unsigned *allowed)
{
    struct sp_decision d;
    double             from = now_ns();

    for (unsigned i = 0; i < count; i++) {
        sp_resolver()->decide(s, &q[i].who, q[i].action, sp_str_c(q[i].topic), &d);
        *allowed += d.allowed;
    }
    return (now_ns() - from) / count;
}

static double
grants(struct sp_snapshot *s, const struct question *q, unsigned count)
{
    struct sp_decision d;
    double             from = now_ns();

    for (unsigned i = 0; i < count; i++) {
        char filter[100];
        int  n = snprintf(filter, sizeof(filter), "site/%u/health/#", i % 1000);
        (void)sp_resolver()->grant(s, &q[i].who, (struct sp_str){filter, (size_t)n}, &d);
    }
    return (now_ns() - from) / count;
}

static void
free_questions(struct question *q, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        free(q[i].identity);
        free(q[i].topic);
    }
    free(q);
}

int
main(int argc, char **argv)
{
    static const struct sp_module *const modules[] = {&sp_policy_resolver_module, NULL};
    unsigned      realms = argc > 1 ? (unsigned)atoi(argv[1]) : 1000, rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 10;
    unsigned      allowed = 0, count = 2000;
    struct memory src = {{read_text, no_glob, no_close}, {NULL, 0}};
    struct sp_snapshot_options o = {.prefix = "", .path = "bench.conf", .generation = 1};
    struct sp_registry        *registry;
    struct sp_snapshot        *s;
    char                      *text = configuration(realms), *errors = NULL;
    double                     from, build, first, cold = 0, warm = 0, grant = 0;

    src.text = sp_str_c(text);
    if (realms == 0 || rounds == 0 || sp_registry_create(modules, &registry) < 0 ||
        sp_policy_resolver_module.init() < 0) {
        return 2;
    }
    from = now_ns();
    if (sp_snapshot_build(registry, &src.source, &o, &s, &errors) < 0) {
        fprintf(stderr, "%s", errors);
        return 1;
    }
    build = now_ns() - from;
    struct question *q = make_questions(realms, rounds + 1, count);
    first = ask(s, q, count, &allowed);
    free_questions(q, count);
    for (unsigned r = 0; r < rounds; r++) {
        q = make_questions(realms, r, count);
        cold += ask(s, q, count, &allowed);
        (void)ask(s, q, 1000, &allowed); /* brings them back into the memo */
        warm += ask(s, q, 1000, &allowed);
        grant += grants(s, q, count);
        free_questions(q, count);
    }
    printf("realms %u, rules %u: build %.1f ms\n", realms, realms * 12 + 2, build / 1e6);
    printf("decision: first %.0f ns, cold %.0f ns, memoised %.0f ns; subscription %.0f ns (%u allowed)\n", first,
           cold / rounds, warm / rounds, grant / rounds, allowed);
    sp_snapshot_unref(s);
    sp_registry_destroy(registry);
    free(errors);
    free(text);
    return 0;
}
