#include <event2/event.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "conf/registry.h"
#include "conf/source.h"
#include "net/bus.h"
#include "process/process.h"
#include "store/retained.h"
#include "store/store.h"
#include "tap.h"

/* A worker and the keeper in one process, with a real store in a temporary directory. */

enum { WORKER, KEEPER, SLOTS };

static struct sp_process     processes[SLOTS];
static struct sp_bus_shared *shared;
static char                  data_dir[] = "/tmp/sallyport-retained-XXXXXX";
static struct sp_registry   *registry;

static const struct sp_module *const no_modules[] = {NULL};

/* A configuration of one directive. */
static struct sp_snapshot *
limits(const char *directives)
{
    char                       path[128];
    struct sp_snapshot_options o = {.prefix = "", .path = path, .generation = 1};
    struct sp_snapshot        *snapshot = NULL;
    struct sp_source          *source;
    char                      *errors = NULL;
    FILE                      *f;

    snprintf(path, sizeof(path), "%s/test.conf", data_dir);
    f = fopen(path, "w");
    fprintf(f, "# limits\n%s\n", directives);
    fclose(f);
    if (sp_source_files(&source) < 0 || sp_snapshot_build(registry, source, &o, &snapshot, &errors) < 0) {
        printf("Bail out! %s\n", errors == NULL ? "no snapshot" : errors);
        exit(1);
    }
    free(errors);
    sp_source_close(source);
    return snapshot;
}

static void
limit(const char *directives)
{
    sp_snapshot_unref(processes[KEEPER].snapshot);
    processes[KEEPER].snapshot = limits(directives);
    sp_shelf_commit(processes[KEEPER].shelf);
}

static unsigned stored_count, matches, dones;
static int      stored_err;
static char     last[64];
static uint32_t last_expiry;

static void
stored(void *arg, int err)
{
    (void)arg;
    stored_count++;
    stored_err = err;
}

static void
match(void *arg, const struct sp_message *m)
{
    (void)arg;
    matches++;
    snprintf(last, sizeof(last), "%.*s=%.*s", SP_STR_ARG(m->topic), SP_STR_ARG(m->payload));
    last_expiry = m->expiry_s;
}

static void
done(void *arg)
{
    (void)arg;
    dones++;
}

static void
turns(unsigned n)
{
    while (n-- > 0) {
        for (unsigned i = 0; i < SLOTS; i++) {
            if (processes[i].bus != NULL) {
                sp_clock_update();
                event_base_loop(processes[i].base, EVLOOP_NONBLOCK);
                sp_bus_flush(processes[i].bus);
            }
        }
    }
}

static void
until(const unsigned *count, unsigned want)
{
    for (unsigned i = 0; i < 2000000 && *count < want; i++) {
        turns(1);
    }
}

static void
start(unsigned slot, uint32_t epoch)
{
    struct sp_process *p = &processes[slot];

    memset(p, 0, sizeof(*p));
    p->slot = slot;
    p->epoch = epoch;
    p->workers = 1;
    p->snapshot = limits("");
    p->base = event_base_new();
    sp_wheel_create(p->base, &p->wheel);
    sp_bus_create(p, shared, slot, epoch, p->base, &p->bus);
    if (slot == KEEPER) {
        is_int(sp_store_start(p, data_dir, 0, &p->store), 0, "the store opens");
        is_int(sp_shelf_start(p, &p->shelf), 0, "the shelf loads");
        sp_bus_peer_up(p->bus, WORKER, processes[WORKER].epoch);
    } else {
        sp_retained_start(p, &p->retained);
    }
}

static void
stop(unsigned slot)
{
    struct sp_process *p = &processes[slot];

    sp_store_stop(p->store);
    sp_shelf_stop(p->shelf);
    sp_retained_stop(p->retained);
    sp_bus_destroy(p->bus);
    sp_wheel_destroy(p->wheel);
    event_base_free(p->base);
    sp_snapshot_unref(p->snapshot);
    memset(p, 0, sizeof(*p));
}

static void
set(const char *topic, const char *payload, bool durable, uint32_t expiry_s)
{
    struct sp_message m = {
        .topic = sp_str_c(topic), .payload = sp_str_c(payload), .expiry_s = expiry_s, .received_ms = sp_clock_ms()};
    unsigned before = stored_count;

    sp_retained_set(processes[WORKER].retained, &m, SP_STR("drone"), durable, stored, NULL);
    until(&stored_count, before + 1);
}

