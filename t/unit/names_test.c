#include <event2/event.h>
#include <string.h>

#include "net/bus.h"
#include "process/process.h"
#include "store/names.h"
#include "tap.h"

/* Two workers and the keeper in one process. */

enum { WORKERS = 2, KEEPER = WORKERS, SLOTS = WORKERS + 1 };

static struct sp_process     processes[SLOTS];
static struct sp_bus_shared *shared;

struct session {
    struct sp_claim *claim;
    unsigned         granted, took_over, kicked;
    uint64_t         owner;
};
static struct session sessions[8];

static void
granted(void *arg, bool took_over)
{
    struct session *s = arg;

    s->granted++;
    s->took_over += took_over;
}

static void
kicked(struct sp_process *p, uint64_t owner)
{
    (void)p;
    sessions[owner].kicked++;
}

static void
turns(unsigned n)
{
    while (n-- > 0) {
        for (unsigned i = 0; i < SLOTS; i++) {
            if (processes[i].bus != NULL) {
                event_base_loop(processes[i].base, EVLOOP_NONBLOCK);
                sp_bus_flush(processes[i].bus);
            }
        }
    }
}

static void
start(unsigned slot, uint32_t epoch)
{
    struct sp_process *p = &processes[slot];

    memset(p, 0, sizeof(*p));
    p->slot = slot;
    p->workers = WORKERS;
    p->base = event_base_new();
    sp_bus_create(p, shared, slot, epoch, p->base, &p->bus);
    if (slot == KEEPER) {
        sp_registrar_start(p, &p->registrar);
    } else {
        sp_names_start(p, kicked, &p->names);
    }
}

static void
stop(unsigned slot)
{
    struct sp_process *p = &processes[slot];

    sp_names_stop(p->names);
    sp_registrar_stop(p->registrar);
    sp_bus_destroy(p->bus);
    event_base_free(p->base);
    memset(p, 0, sizeof(*p));
}

static void
claim(unsigned worker, unsigned session, const char *name)
{
    memset(&sessions[session], 0, sizeof(sessions[session]));
    sessions[session].owner = session;
    sessions[session].claim =
        sp_names_claim(processes[worker].names, 0, sp_str_c(name), session, granted, &sessions[session]);
}

static void
release(unsigned worker, unsigned session)
{
    sp_names_release(processes[worker].names, sessions[session].claim);
    sessions[session].claim = NULL;
}

static void
test_takeover(void)
{
    claim(0, 1, "drone");
    turns(3);
    ok(sessions[1].granted == 1 && sessions[1].took_over == 0, "a free name is granted");
    claim(1, 2, "gcs");
    turns(3);
    is_int(sessions[2].granted, 1, "another name too");
    claim(1, 3, "drone");
    turns(3);
    ok(sessions[1].kicked == 1 && sessions[3].granted == 0, "a taken one: the holder is told to go, the claim waits");
    claim(0, 4, "drone");
    turns(3);
    is_int(sessions[1].kicked, 1, "the holder is told once");
    release(0, 1);
    turns(3);
    ok(sessions[3].granted == 1 && sessions[3].took_over == 1, "it went: the first who waited has it");
    ok(sessions[3].kicked == 1 && sessions[4].granted == 0, "and is told to go for the second");
    release(0, 4);
    turns(3);
    release(1, 3);
    turns(3);
    is_int(sp_registrar_count(processes[KEEPER].registrar), 1, "given back and withdrawn: only gcs is left");
}

static void
test_worker_dies(void)
{
    claim(0, 1, "relay");
    turns(3);
    claim(1, 5, "relay");
    turns(3);
    is_int(sessions[5].granted, 0, "held by a session of worker 0");
    sp_bus_peer_down(processes[KEEPER].bus, 0, 1);
    sp_registrar_peer_down(processes[KEEPER].registrar, 0);
    turns(3);
    is_int(sessions[5].granted, 1, "which dies with its worker");
    stop(0);
    start(0, 2);
    sp_bus_peer_up(processes[0].bus, KEEPER, 1);
    sp_bus_peer_up(processes[KEEPER].bus, 0, 2);
}

static void
test_keeper_dies(void)
{
    stop(KEEPER);
    sp_bus_peer_down(processes[0].bus, KEEPER, 1);
    sp_bus_peer_down(processes[1].bus, KEEPER, 1);
    claim(0, 6, "relay");
    turns(3);
    is_int(sessions[6].granted, 0, "no keeper: the claim waits");
    start(KEEPER, 2);
    for (unsigned i = 0; i < WORKERS; i++) {
        sp_bus_peer_up(processes[KEEPER].bus, i, i == 0 ? 2 : 1);
    }
    sp_registrar_peers_known(processes[KEEPER].registrar);
    sp_bus_peer_up(processes[0].bus, KEEPER, 2);
    sp_names_keeper_up(processes[0].names);
    turns(3);
    is_int(sessions[6].granted, 0, "a new keeper grants nothing before every worker has told what it holds");
    sp_bus_peer_up(processes[1].bus, KEEPER, 2);
    sp_names_keeper_up(processes[1].names);
    turns(4);
    ok(sessions[5].kicked == 1 && sessions[6].granted == 0, "then it knows the holder, who is told to go");
    release(1, 5);
    turns(3);
    ok(sessions[6].granted == 1 && sessions[6].took_over == 1, "and the claim is granted");
}

int
main(void)
{
    sp_bus_shared_create(SLOTS, 128 * 1024, &shared);
    for (unsigned i = 0; i < SLOTS; i++) {
        start(i, 1);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        sp_bus_peer_up(processes[i].bus, KEEPER, 1);
        sp_names_keeper_up(processes[i].names);
        sp_bus_peer_up(processes[KEEPER].bus, i, 1);
    }
    sp_registrar_peers_known(processes[KEEPER].registrar);
    test_takeover();
    test_worker_dies();
    test_keeper_dies();
    for (unsigned i = 0; i < SLOTS; i++) {
        stop(i);
    }
    sp_bus_shared_destroy(shared);
    return done_testing();
}
