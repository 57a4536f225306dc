/* inner.c - see inner.h. Engine thread; pure. Nothing is seen through yet: the outer headers are the result. */
#include "inner.h"

const struct pb_inner_reason_text pb_inner_reason_texts[PB_INNER_REASONS] = {
    [PB_INNER_NONE] = {"none", "nothing ended the walk early"},
    [PB_INNER_TRUNCATED] = {"truncated", "tunnel or inner header cut by the capture or by its datagram's end"},
    [PB_INNER_MALFORMED] = {"malformed", "tunnel or inner header that its standard does not know"},
    [PB_INNER_TOO_DEEP] = {"too_deep", "tunnels nested deeper than is looked into"},
    [PB_INNER_FRAGMENT] = {"fragment", "fragment that may be a tunnel's, without the inner headers"},
};

bool pb_inner_udp_port(const uint8_t *udp)
{
    (void)udp;
    return false;
}

void pb_inner_find(const struct pb_packet *packet, bool fragments, struct pb_inner *inner)
{
    (void)fragments;
    inner->headers = packet->headers;
    inner->depth = 0;
    inner->reason = PB_INNER_NONE;
    inner->fragments = 0;
}
