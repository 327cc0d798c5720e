#ifndef SP_CLI_PKI_FILE_H
#define SP_CLI_PKI_FILE_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Files of a PKI directory.  Every write goes to a temporary file, which is
 * fsynced and renamed; a reader sees the old file or the new one.
 *
 * All functions return 0 or a negative errno and have then written one line
 * to stderr that names the file and what was expected.
 */

#define SP_PKI_CERT_MAX  ((size_t)1 << 20) /* bytes, one certificate or key */
#define SP_PKI_LARGE_MAX ((size_t)1 << 28) /* bytes, index or CRL */

struct sp_pki_dir {
    char path[4000];
    int  fd;
    int  lock_fd;
};

enum {
    SP_PKI_DIR_CREATE = 1, /* make the directory (one level) */
    SP_PKI_DIR_LOCK = 2,   /* exclusive lock; waits up to lock_ms for another run */
};

int  sp_pki_dir_open(struct sp_pki_dir *dir, const char *path, int flags, unsigned lock_ms);
void sp_pki_dir_close(struct sp_pki_dir *dir);

/* found: whether something of that name is there (a dangling link counts) */
int sp_pki_file_exists(const struct sp_pki_dir *dir, const char *name, bool *found);

/* expected: what the file should hold, for the message.  An empty file is
 * -EINVAL.  Free with sp_pki_file_free, which wipes. */
int  sp_pki_file_read(const struct sp_pki_dir *dir, const char *name, size_t max, const char *expected, char **data,
                      size_t *len);
void sp_pki_file_free(char *data, size_t len);
int  sp_pki_file_write(const struct sp_pki_dir *dir, const char *name, mode_t mode, const char *data, size_t len);

/* PEM; the caller frees the objects with OpenSSL's functions.
 * Keys are unencrypted PKCS #8 with mode 0600; reading warns of a wider mode. */
int sp_pki_cert_read(const struct sp_pki_dir *dir, const char *name, X509 **cert);
int sp_pki_cert_write(const struct sp_pki_dir *dir, const char *name, X509 *cert);
int sp_pki_key_read(const struct sp_pki_dir *dir, const char *name, EVP_PKEY **key);
int sp_pki_key_write(const struct sp_pki_dir *dir, const char *name, EVP_PKEY *key);
int sp_pki_crl_read(const struct sp_pki_dir *dir, const char *name, X509_CRL **crl);
int sp_pki_crl_write(const struct sp_pki_dir *dir, const char *name, X509_CRL *crl);

/* One line to stderr; the second adds OpenSSL's reason and clears its queue. */
void sp_pki_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void sp_pki_error_ssl(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
