#include "conf/text.h"
#include "conf_fake.h"
#include "tap.h"

static int
append(void *arg, struct sp_str text)
{
    sp_text_add(arg, text);
    return 0;
}

static int
fail(void *arg, struct sp_str text)
{
    (void)arg;
    (void)text;
    return -EIO;
}

int
main(void)
{
    struct sp_registry *r;
    struct sp_text      t = {0};

    is_int(sp_registry_create(fake_modules, &r), 0, "registry");
    is_int(sp_registry_print(r, false, append, &t), 0, "text");
    for (unsigned i = 0; i < sp_registry_count(r); i++) {
        char line[128];
        (void)snprintf(line, sizeof(line), "\n%s ", sp_registry_at(r, i)->name);
        if (strstr(t.p, line) == NULL) {
            ok(false, "%s is in it", sp_registry_at(r, i)->name);
        }
    }
    ok(strstr(t.p, "== core ==\n") != NULL && strstr(t.p, "== fake ==\n") != NULL, "by owner");
    ok(strstr(t.p, "max_payload SIZE;\n"
                   "    in        policy realm topic application\n"
                   "    default   1m\n"
                   "    levels    the strictest value holds\n"
                   "    applies   live, on reload\n"
                   "    The largest payload of a message.\n") != NULL,
       "a directive");
    ok(strstr(t.p, "policy { ... }\n") != NULL, "a block");
    sp_text_reset(&t);
    is_int(sp_registry_print(r, true, append, &t), 0, "mdoc");
    ok(strstr(t.p, ".It Ic max_payload \"SIZE\"\n") != NULL, "a directive");
    for (const char *line = t.p; line != NULL && *line != '\0';
         line = strchr(line, '\n') == NULL ? NULL : strchr(line, '\n') + 1) {
        bool macro = *line == '.';
        if (*line == '\'' ||
            (macro && strncmp(line, ".It Ic ", 7) != 0 && strncmp(line, ".Ss ", 4) != 0 &&
             strncmp(line, ".Bl ", 4) != 0 && strncmp(line, ".El", 3) != 0 && strncmp(line, ".br", 3) != 0)) {
            ok(false, "no text is taken for a macro: %.40s", line);
        }
    }
    is_int(sp_registry_print(r, false, fail, NULL), -EIO, "a write that fails");
    sp_text_free(&t);
    sp_registry_destroy(r);
    return done_testing();
}
