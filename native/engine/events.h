/*
 * events.h - one-line reports of engine threads to the control plane.
 *
 * Any thread posts; the control thread takes (pb_event_take() in the public
 * header). A bounded queue: when it is full the newest is dropped and counted,
 * so a fault that repeats cannot eat memory. Never called for each packet.
 */
#ifndef PB_EVENTS_H
#define PB_EVENTS_H

void pb_event_post(int engine, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
