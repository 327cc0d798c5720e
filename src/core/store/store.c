#include "store/store.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "process/process.h"

#define STORE_FORMAT    1
#define GROUP_MAX       4096
#define GROUP_BYTES_MAX ((size_t)16 << 20)
#define LOCK_RETRY_MS   20

static const char *const tables[] = {"retained"};
#define NTABLES (sizeof(tables) / sizeof(tables[0]))

struct change {
    struct change *next;
    unsigned       table;
    size_t         key_bytes, value_bytes;
    bool           remove;
    int            err;
    void (*done)(void *arg, int err);
    void *arg;
    char  bytes[];
};

struct sp_store {
    struct sp_process *process;
    sqlite3           *db;
    sqlite3_stmt      *put[NTABLES], *del[NTABLES];
    int                lock_fd, wake_fd;
    struct event      *wake;
    pthread_t          thread;
    bool               has_thread;
    pthread_mutex_t    mutex;
    pthread_cond_t     more;
    /* under the mutex */
    struct change *queue, **queue_end;
    struct change *done, **done_end;
    bool           stop;
    char           trouble[160]; /* the thread's last error, logged by the loop */
    /* the loop's */
    uint64_t queued, queued_bytes;
};

/* -- the commit thread: takes what has gathered while the last group went to disk -- */

static size_t
change_bytes(const struct change *c)
{
    return sizeof(*c) + c->key_bytes + c->value_bytes;
}

static int
apply(struct sp_store *s, const struct change *c)
{
    sqlite3_stmt *st = c->remove ? s->del[c->table] : s->put[c->table];
    int           rc;

    sqlite3_bind_blob64(st, 1, c->bytes, c->key_bytes, SQLITE_STATIC);
    if (!c->remove) {
        sqlite3_bind_blob64(st, 2, c->bytes + c->key_bytes, c->value_bytes, SQLITE_STATIC);
    }
    rc = sqlite3_step(st);
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* All of the group or nothing of it. */
static void
commit_group(struct sp_store *s, struct change *group)
{
    int rc = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL), err = 0;

    for (const struct change *c = group; c != NULL && rc == SQLITE_OK; c = c->next) {
        rc = apply(s, c);
    }
    if (rc == SQLITE_OK) {
        rc = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
    }
    if (rc != SQLITE_OK) {
        pthread_mutex_lock(&s->mutex);
        snprintf(s->trouble, sizeof(s->trouble), "%s", sqlite3_errmsg(s->db));
        pthread_mutex_unlock(&s->mutex);
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
        err = (rc & 0xff) == SQLITE_FULL ? -ENOSPC : -EIO;
    }
    for (struct change *c = group; c != NULL; c = c->next) {
        c->err = err;
    }
}

static struct change *
take_group(struct sp_store *s, struct change ***end)
{
    struct change *group = s->queue, *last = group;
    size_t         bytes = change_bytes(last);

    for (unsigned n = 1; n < GROUP_MAX && bytes < GROUP_BYTES_MAX && last->next != NULL; n++) {
        last = last->next;
        bytes += change_bytes(last);
    }
    s->queue = last->next;
    if (s->queue == NULL) {
        s->queue_end = &s->queue;
    }
    last->next = NULL;
    *end = &last->next;
    return group;
}

