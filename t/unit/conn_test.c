#include "net/conn.h"

#include <sys/resource.h>
#include <sys/wait.h>

#include "net_peer.h"
#include "tap.h"

#define PLAIN "echo { listen 127.0.0.1:1883 plain; }\n"

static void
test_batching(void)
{
    struct client *k;
    int64_t        writes;

    worker_start(PLAIN);
    k = client_new(ports[0]);
    pump(echo.opened == 1);
    is_int(sp_net_count(worker.net), 1, "one connection");
    is_str(echo.identity, "anonymous", "identity of a plain listener");
    is_int((int)(echo.last_id >> 56), 3, "the id names the slot");
    is_int((int)(echo.last_id >> 40 & 0xffff), 2, "and the epoch");
    ok(sp_net_find(worker.net, echo.last_id) == echo.last, "found by id");
    ok(sp_net_find(worker.net, echo.last_id + 1) == NULL, "another id is not");

    writes = sp_net_stats(worker.net)->writes;
    echo.inputs = 0;
    client_say(k, "one\ntwo\nthree\n");
    pump(client_has(k, "one\ntwo\nthree\n"));
    is_int(echo.inputs, 1, "three packets, one call");
    is_int(sp_net_stats(worker.net)->writes - writes, 1, "and one write");

    client_forget(k);
    for (const char *p = "drop by drop\n"; *p != '\0'; p++) {
        client_send(k, p, 1);
    }
    pump(client_has(k, "drop by drop\n"));
    ok(client_has(k, "drop by drop\n"), "a byte at a time");
    ok(echo.last->tail == NULL && echo.last->out.head == NULL, "an idle connection holds no buffers");

    client_free(k);
    pump(echo.closed == 1);
    is_int(echo.why, SP_CLOSE_PEER, "closed by the peer");
    is_int(sp_net_count(worker.net), 0, "and gone");
    ok(sp_net_find(worker.net, echo.last_id) == NULL, "its id too");
    worker_stop();
}

static void
test_tails(void)
{
    struct client *k;
    char          *line = malloc(90001);

    worker_start(PLAIN);
    k = client_new(ports[0]);
    for (int i = 0; i < 90000; i++) {
        line[i] = (char)('a' + i % 26);
    }
    line[90000] = '\n';
    for (size_t at = 0; at < 90001; at += 7001) {
        client_send(k, line + at, 90001 - at < 7001 ? 90001 - at : 7001);
    }
    pump((client_read(k), k->n) == 90001);
    is_mem(k->in, k->n, line, 90001, "a long packet in pieces comes through");
    ok(echo.last->tail == NULL, "and leaves no tail");

    client_forget(k);
    echo.tail_limit = 20000;
    client_send(k, line, 30000);
    pump(client_read(k));
    is_int(echo.closed, 1, "an incomplete packet that is too long closes");
    is_int(echo.why, SP_CLOSE_PROTOCOL, "as an error of the protocol");
    client_free(k);

    k = client_new(ports[0]);
    pump(echo.opened == 2);
    client_say(k, "x\nbad\ny\n");
    pump(client_read(k));
    is_mem(k->in, k->n, "x\n", 2, "what was answered before the error still goes out");
    ok(k->eof && echo.closed == 2, "then it closes");
    client_free(k);

    echo.refuse_open = true;
    k = client_new(ports[0]);
    pump(client_read(k));
    ok(k->eof && echo.opened == 3 && echo.closed == 2, "refused by open: closed() is not called");
    client_free(k);
    free(line);
    worker_stop();
}

static void
test_pause(void)
{
    struct client *k;

    worker_start(PLAIN);
    k = client_new(ports[0]);
    pump(echo.opened == 1);
    client_say(k, "a\npause\nb\nc\n");
    pump(client_has(k, "a\n"));
    client_say(k, "d\n");
    for (int i = 0; i < 20; i++) {
        turn();
    }
    ok(client_has(k, "a\n"), "a paused peer is not read");
    sp_conn_pause(echo.last);
    sp_conn_resume(echo.last);
    turn();
    ok(client_has(k, "a\n"), "pauses nest");
    sp_conn_resume(echo.last);
    pump(client_has(k, "a\nb\nc\nd\n"));
    ok(client_has(k, "a\nb\nc\nd\n"), "resumed: what was kept, then what is new");
    sp_conn_resume(echo.last);
    client_free(k);
    pump(echo.closed == 1);
    worker_stop();
}

