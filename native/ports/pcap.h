/* pcap.h - what the files of the pcap driver share: the places of its counters
 * (after those that every port has). The table is in pcap.c. */
#ifndef PB_PCAP_H
#define PB_PCAP_H

enum pcap_counter {
    PCAP_CORRUPT_FILES,
    PCAP_SKIPPED_FILES,
    PCAP_WRITE_ERROR,
    PCAP_LINK_TYPE,
    PCAP_OUTPUT_BUSY,
    PCAP_COUNTERS
};

#endif
