// Limits that several parts of lua/ share.

/**
 * How long something may take that nothing can interrupt (a callback of table.sort or a metamethod, a pattern, the
 * compiler): no other chunk, session or signal has its turn meanwhile.
 */
export const blockingMsMax = 1000;

/** The same for messages. */
export const blockingSeconds = blockingMsMax / 1000;

/** Elements that one call of table.* goes through; more do not fit into memory, and would block for minutes. */
export const elementsMax = 10_000_000;
