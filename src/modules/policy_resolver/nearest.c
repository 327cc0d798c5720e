#include "base/topic.h"
#include "modules/policy_resolver/resolver.h"

enum { OTHER_IDENTITY, OTHER_ACTION, OTHER_TOPIC, NOT_NEAR };

struct search {
    struct sp_resolver_part *r;
    const struct sp_subject *who;
    struct sp_persona        persona;
    uint8_t                  action;
    struct sp_str            topic;
    struct sp_references     refs;
    struct sp_nearest        best;
    unsigned                 kind, distance; /* of the best */
};

/* As far as a slip of the pen goes. */
static unsigned
tolerance(size_t n)
{
    return n / 2 < 3 ? 3 : n / 2 > 40 ? 40 : (unsigned)(n / 2);
}

/* How the entry fails to allow it, and by how much. */
static unsigned
how_near(struct search *s, const struct sp_rule *rule, const struct sp_template *t, unsigned *distance)
{
    bool          mine = sp_persona_is(&s->persona, rule->principal) == SP_MEMBER && rule->said->subject_capture == 0;
    bool          action = (rule->said->actions & s->action) != 0, matches;
    struct sp_str filter = t->text;

    *distance = 0;
    matches = sp_template_filter(t, &s->refs, &s->r->scratch[0], &filter) && sp_topic_filters_overlap(filter, s->topic);
    if (matches && action) {
        *distance = sp_str_distance(rule->said->subject, s->who->identity, 40);
        return OTHER_IDENTITY;
    }
    if (matches && mine) {
        return OTHER_ACTION;
    }
    if (mine && action) {
        unsigned limit = tolerance(s->topic.n);
        *distance = sp_str_distance(filter, s->topic, limit);
        return *distance <= limit ? OTHER_TOPIC : NOT_NEAR;
    }
    return NOT_NEAR;
}

static void
look_at(struct search *s, const struct sp_scope *scope, const struct sp_str *around)
{
    struct sp_str captures[SP_CAPTURES_MAX];
    int           n = around == NULL ? 0 : sp_topic_match_captures(*around, s->topic, captures, SP_CAPTURES_MAX);

    s->refs.captures = captures;
    s->refs.ncaptures = n < 0 ? 0 : n > SP_CAPTURES_MAX ? SP_CAPTURES_MAX : n;
    for (unsigned i = 0; i < scope->nrules; i++) {
        const struct sp_rule *rule = &scope->rules[i];

        for (unsigned f = 0; f < rule->said->nfilters && !rule->deny; f++) {
            unsigned distance, kind = how_near(s, rule, &rule->said->filters[f], &distance);

            if (kind < s->kind || (kind == s->kind && kind != NOT_NEAR && distance < s->distance)) {
                s->kind = kind;
                s->distance = distance;
                s->best = (struct sp_nearest){rule, &rule->said->filters[f]};
            }
        }
    }
    s->refs.captures = NULL;
}

struct sp_nearest
sp_resolver_nearest(struct sp_resolver_part *r, const struct sp_subject *who, enum sp_action action,
                    struct sp_str topic, const struct sp_place *place)
{
    struct search        s = {.r = r, .who = who, .action = sp_action_bit(action), .topic = topic, .kind = NOT_NEAR};
    const struct sp_str *claim = place->claim == NULL ? NULL : &place->claim->filter;

    sp_subjects_persona(r->subjects, who->identity, who->anonymous, &s.persona);
    s.refs.identity = who->identity;
    s.refs.strict = true;
    if (place->application != NULL) {
        look_at(&s, place->application, claim);
    }
    for (unsigned i = place->ntopics; i-- > 0;) {
        look_at(&s, place->topics[i], &place->topics[i]->filter);
    }
    if (place->claim != NULL) {
        look_at(&s, &place->claim->realm->scope, claim);
    }
    look_at(&s, &r->global, NULL);
    return s.best;
}

const struct sp_claim *
sp_resolver_nearest_claim(const struct sp_resolver_part *r, struct sp_str topic)
{
    const struct sp_claim *best = NULL;
    unsigned               limit = tolerance(topic.n);

    for (unsigned i = 0; i < r->realms.nclaims; i++) {
        unsigned distance = sp_str_distance(r->realms.claims[i].filter, topic, limit);
        if (distance <= limit) {
            best = &r->realms.claims[i];
            if (distance == 0) {
                break;
            }
            limit = distance - 1;
        }
    }
    return best;
}
