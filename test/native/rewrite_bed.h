/*
 * rewrite_bed.h - the bed of test_rewrite.c: a port driver "bed" whose input lends
 * numbered frames, writable or not, and looks after their bytes, and whose outputs keep
 * what they get, at once or one packet at a time.
 *
 * The engine thread fills `bed_received`; the test reads it when that has ended.
 */
#ifndef PB_REWRITE_BED_H
#define PB_REWRITE_BED_H

#include "accounts.h"
#include "core/parse.h"
#include "toeplitz_bits.h"

#define BED_FRAMES_MAX 512
#define BED_FRAME_BYTES 1600
#define BED_OUTPUTS_MAX 32
#define BED_RECORDS_MAX 16384
#define BED_HEAD_BYTES 64

/* What the input sends: the test fills it in. */
struct bed_frame {
    uint8_t bytes[BED_FRAME_BYTES];
    uint32_t captured_len, wire_len;
    uint16_t link_type;
    bool has_nic_hash;
    uint32_t nic_hash;
};
static struct bed_frame bed_frames[BED_FRAMES_MAX];
static uint32_t bed_frames_count;

/* What an output got. */
struct bed_record {
    uint8_t head[BED_HEAD_BYTES], tail[12];
    uint32_t captured_len, wire_len;
};
struct bed_output {
    struct bed_record records[BED_RECORDS_MAX];
    uint32_t count;
    uint32_t lent;      /* of them, packets of an input itself, not copies */
    uint32_t lent_sole; /* and it was told that nobody else sees these */
};
static struct bed_output bed_received[BED_OUTPUTS_MAX];

/* Who was offered the input's own packet, by its number, in one run: how often, and how often as its
 * sole owner. A packet that is refused and offered again counts when it is taken. */
static struct bed_sight {
    uint32_t offered, sole;
} bed_sights[BED_FRAMES_MAX];

struct bed_port {
    struct bed_frame *lent; /* as the engine may change it */
    uint32_t next, lent_count, lent_from;
    bool refuse;
};

static int bed_open(struct pb_port *port, struct pb_error *error)
{
    (void)error;
    struct bed_port *bed = calloc(1, sizeof(*bed));
    CHECK(bed != NULL);
    memset(bed_sights, 0, sizeof(bed_sights));
    if (port->role == PB_PORT_INPUT) {
        bed->lent = calloc(port->batch_packets, sizeof(*bed->lent));
        CHECK(bed->lent != NULL);
        port->writable = pb_port_option_boolean(port, "writable");
        port->pausable = pb_port_option_boolean(port, "pausable");
    } else {
        struct bed_output *output = &bed_received[atoi(port->name)];
        output->count = output->lent = output->lent_sole = 0;
    }
    port->state = bed;
    return 0;
}

static uint32_t bed_rx_batch(struct pb_port *port, struct pb_packet *packets, uint32_t packets_max)
{
    struct bed_port *bed = port->state;
    uint32_t count = 0;
    uint64_t bytes = 0;
    bed->lent_from = bed->next;
    for (; count < packets_max && bed->next < bed_frames_count; count++) {
        const struct bed_frame *frame = &bed_frames[bed->next++];
        bed->lent[count] = *frame;
        pb_packet_init(&packets[count], bed->lent[count].bytes, frame->captured_len, frame->wire_len, bed->next,
                       frame->link_type);
        if (frame->has_nic_hash)
            pb_packet_set_nic_hash(&packets[count], frame->nic_hash);
        bytes += frame->wire_len;
    }
    bed->lent_count = count;
    port->exhausted = count == 0;
    pb_port_received(port, count, bytes);
    return count;
}

/* Nobody has changed what was not for writing, nor anything behind a packet. */
static void bed_rx_release(struct pb_port *port)
{
    struct bed_port *bed = port->state;
    for (uint32_t i = 0; i < bed->lent_count; i++) {
        const struct bed_frame *sent = &bed_frames[bed->lent_from + i];
        uint32_t from = port->writable ? sent->captured_len : 0;
        CHECK(memcmp(bed->lent[i].bytes + from, sent->bytes + from, BED_FRAME_BYTES - from) == 0);
    }
}

/* What an output is told is so: whose packets these are, and which of them are copies. */
static void bed_check_told(const struct pb_tx *tx)
{
    CHECK(tx->from != NULL && tx->from->role == PB_PORT_INPUT && tx->from->operations->rx_batch == bed_rx_batch);
    CHECK_EQUAL(tx->lent, tx->from->batch_packets);
    CHECK_EQUAL(tx->may_wait, tx->from->pausable);
    const struct bed_port *from = tx->from->state;
    for (uint32_t i = 0; i < tx->count; i++) {
        const uint8_t *data = tx->packets[tx->index[i]].data;
        bool is_lent = tx->index[i] < tx->lent;
        CHECK(!is_lent || tx->index[i] < from->lent_count);
        if (is_lent)
            CHECK(data == from->lent[tx->index[i]].bytes);
        else
            CHECK(data < from->lent[0].bytes || data >= from->lent[tx->from->batch_packets - 1].bytes + BED_FRAME_BYTES);
    }
}

