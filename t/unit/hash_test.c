#include "base/hash.h"

#include <stdlib.h>

#include "tap.h"

#define ITEMS 5000

struct item {
    char     name[16];
    unsigned seen;
    bool     in;
};

static struct item items[ITEMS];

static struct sp_str
key(const struct item *i)
{
    return sp_str_c(i->name);
}

static void
test_basics(void)
{
    struct sp_map m = {0};
    size_t        pos = 0;
    int           one = 1, two = 2;
    void         *old = &two;

    ok(sp_map_get(&m, SP_STR("x")) == NULL && sp_map_remove(&m, SP_STR("x")) == NULL, "empty");
    ok(sp_map_next(&m, &pos) == NULL, "empty: no iteration");
    is_int(sp_map_put(&m, SP_STR("x"), &one, &old), 0, "put");
    ok(old == NULL, "put: nothing replaced");
    ok(sp_map_get(&m, SP_STR("x")) == &one, "get");
    ok(sp_map_get_hashed(&m, SP_STR("x"), sp_hash(SP_STR("x"))) == &one, "get by hash");
    is_int(sp_map_put(&m, SP_STR("x"), &two, &old), 0, "replace");
    ok(old == &one && m.count == 1 && sp_map_get(&m, SP_STR("x")) == &two, "replace: the old one is told");
    is_int(sp_map_put(&m, SP_STR(""), &one, NULL), 0, "an empty key");
    ok(sp_map_get(&m, (struct sp_str){NULL, 0}) == &one, "an empty key is found");
    ok(sp_map_remove(&m, SP_STR("x")) == &two && sp_map_get(&m, SP_STR("x")) == NULL && m.count == 1, "remove");
    sp_map_clear(&m);
    ok(m.entries == NULL && m.count == 0 && m.capacity == 0, "clear");
    ok(sp_hash(SP_STR("a")) == sp_hash(SP_STR("a")) && sp_hash(SP_STR("a")) != sp_hash(SP_STR("b")), "hash");
}

static bool
agrees(const struct sp_map *m)
{
    size_t count = 0;

    for (size_t i = 0; i < ITEMS; i++) {
        count += items[i].in;
        if (sp_map_get(m, key(&items[i])) != (items[i].in ? &items[i] : NULL)) {
            return false;
        }
    }
    return count == m->count;
}

static void
test_random(struct sp_map *m)
{
    bool good = true;

    for (unsigned round = 0; round < 200000; round++) {
        struct item *i = &items[(size_t)rand() % (round % 20000 < 10000 ? ITEMS : 12)];

        if (rand() % 2 == 0) {
            good = good && sp_map_put(m, key(i), i, NULL) == 0;
            i->in = true;
        } else {
            good = good && sp_map_remove(m, key(i)) == (i->in ? i : NULL);
            i->in = false;
        }
        if (round % 10000 == 0) {
            good = good && agrees(m);
        }
    }
    ok(good && agrees(m), "random puts and removals agree with a plain list");
}

/* Every entry is seen once, whatever is removed in between. */
static bool
iterate(struct sp_map *m, unsigned remove_of_8)
{
    size_t               pos = 0, seen = 0, before = m->count, removed = 0;
    struct sp_map_entry *e;

    for (size_t i = 0; i < ITEMS; i++) {
        items[i].seen = 0;
    }
    while ((e = sp_map_next(m, &pos)) != NULL) {
        struct item *i = e->value;

        seen++;
        if (i->seen++ > 0 || !i->in) {
            return false;
        }
        if ((unsigned)rand() % 8 < remove_of_8) {
            if (sp_map_remove(m, e->key) != i) {
                return false;
            }
            i->in = false;
            removed++;
        }
    }
    return seen == before && m->count == before - removed && sp_map_next(m, &pos) == NULL && agrees(m);
}

static void
test_iteration(void)
{
    bool good = true;

    for (size_t size = 1; size < ITEMS; size += 1 + size / 3) {
        for (unsigned remove_of_8 = 0; remove_of_8 <= 8; remove_of_8++) {
            struct sp_map m = {0};

            for (size_t i = 0; i < ITEMS; i++) {
                items[i].in = i < size;
                good = good && (i >= size || sp_map_put(&m, key(&items[i]), &items[i], NULL) == 0);
            }
            good = good && iterate(&m, remove_of_8) && iterate(&m, 0) && iterate(&m, 8) && m.count == 0;
            sp_map_clear(&m);
        }
    }
    ok(good, "iteration sees each entry once while entries are removed");
}

int
main(void)
{
    struct sp_map m = {0};

    srand(1);
    for (size_t i = 0; i < ITEMS; i++) {
        (void)snprintf(items[i].name, sizeof(items[i].name), "key-%zu", i);
    }
    test_basics();
    test_random(&m);
    ok(iterate(&m, 0), "iteration");
    sp_map_clear(&m);
    test_iteration();
    return done_testing();
}
