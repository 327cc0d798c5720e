#include "conf_fake.h"
#include "tap.h"

/* A module whose build reports as it is told. */
static int
report(struct sp_build *b, void **data)
{
    const struct sp_block *p = sp_block_first(b->snapshot->main, "fakeproto");

    *data = NULL;
    if (p == NULL) {
        return sp_build_error(b, NULL, 0, "expected fakeproto", "nothing to serve");
    }
    (void)sp_build_error(b, p->node, 0, NULL, "at the block");
    sp_build_note(b, p->node, 0, "a note");
    sp_build_warn(b, p->node, 5, "a hint", "a warning behind the arguments");
    return -EINVAL;
}

static const struct sp_module reporter = {.name = "reporter", .abi = SP_MODULE_ABI, .build = report};

static void
is_errors(const struct sp_registry *r, const char *text, const char *want, const char *name)
{
    struct sp_snapshot *s;
    char               *errors;

    is_int(fake_text(r, text, &s, &errors), -EINVAL, "%s: refused", name);
    is_str(errors, want, "%s", name);
    free(errors);
}

int
main(void)
{
    const struct sp_module *const modules[] = {&fake_module, &reporter, NULL};
    struct sp_registry           *r;

    is_int(sp_registry_create(modules, &r), 0, "registry");
    is_errors(r, "# nothing\n", "error: nothing to serve: expected fakeproto\n", "an error without a place");
    is_errors(r, "fakeproto { }\n",
              "main.conf:1:1: error: at the block\n 1 | fakeproto { }\n   | ^~~~~~~~~\n"
              "main.conf:1:1: note: a note\n 1 | fakeproto { }\n   | ^~~~~~~~~\n"
              "main.conf:1:11: warning: a warning behind the arguments\n 1 | fakeproto { }\n   |           ^ a hint\n",
              "places");
    is_errors(r, "fakeproto { serve x; }\n",
              "main.conf:1:19: error: \"x\" is no number\n 1 | fakeproto { serve x; }\n"
              "   |                   ^ expected a number from 0 to 2147483647\n",
              "a block with an error in it is not complained about again");
    is_errors(r, "pid a b;\n",
              "main.conf:1:7: error: \"pid\" takes 1 argument\n 1 | pid a b;\n   |       ^ expected \";\"\n",
              "nor is the whole");
    sp_registry_destroy(r);
    return done_testing();
}
