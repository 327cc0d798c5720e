#include "report.h"

#include <stdio.h>
#include <string.h>

static void
append(char *buffer, size_t size, unsigned *len, const char *format, va_list args)
{
    int n;

    if (*len >= size) {
        return;
    }
    n = vsnprintf(buffer + *len, size - *len, format, args);
    *len = n < 0 || (size_t)n >= size - *len ? (unsigned)size - 1 : *len + (unsigned)n;
}

static void __attribute__((format(printf, 2, 3))) json_add(struct sp_report *r, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    append(r->json, sizeof r->json, &r->json_len, format, args);
    va_end(args);
}

static void
name_add(struct sp_report *r, const char *name)
{
    json_add(r, "%s\"%s\": ", r->json_len > 1 ? ", " : "", name);
}

void
sp_report_init(struct sp_report *r)
{
    r->json_len = r->line_len = 0;
    r->line[0] = '\0';
    json_add(r, "{");
}

void
sp_report_str(struct sp_report *r, const char *name, const char *value)
{
    name_add(r, name);
    json_add(r, "\"");
    for (const char *p = value; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;

        if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\') {
            json_add(r, "\\u%04x", c);
        } else {
            json_add(r, "%c", c);
        }
    }
    json_add(r, "\"");
}

void
sp_report_int(struct sp_report *r, const char *name, uint64_t value)
{
    name_add(r, name);
    json_add(r, "%llu", (unsigned long long)value);
}

void
sp_report_num(struct sp_report *r, const char *name, double value)
{
    name_add(r, name);
    json_add(r, "%.3f", value);
}

void
sp_report_bool(struct sp_report *r, const char *name, bool value)
{
    name_add(r, name);
    json_add(r, "%s", value ? "true" : "false");
}

void
sp_report_say(struct sp_report *r, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    append(r->line, sizeof r->line, &r->line_len, format, args);
    va_end(args);
}

void
sp_report_print(const struct sp_report *r, bool json)
{
    if (json) {
        printf("%s}\n", r->json);
    } else {
        printf("%s\n", r->line);
    }
    fflush(stdout);
}
