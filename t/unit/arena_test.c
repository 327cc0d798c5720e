#include "base/arena.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "tap.h"

static char     order[8];
static unsigned ran;

static void
note(void *arg)
{
    if (ran < sizeof(order) - 1) {
        order[ran++] = *(const char *)arg;
    }
}

static void
test_allocations(void)
{
    struct sp_arena *a;
    bool             aligned = true, zeroed = true, kept = true;
    unsigned char   *seen[400];
    struct sp_str    s;

    is_int(sp_arena_create(&a), 0, "create");
    is_int(sp_arena_bytes(a), 0, "nothing is taken before it is needed");
    for (size_t i = 0; i < 400; i++) {
        size_t n = i * 17 % 3000;

        seen[i] = sp_arena_alloc(a, n);
        aligned = aligned && (uintptr_t)seen[i] % _Alignof(max_align_t) == 0;
        for (size_t j = 0; j < n; j++) {
            zeroed = zeroed && seen[i][j] == 0;
            seen[i][j] = (unsigned char)i;
        }
    }
    for (size_t i = 0; i < 400; i++) {
        for (size_t j = 0; j < i * 17 % 3000; j++) {
            kept = kept && seen[i][j] == (unsigned char)i;
        }
    }
    ok(aligned, "aligned");
    ok(zeroed, "zeroed");
    ok(kept, "apart from each other");
    memset(sp_arena_array(a, 1000, 5000), 7, 5000000);
    ok(sp_arena_bytes(a) > 5000000, "bytes counts a large one");

    s = sp_arena_str(a, SP_STR("text"));
    ok(sp_str_is(s, "text") && s.p[4] == '\0', "str: a terminated copy");
    s = sp_arena_str(a, (struct sp_str){NULL, 0});
    ok(s.n == 0 && s.p != NULL && s.p[0] == '\0', "str: of nothing");
    is_str(sp_arena_printf(a, "%d-%s", 42, "x"), "42-x", "printf");
    is_int((long long)strlen(sp_arena_printf(a, "%5000d", 1)), 5000, "printf: long");
    sp_arena_destroy(a);
    sp_arena_destroy(NULL);
    ok(true, "destroy, also of NULL");
}

static void
test_growth(void)
{
    struct sp_arena *a;
    size_t           before, blocks = 0;

    (void)sp_arena_create(&a);
    for (unsigned i = 0; i < 100000; i++) {
        before = sp_arena_bytes(a);
        (void)sp_arena_alloc(a, 100);
        blocks += sp_arena_bytes(a) != before;
    }
    ok(blocks < 25, "11 MB of small ones come from %zu blocks", blocks);
    ok(sp_arena_bytes(a) < 14000000, "with little waste");
    sp_arena_destroy(a);
}

static void
test_cleanups(void)
{
    struct sp_arena *a;

    (void)sp_arena_create(&a);
    sp_arena_defer(a, note, sp_arena_printf(a, "1"));
    sp_arena_defer(a, note, sp_arena_printf(a, "2"));
    sp_arena_defer(a, note, sp_arena_printf(a, "3"));
    sp_arena_destroy(a);
    is_str(order, "321", "cleanups run in reverse order while the memory is there");
}

static void
test_overflow(void)
{
    int   status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        struct sp_arena *a;
        struct rlimit    none = {0, 0};

        (void)setrlimit(RLIMIT_CORE, &none);
        sp_log_use_fd(STDERR_FILENO, SP_LOG_EMERG);
        (void)close(STDERR_FILENO);
        (void)sp_arena_create(&a);
        (void)sp_arena_array(a, SIZE_MAX / 2, 3);
        _exit(0);
    }
    ok(pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status), "an impossible size aborts");
}

int
main(void)
{
    test_allocations();
    test_growth();
    test_cleanups();
    test_overflow();
    return done_testing();
}