static void
test_close(void)
{
    struct client *k;
    static char    junk[20000];

    worker_start(PLAIN);
    k = client_new(ports[0]);
    pump(echo.opened == 1);
    memset(junk, 'j', sizeof(junk));
    memcpy(junk, "close\n", 6);
    (void)send(k->fd, junk, sizeof(junk), MSG_NOSIGNAL);
    pump(echo.closed == 1);
    (void)send(k->fd, junk, sizeof(junk), MSG_NOSIGNAL);
    pump(client_read(k));
    is_mem(k->in, k->n, "bye\n", 4, "the last words arrive");
    ok(k->eof && !k->reset, "followed by a FIN, not an RST");
    is_int(echo.why, SP_CLOSE_PROTOCOL, "for the module's reason");
    is_int(sp_net_count(worker.net), 0, "one that lingers does not count");
    pump(sp_net_stats(worker.net)->connections == 0);
    is_int(sp_net_stats(worker.net)->connections, 0, "it lingers for a second at most");
    client_free(k);
    worker_stop();
}

static void
test_big_output(void)
{
    struct client *k;
    bool           whole = true;

    worker_start(PLAIN "send_timeout 300ms;\n");
    k = client_new(ports[0]);
    pump(echo.opened == 1);
    client_say(k, "big 3000000\n");
    pump((client_read(k), k->n) == 3000000);
    for (size_t i = 0; i < k->n; i++) {
        whole = whole && k->in[i] == (char)('a' + i / 1000 % 26);
    }
    ok(whole && k->n == 3000000, "3 MB, in order");
    is_int(echo.drained, 1, "drained is called once");
    ok(!echo.last->writing && !echo.last->over_high, "nothing is watched for any more");
    client_free(k);

    k = client_new(ports[0]);
    pump(echo.opened == 2);
    client_say(k, "big 30000000\n");
    pump(echo.closed == 2);
    is_int(echo.why, SP_CLOSE_TIMEOUT, "a peer that takes nothing is cut off");
    is_int(sp_net_stats(worker.net)->stalled, 1, "and counted");
    client_free(k);
    worker_stop();
}

static void
test_reload(void)
{
    struct client *k, *l;
    int            fds[600];

    worker_start("echo { listen 127.0.0.1:1883 plain; listen 127.0.0.1:1884 plain; }\n");
    k = client_new(ports[0]);
    pump(echo.opened == 1);
    l = client_new(ports[1]);
    pump(echo.opened == 2);
    worker_commit("echo { listen 127.0.0.1:1883 plain; listen 127.0.0.1:1884 plain; }\n# 2\n");
    client_say(k, "still here\n");
    pump(client_has(k, "still here\n"));
    is_int(echo.rebinds, 1, "the next packet rebinds");
    worker_sweep();
    is_int(echo.rebinds, 2, "the sweep rebinds the idle one");
    is_int(swept.kept, 1, "and counts it");
    ok(sp_conn_fresh(echo.last) && echo.rebinds == 2, "up to date");

    echo.verdict = SP_TRIM;
    worker_commit("echo { listen 127.0.0.1:1883 plain; listen 127.0.0.1:1884 plain; }\n# 3\n");
    worker_sweep();
    ok(swept.kept == 0 && swept.trimmed == 2 && swept.closed == 0, "verdict TRIM");

    echo.verdict = SP_KEEP;
    worker_commit("echo { listen 127.0.0.1:1883 plain; }\n");
    worker_sweep();
    pump(client_read(l));
    is_mem(l->in, l->n, "farewell\n", 9, "the session of a removed listener hears good-bye");
    ok(l->eof && echo.closed == 1 && echo.farewell_why == SP_CLOSE_SHUTDOWN, "and is closed");
    ok(swept.kept == 1 && swept.closed == 1, "the other stays");
    client_free(l);

    echo.verdict = SP_CLOSE;
    worker_commit("echo { listen 127.0.0.1:1883 plain; }\n# 5\n");
    ok(!sp_conn_fresh(sp_net_find(worker.net, echo.last_id - 1)), "verdict CLOSE, asked from outside input");
    pump(client_read(k));
    ok(k->eof && echo.closed == 2 && echo.why == SP_CLOSE_POLICY, "closed for policy");
    client_free(k);
    pump(sp_net_stats(worker.net)->connections == 0);
    is_int(sp_snapshots_live(), 1, "old snapshots are gone");

    echo.verdict = SP_KEEP;
    for (int i = 0; i < 600; i++) {
        k = client_new(ports[0]);
        fds[i] = k->fd;
        free(k);
        turn();
    }
    pump(sp_net_count(worker.net) == 600);
    worker_commit("echo { listen 127.0.0.1:1883 plain; }\n# 6\n");
    worker_sweep();
    is_int(swept.kept, 600, "600 sessions, in steps");
    worker_stop();
    is_int(echo.closed, echo.opened, "every session is told when the worker stops");
    for (int i = 0; i < 600; i++) {
        close(fds[i]);
    }
}

