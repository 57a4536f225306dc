/* loans.c - see loans.h. */
#include "loans.h"

static const struct pb_loan *nth(const struct pb_loans *loans, uint32_t n)
{
    return &loans->queue[(loans->first + n) % PB_LOANS_MAX];
}

static void return_first(struct pb_loans *loans)
{
    const struct pb_loan *loan = nth(loans, 0);
    pb_region_drop(loan->region, loan->block);
    loans->first++;
    loans->count--;
    loans->overdue = false;
}

void pb_loans_return(struct pb_loans *loans, uint64_t tail)
{
    while (loans->count > 0 && pb_ring_reached(tail, nth(loans, 0)->end))
        return_first(loans);
}

void pb_loans_return_all(struct pb_loans *loans)
{
    while (loans->count > 0)
        return_first(loans);
}

void pb_loans_tick(struct pb_loans *loans, uint64_t tail)
{
    pb_loans_return(loans, tail);
    loans->overdue = tail == loans->tail_at_tick;
    loans->tail_at_tick = tail;
}

uint64_t pb_loans_half(const struct pb_loans *loans)
{
    return nth(loans, (loans->count - 1) / 2)->end;
}

bool pb_loans_find(const struct pb_loans *loans, const uint8_t *data, struct pb_loan_window *window,
                   struct pb_loan *loan)
{
    *window = (struct pb_loan_window){.memory = data, .bytes = 1};
    for (uint32_t i = 0; i < loans->regions_count; i++) {
        struct pb_region *region = loans->regions[i];
        uint64_t offset = (uint64_t)((uintptr_t)data - (uintptr_t)region->memory);
        if (offset >= region->bytes)
            continue;
        uint32_t block = (uint32_t)(offset / region->block_bytes);
        uint64_t start = block * region->block_bytes;
        *window = (struct pb_loan_window){
            .memory = region->memory + start, .bytes = region->block_bytes, .reference = pb_reference(i, start)};
        *loan = (struct pb_loan){.region = region, .block = block};
        return true;
    }
    return false;
}

bool pb_loans_are_many(const struct pb_loans *loans, const struct pb_region *region)
{
    return loans->count >= region->blocks / 4 || loans->count == PB_LOANS_MAX || !pb_region_may_hold(region, loans->count);
}

bool pb_loans_take(struct pb_loans *loans, const struct pb_loan *loan)
{
    if (loans->count > 0) {
        const struct pb_loan *last = nth(loans, loans->count - 1);
        if (last->region == loan->region && last->block == loan->block)
            return true;
    }
    if (loans->count == PB_LOANS_MAX || !pb_region_may_hold(loan->region, loans->count))
        return false;
    pb_region_hold(loan->region, loan->block);
    loans->queue[(loans->first + loans->count++) % PB_LOANS_MAX] = *loan;
    return true;
}
