/*
 * fragments.h - which flow hash the fragments of a datagram follow.
 *
 * Only the first fragment of a datagram has the ports (and, in a tunnel, the
 * inner headers). This table remembers, for each datagram, the flow hash that
 * its first fragment had, which is that of the flow's whole packets; the later
 * fragments take it. For bricks, on the engine thread; the memory is the
 * table's, of fixed size, all of it taken by pb_fragments_open().
 *
 * A datagram is told by its addresses, identification, IP version and, in IPv4,
 * protocol (RFC 791; RFC 8200 section 4.5 leaves the protocol out), hashed to 62
 * bits by SipHash with a random key: nobody can aim at another's entry.
 */
#ifndef PB_FRAGMENTS_H
#define PB_FRAGMENTS_H

#include "parse.h"
#include "packet_bricks.h"

/* How long an entry is good: Linux's ipfrag_time. By the packets' timestamps. */
#define PB_FRAGMENTS_LIFE_NS 30000000000ULL

/* Memory of an entry: a table of the default size has 1 MiB. */
#define PB_FRAGMENTS_ENTRY_BYTES 16

struct pb_fragments;

/* A table of `entries` datagrams, a power of two from PB_FRAGMENTS_MIN to
 * PB_FRAGMENTS_MAX. 0, or -errno with the text in error. */
int pb_fragments_open(struct pb_fragments **table, uint32_t entries, struct pb_error *error);
void pb_fragments_close(struct pb_fragments *table);

#endif
