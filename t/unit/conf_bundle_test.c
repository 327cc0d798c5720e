/* The collector, the sealed memfd and its reader, and the conversation of probe and master. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "conf/bundle.h"
#include "conf/bundle_format.h"
#include "conf_fake.h"
#include "tap.h"

static char directory[128];

static const char *
at(const char *name)
{
    static char path[4][256];
    static int  turn;

    turn = (turn + 1) % 4;
    (void)snprintf(path[turn], sizeof(path[turn]), "%s/%s", directory, name);
    return path[turn];
}

static void
put(const char *name, const char *text)
{
    int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    (void)!write(fd, text, strlen(text));
    (void)close(fd);
}

static void
test_sealed(void)
{
    struct sp_bundle *b;
    struct sp_source *s;
    struct sp_str     text, *paths;
    size_t            count;
    int               fd;

    is_int(sp_bundle_create(&b), 0, "bundle");
    is_int(sp_bundle_read(b, at("one"), &text), 0, "reads");
    put("one", "changed");
    is_int(sp_bundle_read(b, at("one"), &text), 0, "reads again");
    is_mem(text.p, text.n, "first", 5, "the recorded bytes");
    is_int(sp_bundle_read(b, at("none"), &text), -ENOENT, "records an error");
    is_int(sp_bundle_read(b, at("empty"), &text), 0, "an empty file");
    is_int(sp_bundle_glob(b, at("*"), &paths, &count), 0, "a glob");
    is_int(sp_bundle_seal(b, &fd), 0, "seals");
    sp_bundle_destroy(b);
    ok(write(fd, "x", 1) < 0 && ftruncate(fd, 0) < 0, "nobody writes into it or cuts it");

    is_int(sp_source_bundle(fd, &s), 0, "the reader");
    (void)close(fd);
    is_int(s->read(s, at("one"), &text), 0, "reads");
    is_mem(text.p, text.n, "first", 5, "the bytes that were collected");
    is_int(s->read(s, at("empty"), &text), 0, "the empty file");
    is_int(text.n, 0, "is empty");
    is_int(s->read(s, at("none"), &text), -ENOENT, "the recorded error");
    is_int(s->read(s, at("two"), &text), -ENOENT, "what was not asked for is not there");
    is_int(s->glob(s, at("*"), &paths, &count), 0, "the glob");
    is_int(count, 3, "its paths");
    ok(count == 3 && strcmp(paths[1].p, at("one")) == 0, "NUL-terminated and sorted");
    is_int(s->glob(s, "/*", &paths, &count), -ENOENT, "another glob was not recorded");
    sp_source_close(s);
}

/* A memfd with these bytes. */
static int
memfd_of(const void *bytes, size_t n, bool sealed)
{
    int fd = memfd_create("test", MFD_ALLOW_SEALING);

    (void)!write(fd, bytes, n);
    if (sealed) {
        (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    }
    return fd;
}

static int
opens(const void *bytes, size_t n, bool sealed)
{
    struct sp_source *s = NULL;
    int               fd = memfd_of(bytes, n, sealed), err = sp_source_bundle(fd, &s);

    (void)close(fd);
    if (err == 0) {
        sp_source_close(s);
    }
    return err;
}

static void
test_corrupt(void)
{
    struct sp_bundle *b;
    struct sp_str     text;
    char              bytes[4096];
    ssize_t           n;
    int               fd, refused = 0, crafted;

    is_int(sp_bundle_create(&b), 0, "bundle");
    (void)sp_bundle_read(b, at("two"), &text);
    is_int(sp_bundle_seal(b, &fd), 0, "seals");
    n = pread(fd, bytes, sizeof(bytes), 0);
    (void)close(fd);
    sp_bundle_destroy(b);
    is_int(opens(bytes, (size_t)n, true), 0, "whole");
    is_int(opens(bytes, (size_t)n, false), -EPERM, "not sealed");
    for (ssize_t k = 0; k < n; k++) {
        refused += opens(bytes, (size_t)k, true) < 0;
    }
    is_int(refused, n, "every shorter one is refused");
    is_int(opens(bytes, (size_t)n + 1, true), -EBADMSG, "a byte too many");
    crafted = 0;
    for (size_t k = 8; k < 16 + sizeof(struct sp_bundle_record); k++) { /* lengths that lie */
        char was = bytes[k];
        for (int v = 0; v < 256; v++) {
            bytes[k] = (char)v;
            crafted += opens(bytes, (size_t)n, true) != 0;
        }
        bytes[k] = was;
    }
    ok(crafted > 1000, "headers that lie are refused (%d)", crafted);
}

/* The child asks as a probe does; the parent serves as the master does. */
static int
converse(int (*probe)(int socket), unsigned timeout_ms, char **reply, size_t *n, struct sp_bundle **b)
{
    int   pair[2], err, status;
    pid_t child;

    (void)socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
    (void)fflush(stdout);
    child = fork();
    if (child == 0) {
        (void)close(pair[0]);
        (void)signal(SIGPIPE, SIG_IGN); /* the master may have hung up on nonsense already */
        _exit(probe(pair[1]));
    }
    (void)close(pair[1]);
    (void)sp_bundle_create(b);
    err = sp_bundle_serve(*b, pair[0], timeout_ms, reply, n);
    (void)close(pair[0]);
    (void)waitpid(child, &status, 0);
    is_int(status, 0, "the probe is content");
    return err;
}

static int
probe_good(int socket)
{
    struct sp_source *s;
    struct sp_str     text, *paths;
    size_t            count;
    int               bad = sp_source_remote(socket, &s);

    bad |= s->read(s, at("two"), &text) != 0 || !sp_str_is(text, "second");
    bad |= s->read(s, at("none"), &text) != -ENOENT;
    bad |= s->read(s, at("big"), &text) != 0 || text.n != 3000000;
    bad |= s->glob(s, at("t*"), &paths, &count) != 0 || count != 1 || !sp_str_is(paths[0], at("two"));
    bad |= s->glob(s, at("z*"), &paths, &count) != 0 || count != 0;
    bad |= sp_probe_done(socket, "plan\0plan", 9) != 0;
    sp_source_close(s);
    return bad;
}

static int
probe_failed(int socket)
{
    return sp_probe_failed(socket, "an error\n", 9) != 0;
}

static int
probe_dies(int socket)
{
    (void)!write(socket, "\1\0\0\0", 4);
    return 0;
}

static int
probe_silent(int socket)
{
    char c;

    return read(socket, &c, 1) != 0; /* until the master hangs up */
}

static int
probe_raw(int socket, uint32_t kind, uint64_t bytes, const char *body)
{
    struct sp_bundle_frame f = {kind, 0, bytes};
    char                   c;

    (void)!write(socket, &f, sizeof(f));
    (void)!write(socket, body, strlen(body));
    (void)!read(socket, &c, 1);
    return 0;
}

static int
probe_garbage(int socket)
{
    return probe_raw(socket, 77, 0, "");
}

static int
probe_long_path(int socket)
{
    return probe_raw(socket, SP_BUNDLE_READ, UINT64_MAX, "");
}

static int
probe_empty_path(int socket)
{
    return probe_raw(socket, SP_BUNDLE_READ, 0, "");
}

static int
probe_long_plan(int socket)
{
    return probe_raw(socket, SP_BUNDLE_DONE, UINT64_C(1) << 40, "");
}

static void
test_conversation(void)
{
    struct sp_bundle *b;
    struct sp_source *s;
    struct sp_str     text;
    char             *reply;
    size_t            n;
    int               fd;

    is_int(converse(probe_good, 10000, &reply, &n, &b), 0, "done");
    is_mem(reply, n, "plan\0plan", 9, "the plan");
    free(reply);
    is_int(sp_bundle_seal(b, &fd), 0, "what was asked is sealed");
    is_int(sp_source_bundle(fd, &s), 0, "and read");
    is_int(s->read(s, at("big"), &text), 0, "the big file");
    is_int(text.n, 3000000, "all of it");
    sp_source_close(s);
    (void)close(fd);
    sp_bundle_destroy(b);

    is_int(converse(probe_failed, 10000, &reply, &n, &b), -EINVAL, "failed");
    is_str(reply, "an error\n", "the diagnostics");
    free(reply);
    sp_bundle_destroy(b);
    is_int(converse(probe_dies, 10000, &reply, &n, &b), -EPIPE, "a probe that dies in the middle of a question");
    sp_bundle_destroy(b);
    is_int(converse(probe_silent, 50, &reply, &n, &b), -ETIMEDOUT, "a probe that says nothing");
    sp_bundle_destroy(b);
    int (*const wrong[])(int) = {probe_garbage, probe_long_path, probe_empty_path, probe_long_plan};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        is_int(converse(wrong[i], 10000, &reply, &n, &b), -EBADMSG, "a probe that talks nonsense (%zu)", i);
        ok(reply == NULL, "no reply");
        sp_bundle_destroy(b);
    }
}

int
main(void)
{
    char *big = malloc(3000001);

    (void)snprintf(directory, sizeof(directory), "%s/spconf.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    ok(mkdtemp(directory) != NULL, "directory");
    put("one", "first");
    put("two", "second");
    put("empty", "");
    test_sealed();
    memset(big, 'b', 3000000);
    big[3000000] = '\0';
    put("big", big);
    free(big);
    test_corrupt();
    test_conversation();
    const char *const all[] = {"one", "two", "empty", "big"};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        (void)unlink(at(all[i]));
    }
    (void)rmdir(directory);
    return done_testing();
}
