/*
 * test_fragments.c - fragments that follow their first one: what flow.h promises case by case,
 * then random traffic, shuffled and lossy, against a model that keeps every datagram in a list.
 */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "core/flow.h"
#include "core/siphash.h"
#include "tunnel_packets.h"

#define SECOND_NS 1000000000ULL
#define PAYLOAD 1024 /* bytes of IP payload in a fragment that is not the last */

static pb_counter counters[PB_FLOW_COUNTERS];
static struct pb_flow flow;

/* A flow with an empty table of so many entries, and no counts. */
static void open_flow(uint32_t tuple, bool inner, uint32_t entries)
{
    struct pb_error error;
    pb_fragments_close(flow.fragments);
    flow = (struct pb_flow){.tuple = tuple, .inner = inner, .counters = counters};
    CHECK_EQUAL(pb_fragments_open(&flow.fragments, entries, &error), 0);
    for (uint32_t i = 0; i < PB_FLOW_COUNTERS; i++)
        pb_counter_set(&counters[i], 0);
}

static void check_counts(uint64_t kept, uint64_t unmatched)
{
    CHECK_EQUAL(pb_counter_get(&counters[PB_FLOW_FRAGMENTS_KEPT]), kept);
    CHECK_EQUAL(pb_counter_get(&counters[PB_FLOW_FRAGMENTS_UNMATCHED]), unmatched);
}

/* ---------------------------------------------------------- packets and batches */

/* A datagram of a flow and one fragment of it. */
struct piece {
    uint8_t version, protocol, host; /* host: which pair of addresses */
    uint16_t port;
    uint32_t id;
    uint16_t at;      /* in units of 8 */
    bool more, whole; /* whole: not fragmented at all */
    uint64_t time_ns;
    uint8_t vxlan;    /* 0, or the host of an outer pair of addresses: the whole packet is fragmented outside */
};

static void make_fragment_header(struct made *made, const struct piece *piece, uint8_t host)
{
    if (piece->version == 6) {
        uint8_t *header = made_wrap(made, 8);
        header[0] = piece->protocol;
        made_put16(header + 2, (uint32_t)piece->at << 3 | piece->more);
        made_put16(header + 4, piece->id >> 16);
        made_put16(header + 6, piece->id);
        wrap_ipv6(made, 44, host);
    } else {
        wrap_ipv4(made, piece->protocol, host);
        made_put16(made_bytes(made) + 4, piece->id);
        made_put16(made_bytes(made) + 6, (piece->more ? 0x2000u : 0u) | piece->at);
    }
}

static void make_piece(struct made *made, const struct piece *piece)
{
    made->start = MADE_BYTES;
    uint32_t payload = piece->more || piece->whole ? PAYLOAD : PAYLOAD / 2;
    memset(made_wrap(made, payload), 0xee, payload);
    if (piece->at == 0) {
        made_put16(made_bytes(made), piece->port);
        made_put16(made_bytes(made) + 2, 443);
    }
    if (piece->vxlan != 0 && piece->at == 0) {
        wrap_ip(made, piece->version, PB_PROTOCOL_UDP, piece->host);
        wrap_ethernet(made, ethertype_of(piece->version), 2);
        made_put(made, (const uint8_t[]){8, 0, 0, 0, 0, 0, 42, 0}, 8);
        wrap_udp(made, 50000, 4789);
    }
    uint8_t host = piece->vxlan != 0 ? piece->vxlan : piece->host;
    if (piece->whole)
        wrap_ip(made, piece->version, piece->protocol, host);
    else
        make_fragment_header(made, piece, host);
    wrap_ethernet(made, ethertype_of(piece->version), 2);
}

#define BATCH_MAX 64

/* Run pieces as one batch; their hashes into `hashes`. */
static void run(const struct piece *pieces, uint32_t count, uint32_t *hashes)
{
    static struct pb_packet packets[BATCH_MAX];
    static uint16_t index[BATCH_MAX];
    CHECK(count <= BATCH_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct made made;
        make_piece(&made, &pieces[i]);
        made_packet(&made, made_length(&made), PB_LINK_ETHERNET, &packets[i]);
        packets[i].timestamp_ns = pieces[i].time_ns;
        index[i] = (uint16_t)i;
    }
    struct pb_batch batch = {.packets = packets, .index = index, .count = count};
    pb_flow_begin(&flow, &batch);
    for (uint32_t i = 0; i < count; i++)
        hashes[i] = pb_flow_hashes(&flow, &packets[i]).split;
    for (uint32_t i = 0; i < count; i++)
        made_free(&packets[i]);
}

