/*
 * Unique names in the box (MQTT client ids): the keeper's registry arbitrates, workers ask. A claim is granted after the
 * previous holder, in whatever worker, has been told to go and has let go. Claims for one name are served in order of arrival.
 * When the keeper dies, claims wait for the next one, to which all workers re-announce what they hold.
 */
#ifndef SP_STORE_NAMES_H
#define SP_STORE_NAMES_H

#include "base/str.h"

struct sp_process;
struct sp_names;
struct sp_claim;

/* Worker side. `kicked`: the holder with this owner id must go; it calls sp_names_release when it has. */
int  sp_names_start(struct sp_process *p, void (*kicked)(struct sp_process *p, uint64_t owner), struct sp_names **out);
void sp_names_stop(struct sp_names *n);

/* Claims `name` (copied, at most 65,535 bytes) for `owner` (a conn id) in `space` (0 = MQTT client ids). granted(arg) is called
 * later, from the loop; a keeper that is out of memory has the owner kicked instead. NULL when out of memory. */
struct sp_claim *sp_names_claim(struct sp_names *n, uint8_t space, struct sp_str name, uint64_t owner,
                                void (*granted)(void *arg, bool took_over), void *arg);
/* Gives a granted name back, or withdraws a claim that still waits. Frees the claim. NULL is allowed. */
void sp_names_release(struct sp_names *n, struct sp_claim *c);

/* The keeper is up (a new one, perhaps): tells it what is held and repeats the claims that wait. */
void sp_names_keeper_up(struct sp_names *n);

/* No keeper will come any more, for another gateway takes over: claims are granted here, those that wait and those to come, so that
 * whoever was let in is not turned away half way. */
void sp_names_alone(struct sp_names *n);

/* Keeper side: registers bus handlers. State is in memory only. */
struct sp_registrar;
int  sp_registrar_start(struct sp_process *p, struct sp_registrar **out);
void sp_registrar_stop(struct sp_registrar *r);
/* The master's first list of peers was applied: nothing is granted until each of them has told what it holds. */
void     sp_registrar_peers_known(struct sp_registrar *r);
void     sp_registrar_peer_down(struct sp_registrar *r, unsigned slot);
unsigned sp_registrar_count(const struct sp_registrar *r);

#endif
