#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "traffic.h"

static const char *const scenario_names[] = {"throughput", "latency", "steady", "idle", "handshake", NULL};
static const char *const layout_names[] = {"pairs", "fanout", "fanin", NULL};
static const char *const fault_names[] = {"none", "loss", "dup", "swap", "flip", NULL};

static const char usage[] =
    "usage: spload throughput|latency|steady|idle|handshake --port N [options]\n"
    "  --host ADDR (127.0.0.1)  --port N  --v5  --keepalive S (300)\n"
    "  --tls --cafile F --cert F --key F --groups LIST\n"
    "  --clientid-prefix S (spload)  --topic-prefix S (bench)  --label S\n"
    "  --pid P[,P...]          server processes whose CPU time and memory are read\n"
    "  --json                  one JSON object on stdout instead of one line\n"
    "  --strict                exit 4 on a loss, a duplicate, a reordering, a damaged message or a lost connection\n"
    "throughput, latency, steady:\n"
    "  --publishers N (1)  --subscribers N (1)  --layout pairs|fanout|fanin (pairs)\n"
    "  --qos 0|1 (0)  --size BYTES (100)  --count N a publisher | --seconds S (2)  --warmup S (0)\n"
    "  --credit N (4000)       messages a publisher may be ahead of its slowest receiver\n"
    "  --window N (100)        unacknowledged QoS 1 messages a publisher\n"
    "  --refill PERCENT (25)   of credit or window that must be free before a waiting publisher goes on\n"
    "  --batch N (0)           messages in one write; 0: as many as allowed, up to 16 KB\n"
    "  --rate N (2000)         latency, steady: messages a second over all publishers\n"
    "  --stall-ms N (2000)  --drain-ms N (5000)\n"
    "  --fault loss|dup|swap|flip --fault-every N (1000)    send wrongly on purpose\n"
    "steady ends after --seconds or at SIGINT, SIGTERM.\n"
    "idle, handshake:\n"
    "  --connections N (100)  --concurrency N (64)  --connect-rate N a second (0: unbounded)\n"
    "  --subscribe FILTER      each idle client subscribes; %d becomes its number\n"
    "  --seconds S             idle: hold time (0: until SIGINT, SIGTERM)  --settle-ms N (500)\n"
    "  --sources N (0: one for each 20000 connections)     local addresses 127.0.0.1 and up\n"
    "  --connect-ms N (60000)  give up when no connection completes for so long\n";

enum option_id {
    OPT_HOST = 1000,
    OPT_PORT,
    OPT_V5,
    OPT_KEEPALIVE,
    OPT_TLS,
    OPT_CAFILE,
    OPT_CERT,
    OPT_KEY,
    OPT_GROUPS,
    OPT_CLIENTID,
    OPT_TOPIC,
    OPT_LABEL,
    OPT_PID,
    OPT_JSON,
    OPT_STRICT,
    OPT_PUBLISHERS,
    OPT_SUBSCRIBERS,
    OPT_LAYOUT,
    OPT_QOS,
    OPT_SIZE,
    OPT_COUNT,
    OPT_SECONDS,
    OPT_WARMUP,
    OPT_CREDIT,
    OPT_WINDOW,
    OPT_REFILL,
    OPT_BATCH,
    OPT_RATE,
    OPT_STALL,
    OPT_DRAIN,
    OPT_FAULT,
    OPT_FAULT_EVERY,
    OPT_CONNECTIONS,
    OPT_CONCURRENCY,
    OPT_CONNECT_RATE,
    OPT_SUBSCRIBE,
    OPT_SETTLE,
    OPT_SOURCES,
    OPT_CONNECT_MS,
    OPT_HELP
};