static uint32_t run_one(struct piece piece)
{
    uint32_t hash;
    run(&piece, 1, &hash);
    return hash;
}

/* Without a table: by ports if the packet is whole, else by addresses and protocol. */
static uint32_t hash_without(struct piece piece)
{
    struct pb_flow plain = {.tuple = flow.tuple, .inner = flow.inner, .counters = (pb_counter[PB_FLOW_COUNTERS]){0}};
    struct made made;
    struct pb_packet packet;
    make_piece(&made, &piece);
    made_packet(&made, made_length(&made), PB_LINK_ETHERNET, &packet);
    uint32_t hash = pb_flow_hashes(&plain, &packet).split;
    made_free(&packet);
    return hash;
}

/* The flow of the pieces below: whole packets, and the hash they have. */
static struct piece make_whole(uint8_t version)
{
    return (struct piece){.version = version, .protocol = PB_PROTOCOL_UDP, .host = 9, .port = 5353, .whole = true,
                          .time_ns = 1000 * SECOND_NS};
}

/* Fragment `n` of three. */
static struct piece fragment_of(struct piece whole, uint32_t id, uint32_t n)
{
    whole.whole = false;
    whole.id = id;
    whole.at = (uint16_t)(n * PAYLOAD / 8);
    whole.more = n < 2;
    return whole;
}

/* ------------------------------------------------------------------ case by case */

/* The vectors published with the reference implementation: key 00..0f, input 00, 01, ... */
static void test_siphash(void)
{
    uint8_t bytes[16];
    uint64_t key[2];
    for (uint8_t i = 0; i < 16; i++)
        bytes[i] = i;
    memcpy(key, bytes, 16);
    CHECK(pb_siphash(key, bytes, 0) == 0x726fdb47dd0e0e31);
    CHECK(pb_siphash(key, bytes, 1) == 0x74f839c593dc67fd);
    CHECK(pb_siphash(key, bytes, 8) == 0x93f5f5799a932462);
    CHECK(pb_siphash(key, bytes, 15) == 0xa129ca6149be45e5);
}

static void test_open(void)
{
    static const uint32_t refused[] = {0, 1, 32, 65, 1000, PB_FRAGMENTS_MAX + 1, 2u * PB_FRAGMENTS_MAX, UINT32_MAX};
    struct pb_fragments *table = NULL;
    for (uint32_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct pb_error error = {0};
        CHECK_EQUAL(pb_fragments_open(&table, refused[i], &error), -EINVAL);
        CHECK(strstr(error.text, "a power of two from 64 to 16777216") != NULL && table == NULL);
    }
    pb_fragments_close(NULL);
}

/* In every order within a batch, and in order over batches: together, and with the flow's whole packets. */
static void test_together(void)
{
    static const uint32_t orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (uint8_t version = 4; version <= 6; version += 2) {
        open_flow(4, false, PB_FRAGMENTS_DEFAULT);
        struct piece whole = make_whole(version), pieces[3];
        uint32_t hashes[3], expected = hash_without(whole);
        CHECK(hash_without(fragment_of(whole, 1, 0)) != expected);
        for (uint32_t o = 0; o < 6; o++) {
            for (uint32_t n = 0; n < 3; n++)
                pieces[n] = fragment_of(whole, o, orders[o][n]);
            run(pieces, 3, hashes);
            CHECK(hashes[0] == expected && hashes[1] == expected && hashes[2] == expected);
        }
        CHECK_EQUAL(run_one(whole), expected);
        for (uint32_t n = 0; n < 3; n++)
            CHECK_EQUAL(run_one(fragment_of(whole, 99, n)), expected);
        check_counts(14, 0);
    }
}