static unsigned
ask(const char *filter)
{
    unsigned before = dones;

    matches = 0;
    sp_retained_ask(processes[WORKER].retained, sp_str_c(filter), match, done, NULL);
    until(&dones, before + 1);
    return matches;
}

static void
test_set_and_ask(void)
{
    set("a/b", "one", true, UINT32_MAX);
    ok(stored_count == 1 && stored_err == 0, "stored on disk");
    is_int(ask("a/b"), 1, "found by its name");
    is_str(last, "a/b=one", "as it was");
    is_int(ask("a/+"), 1, "by +");
    is_int(ask("#"), 1, "by #");
    is_int(ask("c"), 0, "not by another name");
    set("a/b", "two", false, 60);
    ask("a/b");
    is_str(last, "a/b=two", "replaced");
    ok(last_expiry >= 59 && last_expiry <= 60, "expiry travels: %u", last_expiry);
    set("a/b", "", true, UINT32_MAX);
    is_int(ask("#"), 0, "an empty payload deletes");
}

static void
test_limit(void)
{
    limit("retained_max_count 2;");
    set("l/1", "x", true, UINT32_MAX);
    set("l/2", "x", true, UINT32_MAX);
    set("l/3", "x", true, UINT32_MAX);
    is_int(stored_err, -ENOSPC, "over the limit is refused");
    set("l/2", "y", true, UINT32_MAX);
    is_int(stored_err, 0, "replacing is not");
    limit("");
}

static void
test_many(void)
{
    char topic[32];

    for (unsigned i = 0; i < 3000; i++) {
        snprintf(topic, sizeof(topic), "many/%u", i);
        set(topic, "payload", false, UINT32_MAX);
    }
    is_int(ask("many/#"), 3000, "3,000 are found, in slices");
}

static void
test_expiry(void)
{
    struct sp_shelf *shelf = processes[KEEPER].shelf;
    uint64_t         before = sp_shelf_count(shelf);

    set("short/1", "x", true, 1);
    set("short/2", "x", true, 1);
    set("short/2", "x", true, 3600);
    is_int((long)sp_shelf_count(shelf), (long)before + 2, "two that expire");
    for (unsigned i = 0; i < 10000000 && sp_shelf_count(shelf) > before + 1; i++) {
        turns(1);
    }
    is_int((long)sp_shelf_count(shelf), (long)before + 1, "one has gone by itself, the other was given more time");
    set("short/2", "", true, UINT32_MAX);
    set("never/there", "", true, UINT32_MAX);
    ok(stored_err == 0 && sp_shelf_count(shelf) == before, "deleting what is not there is no error");
}

/* The reader is stuck: what it asked for waits on the shelf, not in the bus. */
static void
test_slow_worker(void)
{
    struct sp_bus *bus = processes[KEEPER].bus;
    unsigned       before = dones, asked = 50;
    size_t         queued = 0;

    matches = 0;
    for (unsigned i = 0; i < asked; i++) {
        sp_retained_ask(processes[WORKER].retained, SP_STR("many/#"), match, done, NULL);
    }
    sp_bus_flush(processes[WORKER].bus);
    for (unsigned i = 0; i < 5000; i++) {
        event_base_loop(processes[KEEPER].base, EVLOOP_NONBLOCK);
        sp_bus_flush(bus);
        queued = sp_bus_queued_bytes(bus) > queued ? sp_bus_queued_bytes(bus) : queued;
    }
    ok(queued < 1000, "%u answers to a stuck worker: %zu bytes wait in the bus", asked, queued);
    until(&dones, before + asked);
    is_int(matches, 3000 * asked, "all of them arrive when it goes on");
}

