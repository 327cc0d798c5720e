/* The acl_file parser on any bytes, and questions to what it understood. */
#include <stdlib.h>

#include "base/topic.h"
#include "conf/diag.h"
#include "modules/policy_resolver/aclfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
ask(const struct sp_aclfile *acl, struct sp_str text, struct sp_scratch *scratch)
{
    struct sp_question        q = {.topic = SP_STR("a/b"),
                                   .action = SP_ACTION_PUBLISH,
                                   .identity = SP_STR("al"),
                                   .client = SP_STR("k"),
                                   .scratch = scratch};
    const struct sp_acl_line *line;

    (void)sp_aclfile_ask(acl, false, &q, &line);
    q.action = SP_ACTION_SUBSCRIBE;
    (void)sp_aclfile_ask(acl, true, &q, &line);
    if (sp_topic_name_valid(text, 1000)) { /* names and topics out of the file itself */
        q.topic = q.identity = q.client = text;
        (void)sp_aclfile_ask(acl, false, &q, &line);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sp_conf_file file = {SP_STR("aclfile"), {(const char *)data, size}};
    struct sp_scratch   scratch = {0};
    struct sp_aclfile  *acl;
    struct sp_arena    *arena;
    struct sp_diag     *diag;

    if (sp_arena_create(&arena) < 0) {
        return 0;
    }
    if (sp_diag_create(&diag) == 0) {
        if (sp_aclfile_parse(arena, diag, &file, &acl) == 0) {
            struct sp_str rest = file.text;
            for (int i = 0; i < 8 && rest.p != NULL; i++) {
                struct sp_str line = sp_str_cut(&rest, '\n');
                size_t        blank = line.n;
                while (blank > 0 && line.p[blank - 1] != ' ') {
                    blank--;
                }
                ask(acl, (struct sp_str){line.p + blank, line.n - blank}, &scratch);
            }
        }
        (void)sp_diag_text(diag);
        sp_diag_destroy(diag);
    }
    sp_scratch_free(&scratch);
    sp_arena_destroy(arena);
    return 0;
}