/* Over batches, a later fragment first: the datagram stays together by its addresses; the next one is right again. */
static void test_out_of_order(void)
{
    for (uint8_t version = 4; version <= 6; version += 2) {
        struct piece whole = make_whole(version);
        open_flow(4, false, PB_FRAGMENTS_DEFAULT);
        uint32_t guess = hash_without(fragment_of(whole, 1, 1)), expected = hash_without(whole);
        CHECK_EQUAL(run_one(fragment_of(whole, 1, 1)), guess);
        CHECK_EQUAL(run_one(fragment_of(whole, 1, 0)), guess);
        CHECK_EQUAL(run_one(fragment_of(whole, 1, 2)), guess);
        check_counts(1, 1);
        CHECK_EQUAL(run_one(fragment_of(whole, 2, 0)), expected);
        CHECK_EQUAL(run_one(fragment_of(whole, 2, 1)), expected);
        /* The guessed datagram is complete, so a new first fragment begins another one of the same identification. */
        CHECK_EQUAL(run_one(fragment_of(whole, 1, 0)), expected);
        CHECK_EQUAL(run_one(fragment_of(whole, 1, 1)), expected);
        /* So does one that comes too late to be that of a guess. */
        CHECK_EQUAL(run_one(fragment_of(whole, 3, 2)), guess);
        struct piece late = fragment_of(whole, 3, 0);
        late.time_ns += PB_FRAGMENTS_REORDER_NS + SECOND_NS / 10;
        CHECK_EQUAL(run_one(late), expected);
        CHECK_EQUAL(run_one(fragment_of(whole, 3, 1)), expected);
    }
}

/* By the packets' own time, which may go back a little. */
static void test_expiry(void)
{
    static const struct {
        int64_t seconds;
        bool kept;
    } cases[] = {{0, true}, {29, true}, {31, false}, {-5, true}, {-31, false}, {86400, false}, {-86400, false}};
    for (uint32_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        struct piece whole = make_whole(4);
        whole.time_ns += 100 * 86400 * SECOND_NS;
        open_flow(4, false, PB_FRAGMENTS_DEFAULT);
        uint32_t expected = run_one(fragment_of(whole, 1, 0));
        struct piece later = fragment_of(whole, 1, 1);
        later.time_ns += (uint64_t)cases[c].seconds * SECOND_NS;
        CHECK_EQUAL(run_one(later) == expected, cases[c].kept);
        check_counts(cases[c].kept, !cases[c].kept);
    }
}

/* The same identification again, for another flow between the same hosts; overlapping first fragments are the same. */
static void test_reused_identification(void)
{
    struct piece one = make_whole(4), two = one;
    two.port = 999;
    open_flow(4, false, PB_FRAGMENTS_DEFAULT);
    uint32_t first = run_one(fragment_of(one, 7, 0)), second = run_one(fragment_of(two, 7, 0));
    CHECK(first == hash_without(one) && second == hash_without(two) && first != second);
    CHECK_EQUAL(run_one(fragment_of(one, 7, 1)), second);
}

/* Each part of what tells datagrams apart does. */
static void test_telling_apart(void)
{
    struct piece whole = make_whole(4), whole6 = make_whole(6);
    open_flow(4, false, PB_FRAGMENTS_DEFAULT);
    uint32_t expected6 = run_one(fragment_of(whole6, 0x10007, 0));
    run_one(fragment_of(whole, 7, 0));
    struct piece others[] = {fragment_of(whole, 8, 1), fragment_of(whole, 7, 1), fragment_of(whole, 7, 1),
                             fragment_of(whole6, 7, 1), fragment_of(whole6, 0x10007, 1)};
    others[1].protocol = PB_PROTOCOL_TCP;
    others[2].host++;
    others[4].host++;
    for (uint32_t i = 0; i < 5; i++)
        CHECK_EQUAL(run_one(others[i]), hash_without(others[i]));
    check_counts(0, 5);
    /* RFC 8200: only the first fragment's next header counts. */
    struct piece other_next = fragment_of(whole6, 0x10007, 1);
    other_next.protocol = 60;
    CHECK_EQUAL(run_one(other_next), expected6);
    check_counts(1, 5);
}

/* Nothing to keep where the first fragment knows no more: no entry is used. */
static void test_no_ports(void)
{
    open_flow(4, false, PB_FRAGMENTS_DEFAULT);
    struct piece ping = make_whole(4);
    for (uint32_t i = 0; i < 2; i++) {
        ping.protocol = i == 0 ? 1 : 50;
        uint32_t expected = run_one(ping);
        for (uint32_t n = 3; n-- > 0;)
            CHECK_EQUAL(run_one(fragment_of(ping, 7, n)), expected);
    }
    check_counts(0, 0);
    open_flow(2, false, PB_FRAGMENTS_DEFAULT);
    struct piece udp = make_whole(4);
    for (uint32_t n = 3; n-- > 0;)
        CHECK_EQUAL(run_one(fragment_of(udp, 7, n)), run_one(udp));
    check_counts(0, 0);
}