/* One packet was taken: see bed_sights. */
static void bed_note_sight(struct bed_output *output, const struct pb_tx *tx, uint16_t index)
{
    if (index >= tx->lent)
        return;
    const struct bed_port *from = tx->from->state;
    struct bed_sight *sight = &bed_sights[from->lent_from + index];
    sight->offered++;
    output->lent++;
    if (tx->sole) {
        sight->sole++;
        output->lent_sole++;
    }
}

static void bed_keep(struct bed_output *output, const struct pb_packet *packet)
{
    CHECK(output->count < BED_RECORDS_MAX);
    struct bed_record *record = &output->records[output->count++];
    memset(record, 0, sizeof(*record));
    uint32_t head = packet->captured_len < BED_HEAD_BYTES ? packet->captured_len : BED_HEAD_BYTES;
    memcpy(record->head, packet->data, head);
    if (packet->captured_len >= sizeof(record->tail))
        memcpy(record->tail, packet->data + packet->captured_len - sizeof(record->tail), sizeof(record->tail));
    record->captured_len = packet->captured_len;
    record->wire_len = packet->wire_len;
}

static uint32_t bed_tx_batch(struct pb_port *port, const struct pb_tx *tx)
{
    struct bed_port *bed = port->state;
    /* A slow one takes a packet, refuses the next, and so on. */
    bool slow = tx->may_wait && pb_port_option_boolean(port, "slow");
    bed->refuse = slow && !bed->refuse;
    uint32_t taken = !slow ? tx->count : bed->refuse ? 0 : 1;
    uint64_t bytes = 0;
    struct bed_output *output = &bed_received[atoi(port->name)];
    bed_check_told(tx);
    for (uint32_t i = 0; i < taken; i++) {
        bed_keep(output, &tx->packets[tx->index[i]]);
        bed_note_sight(output, tx, tx->index[i]);
        bytes += tx->packets[tx->index[i]].wire_len;
    }
    pb_port_sent(port, taken, bytes);
    return taken;
}

static bool bed_wait(struct pb_port *port, struct pb_wait *wait)
{
    (void)wait;
    return port->role == PB_PORT_INPUT && port->exhausted;
}

static void bed_close(struct pb_port *port)
{
    struct bed_port *bed = port->state;
    free(bed->lent);
    free(bed);
    port->state = NULL;
}

static const struct pb_option_desc bed_options[] = {
    {"writable", PB_OPTION_BOOLEAN, "0", 0, 1, "input: bricks may change its packets"},
    {"pausable", PB_OPTION_BOOLEAN, "0", 0, 1, "input: waits for outputs"},
    {"slow", PB_OPTION_BOOLEAN, "0", 0, 1, "output: takes one packet at a time"},
    {.name = NULL},
};

static const struct pb_port_operations bed_operations = {
    .open = bed_open,
    .rx_batch = bed_rx_batch,
    .rx_release = bed_rx_release,
    .tx_batch = bed_tx_batch,
    .wait = bed_wait,
    .close = bed_close,
};

static const struct pb_port_driver bed_driver = {
    .name = "bed",
    .text = "frames of a test",
    .input = true,
    .output = true,
    .options = bed_options,
    .operations = &bed_operations,
};
PB_PORT_DRIVER(bed_driver);

/* Frame `number`: UDP over IPv4, its number behind the headers; of another length than its neighbours. */
static void bed_make_frame(uint32_t number)
{
    struct bed_frame *frame = &bed_frames[number];
    memset(frame, 0, sizeof(*frame));
    frame->captured_len = frame->wire_len = 60 + number * 97 % 1440;
    frame->link_type = PB_LINK_ETHERNET;
    for (uint32_t i = 46; i < frame->captured_len; i++)
        frame->bytes[i] = (uint8_t)(number + i);
    memcpy(frame->bytes, (const uint8_t[]){2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0}, 14);
    uint8_t *ip = frame->bytes + 14;
    uint32_t total = frame->captured_len - 14;
    memcpy(ip, (const uint8_t[]){0x45, 0, (uint8_t)(total >> 8), (uint8_t)total}, 4);
    memcpy(ip + 8, (const uint8_t[]){64, 17}, 2);
    memcpy(ip + 12, (const uint8_t[]){10, 1, (uint8_t)(number >> 8), (uint8_t)number, 192, 168, 0, 1}, 8);
    memcpy(ip + 20, (const uint8_t[]){4, (uint8_t)number, 0, 53}, 4);
    memcpy(frame->bytes + 42, &number, sizeof(number));
}

static void bed_make_frames(uint32_t count)
{
    for (bed_frames_count = 0; bed_frames_count < count; bed_frames_count++)
        bed_make_frame(bed_frames_count);
}

#endif