static void *
committer(void *arg)
{
    struct sp_store *s = arg;

    pthread_mutex_lock(&s->mutex);
    while (!s->stop || s->queue != NULL) {
        struct change *group, **end;
        uint64_t       one = 1;

        if (s->queue == NULL) {
            pthread_cond_wait(&s->more, &s->mutex);
            continue;
        }
        group = take_group(s, &end);
        pthread_mutex_unlock(&s->mutex);
        commit_group(s, group);
        pthread_mutex_lock(&s->mutex);
        *s->done_end = group;
        s->done_end = end;
        if (write(s->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN) {
            snprintf(s->trouble, sizeof(s->trouble), "eventfd: errno %d", errno);
        }
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

/* -- the loop -- */

static void
report(struct sp_store *s)
{
    struct change *c;
    char           trouble[sizeof(s->trouble)] = "";

    pthread_mutex_lock(&s->mutex);
    c = s->done;
    s->done = NULL;
    s->done_end = &s->done;
    memcpy(trouble, s->trouble, sizeof(trouble));
    s->trouble[0] = '\0';
    pthread_mutex_unlock(&s->mutex);
    if (trouble[0] != '\0') {
        sp_log(SP_LOG_CRIT, "store: commit failed: %s", trouble);
    }
    while (c != NULL) {
        struct change *next = c->next;

        s->queued--;
        s->queued_bytes -= change_bytes(c);
        if (c->done != NULL) {
            c->done(c->arg, c->err);
        }
        free(c);
        c = next;
    }
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
    uint64_t count;
    ssize_t  n = read(fd, &count, sizeof(count));

    (void)what;
    (void)n;
    report(arg);
}

int
sp_store_put(struct sp_store *s, const char *table, struct sp_str key, struct sp_str value,
             void (*done)(void *arg, int err), void *arg)
{
    unsigned       t = 0;
    struct change *c;
    bool           first;

    while (t < NTABLES && strcmp(tables[t], table) != 0) {
        t++;
    }
    if (t == NTABLES) {
        return -EINVAL;
    }
    c = malloc(sizeof(*c) + key.n + value.n);
    if (c == NULL) {
        return -ENOMEM;
    }
    *c = (struct change){
        .table = t, .key_bytes = key.n, .value_bytes = value.n, .remove = value.p == NULL, .done = done, .arg = arg};
    if (key.n > 0) {
        memcpy(c->bytes, key.p, key.n);
    }
    if (value.n > 0) {
        memcpy(c->bytes + key.n, value.p, value.n);
    }
    s->queued++;
    s->queued_bytes += change_bytes(c);
    pthread_mutex_lock(&s->mutex);
    first = s->queue == NULL;
    *s->queue_end = c;
    s->queue_end = &c->next;
    pthread_mutex_unlock(&s->mutex);
    if (first) {
        pthread_cond_signal(&s->more);
    }
    return 0;
}

uint64_t
sp_store_queued(const struct sp_store *s)
{
    return s->queued;
}

uint64_t
sp_store_queued_bytes(const struct sp_store *s)
{
    return s->queued_bytes;
}

int
sp_store_load(struct sp_store *s, const char *table, int (*row)(void *arg, struct sp_str key, struct sp_str value),
              void *arg)
{
    char          sql[128];
    sqlite3_stmt *st;
    int           rc, err = 0;

    snprintf(sql, sizeof(sql), "SELECT key, value FROM %s", table);
    if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK) {
        sp_log(SP_LOG_EMERG, "store: table %s: %s", table, sqlite3_errmsg(s->db));
        return -EIO;
    }
    while (err == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct sp_str key = {sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0)};
        struct sp_str value = {sqlite3_column_blob(st, 1), (size_t)sqlite3_column_bytes(st, 1)};

        err = row(arg, key, value);
    }
    sqlite3_finalize(st);
    if (err < 0) {
        return err;
    }
    if (rc != SQLITE_DONE) {
        sp_log(SP_LOG_EMERG, "store: table %s cannot be read: %s", table, sqlite3_errmsg(s->db));
        return -EIO;
    }
    return 0;
}

/* -- opening -- */

static int
take_lock(struct sp_store *s, const char *data_dir, unsigned wait_ms)
{
    char path[PATH_MAX];

    if ((size_t)snprintf(path, sizeof(path), "%s/lock", data_dir) >= sizeof(path) - sizeof("sallyport.db-wal")) {
        sp_log(SP_LOG_EMERG, "store: data_dir %.64s...: %s", data_dir, strerror(ENAMETOOLONG));
        return -ENAMETOOLONG;
    }
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock_fd < 0) {
        int rc = -errno;

        sp_log(SP_LOG_EMERG, "store: %s: %s", path, strerror(errno));
        return rc;
    }
    for (unsigned waited = 0; flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0; waited += LOCK_RETRY_MS) {
        struct timespec pause = {0, LOCK_RETRY_MS * 1000000L};

        if (errno != EWOULDBLOCK && errno != EINTR) {
            int rc = -errno;

            sp_log(SP_LOG_EMERG, "store: lock %s: %s", path, strerror(errno));
            return rc;
        }
        if (waited >= wait_ms) {
            sp_log(SP_LOG_EMERG, "store: %s is in use by another gateway", data_dir);
            return -EBUSY;
        }
        nanosleep(&pause, NULL);
    }
    return 0;
}

static int
sql_error(struct sp_store *s, const char *path, const char *doing)
{
    sp_log(SP_LOG_EMERG, "store: %s: %s: %s", path, doing, s->db != NULL ? sqlite3_errmsg(s->db) : "out of memory");
    return -EIO;
}

static int
read_format(struct sp_store *s, const char *path, int *format)
{
    sqlite3_stmt *st;
    int           rc;

    if (sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &st, NULL) != SQLITE_OK) {
        return sql_error(s, path, "reading the format version");
    }
    rc = sqlite3_step(st);
    *format = rc == SQLITE_ROW ? sqlite3_column_int(st, 0) : -1;
    sqlite3_finalize(st);
    return *format < 0 ? sql_error(s, path, "reading the format version") : 0;
}

