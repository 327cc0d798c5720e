#include "cli/pki_file.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static bool
has(const struct sp_pki_dir *dir, const char *name)
{
    bool found = false;

    return sp_pki_file_exists(dir, name, &found) == 0 && found;
}

static void
test_dir(void)
{
    struct sp_pki_dir dir, other;
    char              path[128], long_path[5000];

    snprintf(path, sizeof(path), "%s/a//", root);
    ok(sp_pki_dir_open(&dir, path, 0, 0) == -ENOENT, "a missing directory");
    is_int(sp_pki_dir_open(&dir, path, SP_PKI_DIR_CREATE | SP_PKI_DIR_LOCK, 0), 0, "is made");
    path[strlen(path) - 2] = '\0';
    is_str(dir.path, path, "its name without the last slashes");
    is_int(sp_pki_dir_open(&other, path, SP_PKI_DIR_LOCK, 0), -EBUSY, "a second lock");
    is_int(sp_pki_dir_open(&other, path, 0, 0), 0, "open without the lock");
    sp_pki_dir_close(&other);
    sp_pki_dir_close(&dir);
    is_int(sp_pki_dir_open(&dir, path, SP_PKI_DIR_LOCK, 0), 0, "the lock is free again");
    sp_pki_dir_close(&dir);
    is_int(sp_pki_dir_open(&dir, "", 0, 0), -EINVAL, "an empty name");
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    is_int(sp_pki_dir_open(&dir, long_path, 0, 0), -EINVAL, "a name too long");
}

static void
test_files(void)
{
    struct sp_pki_dir dir;
    struct stat       st;
    char             *data;
    size_t            len;
    X509             *cert = NULL;
    EVP_PKEY         *key = NULL, *again = NULL;
    X509_CRL         *crl = NULL;

    is_int(sp_pki_dir_open(&dir, root, SP_PKI_DIR_LOCK, 0), 0, "open");
    is_int(sp_pki_file_write(&dir, "f", 0644, "one", 3), 0, "write");
    is_int(sp_pki_file_write(&dir, "f", 0600, "three", 5), 0, "write again");
    ok(!has(&dir, ".f.tmp"), "no temporary file is left");
    is_int(sp_pki_file_read(&dir, "f", 100, "text", &data, &len), 0, "read");
    ok(len == 5 && memcmp(data, "three", 5) == 0, "the second text");
    sp_pki_file_free(data, len);
    ok(fstatat(dir.fd, "f", &st, 0) == 0 && (st.st_mode & 07777) == 0600, "its mode");
    is_int(sp_pki_file_read(&dir, "f", 4, "text", &data, &len), -EINVAL, "too large");
    is_int(sp_pki_file_read(&dir, "g", 4, "text", &data, &len), -ENOENT, "missing");
    is_int(mkfifoat(dir.fd, "fifo", 0600), 0, "make a FIFO");
    is_int(sp_pki_file_read(&dir, "fifo", 4, "text", &data, &len), -EINVAL, "a FIFO is refused");

    /* a leftover of a killed run, here a link to a file that must not be touched */
    is_int(symlinkat("f", dir.fd, ".h.tmp"), 0, "leave a link as temporary file");
    is_int(sp_pki_file_write(&dir, "h", 0644, "H", 1), 0, "write over the leftover");
    ok(fstatat(dir.fd, "f", &st, 0) == 0 && st.st_size == 5, "the link was not followed");
    is_int(symlinkat("nowhere", dir.fd, "dangling"), 0, "a dangling link");
    ok(has(&dir, "dangling"), "counts as there");

    is_int(sp_pki_file_write(&dir, "empty", 0644, "", 0), 0, "an empty file");
    is_int(sp_pki_cert_read(&dir, "empty", &cert), -EINVAL, "is no certificate");
    is_int(sp_pki_key_read(&dir, "f", &key), -EINVAL, "text is no key");
    is_int(sp_pki_crl_read(&dir, "f", &crl), -EINVAL, "text is no CRL");

    key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    is_int(sp_pki_key_write(&dir, "k", key), 0, "write a key");
    is_int(sp_pki_key_read(&dir, "k", &again), 0, "read it");
    is_int(EVP_PKEY_eq(key, again), 1, "the same key");
    ok(fstatat(dir.fd, "k", &st, 0) == 0 && (st.st_mode & 07777) == 0600, "mode 0600");
    EVP_PKEY_free(key);
    EVP_PKEY_free(again);
    sp_pki_dir_close(&dir);
}

int
main(void)
{
    static const char *const files[] = {"a/.lock", "f", "fifo", "h", "dangling", "empty", "k", ".lock"};
    char                     path[128];
    size_t                   i;

    strcpy(root, "/tmp/sp_pki_file.XXXXXX");
    if (mkdtemp(root) == NULL) {
        printf("Bail out! no temporary directory\n");
        return 1;
    }
    test_dir();
    test_files();
    for (i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", root, files[i]);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/a", root);
    rmdir(path);
    is_int(rmdir(root), 0, "nothing else was left");
    return done_testing();
}
