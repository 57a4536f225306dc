/* reader.c - reads a pipe to its end; prints its packets and bytes of each second, and of all. One thread; the
 * packets are looked at where they are, in shared memory. */
#include <packet_bricks.h>
#include <stdio.h>
#include <time.h>

int main(int argc, char **argv)
{
    struct pb_error error = {0, "give the name of a pipe, like eth3}0"};
    struct pb_pipe_reader *reader;
    struct pb_pipe_record records[64];
    unsigned long long packets = 0, bytes = 0, packets_before = 0, bytes_before = 0;
    int count;
    if (argc != 2 || pb_pipe_open(argv[1], &reader, &error) < 0)
        return fprintf(stderr, "reader: %s\n", error.text), 1;
    setlinebuf(stdout);
    for (time_t now, then = time(NULL); (count = pb_pipe_read(reader, records, 64)) >= 0;) {
        for (int i = 0; i < count; i++)
            bytes += records[i].wire_len;
        packets += (unsigned)count;
        pb_pipe_release(reader);
        if (count == 0)
            pb_pipe_wait(reader, 1000);
        if ((now = time(NULL)) <= then)
            continue;
        printf("%llu packets/s %llu bytes/s\n", (packets - packets_before) / (now - then), (bytes - bytes_before) / (now - then));
        packets_before = packets, bytes_before = bytes, then = now;
    }
    printf("%llu packets %llu bytes\n", packets, bytes);
}
