#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "tap.h"

static char path[64], text[16384];

/* What was written since the last call. */
static const char *
written(void)
{
    static off_t at;
    int          fd = open(path, O_RDONLY);
    ssize_t      n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, at);

    text[n > 0 ? n : 0] = '\0';
    at += n > 0 ? n : 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return text;
}

static unsigned
lines(const char *s)
{
    unsigned n = 0;

    for (; *s != '\0'; s++) {
        n += *s == '\n';
    }
    return n;
}

static bool
has_stamp(const char *line)
{
    static const char shape[] = "0000/00/00 00:00:00 [";

    for (size_t i = 0; i < sizeof(shape) - 1; i++) {
        if (shape[i] == '0' ? line[i] < '0' || line[i] > '9' : line[i] != shape[i]) {
            return false;
        }
    }
    return true;
}

static void
test_lines(void)
{
    char expect[64], many[4000];

    (void)snprintf(expect, sizeof(expect), " [warn] %ld worker0: 42 x\n", (long)getpid());
    sp_log_ident("worker0");
    errno = ENOENT;
    sp_log(SP_LOG_WARN, "%d %s", 42, "x");
    is_int(errno, ENOENT, "errno survives");
    ok(has_stamp(written()), "stamp");
    is_str(text + 19, expect, "the rest of the line");
    sp_log(SP_LOG_INFO, "x");
    sp_log_limited(&(struct sp_log_limit){0}, 1, SP_LOG_INFO, "x");
    is_str(written(), "", "below the level: nothing");
    ok(sp_log_enabled(SP_LOG_NOTICE) && !sp_log_enabled(SP_LOG_INFO), "enabled");
    sp_log_level_set(SP_LOG_DEBUG);
    sp_log(SP_LOG_DEBUG, "x");
    is_int(lines(written()), 1, "level set");

    sp_log(SP_LOG_ALERT, "one\ntwo\x7f\r");
    ok(lines(written()) == 1 && strstr(text, ": one two  \n") != NULL, "control characters cannot make a line");
    memset(many, 'y', sizeof(many) - 1);
    many[sizeof(many) - 1] = '\0';
    sp_log(SP_LOG_ALERT, "%s", many);
    is_int((long long)strlen(written()), 2047, "a long line is cut");
    is_str(text + 2047 - 7, "yyy...\n", "and shows it");
    sp_log_ident("a_name_of_more_than_15_bytes");
    sp_log(SP_LOG_ALERT, "x");
    ok(strstr(written(), " a_name_of_more_: x\n") != NULL, "the identity is cut");
    sp_log_ident("");
    sp_log(SP_LOG_ALERT, "x");
    (void)snprintf(expect, sizeof(expect), " [alert] %ld: x\n", (long)getpid());
    is_str(written() + 19, expect, "no identity");
}

static void
test_limited(void)
{
    struct sp_log_limit limit = {0};

    sp_clock_update();
    for (unsigned i = 0; i < 10; i++) {
        sp_log_limited(&limit, 3, SP_LOG_WARN, "often %u", i);
    }
    is_int(lines(written()), 3, "limited: a burst");
    limit.window_ms = sp_clock_ms() - 10000; /* as if the window had passed */
    sp_log_limited(&limit, 3, SP_LOG_WARN, "again");
    ok(lines(written()) == 1 && strstr(text, ": again (7 more like this suppressed)\n") != NULL,
       "limited: tells how many");
    sp_log_limited(&limit, 3, SP_LOG_WARN, "again");
    ok(strstr(written(), ": again\n") != NULL, "limited: tells it once");
}

static void
test_levels(void)
{
    enum sp_log_level level;
    bool              good = true;

    for (int i = SP_LOG_EMERG; i <= SP_LOG_DEBUG; i++) {
        const char *name = sp_log_level_name((enum sp_log_level)i);
        good = good && sp_log_level_parse(sp_str_c(name), &level) == 0 && (int)level == i;
    }
    ok(good, "level names");
    is_int(sp_log_level_parse(SP_STR("loud"), &level), -EINVAL, "no such level");
    is_int(sp_log_level_parse(SP_STR(""), &level), -EINVAL, "an empty level");
}

int
main(void)
{
    struct stat st;
    int         fd;

    memcpy(path, "/tmp/sp_log_test.XXXXXX", 24);
    fd = mkstemp(path);
    (void)close(fd);
    (void)unlink(path);
    (void)umask(022);

    is_int(sp_log_fd(), STDERR_FILENO, "stderr at first");
    is_int(sp_log_open("/nonexistent/dir/log", SP_LOG_DEBUG), -ENOENT, "cannot open");
    ok(sp_log_fd() == STDERR_FILENO && !sp_log_enabled(SP_LOG_INFO), "then nothing has changed");
    is_int(sp_log_open(path, SP_LOG_NOTICE), 0, "open");
    ok(stat(path, &st) == 0 && (st.st_mode & 07777) == 0640, "its mode");
    ok((fcntl(sp_log_fd(), F_GETFL) & O_APPEND) != 0, "appends");
    test_lines();
    test_limited();
    test_levels();

    fd = sp_log_fd();
    is_int(sp_log_open(path, SP_LOG_NOTICE), 0, "reopen");
    ok(fcntl(fd, F_GETFD) == -1, "the old descriptor is closed");
    fd = open(path, O_WRONLY | O_APPEND);
    sp_log_use_fd(fd, SP_LOG_NOTICE);
    sp_log(SP_LOG_NOTICE, "given");
    ok(sp_log_fd() == fd && strstr(written(), ": given\n") != NULL, "a given descriptor");
    is_int(sp_log_open("stderr", SP_LOG_NOTICE), 0, "back to stderr");
    is_int(sp_log_fd(), STDERR_FILENO, "it is");
    (void)unlink(path);
    return done_testing();
}
