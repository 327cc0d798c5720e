#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "conf/source.h"
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
put(const char *name, const char *text, long age_s)
{
    int             fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    struct timespec now, times[2];

    (void)!write(fd, text, strlen(text));
    (void)clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec -= age_s;
    times[0] = times[1] = now;
    (void)futimens(fd, times);
    (void)close(fd);
}

static _Atomic int stop;

static void *
write_on(void *arg)
{
    int fd = open(arg, O_WRONLY | O_APPEND);

    while (!stop) {
        struct timespec t = {0, 2000000};
        (void)!write(fd, "x", 1);
        (void)nanosleep(&t, NULL);
    }
    (void)close(fd);
    return NULL;
}

static void
test_changing(struct sp_source *s)
{
    pthread_t     thread;
    struct sp_str text;

    put("busy", "begin", 0);
    (void)pthread_create(&thread, NULL, write_on, (void *)(uintptr_t)at("busy"));
    is_int(s->read(s, at("busy"), &text), -EAGAIN, "a file that keeps growing is refused");
    stop = 1;
    (void)pthread_join(thread, NULL);
    is_int(s->read(s, at("busy"), &text), 0, "and read when it has settled");
}

int
main(void)
{
    struct sp_source *s;
    struct sp_str     text, *paths;
    size_t            count;

    (void)snprintf(directory, sizeof(directory), "%s/spconf.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    ok(mkdtemp(directory) != NULL, "directory");
    is_int(sp_source_files(&s), 0, "source");
    put("old", "text", 100);
    is_int(s->read(s, at("old"), &text), 0, "an old file");
    is_mem(text.p, text.n, "text", 4, "its bytes");
    put("fresh", "new", 0);
    is_int(s->read(s, at("fresh"), &text), 0, "a file written just now");
    is_mem(text.p, text.n, "new", 3, "its bytes");
    put("future", "later", -100);
    is_int(s->read(s, at("future"), &text), 0, "a file from the future");
    put("empty", "", 100);
    is_int(s->read(s, at("empty"), &text), 0, "an empty file");
    is_int(text.n, 0, "has no bytes");
    is_int(s->read(s, at("nothing"), &text), -ENOENT, "no file");
    is_int(s->read(s, directory, &text), -EISDIR, "a directory");
    (void)mkfifo(at("fifo"), 0600);
    is_int(s->read(s, at("fifo"), &text), -ENOTSUP, "a FIFO does not hold us up");
    (void)!truncate(at("old"), (off_t)SP_SOURCE_FILE_MAX + 1);
    is_int(s->read(s, at("old"), &text), -EFBIG, "too large");
    test_changing(s);

    put("b.conf", "b", 100);
    put("a.conf", "a", 100);
    put("B.conf", "B", 100);
    is_int(s->glob(s, at("*.conf"), &paths, &count), 0, "glob");
    is_int(count, 3, "three");
    ok(count == 3 && strcmp(paths[0].p, at("B.conf")) == 0 && strcmp(paths[2].p, at("b.conf")) == 0,
       "in the order of bytes");
    is_int(s->glob(s, at("*.none"), &paths, &count), 0, "nothing matches");
    is_int(count, 0, "none");
    is_int(s->glob(s, at("not-there/*.conf"), &paths, &count), 0, "no directory");
    is_int(count, 0, "none");
    if (geteuid() != 0) {
        (void)mkdir(at("closed"), 0);
        is_int(s->glob(s, at("closed/*"), &paths, &count), -EACCES, "a directory that cannot be read is an error");
        (void)rmdir(at("closed"));
    }
    sp_source_close(s);
    const char *const all[] = {"old", "fresh", "future", "empty", "fifo", "busy", "a.conf", "b.conf", "B.conf"};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        (void)unlink(at(all[i]));
    }
    (void)rmdir(directory);
    return done_testing();
}
