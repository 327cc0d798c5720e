#include "process/plan.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/random.h"
#include "tap.h"

/* As sp_plan_make writes it, by hand: the format is between two processes of one binary, this test is its only other writer. */
static void
write_plan(struct sp_pack *k, uint32_t version, uint32_t workers)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(8883)};
    const char         digest[32] = "0123456789abcdef0123456789abcde";

    sp_pack_u32(k, version);
    sp_pack_u32(k, workers);
    sp_pack_u8(k, 1);
    sp_pack_u64(k, 65536);
    sp_pack_u8(k, 1);
    sp_pack_text(k, "nobody");
    sp_pack_u32(k, 65534);
    sp_pack_u32(k, 65533);
    sp_pack_u32(k, 2);
    sp_pack_u32(k, 65533);
    sp_pack_u32(k, 10);
    sp_pack_text(k, "data/x.pid");
    sp_pack_text(k, "data/x.sock");
    sp_pack_text(k, "data");
    sp_pack_u32(k, 6);
    sp_pack_u32(k, 2);
    sp_pack_text(k, "stderr");
    sp_pack_text(k, "access.log");
    sp_pack_u32(k, 1);
    sp_pack_str(k, (struct sp_str){(const char *)&addr, sizeof addr});
    sp_pack_u32(k, 511);
    sp_pack_text(k, "0.0.0.0:8883");
    sp_pack_text(k, "conf/x.conf:9");
    sp_pack_text(k, "mqtt");
    sp_pack_text(k, "fleet");
    sp_pack_bytes(k, digest, 32);
    sp_pack_text(k, "careful\n");
}

int
main(void)
{
    struct sp_pack  k = {0};
    struct sp_plan *plan = NULL;

    write_plan(&k, 1, 4);
    is_int(sp_plan_parse((struct sp_str){k.p, k.n}, &plan), 0, "a plan");
    is_int(plan->workers, 4, "workers");
    ok(plan->daemon && plan->drop, "flags");
    is_str(plan->user, "nobody", "user");
    ok(plan->uid == 65534 && plan->gid == 65533 && plan->ngroups == 2 && plan->groups[1] == 10, "ids and groups");
    is_str(plan->pid_path, "data/x.pid", "pid");
    is_str(plan->control_path, "data/x.sock", "control");
    is_str(plan->data_dir, "data", "data_dir");
    ok(plan->nlogs == 2 && plan->log_level == 6, "logs");
    is_str(plan->logs[1], "access.log", "the access log");
    is_int(plan->nlisteners, 1, "a listener");
    is_str(plan->listeners[0].address, "0.0.0.0:8883", "its address");
    is_str(plan->listeners[0].where, "conf/x.conf:9", "its place");
    is_int(plan->listeners[0].backlog, 511, "its backlog");
    is_str(plan->warnings, "careful\n", "warnings");
    sp_plan_free(plan);
    sp_plan_free(NULL);

    unsigned passed = 0;
    for (size_t n = 0; n < k.n; n++) {
        char *cut = malloc(n == 0 ? 1 : n);
        memcpy(cut, k.p, n);
        if (sp_plan_parse((struct sp_str){cut, n}, &plan) == 0) {
            passed++;
            sp_plan_free(plan);
        }
        free(cut);
    }
    is_int(passed, 0, "no truncation passes");

    for (unsigned i = 0; i < 20000; i++) { /* whatever it says, it is refused or it is a plan */
        char *bytes = malloc(k.n);
        memcpy(bytes, k.p, k.n);
        for (uint32_t flips = sp_random_below(4) + 1; flips > 0; flips--) {
            bytes[sp_random_below((uint32_t)k.n)] = (char)sp_random_below(256);
        }
        if (sp_plan_parse((struct sp_str){bytes, k.n}, &plan) == 0) {
            sp_plan_free(plan);
        }
        free(bytes);
    }
    ok(1, "20,000 damaged plans");
    sp_pack_free(&k);

    write_plan(&k, 2, 4);
    is_int(sp_plan_parse((struct sp_str){k.p, k.n}, &plan), -EBADMSG, "another version");
    sp_pack_free(&k);
    write_plan(&k, 1, 0);
    is_int(sp_plan_parse((struct sp_str){k.p, k.n}, &plan), -EBADMSG, "no workers");
    sp_pack_free(&k);
    write_plan(&k, 1, 65);
    is_int(sp_plan_parse((struct sp_str){k.p, k.n}, &plan), -EBADMSG, "too many workers");
    sp_pack_u8(&k, 0);
    sp_pack_free(&k);
    return done_testing();
}