static bool drain_over;

static void
on_drained(struct sp_process *p)
{
    (void)p;
    drain_over = true;
}

static void
test_limits_and_drain(void)
{
    struct client *k[5], *late;

    worker_start(PLAIN "max_connections_per_address 3;\n");
    for (int i = 0; i < 5; i++) {
        k[i] = client_new(ports[0]);
    }
    pump(sp_net_stats(worker.net)->accepted == 5);
    is_int(echo.opened, 3, "three from one address");
    is_int(sp_net_stats(worker.net)->refused, 2, "the others are closed");
    client_free(k[0]);
    pump(echo.closed == 1);
    late = client_new(ports[0]);
    pump(echo.opened == 4);
    is_int(echo.opened, 4, "one goes, one comes");

    sp_net_drain(worker.net, 200, on_drained);
    pump(drain_over);
    ok(drain_over && sp_net_count(worker.net) == 0, "drained");
    is_int(echo.farewells, 3, "everyone heard good-bye");
    for (int i = 1; i < 5; i++) {
        client_free(k[i]);
    }
    client_free(late);
    worker_stop();

    worker_start(PLAIN "worker_connections 2;\n");
    for (int i = 0; i < 3; i++) {
        k[i] = client_new(ports[0]);
    }
    pump(echo.opened == 2);
    for (int i = 0; i < 20; i++) {
        turn();
    }
    is_int(echo.opened, 2, "worker_connections: the third waits in the backlog");
    client_free(k[0]);
    pump(echo.opened == 3);
    is_int(echo.opened, 3, "until there is room");
    client_free(k[1]);
    client_free(k[2]);
    worker_stop();
}

/* Peers in a process of their own, so that the descriptors that run out are the worker's. */
static void
test_descriptors(void)
{
    struct rlimit was, low;
    int           fd, go[2];
    pid_t         peers;

    worker_start(PLAIN);
    (void)!pipe(go);
    peers = fork();
    if (peers == 0) {
        char c;
        for (int i = 0; i < 6; i++) {
            (void)client_new(ports[0]);
        }
        close(go[1]);
        _exit(read(go[0], &c, 1) < 0);
    }
    fd = dup(0);
    close(fd);
    (void)getrlimit(RLIMIT_NOFILE, &was);
    low = was;
    low.rlim_cur = (rlim_t)fd + 3;
    (void)setrlimit(RLIMIT_NOFILE, &low);
    pump(sp_net_stats(worker.net)->refused > 0);
    is_int(echo.opened, 3, "as many as there are descriptors");
    is_int(sp_net_stats(worker.net)->refused, 1, "one is told, the others wait");
    for (int i = 0; i < 5; i++) {
        turn();
    }
    is_int(sp_net_stats(worker.net)->refused, 1, "accepting pauses");
    (void)setrlimit(RLIMIT_NOFILE, &was);
    pump(echo.opened == 5);
    is_int(echo.opened, 5, "and goes on by itself");
    close(go[0]);
    close(go[1]);
    (void)waitpid(peers, NULL, 0);
    pump(echo.closed == 5);
    is_int(echo.closed, 5, "all gone");
    worker_stop();
}

int
main(void)
{
    signal(SIGPIPE, SIG_IGN);
    is_int(sp_protocol_register(&echo_protocol), 0, "register");
    is_int(sp_protocol_register(&echo_protocol), 0, "the same one again");
    sp_log_level_set(SP_LOG_EMERG);
    test_batching();
    test_tails();
    test_pause();
    test_close();
    test_big_output();
    test_reload();
    test_limits_and_drain();
    test_descriptors();
    sp_registry_destroy(conf_registry);
    return done_testing();
}
