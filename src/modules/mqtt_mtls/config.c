#include "modules/mqtt_mtls/config.h"

#include <errno.h>
#include <stdio.h>

#include "base/topic.h"
#include "conf/registry.h"
#include "conf/text.h"
#include "modules/mqtt_mtls/packet.h"
#include "modules/mqtt_mtls/values.h"
#include "net/listener.h"

/* ---- types ---- */

static int
parse_qos(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    struct sp_str s = node->args[1].text;
    char          shown[64];

    if (sp_str_is(s, "2")) {
        return sp_build_error(b, node, 1, "expected 0 or 1", "this version of mqtt_mtls serves QoS 0 and 1");
    }
    if (!sp_str_is(s, "0") && !sp_str_is(s, "1")) {
        return sp_build_error(b, node, 1, "expected 0 or 1", "%s is no quality of service",
                              sp_word_quote(shown, sizeof(shown), s));
    }
    v->u.num = s.p[0] - '0';
    return 0;
}

static int
compare_max_qos(const struct sp_value *a, const struct sp_value *b)
{
    return (a->u.num > b->u.num) - (a->u.num < b->u.num);
}

static int
compare_min_qos(const struct sp_value *a, const struct sp_value *b)
{
    return compare_max_qos(b, a); /* the higher demand is the stricter one */
}

static const char *const retain_choices[] = {"off", "on", NULL};
static const char *const denied_choices[] = {"drop", "close", NULL};
static const char *const kept_choices[] = {"refuse", "clean", NULL};

static const struct sp_type type_max_qos = {"quality of service", "0 or 1", parse_qos, compare_max_qos, NULL};
static const struct sp_type type_min_qos = {"quality of service", "0 or 1", parse_qos, compare_min_qos, NULL};
static const struct sp_type type_retain = {"switch", "off or on", sp_parse_choice, sp_compare_choice, retain_choices};
static const struct sp_type type_denied = {"choice", "drop or close", sp_parse_choice, sp_compare_choice,
                                           denied_choices};
static const struct sp_type type_kept = {"choice", "refuse or clean", sp_parse_choice, sp_compare_choice, kept_choices};

/* ---- directives ---- */

#define IN_MQTT(name, type, apply, fallback, syntax, help)                                                             \
    {                                                                                                                  \
        name, type, "mqtt", 1, 1, false, SP_LOCAL, apply, fallback, syntax, help                                       \
    }

