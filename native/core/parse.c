/* parse.c - see parse.h. Engine thread; pure. */
#include "parse.h"

void pb_parse_any(struct pb_packet *packet)
{
    struct pb_cursor cursor = {.data = packet->data, .end = packet->captured_len};
    struct pb_ip ip = {.headers = {0}};
    uint8_t version = pb_link_start(&cursor, packet->link_type);
    if (version != 0)
        pb_ip_read(cursor.data, cursor.end, cursor.at, version, &ip);
    packet->parsed = 1;
    packet->headers = ip.headers;
}