static const struct option long_options[] = {
    {"host", required_argument, NULL, OPT_HOST},
    {"port", required_argument, NULL, OPT_PORT},
    {"v5", no_argument, NULL, OPT_V5},
    {"keepalive", required_argument, NULL, OPT_KEEPALIVE},
    {"tls", no_argument, NULL, OPT_TLS},
    {"cafile", required_argument, NULL, OPT_CAFILE},
    {"cert", required_argument, NULL, OPT_CERT},
    {"key", required_argument, NULL, OPT_KEY},
    {"groups", required_argument, NULL, OPT_GROUPS},
    {"clientid-prefix", required_argument, NULL, OPT_CLIENTID},
    {"topic-prefix", required_argument, NULL, OPT_TOPIC},
    {"label", required_argument, NULL, OPT_LABEL},
    {"pid", required_argument, NULL, OPT_PID},
    {"json", no_argument, NULL, OPT_JSON},
    {"strict", no_argument, NULL, OPT_STRICT},
    {"publishers", required_argument, NULL, OPT_PUBLISHERS},
    {"subscribers", required_argument, NULL, OPT_SUBSCRIBERS},
    {"layout", required_argument, NULL, OPT_LAYOUT},
    {"qos", required_argument, NULL, OPT_QOS},
    {"size", required_argument, NULL, OPT_SIZE},
    {"count", required_argument, NULL, OPT_COUNT},
    {"seconds", required_argument, NULL, OPT_SECONDS},
    {"warmup", required_argument, NULL, OPT_WARMUP},
    {"credit", required_argument, NULL, OPT_CREDIT},
    {"window", required_argument, NULL, OPT_WINDOW},
    {"refill", required_argument, NULL, OPT_REFILL},
    {"batch", required_argument, NULL, OPT_BATCH},
    {"rate", required_argument, NULL, OPT_RATE},
    {"stall-ms", required_argument, NULL, OPT_STALL},
    {"drain-ms", required_argument, NULL, OPT_DRAIN},
    {"fault", required_argument, NULL, OPT_FAULT},
    {"fault-every", required_argument, NULL, OPT_FAULT_EVERY},
    {"connections", required_argument, NULL, OPT_CONNECTIONS},
    {"concurrency", required_argument, NULL, OPT_CONCURRENCY},
    {"connect-rate", required_argument, NULL, OPT_CONNECT_RATE},
    {"subscribe", required_argument, NULL, OPT_SUBSCRIBE},
    {"settle-ms", required_argument, NULL, OPT_SETTLE},
    {"sources", required_argument, NULL, OPT_SOURCES},
    {"connect-ms", required_argument, NULL, OPT_CONNECT_MS},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

const char *
sp_options_scenario(const struct sp_options *o)
{
    return scenario_names[o->scenario];
}

const char *
sp_options_layout(const struct sp_options *o)
{
    return layout_names[o->layout];
}

static int
pick(const char *const *names, const char *text, unsigned *out)
{
    for (unsigned i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], text) == 0) {
            *out = i;
            return 0;
        }
    }
    fprintf(stderr, "spload: \"%s\" is none of:", text);
    for (unsigned i = 0; names[i] != NULL; i++) {
        fprintf(stderr, " %s", names[i]);
    }
    fputc('\n', stderr);
    return -EINVAL;
}

static int
number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char              *end = NULL;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || value < min || value > max) {
        fprintf(stderr, "spload: \"%s\" is not a number from %llu to %llu\n", text, (unsigned long long)min,
                (unsigned long long)max);
        return -EINVAL;
    }
    *out = value;
    return 0;
}

static int
small(const char *text, unsigned min, unsigned max, unsigned *out)
{
    uint64_t value;
    int      rc = number(text, min, max, &value);

    if (rc == 0) {
        *out = (unsigned)value;
    }
    return rc;
}

static int
seconds(const char *text, uint64_t *out_ms)
{
    char  *end = NULL;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= 0.0 && value <= 86400.0)) {
        fprintf(stderr, "spload: \"%s\" is not a time in seconds\n", text);
        return -EINVAL;
    }
    *out_ms = (uint64_t)(value * 1000.0 + 0.5);
    return 0;
}

static int
pids(struct sp_options *o, char *text)
{
    char *save = NULL;

    for (char *p = strtok_r(text, ",", &save); p != NULL; p = strtok_r(NULL, ",", &save)) {
        unsigned pid;

        if (o->npids == SP_PIDS_MAX) {
            fprintf(stderr, "spload: more than %d processes\n", SP_PIDS_MAX);
            return -EINVAL;
        }
        if (small(p, 1, 1u << 30, &pid) != 0) {
            return -EINVAL;
        }
        o->pids[o->npids++] = (pid_t)pid;
    }
    return 0;
}

static int
apply_common(struct sp_options *o, int id, char *arg)
{
    unsigned value;
    int      rc = 0;

    switch (id) {
    case OPT_HOST:
        o->host = arg;
        break;
    case OPT_PORT:
        rc = small(arg, 1, 65535, &value);
        o->port = rc == 0 ? (uint16_t)value : 0;
        break;
    case OPT_V5:
        o->v5 = true;
        break;
    case OPT_KEEPALIVE:
        rc = small(arg, 0, 65535, &o->keepalive_s);
        break;
    case OPT_TLS:
        o->tls = true;
        break;
    case OPT_CAFILE:
        o->cafile = arg;
        break;
    case OPT_CERT:
        o->cert = arg;
        break;
    case OPT_KEY:
        o->key = arg;
        break;
    case OPT_GROUPS:
        o->groups = arg;
        break;
    case OPT_CLIENTID:
        o->client_prefix = arg;
        break;
    case OPT_TOPIC:
        o->topic_prefix = arg;
        break;
    case OPT_LABEL:
        o->label = arg;
        break;
    case OPT_PID:
        rc = pids(o, arg);
        break;
    case OPT_JSON:
        o->json = true;
        break;
    case OPT_STRICT:
        o->strict = true;
        break;
    case OPT_HELP:
        fputs(usage, stdout);
        return 1;
    default:
        fputs(usage, stderr);
        return -EINVAL;
    }
    return rc;
}

