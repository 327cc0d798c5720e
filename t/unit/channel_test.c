#include "process/channel.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tap.h"

static struct event_base *base;

struct end { /* one side, and what it heard */
    struct sp_channel   *channel;
    unsigned             messages, closed;
    int                  err;
    enum sp_channel_type type;
    uint32_t             id;
    char                *body;
    size_t               bytes, nfds;
    int                  kept; /* the first descriptor, taken over */
    bool                 destroy;
};

static void
on_message(void *arg, const struct sp_channel_message *m)
{
    struct end *e = arg;

    e->messages++;
    e->type = m->type;
    e->id = m->id;
    free(e->body);
    e->body = malloc(m->body.n + 1);
    memcpy(e->body, m->body.p, m->body.n);
    e->bytes = m->body.n;
    e->nfds = m->nfds;
    if (m->nfds > 0) {
        if (e->kept >= 0) {
            close(e->kept);
        }
        e->kept = m->fds[0];
        m->fds[0] = -1;
    }
    if (e->destroy) {
        sp_channel_destroy(e->channel);
        e->channel = NULL;
    }
}

static void
on_closed(void *arg, int err)
{
    struct end *e = arg;

    e->closed++;
    e->err = err;
}

static void
run(void)
{
    for (int i = 0; i < 200; i++) {
        (void)event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    }
}

static void
open_pair(struct end *a, struct end *b)
{
    int ends[2] = {-1, -1};

    *a = *b = (struct end){.kept = -1};
    is_int(sp_channel_pair(ends), 0, "a pair");
    is_int(sp_channel_create(base, ends[0], on_message, on_closed, a, &a->channel), 0, "one end");
    if (b != NULL) {
        is_int(sp_channel_create(base, ends[1], on_message, on_closed, b, &b->channel), 0, "the other");
    }
}

static void
close_end(struct end *e)
{
    sp_channel_destroy(e->channel);
    e->channel = NULL;
    free(e->body);
    e->body = NULL;
    if (e->kept >= 0) {
        close(e->kept);
        e->kept = -1;
    }
}

static unsigned
open_fds(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 2000; fd++) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return n;
}

static void
messages(void)
{
    struct end a, b;
    size_t     large = 1000 * 1000;
    char      *big = malloc(large);
    int        fds[200];

    open_pair(&a, &b);
    is_int(sp_channel_send(a.channel, SP_MSG_COMMIT, 77, SP_STR(""), NULL, 0), 0, "an empty message");
    run();
    ok(b.messages == 1 && b.type == SP_MSG_COMMIT && b.id == 77 && b.bytes == 0, "arrives");

    for (size_t i = 0; i < large; i++) {
        big[i] = (char)(i * 31 + i / 1000);
    }
    for (size_t i = 0; i < 200; i++) {
        fds[i] = i == 0 ? 1 : 2;
    }
    is_int(sp_channel_send(a.channel, SP_MSG_PREPARE, 1, (struct sp_str){big, large}, fds, 200), 0,
           "a megabyte and 200 descriptors");
    run();
    ok(b.messages == 2 && b.bytes == large && memcmp(b.body, big, large) == 0, "arrives whole");
    is_int((long long)b.nfds, 200, "with its descriptors");
    ok(b.kept >= 0 && fcntl(b.kept, F_GETFD) == FD_CLOEXEC, "which are closed on exec");

    is_int(sp_channel_send(b.channel, SP_MSG_REPLY, 2, SP_STR("yes"), NULL, 0), 0, "the other way round");
    run();
    ok(a.messages == 1 && a.bytes == 3, "arrives");

    is_int(sp_channel_send(a.channel, SP_MSG_REPLY, 2, (struct sp_str){big, SP_CHANNEL_MESSAGE_MAX + 1u}, NULL, 0),
           -EMSGSIZE, "too long is refused");

    (void)sp_channel_send(a.channel, SP_MSG_STOP, 9, SP_STR("last"), NULL, 0);
    close_end(&a);
    run();
    ok(b.messages == 3 && b.type == SP_MSG_STOP, "what was sent before the end arrives");
    ok(b.closed == 1 && b.err == 0, "then the end");
    is_int(sp_channel_send(b.channel, SP_MSG_STOP, 9, SP_STR("x"), NULL, 0), -EPIPE, "after it nothing is sent");
    close_end(&b);

    open_pair(&a, &b);
    b.destroy = true;
    (void)sp_channel_send(a.channel, SP_MSG_STOP, 9, SP_STR("x"), fds, 3);
    (void)sp_channel_send(a.channel, SP_MSG_STOP, 9, SP_STR("y"), NULL, 0);
    run();
    ok(b.messages == 1 && b.channel == NULL, "a receiver may destroy the channel");
    close_end(&a);
    close_end(&b);
    free(big);
}

