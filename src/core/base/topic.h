/*
 * MQTT topic names and filters (MQTT 5 section 4.7): validity, matching, specificity. Also used for HTTP paths and RPC
 * names mapped onto topics.
 */
#ifndef SP_BASE_TOPIC_H
#define SP_BASE_TOPIC_H

#include "base/str.h"

#define SP_TOPIC_MAX_BYTES 65535

/* Not empty, at most 65,535 bytes and `max_levels` levels, UTF-8, no NUL, no wildcard. */
bool sp_topic_name_valid(struct sp_str topic, unsigned max_levels);
/* Same for a filter: `+` fills a level, `#` fills the last one. `$share/` is not looked at here. */
bool sp_topic_filter_valid(struct sp_str filter, unsigned max_levels);
bool sp_topic_has_wildcard(struct sp_str filter);

/* Does `filter` match the name `topic`? A leading wildcard never matches a topic that starts with `$`. */
bool sp_topic_matches(struct sp_str filter, struct sp_str topic);
/* As above; the slices that each wildcard matched go to caps[] (a `#`: the rest, perhaps empty), at most max_caps;
 * returns the number of wildcards, or -1 for no match. Slices point into `topic`. */
int sp_topic_match_captures(struct sp_str filter, struct sp_str topic, struct sp_str *caps, int max_caps);

/* Is there a topic that both filters match? (A name is a filter without wildcards.) */
bool sp_topic_filters_overlap(struct sp_str a, struct sp_str b);
/* Does `outer` match every topic that `inner` matches? */
bool sp_topic_filter_covers(struct sp_str outer, struct sp_str inner);

/* Specificity, level by level from the left: literal before `+` before the end before `#`; so a longer one comes before
 * its prefix, but `a` before `a/#`, and a filter always before one that covers it.
 * > 0 when `a` is more specific, < 0 when `b` is, 0 when they are of equal shape (equal text, or literals that differ). */
int sp_topic_specificity(struct sp_str a, struct sp_str b);

/* `$share/GROUP/FILTER` (MQTT 5 4.8.2): true and the parts; false when `s` does not start with `$share/`. Parts may be
 * invalid (empty group, wildcard in it): *valid tells. */
bool sp_topic_share_split(struct sp_str s, struct sp_str *group, struct sp_str *filter, bool *valid);

#endif