static int
apply(struct sp_options *o, int id, char *arg)
{
    uint64_t wide = 0;
    unsigned value = 0;
    int      rc = 0;

    switch (id) {
    case OPT_PUBLISHERS:
        return small(arg, 1, 100000, &o->publishers);
    case OPT_SUBSCRIBERS:
        return small(arg, 1, 100000, &o->subscribers);
    case OPT_LAYOUT:
        rc = pick(layout_names, arg, &value);
        o->layout = (enum sp_layout)value;
        return rc;
    case OPT_QOS:
        return small(arg, 0, 1, &o->qos);
    case OPT_SIZE:
        rc = number(arg, SP_PAYLOAD_MIN, SP_PAYLOAD_MAX, &wide);
        o->payload_bytes = (size_t)wide;
        return rc;
    case OPT_COUNT:
        return number(arg, 1, UINT64_C(1) << 40, &o->count);
    case OPT_SECONDS:
        return seconds(arg, &o->duration_ms);
    case OPT_WARMUP:
        return seconds(arg, &o->warmup_ms);
    case OPT_CREDIT:
        return small(arg, 1, 1u << 24, &o->credit);
    case OPT_WINDOW:
        return small(arg, 1, 60000, &o->window);
    case OPT_REFILL:
        return small(arg, 0, 100, &o->refill_pct);
    case OPT_BATCH:
        return small(arg, 0, 100000, &o->batch);
    case OPT_RATE:
        return number(arg, 1, 10000000, &o->rate);
    case OPT_STALL:
        return number(arg, 1, 3600000, &o->stall_ms);
    case OPT_DRAIN:
        return number(arg, 1, 3600000, &o->drain_ms);
    case OPT_FAULT:
        rc = pick(fault_names, arg, &value);
        o->fault = (enum sp_fault)value;
        return rc;
    case OPT_FAULT_EVERY:
        return small(arg, 2, 1u << 30, &o->fault_every);
    case OPT_CONNECTIONS:
        return small(arg, 1, 1000000, &o->connections);
    case OPT_CONCURRENCY:
        return small(arg, 1, 100000, &o->concurrency);
    case OPT_CONNECT_RATE:
        return small(arg, 0, 1000000, &o->connect_rate);
    case OPT_SUBSCRIBE:
        o->subscribe = arg;
        return 0;
    case OPT_SETTLE:
        return number(arg, 0, 3600000, &o->settle_ms);
    case OPT_SOURCES:
        return small(arg, 0, 200, &o->sources);
    case OPT_CONNECT_MS:
        return number(arg, 1, 3600000, &o->connect_ms);
    default:
        return apply_common(o, id, arg);
    }
}

static int
complete(struct sp_options *o)
{
    if (o->port == 0) {
        fputs("spload: --port is needed\n", stderr);
        return -EINVAL;
    }
    if (o->layout == SP_PAIRS && o->publishers != o->subscribers) {
        fputs("spload: --layout pairs needs as many publishers as subscribers\n", stderr);
        return -EINVAL;
    }
    if (o->layout != SP_PAIRS && (uint64_t)o->publishers * o->subscribers > 4000000) {
        fputs("spload: more than 4,000,000 streams\n", stderr);
        return -EINVAL;
    }
    if ((o->cert == NULL) != (o->key == NULL)) {
        fputs("spload: --cert and --key belong together\n", stderr);
        return -EINVAL;
    }
    if (!o->tls && (o->cafile != NULL || o->cert != NULL || o->groups != NULL)) {
        fputs("spload: --cafile, --cert, --key, --groups need --tls\n", stderr);
        return -EINVAL;
    }
    if (o->scenario == SP_THROUGHPUT && o->count == 0 && o->duration_ms == 0) {
        o->duration_ms = 2000;
    }
    if (o->scenario == SP_LATENCY && o->count == 0 && o->duration_ms == 0) {
        o->duration_ms = 5000;
    }
    return 0;
}

int
sp_options_parse(struct sp_options *o, int argc, char **argv)
{
    unsigned scenario;
    int      id;

    *o = (struct sp_options){.host = "127.0.0.1",
                             .client_prefix = "spload",
                             .topic_prefix = "bench",
                             .keepalive_s = 300,
                             .publishers = 1,
                             .subscribers = 1,
                             .payload_bytes = 100,
                             .credit = 4000,
                             .window = 100,
                             .refill_pct = 25,
                             .rate = 2000,
                             .fault_every = 1000,
                             .connections = 100,
                             .concurrency = 64,
                             .settle_ms = 500,
                             .stall_ms = 2000,
                             .drain_ms = 5000,
                             .connect_ms = 60000};
    while ((id = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        int rc = apply(o, id == 'h' ? OPT_HELP : id, optarg);

        if (rc != 0) {
            return rc;
        }
    }
    if (optind != argc - 1) {
        fputs(usage, stderr);
        return -EINVAL;
    }
    if (pick(scenario_names, argv[optind], &scenario) != 0) {
        return -EINVAL;
    }
    o->scenario = (enum sp_scenario)scenario;
    return complete(o);
}