const struct sp_directive sp_mqtt_directives[] = {
    {"mqtt", &sp_type_block, "main", 0, 0, true, SP_LOCAL, SP_LIVE, NULL, "{ ... }",
     "Serves MQTT 3.1.1 and 5.0 on the listeners within. Several blocks may stand side by side, each with limits of "
     "its own."},
    SP_LISTEN_DIRECTIVE("mqtt"),
    IN_MQTT("max_packet", &sp_type_size, SP_NEW_SESSIONS, "1m", "SIZE",
            "The largest packet taken from a connected client; announced to MQTT 5 clients. A larger one ends the "
            "connection (0x95) "
            "when its fixed header has been read."),
    IN_MQTT("max_connect_packet", &sp_type_size, SP_NEW_SESSIONS, "16k", "SIZE",
            "The largest CONNECT packet: a limit that holds before it is known who speaks."),
    IN_MQTT("connect_timeout", &sp_type_time, SP_NEW_SESSIONS, "10s", "TIME",
            "How long after the TLS handshake the whole CONNECT packet must have come."),
    IN_MQTT("max_keepalive", &sp_type_time_off, SP_NEW_SESSIONS, "off", "TIME | off",
            "The longest keep alive of a client. MQTT 5 clients that ask for more, or for none, are given this one; "
            "MQTT 3.1.1 clients "
            "cannot be told and are refused (return code 2)."),
    IN_MQTT("max_inflight", &sp_type_number, SP_NEW_SESSIONS, "1024", "NUMBER",
            "How many QoS 1 messages may be on their way to a client without its acknowledgement, and the other way: "
            "the receive "
            "maximum that MQTT 5 clients are told. A client may ask for less."),
    IN_MQTT(
        "max_queued", &sp_type_number, SP_LIVE, "1000", "NUMBER",
        "How many messages may wait for a client that does not take them. With QoS 1 the publishers then wait, too."),
    IN_MQTT("max_queued_bytes", &sp_type_size, SP_LIVE, "1m", "SIZE",
            "As max_queued, in bytes. QoS 0 messages for a client with more than this in front of it are dropped and "
            "counted."),
    IN_MQTT("stall_timeout", &sp_type_time, SP_LIVE, "5s", "TIME",
            "A client whose queue is full and that takes nothing for so long is disconnected (0x97), so that "
            "publishers never wait "
            "for long."),
    IN_MQTT("max_subscriptions", &sp_type_number, SP_LIVE, "1000", "NUMBER",
            "How many subscriptions a client may hold; further ones are refused (0x97)."),
    IN_MQTT("max_topic_levels", &sp_type_number, SP_NEW_SESSIONS, "128", "NUMBER",
            "How many levels a topic name or filter may have; a deeper one ends the connection (0x90, 0x8F)."),
    IN_MQTT("topic_alias_maximum", &sp_type_number, SP_NEW_SESSIONS, "10", "NUMBER",
            "How many topic aliases an MQTT 5 client may use towards the gateway."),
    IN_MQTT("max_user_properties", &sp_type_number, SP_NEW_SESSIONS, "64", "NUMBER",
            "How many user properties one packet may carry; more end the connection (0x97)."),
    IN_MQTT(
        "sys_interval", &sp_type_time_off, SP_LIVE, "10s", "TIME | off",
        "How often the $SYS topics are published where they have changed. The shortest of several mqtt blocks holds."),
    IN_MQTT("publish_denied", &type_denied, SP_LIVE, "drop", "drop | close",
            "What happens to a forbidden publication where the protocol has no answer for it, that is with MQTT 3.1.1 "
            "and with QoS 0: it is "
            "dropped (and with QoS 1 acknowledged), or the connection is closed. In all other cases PUBACK tells the "
            "reason."),
    IN_MQTT("persistent_sessions", &type_kept, SP_NEW_SESSIONS, "refuse", "refuse | clean",
            "What an MQTT 3.1.1 client gets that asks for a persistent session (clean session 0), which this version "
            "does not keep: a refusal "
            "(return code 3), or a session that ends with its connection (session present is always 0). MQTT 5 clients "
            "are told a session expiry of 0."),
    IN_MQTT("allow_zero_length_clientid", &sp_type_flag, SP_NEW_SESSIONS, "on", "on | off",
            "Whether a client may come without a client identifier and be given one."),
    {"max_qos", &type_max_qos, SP_POLICY_LEVELS, 1, 1, false, SP_STRICTEST, SP_LIVE, "1", "0 | 1",
     "The highest quality of service on the topic. Publications of a higher one are acknowledged and travel with this "
     "one; subscriptions are granted it."},
    {"min_qos", &type_min_qos, SP_POLICY_LEVELS, 1, 1, false, SP_STRICTEST, SP_LIVE, "0", "0 | 1",
     "The lowest quality of service of publications to the topic; below it they are refused as publish_denied says "
     "(QoS 0 has no answer)."},
    {"retain", &type_retain, SP_POLICY_LEVELS, 1, 1, false, SP_REPLACE, SP_LIVE, "on", "on | off",
     "Whether messages may be retained; where not, a publication that asks for it is refused (MQTT 5: PUBACK 0x87 with "
     "a reason string, since PUBACK has no 0x9A; else as publish_denied says)."},
    {"values", &sp_mqtt_type_values, SP_POLICY_LEVELS, 2, 255, true, SP_EXTEND, SP_LIVE, NULL, "FILTER VALUE ...",
     "Payloads allowed on topics that match the filter; any other is refused (MQTT 5: PUBACK 0x99). Where several "
     "lists match, each must hold the payload."},
};
const size_t sp_mqtt_ndirectives = sizeof(sp_mqtt_directives) / sizeof(sp_mqtt_directives[0]);

/* ---- build ---- */

struct range {
    const char *directive;
    int64_t     min, max;
};

/* 0 and the value; out of range: reported, *err set. */
static uint32_t
number(struct sp_build *b, const struct sp_block *block, struct range range, int *err)
{
    const struct sp_value *v = sp_block_value(b->snapshot, block, range.directive);
    int64_t                n = v == NULL ? range.min : v->u.num;
    char                   hint[96];

    if (n < range.min || n > range.max) {
        (void)snprintf(hint, sizeof(hint), "expected %lld to %lld", (long long)range.min, (long long)range.max);
        *err = sp_build_error(b, v->node, 1, hint, "%s is out of range", range.directive);
        return (uint32_t)range.min;
    }
    return (uint32_t)n;
}

