/* inline_pcap.c - a program for tests: an inline application that knows libpcap only. What it captures at one device
 * it sends at another. One thread. Usage: inline_pcap READ WRITE */
#include <pcap/pcap.h>
#include <stdio.h>

static void forward(u_char *to, const struct pcap_pkthdr *header, const u_char *bytes)
{
    if (pcap_inject((pcap_t *)to, bytes, header->caplen) < 0)
        pcap_perror((pcap_t *)to, "inline_pcap");
}

int main(int argc, char **argv)
{
    char text[PCAP_ERRBUF_SIZE] = "give two devices";
    pcap_t *from = argc == 3 ? pcap_open_live(argv[1], 262144, 1, 100, text) : NULL;
    pcap_t *to = from != NULL ? pcap_open_live(argv[2], 262144, 1, 100, text) : NULL;
    if (to == NULL)
        return fprintf(stderr, "inline_pcap: %s\n", text), 2;
    return pcap_loop(from, -1, forward, (u_char *)to) == PCAP_ERROR_BREAK ? 0 : 1;
}
