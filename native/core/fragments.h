/*
 * fragments.h - which flow hash the fragments of a datagram follow.
 *
 * Only the first fragment of a datagram has the ports (and, of a tunnel, the
 * inner headers). This table remembers, for each datagram, the flow hash that
 * its first fragment had, which is that of the flow's whole packets; the later
 * fragments take it. For flow.c, on the engine thread; the memory is the
 * table's, of fixed size, all of it taken by pb_fragments_open().
 *
 * A datagram is told by its addresses, identification, IP version and, in IPv4,
 * protocol (RFC 791; RFC 8200 section 4.5 leaves the protocol out), hashed by
 * SipHash under a random key: nobody can aim at another's entry. Four entries
 * make a bucket, a cache line. An entry is good for PB_FRAGMENTS_LIFE_NS from
 * when it was made, as Linux's ipfrag_time; a new first fragment makes it anew.
 * Where a bucket is full, an entry that ran out or whose datagram is complete by
 * the lengths its fragments stated gives way, else the oldest: an overflow.
 */
#ifndef PB_FRAGMENTS_H
#define PB_FRAGMENTS_H

#include "ip.h"
#include "packet_bricks.h"

#define PB_FRAGMENTS_LIFE_NS 30000000000ULL
/* How long after a later fragment its first may come and still follow it: behind that
 * it belongs to another datagram with the same identification. */
#define PB_FRAGMENTS_REORDER_NS 1000000000ULL
/* Memory of an entry: a table of PB_FRAGMENTS_DEFAULT has 1 MiB. */
#define PB_FRAGMENTS_ENTRY_BYTES 16

struct pb_fragments;

/* A table of `entries` datagrams, a power of two from PB_FRAGMENTS_MIN to
 * PB_FRAGMENTS_MAX. 0, or -errno with the text in error. */
int pb_fragments_open(struct pb_fragments **table, uint32_t entries, struct pb_error *error);
/* NULL is none. */
void pb_fragments_close(struct pb_fragments *table);

/* What a datagram is known by; `data` is the packet's that the fragment is in. */
uint64_t pb_fragments_datagram(const struct pb_fragments *table, const uint8_t *data, const struct pb_fragment *fragment);

/* A first fragment, whose packet has `hash`. Returns the hash to use: another one
 * where a later fragment came before it and its datagram was guessed. */
uint32_t pb_fragments_first(struct pb_fragments *table, uint64_t datagram, const struct pb_fragment *fragment,
                            uint64_t now_ns, uint32_t hash);

/* The same, before the fragment's turn: kept where nothing is known of the datagram yet. */
void pb_fragments_foresee(struct pb_fragments *table, uint64_t datagram, const struct pb_fragment *fragment, uint64_t now_ns,
                          uint32_t hash);

enum pb_fragments_known {
    PB_FRAGMENTS_UNKNOWN, /* nothing of this datagram was seen */
    PB_FRAGMENTS_GUESSED, /* *hash is what pb_fragments_guess() said */
    PB_FRAGMENTS_KEPT     /* *hash is the first fragment's */
};

/* A later fragment. */
enum pb_fragments_known pb_fragments_later(struct pb_fragments *table, uint64_t datagram,
                                           const struct pb_fragment *fragment, uint64_t now_ns, uint32_t *hash);

/* A later fragment of a datagram that is not known goes by `hash`: so will the rest of it. */
void pb_fragments_guess(struct pb_fragments *table, uint64_t datagram, const struct pb_fragment *fragment, uint64_t now_ns,
                        uint32_t hash);

/* Entries given up for another datagram's while they were good and their datagram incomplete. */
uint64_t pb_fragments_overflows(const struct pb_fragments *table);

#endif