/* A first fragment cut before its ports: all of the datagram by addresses and protocol. */
static void test_first_without_ports(void)
{
    open_flow(4, false, PB_FRAGMENTS_DEFAULT);
    struct piece whole = make_whole(4);
    struct made made;
    struct piece first = fragment_of(whole, 7, 0);
    make_piece(&made, &first);
    for (uint32_t cut = 34; cut < 39; cut++) {
        struct pb_packet packet;
        made_packet(&made, cut, PB_LINK_ETHERNET, &packet);
        packet.timestamp_ns = first.time_ns;
        pb_flow_begin(&flow, &(struct pb_batch){.packets = &packet, .index = (const uint16_t[]){0}, .count = 1});
        uint32_t hash = pb_flow_hashes(&flow, &packet).split;
        CHECK_EQUAL(hash == hash_without(whole), cut == 38);
        CHECK_EQUAL(run_one(fragment_of(whole, 7, 1)), hash);
        made_free(&packet);
    }
}

/* A VXLAN packet fragmented outside: by what is inside, with the other packets of that tunnelled flow. */
static void test_tunnel(void)
{
    for (uint32_t tuple = 2; tuple <= 4; tuple += 2)
        for (uint8_t version = 4; version <= 6; version += 2) {
            struct piece tunnelled = make_whole(version), plain = tunnelled;
            tunnelled.vxlan = 200;
            open_flow(tuple, true, PB_FRAGMENTS_DEFAULT);
            uint32_t expected = run_one(plain);
            CHECK_EQUAL(run_one(tunnelled), expected);
            uint32_t hashes[3];
            run((const struct piece[]){fragment_of(tunnelled, 7, 2), fragment_of(tunnelled, 7, 1), fragment_of(tunnelled, 7, 0)}, 3,
                hashes);
            CHECK(hashes[0] == expected && hashes[1] == expected && hashes[2] == expected);
            check_counts(2, 0);
            CHECK_EQUAL(pb_counter_get(&counters[PB_FLOW_TUNNELLED]), 2);
            CHECK_EQUAL(pb_counter_get(&counters[PB_FLOW_TUNNELLED + PB_INNER_FRAGMENT]), 0);
            CHECK_EQUAL(run_one(fragment_of(tunnelled, 8, 1)), hash_without(fragment_of(tunnelled, 8, 1)));
            CHECK_EQUAL(pb_counter_get(&counters[PB_FLOW_TUNNELLED + PB_INNER_FRAGMENT]), 1);
        }
}

/* Fragments in a tunnel whose packets are fragmented again: each level follows its own first fragment. */
static void test_both_levels(void)
{
    struct piece whole = make_whole(4);
    open_flow(4, true, PB_FRAGMENTS_DEFAULT);
    uint32_t expected = run_one(whole);
    for (uint32_t n = 0; n < 3; n++)
        for (uint32_t outer = 0; outer < 2; outer++) {
            struct made made;
            struct piece piece = fragment_of(whole, 7, n);
            make_piece(&made, &piece);
            made.start += PB_ETHERNET_BYTES;
            made.start += outer * 400;
            wrap_ipv4(&made, PB_PROTOCOL_IPV4, 77);
            if (outer == 0)
                made_put16(made_bytes(&made) + 2, PB_IPV4_BYTES + 400); /* what follows is no part of it */
            made_put16(made_bytes(&made) + 4, 100 + n);
            made_put16(made_bytes(&made) + 6, outer == 0 ? 0x2000 : 400 / 8);
            wrap_ethernet(&made, PB_ETHERTYPE_IPV4, 2);
            struct pb_packet packet;
            made_packet(&made, made_length(&made), PB_LINK_ETHERNET, &packet);
            packet.timestamp_ns = piece.time_ns;
            pb_flow_begin(&flow, &(struct pb_batch){.packets = &packet, .index = (const uint16_t[]){0}, .count = 1});
            CHECK_EQUAL(pb_flow_hashes(&flow, &packet).split, expected);
            made_free(&packet);
        }
    check_counts(5, 0); /* three outer ones, two inner ones */
}

