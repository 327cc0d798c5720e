/*
 * Packing of messages between the processes of one gateway and its control clients: fixed-width numbers in the machine's
 * byte order and length-prefixed bytes. The reader checks every length; after the first bad one everything reads as
 * zero or empty and `failed` stays set, so a parser checks once at its end.
 */
#ifndef SP_PROCESS_PACK_H
#define SP_PROCESS_PACK_H

#include "base/str.h"

struct sp_pack { /* zeroed = empty; the bytes are malloc'd */
    char  *p;
    size_t n, capacity;
    bool   failed; /* out of memory */
};

void sp_pack_u8(struct sp_pack *k, uint8_t v);
void sp_pack_u32(struct sp_pack *k, uint32_t v);
void sp_pack_u64(struct sp_pack *k, uint64_t v);
void sp_pack_bytes(struct sp_pack *k, const void *bytes, size_t n); /* no length */
void sp_pack_str(struct sp_pack *k, struct sp_str s);
void sp_pack_text(struct sp_pack *k, const char *text); /* NULL is written as empty */
void sp_pack_free(struct sp_pack *k);

struct sp_unpack {
    const char *p;
    size_t      n;
    bool        failed;
};

uint8_t       sp_unpack_u8(struct sp_unpack *u);
uint32_t      sp_unpack_u32(struct sp_unpack *u);
uint64_t      sp_unpack_u64(struct sp_unpack *u);
void          sp_unpack_bytes(struct sp_unpack *u, void *dst, size_t n); /* zeroes dst on failure */
struct sp_str sp_unpack_str(struct sp_unpack *u);
/* A malloc'd copy that ends in NUL; a NUL inside is a failure. NULL on failure. */
char *sp_unpack_text(struct sp_unpack *u);
/* Everything was there and nothing is left. */
bool sp_unpack_whole(const struct sp_unpack *u);

#endif
