#include "procs.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* First number of task/TID/schedstat: time on a CPU in ns. 0 or -ENOENT where the kernel has no schedstat. */
static int
schedstat_read(const char *path, uint64_t *out)
{
    FILE              *f = fopen(path, "re");
    unsigned long long ns = 0;
    int                rc;

    if (f == NULL) {
        return -ENOENT;
    }
    rc = fscanf(f, "%llu", &ns) == 1 ? 0 : -ENOENT;
    fclose(f);
    *out = ns;
    return rc;
}

static int
threads_read(pid_t pid, uint64_t *out)
{
    char           path[320];
    uint64_t       sum = 0;
    int            rc = -ENOENT;
    struct dirent *entry;
    DIR           *dir;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    dir = opendir(path);
    if (dir == NULL) {
        return -ESRCH;
    }
    while ((entry = readdir(dir)) != NULL) {
        uint64_t ns;

        if (entry->d_name[0] == '.') {
            continue;
        }
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, entry->d_name);
        if (schedstat_read(path, &ns) == 0) {
            sum += ns;
            rc = 0;
        }
    }
    closedir(dir);
    /* A kernel built without schedstat shows zeros. */
    *out = sum;
    return rc == 0 && sum == 0 ? -ENOENT : rc;
}

static int
ticks_read(pid_t pid, uint64_t *out)
{
    char               path[64], line[1024];
    unsigned long long user = 0, sys = 0;
    const char        *rest;
    size_t             n;
    FILE              *f;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    f = fopen(path, "re");
    if (f == NULL) {
        return -ESRCH;
    }
    n = fread(line, 1, sizeof line - 1, f);
    fclose(f);
    line[n] = '\0';
    rest = strrchr(line, ')');
    if (rest == NULL || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user, &sys) != 2) {
        return -ESRCH;
    }
    *out = (user + sys) * (UINT64_C(1000000000) / (uint64_t)sysconf(_SC_CLK_TCK));
    return 0;
}

static int
memory_read(pid_t pid, struct sp_procs_reading *out)
{
    uint64_t pss = 0, memory = 0;
    bool     detailed = false;
    char     path[64], line[256];
    FILE    *f;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    f = fopen(path, "re");
    if (f == NULL) {
        return -ESRCH;
    }
    while (fgets(line, sizeof line, f) != NULL) {
        unsigned long long kb;

        if (sscanf(line, "Rss: %llu kB", &kb) == 1) {
            out->rss_bytes += kb * 1024;
        } else if (sscanf(line, "Pss: %llu kB", &kb) == 1) {
            pss = kb * 1024;
        } else if (sscanf(line, "Pss_Anon: %llu kB", &kb) == 1 || sscanf(line, "Pss_Shmem: %llu kB", &kb) == 1) {
            memory += kb * 1024;
            detailed = true;
        } else if (sscanf(line, "Private_Clean: %llu kB", &kb) == 1 ||
                   sscanf(line, "Private_Dirty: %llu kB", &kb) == 1) {
            out->private_bytes += kb * 1024;
        }
    }
    fclose(f);
    out->pss_bytes += pss;
    out->memory_bytes += detailed ? memory : pss;
    return 0;
}

void
sp_procs_read_cpu(const pid_t *pids, size_t n, struct sp_procs_reading *out)
{
    *out = (struct sp_procs_reading){.exact_cpu = true};
    for (size_t i = 0; i < n; i++) {
        uint64_t ns = 0;

        if (threads_read(pids[i], &ns) == 0) {
            out->cpu_ns += ns;
        } else if (ticks_read(pids[i], &ns) == 0) {
            out->cpu_ns += ns;
            out->exact_cpu = false;
        } else {
            out->gone++;
        }
    }
}

void
sp_procs_read(const pid_t *pids, size_t n, struct sp_procs_reading *out)
{
    sp_procs_read_cpu(pids, n, out);
    for (size_t i = 0; i < n; i++) {
        memory_read(pids[i], out);
    }
}
