/*
 * How answers are laid down, in the memfd and on the wire. All numbers in the machine's order: both ends are one binary.
 *
 *   memfd:   "SPBUNDL1" | u64 count | count x { u32 kind, i32 error, u64 question bytes, u64 answer bytes, question, answer }
 *   wire:    { u32 kind, i32 error, u64 bytes } bytes
 *   answer of a glob: u64 count | count x { u64 bytes, path }
 */
#ifndef SP_CONF_BUNDLE_FORMAT_H
#define SP_CONF_BUNDLE_FORMAT_H

#include "base/arena.h"

#define SP_BUNDLE_MAGIC "SPBUNDL1"

enum sp_bundle_kind { SP_BUNDLE_READ = 1, SP_BUNDLE_GLOB, SP_BUNDLE_DONE, SP_BUNDLE_FAILED, SP_BUNDLE_ANSWER };

#define SP_BUNDLE_PATH_MAX  4096u
#define SP_BUNDLE_REPLY_MAX (16u << 20)
/* A glob's answer: as many paths as files may be included. */
#define SP_BUNDLE_ANSWER_MAX (SP_SOURCE_FILE_MAX + (1u << 20))

struct sp_bundle_record {
    uint32_t kind;
    int32_t  error;
    uint64_t question_bytes, answer_bytes;
};

struct sp_bundle_frame {
    uint32_t kind;
    int32_t  error;
    uint64_t bytes;
};

/* The answer of a glob, as bytes in the arena, and back. Back: -EBADMSG when the bytes are not such an answer; slices
 * point into them. */
struct sp_str sp_bundle_paths_pack(struct sp_arena *a, const struct sp_str *paths, size_t count);
int           sp_bundle_paths_unpack(struct sp_arena *a, struct sp_str bytes, struct sp_str **paths, size_t *count);

#endif