static uint32_t
keepalive(struct sp_build *b, const struct sp_block *block, int *err)
{
    const struct sp_value *v = sp_block_value(b->snapshot, block, "max_keepalive");

    if (v == NULL || v->u.num == SP_OFF) {
        return 0;
    }
    if (v->u.num < 1000 || v->u.num > 65535000) {
        *err = sp_build_error(b, v->node, 1, "expected 1s to 65535s, or off", "max_keepalive is out of range");
        return 0;
    }
    return (uint32_t)(v->u.num / 1000);
}

static struct sp_mqtt_settings *
build_block(struct sp_build *b, const struct sp_block *block, int *err)
{
    struct sp_mqtt_settings  *s = sp_arena_alloc(b->arena, sizeof(*s));
    const struct sp_snapshot *snapshot = b->snapshot;

    s->block = block;
    s->max_packet_bytes =
        number(b, block, (struct range){"max_packet", 64, SP_MQTT_MAX_REMAINING + SP_MQTT_MAX_HEADER_BYTES}, err);
    s->max_connect_packet_bytes = number(b, block, (struct range){"max_connect_packet", 64, 1024 * 1024}, err);
    s->connect_timeout_ms = number(b, block, (struct range){"connect_timeout", 1, 3600 * 1000}, err);
    s->stall_timeout_ms = number(b, block, (struct range){"stall_timeout", 1, 3600 * 1000}, err);
    s->max_keepalive_s = keepalive(b, block, err);
    s->max_inflight = (uint16_t)number(b, block, (struct range){"max_inflight", 1, 65535}, err);
    s->max_queued = number(b, block, (struct range){"max_queued", 1, 1000000}, err);
    s->max_queued_bytes = number(b, block, (struct range){"max_queued_bytes", 1024, UINT32_MAX / 2}, err);
    s->max_subscriptions = number(b, block, (struct range){"max_subscriptions", 1, 1000000}, err);
    s->max_topic_levels = number(b, block, (struct range){"max_topic_levels", 1, 65535}, err);
    s->topic_alias_maximum = (uint16_t)number(b, block, (struct range){"topic_alias_maximum", 0, 65535}, err);
    s->max_user_properties = (uint16_t)number(b, block, (struct range){"max_user_properties", 0, 65535}, err);
    s->close_on_denied = sp_block_num(snapshot, block, "publish_denied") == 1;
    s->serve_kept = sp_block_num(snapshot, block, "persistent_sessions") == 1;
    s->empty_id_allowed = sp_block_num(snapshot, block, "allow_zero_length_clientid") == 1;
    return s;
}

static void
build_sys_interval(struct sp_build *b, struct sp_mqtt_conf *conf, const struct sp_block *block, int *err)
{
    const struct sp_value *v = sp_block_value(b->snapshot, block, "sys_interval");

    if (v == NULL || v->u.num == SP_OFF) {
        return;
    }
    if (v->u.num < 100 || v->u.num > 86400 * 1000) {
        *err = sp_build_error(b, v->node, 1, "expected 100ms to 1d, or off", "sys_interval is out of range");
        return;
    }
    if (conf->sys_interval_ms == 0 || (uint64_t)v->u.num < conf->sys_interval_ms) {
        conf->sys_interval_ms = (uint64_t)v->u.num;
    }
}

/* ---- min_qos above max_qos ---- */

/* Pairs of blocks that are compared; the warning is not worth more. */
#define PAIRS_MAX 1000000u

/* Of the global policy, one realm and what is in it: the blocks that set one directive to one value. */
struct holders {
    int                     id;
    int64_t                 num;
    const struct sp_block **blocks;
    unsigned                n;
};

static bool
holds(const struct holders *h, const struct sp_block *block)
{
    return h->id >= 0 && block->values[h->id] != NULL && block->values[h->id]->u.num == h->num;
}

static bool
is_around(const struct sp_block *block)
{
    return strcmp(block->context, "policy") == 0 || strcmp(block->context, "realm") == 0;
}

/* Can both hold for one message? */
static bool
on_one_path(const struct sp_block *x, const struct sp_block *y)
{
    if (x == y || is_around(x) || is_around(y) || strcmp(x->context, y->context) != 0) {
        return true;
    }
    return strcmp(x->context, "topic") == 0 && sp_topic_filters_overlap(x->node->args[1].text, y->node->args[1].text);
}