/* A full table gives up the oldest incomplete datagram of a bucket, and says so; complete ones cost nothing. */
static void test_overflow(void)
{
    struct piece whole = make_whole(4);
    open_flow(4, false, PB_FRAGMENTS_MIN);
    for (uint32_t id = 0; id < 1000; id++)
        for (uint32_t n = 0; n < 3; n++)
            run_one(fragment_of(whole, id, n));
    check_counts(2000, 0);
    CHECK_EQUAL(pb_counter_get(&counters[PB_FLOW_FRAGMENTS_OVERFLOW]), 0);
    for (uint32_t id = 2000; id < 3000; id++) { /* also with a first fragment that was looked for ahead */
        uint32_t hashes[3];
        run((const struct piece[]){fragment_of(whole, id, 1), fragment_of(whole, id, 0), fragment_of(whole, id, 2)}, 3, hashes);
    }
    check_counts(4000, 0);
    CHECK_EQUAL(pb_counter_get(&counters[PB_FLOW_FRAGMENTS_OVERFLOW]), 0);

    open_flow(4, false, PB_FRAGMENTS_MIN);
    const uint32_t datagrams = 1000;
    for (uint32_t id = 0; id < datagrams; id++) {
        whole.time_ns += SECOND_NS / 500;
        run_one(fragment_of(whole, id, 0));
    }
    uint64_t overflows = pb_counter_get(&counters[PB_FLOW_FRAGMENTS_OVERFLOW]);
    uint32_t expected = hash_without(whole), kept = 0;
    for (uint32_t id = datagrams; id-- > datagrams - 24;)
        kept += run_one(fragment_of(whole, id, 1)) == expected;
    /* Sixteen buckets, four entries each: of the youngest 24 most are there. Were the youngest given up, a bucket held one. */
    CHECK(kept > 16);
    /* What is not held was given up, and was counted: 64 entries at the most are left. */
    CHECK(overflows >= datagrams - PB_FRAGMENTS_MIN && overflows < datagrams);
    /* All of it has run out after 30 s: room again without an overflow. */
    whole.time_ns += 40 * SECOND_NS;
    overflows = pb_counter_get(&counters[PB_FLOW_FRAGMENTS_OVERFLOW]);
    run_one(fragment_of(whole, 5000, 0));
    CHECK_EQUAL(pb_counter_get(&counters[PB_FLOW_FRAGMENTS_OVERFLOW]), overflows);
}

/* --------------------------------------------------------------- against a model */

/* What a table without bounds would know of a datagram. */
struct known {
    uint8_t version, host;
    uint32_t id, hash;
    uint64_t made_ns;
    bool guessed, foreseen;
    uint32_t came, stated; /* units; repeats count again */
};
#define KNOWN_MAX 4096
static struct known list[KNOWN_MAX];
static uint32_t list_count;

/* Forth or back: what was noted ahead is younger than what asks for it. */
static uint64_t apart_ns(const struct piece *piece, const struct known *known)
{
    return piece->time_ns > known->made_ns ? piece->time_ns - known->made_ns : known->made_ns - piece->time_ns;
}

static struct known *model_find(const struct piece *piece)
{
    for (uint32_t i = 0; i < list_count; i++)
        if (list[i].version == piece->version && list[i].host == piece->host && list[i].id == piece->id)
            return apart_ns(piece, &list[i]) <= PB_FRAGMENTS_LIFE_NS ? &list[i] : NULL;
    return NULL;
}

static struct known *model_set(const struct piece *piece, uint32_t hash, bool guessed)
{
    struct known *known = NULL;
    for (uint32_t i = 0; i < list_count && known == NULL; i++)
        if (list[i].version == piece->version && list[i].host == piece->host && list[i].id == piece->id)
            known = &list[i];
    if (known == NULL) {
        CHECK(list_count < KNOWN_MAX);
        known = &list[list_count++];
    }
    *known = (struct known){piece->version, piece->host, piece->id, hash, piece->time_ns, guessed, false, 0, 0};
    return known;
}

static uint32_t model_count(struct known *known, const struct piece *piece)
{
    if (piece->more)
        known->came += PAYLOAD / 8;
    else
        known->stated += piece->at;
    return known->hash;
}

