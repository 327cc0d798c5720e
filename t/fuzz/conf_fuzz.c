/*
 * Lexer, parser, schema, fold, diagnostics and dump on any bytes, with the fake module's directives. The input is main.conf; what follows
 * a line "%%" is a.inc, which an include or a glob may name. What was accepted must dump to what is accepted again and
 * dumps the same; a configuration differs in nothing from itself.
 */
#include <stdint.h>

#include "../unit/conf_fake.h"
#include "conf/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
append(void *arg, struct sp_str text)
{
    sp_text_add(arg, text);
    return 0;
}

static void
demand(bool holds, const char *what, const char *text)
{
    if (!holds) {
        (void)fprintf(stderr, "%s\n%s\n", what, text == NULL ? "" : text);
        abort();
    }
}

static void
fold_all(struct sp_snapshot *s)
{
    for (const struct sp_block *r = sp_block_first(s->main, "realm"); r != NULL; r = sp_block_next(r)) {
        struct sp_path path = {.realm = r, .application = sp_block_first(r, "application")};
        for (const struct sp_block *t = sp_block_first(r, "topic"); t != NULL && path.ntopics < 16;
             t = sp_block_next(t)) {
            path.topics[path.ntopics++] = t;
        }
        const struct sp_policy *p = sp_policy_fold(s, &path);
        demand(p == sp_policy_fold(s, &path), "a fold is not remembered", NULL);
        for (unsigned i = 0; i < p->nvalues; i++) {
            char                   where[64];
            const struct sp_value *v = sp_policy_value(p, (int)i);
            (void)sp_where(where, sizeof(where), v == NULL ? NULL : v->node);
        }
    }
}

static void
round_trip(const struct sp_registry *r, struct sp_snapshot *s)
{
    struct sp_text      full = {0}, first = {0}, second = {0};
    struct sp_snapshot *again = NULL;
    char               *errors = NULL, *changes = NULL;

    sp_text_add(&full, SP_STR("#\n"));
    (void)sp_snapshot_dump(s, append, &full);
    (void)sp_snapshot_dump_bare(s, append, &first);
    const struct fake_file_text files[] = {
        {"main.conf", full.p, full.n, 0}, {"a.inc", "x\n", 0, 0}, {NULL, NULL, 0, 0}};
    demand(fake_snapshot(r, files, &again, &errors) == 0, "the dump is refused", errors);
    (void)sp_snapshot_dump_bare(again, append, &second);
    demand(sp_str_eq(sp_text_str(&first), sp_text_str(&second)), "the dump of the dump differs", second.p);
    demand(sp_snapshot_restart_check(s, again, &changes) == 0, "a configuration differs from its dump", changes);
    free(errors);
    free(changes);
    sp_snapshot_unref(again);
    sp_text_free(&full);
    sp_text_free(&first);
    sp_text_free(&second);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sp_registry *registry;
    struct sp_str              rest = {(const char *)data, size}, main = rest, part = {NULL, 0};
    struct sp_snapshot        *s;
    char                      *errors, *copies[2];

    if (registry == NULL) {
        demand(sp_registry_create(fake_modules, &registry) == 0, "no registry", NULL);
    }
    for (size_t i = 0; i + 4 <= size; i++) {
        if (memcmp(data + i, "\n%%\n", 4) == 0) {
            main.n = i + 1;
            part = (struct sp_str){rest.p + i + 4, size - i - 4};
            break;
        }
    }
    for (int i = 0; i < 2; i++) { /* blocks of their own, so that reading over the end is seen */
        struct sp_str from = i == 0 ? main : part;
        copies[i] = malloc(from.n == 0 ? 1 : from.n);
        if (from.n > 0) {
            memcpy(copies[i], from.p, from.n);
        }
    }
    const struct fake_file_text files[] = {{"main.conf", main.n == 0 ? NULL : copies[0], main.n, 0},
                                           {"a.inc", part.n == 0 ? NULL : copies[1], part.n, 0},
                                           {NULL, NULL, 0, 0}};
    if (fake_snapshot(registry, files, &s, &errors) == 0) {
        fold_all(s);
        round_trip(registry, s);
        sp_snapshot_unref(s);
    } else {
        demand(errors != NULL && strstr(errors, "error: ") != NULL, "refused without an error", errors);
    }
    demand(sp_snapshots_live() == 0, "a snapshot is left", NULL);
    free(errors);
    free(copies[0]);
    free(copies[1]);
    return 0;
}