/* What a block sets, against what the blocks in front of it (and it) set of the other directive. True: reported. */
static bool
check_against(struct sp_build *b, const struct sp_block *block, const struct holders *own, const struct holders *others,
              unsigned *pairs)
{
    if (!holds(own, block)) {
        return false;
    }
    for (unsigned i = 0; i < others->n && ++*pairs < PAIRS_MAX; i++) {
        const struct sp_block *other = others->blocks[i];

        if (on_one_path(block, other)) {
            sp_build_warn(b, block->values[own->id]->node, 1, "expected min_qos no higher than max_qos",
                          "min_qos 1 and max_qos 0 hold together: publications of QoS 0 are refused, all others travel "
                          "with QoS 0");
            sp_build_note(b, other->values[others->id]->node, 1, "the other one is set here");
            return true;
        }
    }
    return false;
}

static bool
check_qos_block(struct sp_build *b, const struct sp_block *block, struct holders *min, struct holders *max,
                unsigned *pairs)
{
    if (holds(min, block)) {
        min->blocks[min->n++] = block;
    }
    if (holds(max, block)) {
        max->blocks[max->n++] = block;
    }
    return check_against(b, block, min, max, pairs) || check_against(b, block, max, min, pairs);
}

/* Each block is reported once, as the inner or later one of two; within one that was reported nothing more is said. */
static void
check_qos(struct sp_build *b, const struct sp_mqtt_conf *conf)
{
    const struct sp_block *global = sp_block_first(b->snapshot->main, "policy");
    struct holders         min = {.id = conf->min_qos, .num = 1}, max = {.id = conf->max_qos, .num = 0};
    unsigned               pairs = 0, most = 2, nmin, nmax; /* how many there are of the global policy */

    for (const struct sp_block *r = sp_block_first(b->snapshot->main, "realm"); r != NULL; r = sp_block_next(r)) {
        unsigned n = 2;
        for (const struct sp_block *c = r->children; c != NULL; c = c->next) {
            n++;
        }
        most = n > most ? n : most;
    }
    min.blocks = sp_arena_array(b->arena, most, sizeof(*min.blocks));
    max.blocks = sp_arena_array(b->arena, most, sizeof(*max.blocks));
    if (global != NULL && check_qos_block(b, global, &min, &max, &pairs)) {
        return;
    }
    nmin = min.n;
    nmax = max.n;
    for (const struct sp_block *r = sp_block_first(b->snapshot->main, "realm"); r != NULL; r = sp_block_next(r)) {
        min.n = nmin;
        max.n = nmax;
        if (check_qos_block(b, r, &min, &max, &pairs)) {
            continue;
        }
        for (const struct sp_block *c = r->children; c != NULL; c = c->next) {
            if (strcmp(c->context, "topic") == 0 || strcmp(c->context, "application") == 0) {
                (void)check_qos_block(b, c, &min, &max, &pairs);
            }
        }
    }
}

int
sp_mqtt_config_build(struct sp_build *b, void **data)
{
    struct sp_mqtt_conf      *conf = sp_arena_alloc(b->arena, sizeof(*conf));
    struct sp_mqtt_settings **end = &conf->settings;
    int                       err = 0;

    conf->max_qos = sp_registry_policy_id(b->registry, "max_qos");
    conf->min_qos = sp_registry_policy_id(b->registry, "min_qos");
    conf->retain = sp_registry_policy_id(b->registry, "retain");
    conf->values = sp_registry_policy_id(b->registry, "values");
    conf->max_payload = sp_registry_policy_id(b->registry, "max_payload");
    conf->rate = sp_registry_policy_id(b->registry, "rate");
    conf->durability = sp_registry_policy_id(b->registry, "durability");
    for (const struct sp_block *m = sp_block_first(b->snapshot->main, "mqtt"); m != NULL; m = sp_block_next(m)) {
        *end = build_block(b, m, &err);
        end = &(*end)->next;
        build_sys_interval(b, conf, m, &err);
    }
    check_qos(b, conf);
    *data = conf;
    return err;
}

const struct sp_mqtt_conf *
sp_mqtt_conf(const struct sp_snapshot *s)
{
    int index = sp_registry_module_index(s->registry, "mqtt_mtls");

    return index < 0 ? NULL : s->module[index];
}

const struct sp_mqtt_settings *
sp_mqtt_settings_of(const struct sp_mqtt_conf *conf, const struct sp_block *block)
{
    for (const struct sp_mqtt_settings *s = conf->settings; s != NULL; s = s->next) {
        if (s->block == block) {
            return s;
        }
    }
    return conf->settings;
}
