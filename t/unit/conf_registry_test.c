#include "base/log.h"
#include "conf_fake.h"
#include "tap.h"

static int
create(const struct sp_directive *d, size_t n, uint32_t abi)
{
    struct sp_module              m = {.name = "odd", .abi = abi, .directives = d, .ndirectives = n};
    const struct sp_module *const modules[] = {&fake_module, &m, NULL};
    struct sp_registry           *r = NULL;
    int                           err = sp_registry_create(modules, &r);

    if (err == 0) {
        sp_registry_destroy(r);
    }
    return err;
}

static int
create_one(struct sp_directive d)
{
    return create(&d, 1, SP_MODULE_ABI);
}

static void
test_malformed(void)
{
    const struct sp_directive good = {"odd", &sp_type_number, "policy realm", 1, 1, false, SP_STRICTEST, SP_LIVE, "1",
                                      "N",   "Help."};
    struct sp_directive       d;

    sp_log_level_set(SP_LOG_EMERG);
    is_int(create_one(good), 0, "a good one");
    is_int(create(&good, 1, SP_MODULE_ABI + 1), -EPROTO, "another ABI");
    d = good, d.name = "Odd-1";
    is_int(create_one(d), -EINVAL, "a name");
    d = good, d.contexts = " ";
    is_int(create_one(d), -EINVAL, "no context");
    d = good, d.type = NULL;
    is_int(create_one(d), -EINVAL, "no type");
    d = good, d.min_args = 2;
    is_int(create_one(d), -EINVAL, "arity");
    d = good, d.type = &sp_type_string;
    is_int(create_one(d), -EINVAL, "STRICTEST without an order");
    d = good, d.type = &sp_type_block;
    is_int(create_one(d), -EINVAL, "a block with a default");
    d = good, d.help = NULL;
    is_int(create_one(d), -EINVAL, "no help");
    d = good, d.name = "quality";
    is_int(create_one(d), -EEXIST, "declared before in one of its contexts");
    d = good, d.name = "include", d.contexts = "elsewhere";
    is_int(create_one(d), -EEXIST, "declared before in every context");
    d = good, d.name = "serve";
    is_int(create_one(d), 0, "the same name in other contexts");
}

int
main(void)
{
    struct sp_registry        *r;
    const struct sp_directive *d;
    unsigned                   n, policies = 0;

    is_int(sp_registry_create(fake_modules, &r), 0, "create");
    n = sp_registry_count(r);
    ok(n >= sp_core_ndirectives + fake_module.ndirectives, "count");
    for (unsigned i = 0; i < n; i++) {
        if (sp_registry_id(r, sp_registry_at(r, i)) != (int)i) {
            ok(false, "id of %s", sp_registry_at(r, i)->name);
        }
        policies += sp_directive_is_policy(sp_registry_at(r, i));
    }
    ok(sp_registry_at(r, n) == NULL, "ids are dense");
    d = sp_registry_find(r, SP_STR("quality"), "topic");
    ok(d != NULL && strcmp(d->name, "quality") == 0, "found");
    ok(sp_registry_find(r, SP_STR("quality"), "main") == NULL, "not in this context");
    ok(sp_registry_find(r, SP_STR("quality"), "top") == NULL, "contexts are whole words");
    ok(sp_registry_find(r, SP_STR("include"), "whatever") != NULL, "everywhere");
    ok(sp_registry_find(r, SP_STR("nothing"), "main") == NULL, "unknown");
    is_int(sp_registry_policy_id(r, "quality"), sp_registry_id(r, d), "policy id");
    is_int(sp_registry_policy_id(r, "serve"), -ENOENT, "no policy value");
    is_int(sp_registry_policy_id(r, "grant"), -ENOENT, "what is local is none");
    is_int(sp_registry_policy_id(r, "absent"), -ENOENT, "the module is left out");
    (void)sp_registry_policy_ids(r, &n);
    is_int(n, policies, "all policy ids");
    is_int(sp_registry_modules(r), 1, "modules");
    ok(sp_registry_module(r, 0) == &fake_module && sp_registry_module(r, 1) == NULL, "by index");
    is_int(sp_registry_module_index(r, "fake"), 0, "by name");
    is_int(sp_registry_module_index(r, "none"), -ENOENT, "no such module");
    d = sp_registry_next(r, SP_STR("quality"), NULL);
    ok(d != NULL && sp_registry_next(r, SP_STR("quality"), d) == NULL, "all of one name");
    sp_registry_destroy(r);
    sp_registry_destroy(NULL);
    test_malformed();
    return done_testing();
}
