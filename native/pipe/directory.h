/*
 * directory.h - names of pipes, and where their sockets are.
 *
 *   <runtime directory>/pipes/<name>.sock   the attach socket
 *   <runtime directory>/pipes/<name>.lock   held, and removed, by the process that serves it
 *
 * Used by engine and reader, on any thread; no state.
 */
#ifndef PB_DIRECTORY_H
#define PB_DIRECTORY_H

#include <stdbool.h>
#include <sys/un.h>

#include "packet_bricks.h"

/* A pipe's name as an application says it ("eth3}0"): 0, or -EINVAL with the remedy. */
int pb_pipe_name_check(const char *name, struct pb_error *error);

/* The pipe's name from a port's, which may be either end ("eth3{0"). */
int pb_pipe_name_from_port(const char *port_name, char name[PB_PIPE_NAME_MAX + 1], struct pb_error *error);

/* The address of pipe `name`'s socket. `create`: make the directories. */
int pb_pipe_address(const char *name, bool create, struct sockaddr_un *address, struct pb_error *error);

/* "eth3}0, eth3}1": the pipes that there are, as far as they fit; "none". */
const char *pb_pipe_names_text(char *text, uint32_t text_bytes);

#endif
