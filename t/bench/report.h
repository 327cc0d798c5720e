/*
 * One JSON object, built field by field, and the line for people beside it.
 */
#ifndef SP_BENCH_REPORT_H
#define SP_BENCH_REPORT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

struct sp_report {
    char     json[8192];
    char     line[1024];
    unsigned json_len, line_len;
};

void sp_report_init(struct sp_report *r);
void sp_report_str(struct sp_report *r, const char *name, const char *value);
void sp_report_int(struct sp_report *r, const char *name, uint64_t value);
void sp_report_num(struct sp_report *r, const char *name, double value);
void sp_report_bool(struct sp_report *r, const char *name, bool value);

/* Append to the line for people. */
void sp_report_say(struct sp_report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Print one or the other on stdout and flush. */
void sp_report_print(const struct sp_report *r, bool json);

#endif
