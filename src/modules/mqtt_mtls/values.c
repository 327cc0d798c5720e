#include "modules/mqtt_mtls/values.h"

#include "base/topic.h"
#include "conf/text.h"

#define FILTER_LEVELS_MAX 1000

static int
parse_values(struct sp_build *b, const struct sp_conf_node *node, struct sp_value *v)
{
    struct sp_mqtt_values *list = sp_arena_alloc(b->arena, sizeof(*list));
    struct sp_str         *values = sp_arena_array(b->arena, node->nargs, sizeof(*values));
    char                   shown[128];

    v->u.ptr = list;
    list->filter = node->args[1].text;
    list->wildcard = sp_topic_has_wildcard(list->filter);
    list->values = values;
    if (!sp_topic_filter_valid(list->filter, FILTER_LEVELS_MAX)) {
        return sp_build_error(b, node, 1,
                              "expected levels separated by /, where + stands for one level and # for the rest",
                              "%s is no topic filter", sp_word_quote(shown, sizeof(shown), list->filter));
    }
    for (unsigned i = 2; i < node->nargs; i++) {
        values[list->n++] = node->args[i].text;
    }
    return 0;
}

const struct sp_type sp_mqtt_type_values = {"list of values", "a topic filter and one or more values", parse_values,
                                            NULL, NULL};

static bool
concerns(const struct sp_mqtt_values *list, struct sp_str topic)
{
    return list->wildcard ? sp_topic_matches(list->filter, topic) : sp_str_eq(list->filter, topic);
}

static bool
holds(const struct sp_mqtt_values *list, struct sp_str payload)
{
    for (unsigned i = 0; i < list->n; i++) {
        if (sp_str_eq(list->values[i], payload)) {
            return true;
        }
    }
    return false;
}

const struct sp_value *
sp_mqtt_values_violated(const struct sp_value *list, struct sp_str topic, struct sp_str payload)
{
    for (; list != NULL; list = list->next) {
        const struct sp_mqtt_values *one = list->u.ptr;

        if (concerns(one, topic) && !holds(one, payload)) {
            return list;
        }
    }
    return NULL;
}
