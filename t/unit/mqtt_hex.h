/*
 * Packets for the tests of the MQTT codec, written as text: pairs of hex digits, 'quoted text', blanks. "~" in front of
 * a group in parentheses puts its length there as two bytes, "*" as one: ~('a/b') is 00 03 61 2f 62. Groups nest.
 */
#ifndef SP_T_UNIT_MQTT_HEX_H
#define SP_T_UNIT_MQTT_HEX_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEX_MAX 4096

struct hex {
    size_t n;
    char   b[HEX_MAX];
};

static inline void
hex_put(struct hex *h, unsigned byte)
{
    if (h->n == HEX_MAX) {
        abort();
    }
    h->b[h->n++] = (char)(uint8_t)byte;
}

static inline unsigned
hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return (unsigned)(c - '0');
    }
    if (c >= 'a' && c <= 'f') {
        return (unsigned)(c - 'a' + 10);
    }
    fprintf(stderr, "bad hex digit '%c'\n", c);
    abort();
}

static inline const char *hex_group(struct hex *h, const char *text, int width);

/* Up to the end of the text or the group. */
static inline const char *
hex_run(struct hex *h, const char *t)
{
    while (*t != '\0' && *t != ')') {
        if (*t == ' ') {
            t++;
        } else if (*t == '\'') {
            for (t++; *t != '\''; t++) {
                hex_put(h, (uint8_t)*t);
            }
            t++;
        } else if (*t == '~' || *t == '*') {
            t = hex_group(h, t + 2, *t == '~' ? 2 : 1);
        } else {
            hex_put(h, hex_digit(t[0]) << 4 | hex_digit(t[1]));
            t += 2;
        }
    }
    return t;
}

static inline const char *
hex_group(struct hex *h, const char *text, int width)
{
    size_t at = h->n;

    for (int i = 0; i < width; i++) {
        hex_put(h, 0);
    }
    text = hex_run(h, text);
    size_t n = h->n - at - (size_t)width;
    if (width == 2) {
        h->b[at] = (char)(uint8_t)(n >> 8);
        h->b[at + 1] = (char)(uint8_t)n;
    } else if (n < 128) {
        h->b[at] = (char)n;
    } else {
        abort();
    }
    return text + 1;
}

/* Kept until the next call but one. */
static inline struct hex *
hex(const char *text)
{
    static struct hex pool[2];
    static unsigned   turn;
    struct hex       *h = &pool[turn++ % 2];

    h->n = 0;
    hex_run(h, text);
    return h;
}

#endif
