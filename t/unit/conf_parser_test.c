#include "conf_fake.h"
#include "tap.h"

static struct sp_arena *arena;

static void
print_node(char *out, size_t cap, const struct sp_conf_node *n)
{
    for (; n != NULL; n = n->next) {
        for (unsigned i = 0; i < n->nargs; i++) {
            size_t at = strlen(out);
            (void)snprintf(out + at, cap - at, "%s%.*s", i > 0 ? " " : "", SP_STR_ARG(n->args[i].text));
        }
        if (n->is_block) {
            (void)strncat(out, "{", cap - strlen(out) - 1);
            print_node(out, cap, n->children);
        }
        (void)strncat(out, n->is_block ? "}" : ";", cap - strlen(out) - 1);
    }
}

static const char *
tree(const struct fake_file_text *files, const char *prefix, const char *extra, int *err, unsigned *errors)
{
    static char          out[8192];
    struct fake_source   s = fake_source(files);
    struct sp_diag      *d;
    struct sp_conf_node *root;

    (void)sp_diag_create(&d);
    *err = sp_conf_parse(arena, &s.source, prefix, "main.conf", extra, d, &root);
    *errors = sp_diag_errors(d);
    sp_diag_destroy(d);
    out[0] = '\0';
    print_node(out, sizeof(out), root->children);
    return out;
}

static void
is_tree(const char *text, const char *want, unsigned want_errors)
{
    const struct fake_file_text files[] = {{"main.conf", text, 0, 0},
                                           {"a.inc", "ia 1;", 0, 0},
                                           {"b.inc", "ib { x; }", 0, 0},
                                           {"bad.inc", "y", 0, -EACCES},
                                           {NULL, NULL, 0, 0}};
    int                         err;
    unsigned                    errors;

    is_str(tree(files, "", NULL, &err, &errors), want, "%s", want);
    is_int(errors, want_errors, "errors");
    is_int(err, want_errors > 0 ? -EINVAL : 0, "result");
}

/* Two hundred thousand of something: the same answer as a few, in a time that grows with the bytes only. */
static void
is_many(const char *each, const char *first_error)
{
    const size_t                n = strlen(each), count = 200000;
    char                       *text = malloc(n * count + 1);
    struct sp_diag             *d;
    struct sp_conf_node        *root;
    struct sp_arena            *own;
    const struct fake_file_text files[] = {{"main.conf", text, 0, 0}, {NULL, NULL, 0, 0}};
    struct fake_source          s = fake_source(files);

    for (size_t i = 0; i < count; i++) {
        memcpy(text + i * n, each, n + 1);
    }
    (void)sp_arena_create(&own);
    (void)sp_diag_create(&d);
    is_int(sp_conf_parse(own, &s.source, "", "main.conf", NULL, d, &root), first_error == NULL ? 0 : -EINVAL,
           "many of %s", each);
    ok(first_error == NULL || strstr(sp_diag_text(d).p, first_error) != NULL, "what is said of them");
    sp_diag_destroy(d);
    sp_arena_destroy(own);
    free(text);
}

int
main(void)
{
    int      err;
    unsigned errors;

    (void)sp_arena_create(&arena);
    is_tree("a;b c \"d e\";f { g; h i { j; } }", "a;b c d e;f{g;h i{j;}}", 0);
    is_tree("include a.inc; x { include b.inc; y; }", "ia 1;x{ib{x;}y;}", 0);
    is_tree("include *.inc;", "ia 1;ib{x;}", 1);
    is_tree("include no*.conf; z;", "z;", 0);
    is_tree("include none.inc; z;", "z;", 1);
    is_tree("include bad.inc; z;", "z;", 1);
    is_tree("a b } c;", "a b;c;", 2);
    is_tree("a { b c } d;", "a{b c;}d;", 1);
    is_tree("a; b { c; d { e; }", "a;b{}", 1);
    is_tree("a; b", "a;", 1);
    is_tree("{ a; } b;", "{a;}b;", 1);
    is_tree("; a;;", "a;", 2);
    is_tree("include main.conf;", "", 1);
    is_tree("include b.inc { } a;", "include b.inc{}a;", 1);
    is_tree("", "", 1);
    is_tree("a { b \"x\"y; c { ; } } d;", "a{b x;c{}}d;", 2);

    is_many("a {", "main.conf:1:99: error: blocks within blocks deeper than 32");
    is_many("a {\n", "main.conf:33:3: error: blocks within blocks deeper than 32");
    is_many("{", "unexpected \"{\"");
    is_many("}", "unexpected \"}\"");
    is_many("a;", NULL);
    is_many(";", "unexpected \";\"");
    is_many("\"", "text right behind a closing quote");
    is_many("\"\n", "unterminated quote");
    is_many("a\" ", "quote within a word");
    is_many("a{}", NULL);

    const struct fake_file_text files[] = {
        {"/p/main.conf", "m; include x.inc;", 0, 0}, {"/p/x.inc", "x;", 0, 0}, {NULL, NULL, 0, 0}};
    is_str(tree(files, "/p/", "daemon on; user x;", &err, &errors), "daemon on;user x;m;x;", "-g comes first");
    is_int(err, 0, "no error");
    (void)tree(files, "/p/", "daemon on", &err, &errors);
    is_int(errors, 1, "-g wants its semicolon");
    sp_arena_destroy(arena);
    return done_testing();
}