static int
prepare_tables(struct sp_store *s, const char *path)
{
    char sql[256];
    int  format, rc = read_format(s, path, &format);

    if (rc < 0) {
        return rc;
    }
    if (format > STORE_FORMAT) {
        sp_log(SP_LOG_EMERG, "store: %s has format %d, this build knows up to %d: a newer sallyport wrote it", path,
               format, STORE_FORMAT);
        return -EPROTO;
    }
    for (unsigned t = 0; t < NTABLES; t++) {
        snprintf(sql, sizeof(sql),
                 "CREATE TABLE IF NOT EXISTS %s (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID", tables[t]);
        if (sqlite3_exec(s->db, sql, NULL, NULL, NULL) != SQLITE_OK) {
            return sql_error(s, path, "making tables");
        }
        snprintf(sql, sizeof(sql),
                 "INSERT INTO %s (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2", tables[t]);
        if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->put[t], NULL) != SQLITE_OK) {
            return sql_error(s, path, "preparing");
        }
        snprintf(sql, sizeof(sql), "DELETE FROM %s WHERE key = ?1", tables[t]);
        if (sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s->del[t], NULL) != SQLITE_OK) {
            return sql_error(s, path, "preparing");
        }
    }
    snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", STORE_FORMAT);
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0
                                                                   : sql_error(s, path, "writing the format version");
}

static int
open_database(struct sp_store *s, const char *data_dir)
{
    char   path[PATH_MAX];
    mode_t before = umask(0077);
    int    rc;

    snprintf(path, sizeof(path), "%s/sallyport.db", data_dir);
    rc = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_busy_timeout(s->db, 2000); /* an operator's reader may hold it for a moment */
        rc = sqlite3_exec(s->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF",
                          NULL, NULL, NULL);
    }
    rc = rc != SQLITE_OK ? sql_error(s, path, "opening") : prepare_tables(s, path);
    umask(before);
    return rc;
}

static int
start_thread(struct sp_store *s)
{
    sigset_t all, before;
    int      rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&s->thread, NULL, committer, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    s->has_thread = rc == 0;
    return -rc;
}

int
sp_store_start(struct sp_process *p, const char *data_dir, unsigned lock_wait_ms, struct sp_store **out)
{
    struct sp_store *s = calloc(1, sizeof(*s));
    int              rc;

    if (s == NULL) {
        return -ENOMEM;
    }
    s->process = p;
    s->lock_fd = s->wake_fd = -1;
    s->queue_end = &s->queue;
    s->done_end = &s->done;
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->more, NULL);
    if (mkdir(data_dir, 0700) < 0 && errno != EEXIST) {
        rc = -errno;
        sp_log(SP_LOG_EMERG, "store: data_dir %s: %s", data_dir, strerror(errno));
        goto fail;
    }
    rc = take_lock(s, data_dir, lock_wait_ms);
    if (rc < 0) {
        goto fail;
    }
    rc = open_database(s, data_dir);
    if (rc < 0) {
        goto fail;
    }
    s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    s->wake = s->wake_fd < 0 ? NULL : event_new(p->base, s->wake_fd, EV_READ | EV_PERSIST, on_wake, s);
    if (s->wake == NULL || event_add(s->wake, NULL) < 0) {
        rc = -ENOMEM;
        goto fail;
    }
    rc = start_thread(s);
    if (rc < 0) {
        goto fail;
    }
    *out = s;
    return 0;

fail:
    sp_store_stop(s);
    return rc;
}

void
sp_store_stop(struct sp_store *s)
{
    if (s == NULL) {
        return;
    }
    if (s->has_thread) {
        pthread_mutex_lock(&s->mutex);
        s->stop = true;
        pthread_mutex_unlock(&s->mutex);
        pthread_cond_signal(&s->more);
        pthread_join(s->thread, NULL);
        for (report(s); s->queue != NULL; report(s)) { /* what its callbacks have queued */
            struct change **end;
            struct change  *group = take_group(s, &end);

            commit_group(s, group);
            *s->done_end = group;
            s->done_end = end;
        }
    }
    if (s->wake != NULL) {
        event_free(s->wake);
    }
    for (unsigned t = 0; t < NTABLES; t++) {
        sqlite3_finalize(s->put[t]);
        sqlite3_finalize(s->del[t]);
    }
    sqlite3_close(s->db);
    if (s->wake_fd >= 0) {
        close(s->wake_fd);
    }
    if (s->lock_fd >= 0) {
        close(s->lock_fd); /* gives the lock back */
    }
    pthread_cond_destroy(&s->more);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

const struct sp_directive sp_store_directives[] = {
    {"retained_max_count", &sp_type_number, "main", 1, 1, false, SP_REPLACE, SP_LIVE, "1000000", "NUMBER",
     "How many retained messages the gateway keeps; a further topic is refused."},
    {"retained_max_bytes", &sp_type_size, "main", 1, 1, false, SP_REPLACE, SP_LIVE, "1g", "SIZE",
     "How many bytes of topics and payloads the retained messages may take together."},
};
const size_t sp_store_ndirectives = sizeof(sp_store_directives) / sizeof(sp_store_directives[0]);