static uint32_t whole_hash(struct piece piece)
{
    piece.whole = true;
    piece.at = 0;
    return hash_without(piece);
}

/* What the i-th of the batch's pieces should get. `ahead`: the batch was searched for first fragments. */
static uint32_t model(const struct piece *batch, uint32_t count, uint32_t i, bool *ahead)
{
    const struct piece *piece = &batch[i];
    if (piece->whole)
        return hash_without(*piece);
    struct known *known = model_find(piece);
    if (piece->at == 0) {
        bool follows = known != NULL && known->guessed && known->came != known->stated &&
                       apart_ns(piece, known) <= PB_FRAGMENTS_REORDER_NS;
        if (!follows && (known == NULL || !known->foreseen))
            known = model_set(piece, whole_hash(*piece), false);
        known->guessed = known->foreseen = false;
        return model_count(known, piece);
    }
    if (known == NULL && !*ahead) {
        *ahead = true;
        for (uint32_t k = 0; k < count; k++)
            if (!batch[k].whole && batch[k].at == 0 && model_find(&batch[k]) == NULL)
                model_set(&batch[k], whole_hash(batch[k]), false)->foreseen = true;
        known = model_find(piece);
    }
    if (known == NULL)
        known = model_set(piece, hash_without(*piece), true);
    return model_count(known, piece);
}

static uint32_t random_state = 7;
static uint32_t random_below(uint32_t bound)
{
    random_state = random_state * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)random_state * bound >> 32);
}

/* Datagrams of three fragments of few hosts and identifications; some lost, some late, some long silent. */
static void test_model(void)
{
    enum { PIECES = 30000 };
    static struct piece pieces[PIECES + 3];
    uint32_t count = 0;
    uint64_t time_ns = 1000 * SECOND_NS;
    while (count < PIECES) {
        struct piece whole = make_whole(random_below(2) ? 4 : 6);
        whole.host = (uint8_t)(1 + random_below(10));
        whole.port = (uint16_t)(1000 + random_below(50));
        uint32_t id = random_below(40);
        /* Steps of whole ticks, so that what is just old enough is so for both. */
        time_ns += (uint64_t)random_below(300) << 20;
        if (random_below(500) == 0)
            time_ns += 20000ULL << 20;
        whole.time_ns = time_ns;
        if (random_below(3) == 0)
            pieces[count++] = whole;
        else
            for (uint32_t n = 0; n < 3; n++)
                if (random_below(10) != 0)
                    pieces[count++] = fragment_of(whole, id, n);
    }
    /* Late by up to eight places; the stamps stay in order, as a port gives them. */
    for (uint32_t i = 0; i + 8 < count; i++) {
        uint32_t k = random_below(3) == 0 ? i + random_below(8) : i;
        struct piece swap = pieces[i];
        uint64_t earlier = pieces[i].time_ns, later = pieces[k].time_ns;
        pieces[i] = pieces[k];
        pieces[k] = swap;
        pieces[i].time_ns = earlier;
        pieces[k].time_ns = later;
    }
    open_flow(4, false, PB_FRAGMENTS_DEFAULT);
    uint32_t moved = 0;
    for (uint32_t at = 0; at < count;) {
        uint32_t batch = 1 + random_below(24), hashes[BATCH_MAX];
        if (at + batch > count)
            batch = count - at;
        run(pieces + at, batch, hashes);
        bool ahead = false;
        for (uint32_t i = 0; i < batch; i++) {
            uint32_t expected = model(pieces + at, batch, i, &ahead);
            CHECK_EQUAL(hashes[i], expected);
            moved += expected != hash_without(pieces[at + i]);
        }
        at += batch;
    }
    CHECK(moved > count / 3);
    CHECK_EQUAL(pb_counter_get(&counters[PB_FLOW_FRAGMENTS_OVERFLOW]), 0);
    CHECK(pb_counter_get(&counters[PB_FLOW_FRAGMENTS_UNMATCHED]) > 100);
}

int main(void)
{
    test_siphash();
    test_open();
    test_together();
    test_out_of_order();
    test_expiry();
    test_reused_identification();
    test_telling_apart();
    test_no_ports();
    test_first_without_ports();
    test_tunnel();
    test_both_levels();
    test_overflow();
    test_model();
    pb_fragments_close(flow.fragments);
    return 0;
}
