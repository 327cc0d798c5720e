#include "net/access_log.h"

#include "base/clock.h"
#include "conf/snapshot.h"
#include "process/process.h"
#include "tap.h"

static struct sp_snapshot snapshot = {.generation = 7};
static struct sp_process  process = {.slot = 3, .snapshot = &snapshot};

static const char *
text(const char *format, const struct sp_access_event *e)
{
    static char line[4096];
    size_t      n = sp_access_format(line, sizeof(line) - 1, &process, sp_str_c(format), false, e);

    line[n] = '\0';
    return line;
}

static void
test_text(void)
{
    struct sp_access_event e = SP_ACCESS_EVENT;
    char                   line[10];
    const char            *out;

    e.event = "denied";
    e.identity = SP_STR("drone");
    e.client = SP_STR("a b\"c\n\\");
    e.topic = SP_STR("-");
    e.reason = "no allow rule matches";
    e.where = SP_STR("x.conf:3");
    is_str(text("$event", &e), "denied", "one variable");
    is_str(text("<$identity>$nobody$", &e), "<drone>$nobody$", "what is no variable stays as it is");
    is_str(text("$client", &e), "a\\x20b\\x22c\\x0a\\\\", "a peer cannot say what looks like another field");
    is_str(text("$topic $peer", &e), "\\x2d -", "nor nothing");
    is_str(text("$reason|$where", &e), "no allow rule matches|x.conf:3", "our own words are left as they are");
    is_str(text("$worker $generation $qos $version $received", &e), "3 7 - - -", "numbers, and none");
    e.qos = 0;
    e.received_bytes = 12;
    is_str(text("$qos$received", &e), "012", "one next to the other");
    is_str(text("", &e), "", "an empty format");
    out = text(NULL, &e);
    ok(strstr(out, " denied identity=drone client=a\\x20b") != NULL && strstr(out, "where=x.conf:3") != NULL,
       "the built-in one");
    is_int(strlen(text("$time", &e)), 24, "time");
    is_int(sp_access_format(line, sizeof(line), &process, SP_STR("0123456789abcdef"), false, &e), 10,
           "cut to the room there is");
}

static void
test_json(void)
{
    struct sp_access_event e = SP_ACCESS_EVENT;
    static char            line[9000], client[5000], topic[5000];
    size_t                 n;
    unsigned               quotes = 0;

    e.event = "connect";
    e.client = SP_STR("a\"b\\\n");
    e.version = 5;
    e.received_bytes = 1;
    e.sent_bytes = 2;
    e.duration_ms = 3;
    n = sp_access_format(line, sizeof(line) - 1, &process, (struct sp_str){NULL, 0}, true, &e);
    line[n] = '\0';
    ok(strstr(line, "\"client\":\"a\\\"b\\\\\\n\"") != NULL, "escaped as JSON wants it");
    ok(strstr(line, "\"version\":5") != NULL && strstr(line, "\"worker\":3") != NULL, "numbers are numbers");
    ok(strstr(line, "\"received_bytes\":1,\"sent_bytes\":2,\"duration_ms\":3") != NULL,
       "numbers are named with their units");
    ok(strstr(line, "\"topic\"") == NULL && line[0] == '{' && line[n - 1] == '}', "what is not known is left out");
    memset(client, 1, sizeof(client));
    memset(topic, 1, sizeof(topic));
    e.client = (struct sp_str){client, sizeof(client)};
    e.topic = (struct sp_str){topic, sizeof(topic)};
    for (size_t cap = 2; cap < 6000; cap++) {
        n = sp_access_format(line, cap, &process, (struct sp_str){NULL, 0}, true, &e);
        for (size_t i = 0; i < n; i++) {
            quotes += line[i] == '"';
        }
        if (n > cap || line[0] != '{' || line[n - 1] != '}' || quotes % 2 != 0 || (n > 2 && line[n - 2] == ',')) {
            break;
        }
    }
    ok(n > 3500 && line[n - 1] == '}', "whatever the room, members are whole: %zu bytes at last", n);
}

int
main(void)
{
    struct sp_process none = {0};

    sp_clock_update();
    test_text();
    test_json();
    ok(!sp_access_enabled(&none), "no snapshot, no log");
    return done_testing();
}
