#ifndef SP_CLI_PKI_H
#define SP_CLI_PKI_H

/*
 * sallyport pki: a small certificate authority for a fleet.
 * argv[0] is "pki".  Output goes to stdout, complaints to stderr.
 * Returns the exit code: 0 ok, 1 runtime failure, 2 usage.
 * Uses libc and OpenSSL 3 only.
 */
int sp_pki_main(int argc, char **argv);

#endif
