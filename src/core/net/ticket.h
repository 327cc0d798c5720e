/*
 * Session tickets (RFC 8446 4.6.1). One a connection, sent together with the first bytes of output; its keys come from the master's
 * secret, the trust's digest and the hour (the last hour's still open), so all workers agree and a changed CA or CRL makes
 * every ticket worthless. A ticket holds the PSK, the time of the full handshake and the peer's chain in DER, not OpenSSL's parsed
 * certificate, whose copy is what makes tickets dear. It ends session_lifetime after the full handshake, however often it was
 * renewed, and never later than the peer's certificate. TLS 1.2 sessions are not resumed.
 */
#ifndef SP_NET_TICKET_H
#define SP_NET_TICKET_H

#include "net/trust.h"

/* At build: callbacks into t->ctx. The keys are made when first needed. 0 or -ENOMEM. */
int sp_ticket_setup(struct sp_trust *t, struct sp_arena *a);

/* After a handshake: drops what OpenSSL keeps of it and nobody needs any more (the peer's parsed chain, its key share): a third of the
 * memory of a connection. The chain is in the identity. */
void sp_ticket_slim(SSL *ssl);

/* Makes the next SSL_write send a ticket for a session that had its full handshake at `started_s`. False: none is due. */
bool sp_ticket_issue(SSL *ssl, const struct sp_identity *id, int64_t started_s, int64_t now_s);
/* After that write. */
void sp_ticket_sent(SSL *ssl);

/* What the ticket of a resumed session holds. Valid until sp_ticket_slim. -ENOENT. */
int sp_ticket_read(SSL *ssl, int64_t *started_s, struct sp_str *chain_der);

#endif
