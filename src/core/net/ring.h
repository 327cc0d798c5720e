/*
 * A single-producer single-consumer ring of records in shared memory (one memfd per ordered pair of processes, made by
 * the master before any fork). The tail is published after the whole record, so a producer killed half way leaves nothing
 * behind. The consumer validates every length: a record that cannot be is -EBADMSG and the ring is skipped to its tail.
 * The protocol of sleeping: publish tail, full fence, look at the consumer's sleep flag, write its eventfd only if it
 * sleeps; the same the other way round for a producer that waits for room.
 */
#ifndef SP_NET_RING_H
#define SP_NET_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sp_ring;

#define SP_RING_ALIGN     8
#define SP_RING_MIN_BYTES 65536

/* bytes: capacity, a power of two from SP_RING_MIN_BYTES to 1 GiB. The mapping is MAP_SHARED and survives forks.
 * -EINVAL, -ENOMEM, or what memfd_create and mmap give. */
int sp_ring_create(size_t bytes, struct sp_ring **out);
/* A mapping that somebody else made (tests, fuzzing): `bytes` of memory with the ring's header in front; a header that
 * cannot be is -EBADMSG. The memory stays the caller's. */
int    sp_ring_attach(void *memory, size_t bytes, struct sp_ring **out);
void   sp_ring_destroy(struct sp_ring *r);
size_t sp_ring_header_bytes(void);
size_t sp_ring_max_record(const struct sp_ring *r); /* capacity / 4 */
size_t sp_ring_used(const struct sp_ring *r);

/* -- producer -- */

/* In a new producer: goes on behind what its predecessor published. */
void sp_ring_produce(struct sp_ring *r);
/* Room for a record of n bytes, contiguous and aligned; NULL when the ring is too full. Not visible until the publish. */
void *sp_ring_reserve(struct sp_ring *r, size_t n);
/* Everything reserved since the last publish becomes visible. */
void sp_ring_publish(struct sp_ring *r);
/* After a publish: does the consumer sleep? Fences; clears the flag when it returns true, so one doorbell is rung. */
bool sp_ring_consumer_sleeps(struct sp_ring *r);
/* Asks the consumer to ring when half of the ring is free again. Fences: look for room once more after it. */
void sp_ring_want_room(struct sp_ring *r);

/* -- consumer -- */

/* In a new consumer: forgets what was meant for its predecessor. */
void sp_ring_consume(struct sp_ring *r);
/* The next record: 0 and its bytes (valid until the advance), -EAGAIN when empty, -EBADMSG (all that was there is
 * skipped). */
int sp_ring_peek(struct sp_ring *r, const void **record, size_t *n);
/* Frees the record that was peeked. */
void sp_ring_advance(struct sp_ring *r);
/* Before the consumer waits: false when there is something after all. */
bool sp_ring_sleep(struct sp_ring *r);
void sp_ring_wake(struct sp_ring *r); /* clears the flag: awake again */
/* True once when the producer asked for room and has it: ring its doorbell. */
bool sp_ring_producer_waits(struct sp_ring *r);

#endif
