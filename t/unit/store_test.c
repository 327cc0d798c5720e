#include "store/store.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process/process.h"
#include "tap.h"

static char              data_dir[] = "/tmp/sallyport-store-XXXXXX";
static struct sp_process p;
static unsigned          done_count, out_of_order;
static int               done_err;

static int
start(void)
{
    memset(&p, 0, sizeof(p));
    p.base = event_base_new();
    return sp_store_start(&p, data_dir, 0, &p.store);
}

static void
stop(void)
{
    sp_store_stop(p.store);
    event_base_free(p.base);
}

static void
done(void *arg, int err)
{
    out_of_order += (uintptr_t)arg != done_count;
    done_count++;
    done_err = err;
}

static void
until(unsigned count)
{
    while (done_count < count) {
        event_base_loop(p.base, EVLOOP_ONCE);
    }
}

static int
put(const char *key, const char *value, unsigned number)
{
    return sp_store_put(p.store, "retained", sp_str_c(key), sp_str_c(value), done, (void *)(uintptr_t)number);
}

static unsigned rows;
static char     last_value[64];

static int
row(void *arg, struct sp_str key, struct sp_str value)
{
    rows++;
    if (arg == NULL || sp_str_is(key, arg)) {
        snprintf(last_value, sizeof(last_value), "%.*s", SP_STR_ARG(value));
    }
    return 0;
}

static int
refuse_row(void *arg, struct sp_str key, struct sp_str value)
{
    (void)arg;
    (void)key;
    (void)value;
    rows++;
    return -ENOMEM;
}

static unsigned
load(const char *key)
{
    rows = 0;
    last_value[0] = '\0';
    sp_store_load(p.store, "retained", row, (void *)(uintptr_t)key);
    return rows;
}

static void
test_put(void)
{
    is_int(start(), 0, "opens");
    is_int(sp_store_put(p.store, "nonsense", SP_STR("k"), SP_STR("v"), NULL, NULL), -EINVAL, "an unknown table");
    done_count = out_of_order = 0;
    for (unsigned i = 0; i < 10000; i++) {
        char key[32];

        snprintf(key, sizeof(key), "key/%u", i % 5000);
        put(key, i < 5000 ? "old" : "new", i);
    }
    ok(sp_store_queued(p.store) > 0 && sp_store_queued_bytes(p.store) > 0, "queued");
    until(10000);
    ok(out_of_order == 0 && done_err == 0, "on disk, in order");
    ok(sp_store_queued(p.store) == 0 && sp_store_queued_bytes(p.store) == 0, "none queued");
    is_int(load("key/17"), 5000, "all there");
    is_str(last_value, "new", "the last value");
    done_count = 0;
    sp_store_put(p.store, "retained", SP_STR("key/17"), (struct sp_str){NULL, 0}, done, NULL);
    sp_store_put(p.store, "retained", SP_STR("empty"), SP_STR(""), NULL, NULL);
    until(1);
    stop();
    is_int(start(), 0, "opens again");
    is_int(load("empty"), 5000, "one gone, one more");
    is_str(last_value, "", "an empty value is one");
    rows = 0;
    is_int(sp_store_load(p.store, "retained", refuse_row, NULL), -ENOMEM, "a row that is refused");
    is_int(rows, 1, "ends the load");
    stop();
}

static void
again(void *arg, int err)
{
    done_err = err;
    if (++done_count < 100) {
        sp_store_put(arg, "retained", SP_STR("again"), done_count == 99 ? SP_STR("last") : SP_STR("x"), again, arg);
    }
}

static void
test_stop(void)
{
    start();
    done_count = 0;
    sp_store_put(p.store, "retained", SP_STR("again"), SP_STR("x"), again, p.store);
    stop();
    ok(done_count == 100 && done_err == 0, "a stop commits what is queued, and what callbacks queue");
    start();
    load("again");
    is_str(last_value, "last", "on disk");
    stop();
}

/* Killed at any moment: what was reported is there. */
static void
test_killed(void)
{
    unsigned lost = 0, reported = 0;

    for (unsigned round = 0; round < 10; round++) {
        int      pipes[2];
        unsigned number = 0, at = 0;
        char     key[32];
        pid_t    child;

        if (pipe(pipes) < 0 || (child = fork()) < 0) {
            return;
        }
        if (child == 0) {
            if (start() < 0) {
                _exit(1);
            }
            for (done_count = 0;;) {
                snprintf(key, sizeof(key), "killed/%u/%u", round, at);
                put(key, "v", at++);
                event_base_loop(p.base, EVLOOP_NONBLOCK);
                if (done_count != number) {
                    number = done_count;
                    if (write(pipes[1], &number, sizeof(number)) < 0) {
                        _exit(1);
                    }
                }
            }
        }
        for (unsigned i = 0; i <= round; i++) {
            if (read(pipes[0], &number, sizeof(number)) != sizeof(number)) {
                break;
            }
        }
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        close(pipes[0]);
        close(pipes[1]);
        start();
        for (unsigned i = 0; i < number; i++) {
            snprintf(key, sizeof(key), "killed/%u/%u", round, i);
            last_value[0] = '\0';
            if (i == 0 || i + 1 == number) {
                load(key);
                lost += strcmp(last_value, "v") != 0;
            }
        }
        reported += number;
        stop();
    }
    ok(reported > 0 && lost == 0, "killed ten times, %u reported, none lost", reported);
}

static void
test_refusals(void)
{
    struct sp_process other = {.base = event_base_new()};
    char              path[128], long_path[5000];
    sqlite3          *db;

    start();
    is_int(sp_store_start(&other, data_dir, 60, &other.store), -EBUSY, "one gateway at a time");
    stop();
    snprintf(path, sizeof(path), "%s/sallyport.db", data_dir);
    sqlite3_open(path, &db);
    sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL);
    sqlite3_close(db);
    is_int(sp_store_start(&other, data_dir, 0, &other.store), -EPROTO, "a newer format");
    memset(long_path, 'x', sizeof(long_path) - 1);
    memcpy(long_path, "/tmp/", 5);
    long_path[sizeof(long_path) - 1] = '\0';
    is_int(sp_store_start(&other, long_path, 0, &other.store), -ENAMETOOLONG, "a path that is too long");
    event_base_free(other.base);
}

int
main(void)
{
    char command[128];

    if (mkdtemp(data_dir) == NULL) {
        return 1;
    }
    test_put();
    test_stop();
    test_killed();
    test_refusals();
    snprintf(command, sizeof(command), "rm -rf %s", data_dir);
    return system(command) == 0 ? done_testing() : 1;
}