static void
test_worker_dies(void)
{
    struct sp_message m = {.topic = SP_STR("dying"), .payload = SP_STR("x"), .expiry_s = UINT32_MAX};
    unsigned          before = stored_count;

    sp_retained_set(processes[WORKER].retained, &m, SP_STR("drone"), true, stored, NULL);
    sp_bus_flush(processes[WORKER].bus);
    stop(WORKER);
    sp_bus_peer_down(processes[KEEPER].bus, WORKER, 1);
    sp_shelf_peer_down(processes[KEEPER].shelf, WORKER);
    start(WORKER, 2); /* before the disk has answered */
    sp_bus_peer_up(processes[KEEPER].bus, WORKER, 2);
    sp_bus_peer_up(processes[WORKER].bus, KEEPER, 1);
    m.topic = SP_STR("successor");
    sp_retained_set(processes[WORKER].retained, &m, SP_STR("drone"), true, stored, NULL);
    until(&stored_count, before + 1);
    turns(200);
    is_int(stored_count, before + 1, "a worker is not told what was stored for its predecessor");
    is_int(ask("dying"), 1, "which was stored all the same");
    set("dying", "", true, UINT32_MAX);
    set("successor", "", true, UINT32_MAX);
}

static void
test_no_keeper(void)
{
    static char       body[1 << 20];
    struct sp_message m = {.topic = SP_STR("late"), .payload = {body, sizeof(body)}, .expiry_s = UINT32_MAX};
    unsigned          taken = 0;

    while (taken < 1000 && sp_retained_set(processes[WORKER].retained, &m, SP_STR("drone"), false, NULL, NULL) == 0) {
        taken++;
    }
    ok(taken > 60 && taken < 70, "without a keeper %u MiB are kept, no more", taken);
}

static void
test_keeper_dies(void)
{
    struct sp_message m = {.topic = SP_STR("late"), .payload = SP_STR("x"), .expiry_s = UINT32_MAX};
    unsigned          before = stored_count, asked = dones;

    stop(KEEPER);
    sp_bus_peer_down(processes[WORKER].bus, KEEPER, 1);
    sp_retained_set(processes[WORKER].retained, &m, SP_STR("drone"), true, stored, NULL);
    matches = 0;
    sp_retained_ask(processes[WORKER].retained, SP_STR("l/+"), match, done, NULL);
    turns(10);
    is_int(stored_count, before, "no keeper, no answer");
    start(KEEPER, 2);
    sp_bus_peer_up(processes[WORKER].bus, KEEPER, 2);
    sp_retained_keeper_up(processes[WORKER].retained);
    until(&stored_count, before + 1);
    until(&dones, asked + 1);
    is_int(stored_err, 0, "the next one answers what was unanswered");
    is_int(matches, 2, "and has what was stored before");
    is_int(ask("late"), 1, "and since");
    is_int(ask("many/+"), 3000, "all of it");
}

static void
test_second_gateway(void)
{
    struct sp_process other = {.base = event_base_new()};

    is_int(sp_store_start(&other, data_dir, 0, &other.store), -EBUSY, "a second gateway on the same store is refused");
    event_base_free(other.base);
}

static void
test_permissions_and_damage(void)
{
    struct sp_process p = {.base = event_base_new()};
    struct stat       st;
    char              path[128];
    FILE             *f;

    snprintf(path, sizeof(path), "%s/sallyport.db", data_dir);
    is_int(stat(path, &st), 0, "the file is there");
    is_int(st.st_mode & 0777, 0600, "for its owner only");
    stop(KEEPER);
    f = fopen(path, "w");
    fputs("this is no database, but it is long enough to look like something\n", f);
    fclose(f);
    sp_bus_peer_down(processes[WORKER].bus, KEEPER, 2);
    test_no_keeper();
    ok(sp_store_start(&p, data_dir, 0, &p.store) < 0, "a damaged file is refused, not made anew");
    event_base_free(p.base);
}

int
main(void)
{
    if (mkdtemp(data_dir) == NULL) {
        return 1;
    }
    sp_clock_update();
    sp_registry_create(no_modules, &registry);
    sp_bus_shared_create(SLOTS, 128 * 1024, &shared);
    start(WORKER, 1);
    start(KEEPER, 1);
    sp_bus_peer_up(processes[WORKER].bus, KEEPER, 1);
    test_set_and_ask();
    test_limit();
    test_many();
    test_expiry();
    test_slow_worker();
    test_worker_dies();
    test_keeper_dies();
    test_second_gateway();
    test_permissions_and_damage();
    stop(WORKER);
    sp_bus_shared_destroy(shared);
    sp_registry_destroy(registry);
    {
        char command[128];

        snprintf(command, sizeof(command), "rm -rf %s", data_dir);
        return system(command) == 0 ? done_testing() : 1;
    }
}
