#include "process/status.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/show.h"
#include "tap.h"

static char *
text_of(struct sp_str s)
{
    return strndup(s.p, s.n);
}

static void
is_json(struct sp_status *s, const char *want, const char *name)
{
    char *got = text_of(sp_status_json(s));

    is_str(got, want, "%s", name);
    free(got);
}

static void
build(void)
{
    struct sp_status *s;

    is_int(sp_status_create(&s), 0, "created");
    is_json(s, "{}", "empty");
    sp_status_num(s, "a", -1);
    sp_status_str(s, "b", SP_STR("say \"hi\"\n"));
    is_json(s, "{\"a\":-1,\"b\":\"say \\\"hi\\\"\\n\"}", "values, escaped");
    sp_status_list(s, "l");
    sp_status_object(s, NULL);
    sp_status_num(s, "x", 1);
    is_json(s, "{\"a\":-1,\"b\":\"say \\\"hi\\\"\\n\",\"l\":[{\"x\":1}]}", "what is open is closed in the text");
    sp_status_members(s, SP_STR("\"y\":2"));
    sp_status_end(s);
    sp_status_object(s, NULL);
    sp_status_end(s);
    sp_status_end(s);
    sp_status_end(s); /* one too many */
    sp_status_num(s, "z", INT64_MIN);
    is_json(s, "{\"a\":-1,\"b\":\"say \\\"hi\\\"\\n\",\"l\":[{\"x\":1,\"y\":2},{}],\"z\":-9223372036854775808}",
            "and goes on");
    sp_status_destroy(s);

    (void)sp_status_create(&s);
    for (int i = 0; i < 100; i++) {
        sp_status_object(s, "deep");
    }
    is_json(s, "{}", "too deep: nothing rather than nonsense");
    sp_status_destroy(s);
    sp_status_destroy(NULL);
}

static int
show(const char *json, const char *leave_out, char **text)
{
    size_t n;
    FILE  *out = open_memstream(text, &n);
    int    rc = sp_show(out, sp_str_c(json), leave_out);

    fclose(out);
    return rc;
}

static void
shows(const char *json, const char *want, const char *name)
{
    char *text = NULL;

    is_int(show(json, NULL, &text), 0, "%s", name);
    is_str(text, want, "%s", name);
    free(text);
}

static void
as_text(void)
{
    char *text = NULL;

    shows("{\"a\":1,\"b\":\"x \\\"y\\\"\"}", "a               1\nb               x \"y\"\n", "values");
    shows("{\"o\":{\"a\":1},\"e\":[],\"s\":[1,\"two\"]}", "o\n  a               1\ne\n  none\ns\n  1\n  two\n",
          "nested");
    shows("{\"t\":[{\"n\":\"w0\",\"c\":1},{\"n\":\"keeper\",\"d\":22}]}",
          "t\n  n       c  d\n  w0      1  \n  keeper     22\n", "a table");
    shows("{\"t\":[{\"n\":\"w0\",\"m\":{\"x\":5}}]}", "t\n  n   x\n  w0  5\n", "an object in a row becomes columns");
    is_int(show("{\"a\":1,\"metrics\":{\"x\":[{}]},\"b\":2}", "metrics", &text), 0, "left out");
    is_str(text, "a               1\nb               2\n", "left out");
    free(text);

    static const char *const bad[] = {
        "",     "{",      "[]",           "{\"a\"}",    "{\"a\":}",    "{\"a\":1", "{\"a\":[1,}", "{\"a\":[{\"b\":",
        "{\"a", "{\"a\\", "{\"a\":\"b\\", "{\"a\":1}x", "{\"a\":[{]}", "{a:1}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t n = strlen(bad[i]);
        char  *copy = malloc(n + 1); /* exactly as long, for the sanitizer */
        memcpy(copy, bad[i], n);
        text = NULL;
        size_t size;
        FILE  *out = open_memstream(&text, &size);
        ok(sp_show(out, (struct sp_str){copy, n}, NULL) < 0, "refused: %s", bad[i]);
        fclose(out);
        free(text);
        free(copy);
    }
    char deep[1000];
    memset(deep, '[', sizeof deep);
    memcpy(deep, "{\"a\":", 5);
    text = NULL;
    size_t size;
    FILE  *out = open_memstream(&text, &size);
    ok(sp_show(out, (struct sp_str){deep, sizeof deep}, NULL) < 0, "a thousand levels");
    fclose(out);
    free(text);
}

int
main(void)
{
    build();
    as_text();
    return done_testing();
}
