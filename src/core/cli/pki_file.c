#include "cli/pki_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_NAME    ".lock"
#define LOCK_STEP_MS 20

void
sp_pki_error(const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    fputs("sallyport pki: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

void
sp_pki_error_ssl(const char *fmt, ...)
{
    const char *reason;
    va_list     ap;

    fflush(stdout);
    fputs("sallyport pki: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    reason = ERR_reason_error_string(ERR_peek_last_error());
    fprintf(stderr, " (OpenSSL: %s)\n", reason != NULL ? reason : "no reason given");
    ERR_clear_error();
}

static int
lock_dir(struct sp_pki_dir *dir, unsigned lock_ms)
{
    struct timespec step = {0, LOCK_STEP_MS * 1000000L};
    unsigned        waited_ms;
    int             rc;

    dir->lock_fd = openat(dir->fd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (dir->lock_fd < 0) {
        rc = -errno;
        sp_pki_error("%s/" LOCK_NAME ": cannot open the lock file: %s; expected a "
                     "directory that this user may write",
                     dir->path, strerror(-rc));
        return rc;
    }

    for (waited_ms = 0; flock(dir->lock_fd, LOCK_EX | LOCK_NB) < 0; waited_ms += LOCK_STEP_MS) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            rc = -errno;
            sp_pki_error("%s/" LOCK_NAME ": cannot lock: %s", dir->path, strerror(-rc));
            return rc;
        }
        if (waited_ms >= lock_ms) {
            sp_pki_error("%s/" LOCK_NAME ": another sallyport pki has held the lock for "
                         "%u ms; expected it to end",
                         dir->path, waited_ms);
            return -EBUSY;
        }
        nanosleep(&step, NULL);
    }
    return 0;
}

int
sp_pki_dir_open(struct sp_pki_dir *dir, const char *path, int flags, unsigned lock_ms)
{
    size_t len = strlen(path);
    int    rc;

    dir->fd = -1;
    dir->lock_fd = -1;

    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    if (len == 0 || len >= sizeof(dir->path)) {
        sp_pki_error("--dir: expected a directory name of 1 to %zu bytes", sizeof(dir->path) - 1);
        return -EINVAL;
    }
    memcpy(dir->path, path, len);
    dir->path[len] = '\0';

    if ((flags & SP_PKI_DIR_CREATE) && mkdir(dir->path, 0755) < 0 && errno != EEXIST) {
        rc = -errno;
        sp_pki_error("%s: cannot make the directory: %s", dir->path, strerror(-rc));
        return rc;
    }

    dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir->fd < 0) {
        rc = -errno;
        sp_pki_error("%s: %s; expected a directory made by 'sallyport pki init' "
                     "(--dir names another)",
                     dir->path, strerror(-rc));
        return rc;
    }
    if (flags & SP_PKI_DIR_LOCK) {
        rc = lock_dir(dir, lock_ms);
        if (rc < 0) {
            sp_pki_dir_close(dir);
            return rc;
        }
    }
    return 0;
}

void
sp_pki_dir_close(struct sp_pki_dir *dir)
{
    if (dir->lock_fd >= 0) {
        close(dir->lock_fd);
    }
    if (dir->fd >= 0) {
        close(dir->fd);
    }
    dir->fd = -1;
    dir->lock_fd = -1;
}

int
sp_pki_file_exists(const struct sp_pki_dir *dir, const char *name, bool *found)
{
    struct stat st;
    int         rc;

    *found = fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (!*found && errno != ENOENT) {
        rc = -errno;
        sp_pki_error("%s/%s: %s", dir->path, name, strerror(-rc));
        return rc;
    }
    return 0;
}

static int
read_all(int fd, char *data, size_t len)
{
    size_t  done = 0;
    ssize_t n;

    while (done < len) {
        n = read(fd, data + done, len - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            return -EIO;
        }
        done += (size_t)n;
    }
    return 0;
}

int
sp_pki_file_read(const struct sp_pki_dir *dir, const char *name, size_t max, const char *expected, char **data,
                 size_t *len)
{
    struct stat st;
    size_t      size = 0;
    char       *buf;
    int         fd, rc;

    /* O_NONBLOCK: a FIFO in the place of a file must not hang us */
    fd = openat(dir->fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0) {
        rc = -errno;
        sp_pki_error("%s/%s: %s; expected %s", dir->path, name, strerror(-rc), expected);
        goto out;
    }
    rc = -EINVAL;
    if (!S_ISREG(st.st_mode)) {
        sp_pki_error("%s/%s: not a regular file; expected %s", dir->path, name, expected);
        goto out;
    }
    if (st.st_size == 0) {
        sp_pki_error("%s/%s: the file is empty; expected %s", dir->path, name, expected);
        goto out;
    }
    size = (size_t)st.st_size;
    if (size > max) {
        sp_pki_error("%s/%s: %zu bytes; expected %s of at most %zu", dir->path, name, size, expected, max);
        goto out;
    }
    buf = malloc(size + 1);
    if (buf == NULL) {
        rc = -ENOMEM;
        sp_pki_error("%s/%s: out of memory", dir->path, name);
        goto out;
    }
    rc = read_all(fd, buf, size);
    if (rc < 0) {
        sp_pki_error("%s/%s: cannot read: %s", dir->path, name, strerror(-rc));
        sp_pki_file_free(buf, size);
        goto out;
    }
    buf[size] = '\0';
    *data = buf;
    *len = size;
out:
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

void
sp_pki_file_free(char *data, size_t len)
{
    if (data != NULL) {
        OPENSSL_cleanse(data, len);
        free(data);
    }
}

static int
write_all(int fd, const char *data, size_t len)
{
    ssize_t n;

    while (len > 0) {
        n = write(fd, data, len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int
sp_pki_file_write(const struct sp_pki_dir *dir, const char *name, mode_t mode, const char *data, size_t len)
{
    char temp[256];
    int  fd, rc;

    /* one name per file is enough: the caller holds the lock */
    if ((size_t)snprintf(temp, sizeof(temp), ".%s.tmp", name) >= sizeof(temp)) {
        sp_pki_error("%s/%s: the file name is too long", dir->path, name);
        return -ENAMETOOLONG;
    }
    unlinkat(dir->fd, temp, 0);

    fd = openat(dir->fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        rc = -errno;
        goto fail;
    }
    rc = write_all(fd, data, len);
    if (rc == 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0)) {
        rc = -errno;
    }
    if (close(fd) < 0 && rc == 0) {
        rc = -errno;
    }
    if (rc == 0 && renameat(dir->fd, temp, dir->fd, name) < 0) {
        rc = -errno;
    }
    if (rc < 0) {
        unlinkat(dir->fd, temp, 0);
        goto fail;
    }
    /* some file systems cannot sync a directory; that is no failure to write */
    if (fsync(dir->fd) < 0 && errno != EINVAL) {
        rc = -errno;
        goto fail;
    }
    return 0;

fail:
    sp_pki_error("%s/%s: cannot write: %s", dir->path, name, strerror(-rc));
    return rc;
}

/* An encrypted key must fail, not ask on the terminal. */
static int
no_password(char *buf, int size, int rwflag, void *arg)
{
    (void)buf, (void)size, (void)rwflag, (void)arg;
    return -1;
}

static int
open_pem(const struct sp_pki_dir *dir, const char *name, size_t max, const char *expected, char **data, size_t *len,
         BIO **bio)
{
    int rc = sp_pki_file_read(dir, name, max, expected, data, len);

    if (rc < 0) {
        return rc;
    }
    ERR_clear_error();
    *bio = BIO_new_mem_buf(*data, (int)*len);
    if (*bio == NULL) {
        sp_pki_error("%s/%s: out of memory", dir->path, name);
        sp_pki_file_free(*data, *len);
        return -ENOMEM;
    }
    return 0;
}

static int
close_pem(const struct sp_pki_dir *dir, const char *name, const char *expected, char *data, size_t len, BIO *bio,
          const void *object)
{
    int rc = 0;

    if (object == NULL) {
        sp_pki_error_ssl("%s/%s: expected %s", dir->path, name, expected);
        rc = -EINVAL;
    }
    BIO_free(bio);
    sp_pki_file_free(data, len);
    return rc;
}

int
sp_pki_cert_read(const struct sp_pki_dir *dir, const char *name, X509 **cert)
{
    static const char expected[] = "a certificate in PEM";
    size_t            len;
    char             *data;
    BIO              *bio;
    int               rc = open_pem(dir, name, SP_PKI_CERT_MAX, expected, &data, &len, &bio);

    if (rc < 0) {
        return rc;
    }
    *cert = PEM_read_bio_X509(bio, NULL, no_password, NULL);
    return close_pem(dir, name, expected, data, len, bio, *cert);
}

int
sp_pki_key_read(const struct sp_pki_dir *dir, const char *name, EVP_PKEY **key)
{
    static const char expected[] = "an unencrypted private key in PEM";
    struct stat       st;
    size_t            len;
    char             *data;
    BIO              *bio;
    int               rc = open_pem(dir, name, SP_PKI_CERT_MAX, expected, &data, &len, &bio);

    if (rc < 0) {
        return rc;
    }
    if (fstatat(dir->fd, name, &st, 0) == 0 && (st.st_mode & 077) != 0) {
        sp_pki_error("warning: %s/%s: others may read this key (mode %04o); expected 0600", dir->path, name,
                     (unsigned)st.st_mode & 07777);
    }
    *key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    return close_pem(dir, name, expected, data, len, bio, *key);
}

int
sp_pki_crl_read(const struct sp_pki_dir *dir, const char *name, X509_CRL **crl)
{
    static const char expected[] = "a certificate revocation list in PEM";
    size_t            len;
    char             *data;
    BIO              *bio;
    int               rc = open_pem(dir, name, SP_PKI_LARGE_MAX, expected, &data, &len, &bio);

    if (rc < 0) {
        return rc;
    }
    *crl = PEM_read_bio_X509_CRL(bio, NULL, no_password, NULL);
    return close_pem(dir, name, expected, data, len, bio, *crl);
}

static int
write_pem(const struct sp_pki_dir *dir, const char *name, mode_t mode, BIO *bio, int encoded)
{
    char *data = NULL;
    long  len;
    int   rc;

    if (bio == NULL || !encoded || (len = BIO_get_mem_data(bio, &data)) <= 0) {
        sp_pki_error_ssl("%s/%s: cannot encode as PEM", dir->path, name);
        rc = -EIO;
    } else {
        rc = sp_pki_file_write(dir, name, mode, data, (size_t)len);
    }
    BIO_free(bio);
    return rc;
}

int
sp_pki_cert_write(const struct sp_pki_dir *dir, const char *name, X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());

    return write_pem(dir, name, 0644, bio, bio != NULL && PEM_write_bio_X509(bio, cert));
}

int
sp_pki_key_write(const struct sp_pki_dir *dir, const char *name, EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_secmem()); /* wiped when freed */

    return write_pem(dir, name, 0600, bio,
                     bio != NULL && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, no_password, NULL));
}

int
sp_pki_crl_write(const struct sp_pki_dir *dir, const char *name, X509_CRL *crl)
{
    BIO *bio = BIO_new(BIO_s_mem());

    return write_pem(dir, name, 0644, bio, bio != NULL && PEM_write_bio_X509_CRL(bio, crl));
}
