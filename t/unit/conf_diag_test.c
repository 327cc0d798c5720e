#include "conf/diag.h"
#include "tap.h"

static const struct sp_conf_file *
file(const char *path, const char *text)
{
    static struct sp_conf_file files[8];
    static int                 n;

    files[n].path = sp_str_c(path);
    files[n].text = sp_str_c(text);
    return &files[n++];
}

static const char *
text_of(struct sp_diag *d)
{
    return sp_diag_text(d).p;
}

int
main(void)
{
    struct sp_diag            *d;
    const struct sp_conf_file *a = file("conf/a.conf", "one\n    allow  drone  publsh \"/h\";\r\n\ttab \tx;\n");
    const struct sp_conf_file *b = file("b\n.conf", "\xc3\xbc\xc3\xbc bad\x01\n");

    is_int(sp_diag_create(&d), 0, "create");
    is_str(text_of(d), "", "nothing");
    sp_diag_add(d, SP_ERROR, (struct sp_pos){a, 2, 19, 6}, "expected publish or subscribe; did you mean \"publish\"?",
                "unknown directive \"%s\"", "publsh");
    is_str(text_of(d),
           "conf/a.conf:2:19: error: unknown directive \"publsh\"\n"
           " 2 |     allow  drone  publsh \"/h\";\n"
           "   |                   ^~~~~~ expected publish or subscribe; did you mean \"publish\"?\n",
           "an error");
    is_int(sp_diag_errors(d), 1, "counted");
    sp_diag_destroy(d);

    is_int(sp_diag_create(&d), 0, "create");
    sp_diag_add(d, SP_NOTE, (struct sp_pos){a, 1, 1, 1}, NULL, "a note to nothing");
    sp_diag_add(d, SP_WARNING, (struct sp_pos){a, 3, 7, 1}, NULL, "behind tabs");
    sp_diag_add(d, SP_NOTE, (struct sp_pos){b, 1, 6, 3}, NULL, "elsewhere");
    sp_diag_add(d, SP_ERROR, (struct sp_pos){a, 1, 4, 1}, "at the end", "first");
    sp_diag_add(d, SP_ERROR, (struct sp_pos){0}, "a hint", "no place");
    sp_diag_add(d, SP_ERROR, (struct sp_pos){a, 0, 0, 0}, NULL, "no line");
    is_str(text_of(d),
           "error: no place: a hint\n"
           "conf/a.conf: error: no line\n"
           "conf/a.conf:1:4: error: first\n"
           " 1 | one\n"
           "   |    ^ at the end\n"
           "conf/a.conf:3:7: warning: behind tabs\n"
           " 3 | \ttab \tx;\n"
           "   | \t    \t^\n"
           "b\\x0a.conf:1:6: note: elsewhere\n"
           " 1 | \xc3\xbc\xc3\xbc bad?\n"
           "   |    ^~~\n",
           "sorted, with notes, tabs and characters");
    is_int(sp_diag_errors(d), 3, "errors");
    is_int(sp_diag_warnings(d), 1, "warnings");
    sp_diag_destroy(d);

    is_int(sp_diag_create(&d), 0, "create");
    for (uint32_t i = 0; i < 25; i++) {
        sp_diag_add(d, SP_ERROR, (struct sp_pos){0}, NULL, "error %u", i);
    }
    sp_diag_add(d, SP_NOTE, (struct sp_pos){0}, NULL, "a note to one that is not shown");
    const char *text = text_of(d);
    ok(strstr(text, "error 19\n25 errors, 0 warnings\n") != NULL, "the first 20 and the count");
    ok(strstr(text, "note") == NULL, "no note to what is not shown");
    sp_diag_add(d, SP_ERROR, (struct sp_pos){a, 9, 9, 9}, NULL, "beyond the file");
    sp_diag_destroy(d);

    is_int(sp_diag_create(&d), 0, "create");
    sp_diag_add(d, SP_ERROR, (struct sp_pos){a, 9, 9, 9}, NULL, "beyond the file");
    is_str(text_of(d), "conf/a.conf:9:9: error: beyond the file\n 9 | \n   | ^\n", "a place that is not there");
    sp_diag_destroy(d);
    sp_diag_destroy(NULL);
    return done_testing();
}