/* A sender that nobody reads fills its queue to the limit, not the memory. */
static void
bounded(void)
{
    struct end a, b;
    size_t     large = 8u << 20;
    char      *big = calloc(1, large);
    int        err = 0;
    unsigned   n = 0;

    open_pair(&a, &b);
    while (err == 0 && n < 100) {
        err = sp_channel_send(a.channel, SP_MSG_REPLY, 0, (struct sp_str){big, large}, NULL, 0);
        n++;
    }
    is_int(err, -ENOBUFS, "a full queue is refused");
    ok(n < 12, "in time");
    close_end(&a);
    close_end(&b);
    free(big);
}

/* What a broken peer may write into the socket. */
static void
malformed(void)
{
    struct packet {
        uint32_t magic;
        uint16_t type, more;
        uint32_t id, bytes, fds;
        char     body[16];
    };
    static const struct {
        const char   *name;
        struct packet packet;
        size_t        n;
    } cases[] = {
        {"one byte", {0}, 1},
        {"a wrong magic", {1, SP_MSG_STOP, 0, 0, 0, 0, ""}, 20},
        {"type 0", {0x53504331, 0, 0, 0, 0, 0, ""}, 20},
        {"an unknown type", {0x53504331, SP_MSG_TYPES, 0, 0, 0, 0, ""}, 20},
        {"fewer bytes than it says", {0x53504331, SP_MSG_STOP, 0, 0, 9, 0, ""}, 20},
        {"more bytes than it says", {0x53504331, SP_MSG_STOP, 0, 0, 1, 0, ""}, 30},
        {"descriptors that are not there", {0x53504331, SP_MSG_STOP, 0, 0, 0, 2, ""}, 20},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct end e = {.kept = -1};
        int        ends[2];
        (void)sp_channel_pair(ends);
        (void)sp_channel_create(base, ends[0], on_message, on_closed, &e, &e.channel);
        (void)send(ends[1], &cases[i].packet, cases[i].n, 0);
        run();
        ok(e.messages == 0 && e.closed == 1 && e.err == -EBADMSG, "%s", cases[i].name);
        close(ends[1]);
        close_end(&e);
    }

    /* the parts of a message have one type */
    struct end    e = {.kept = -1};
    struct packet p = {0x53504331, SP_MSG_STOP, 1, 0, 0, 0, ""};
    int           ends[2];
    (void)sp_channel_pair(ends);
    (void)sp_channel_create(base, ends[0], on_message, on_closed, &e, &e.channel);
    (void)send(ends[1], &p, 20, 0);
    p.type = SP_MSG_QUIT;
    (void)send(ends[1], &p, 20, 0);
    run();
    ok(e.messages == 0 && e.err == -EBADMSG, "parts of different types");
    close(ends[1]);
    close_end(&e);
}

int
main(void)
{
    base = event_base_new();
    unsigned before = open_fds();
    messages();
    bounded();
    malformed();
    is_int(open_fds(), before, "no descriptor is left open");
    event_base_free(base);
    return done_testing();
}
