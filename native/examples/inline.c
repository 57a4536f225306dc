/* inline.c - an inline application: what it reads from one pipe it writes to another, but for DNS over UDP. */
#include <packet_bricks.h>
#include <stdio.h>
static int is_dns(const uint8_t *p, uint32_t bytes) /* Ethernet, IPv4 without options, UDP, not a later fragment */
{
    return bytes >= 42 && p[12] == 8 && p[13] == 0 && p[14] == 0x45 && p[23] == 17 && (p[20] & 31) == 0 && p[21] == 0 &&
           ((p[34] << 8 | p[35]) == 53 || (p[36] << 8 | p[37]) == 53);
}
int main(int argc, char **argv)
{
    struct pb_error error = {0, "give the names of two pipes, to read and to write, like eth3}0 app}0"};
    struct pb_pipe_reader *reader;
    struct pb_pipe_writer *writer;
    struct pb_pipe_record records[64];
    int count, kept, sent = 0;
    if (argc != 3 || pb_pipe_open(argv[1], &reader, &error) < 0 || pb_pipe_open_writer(argv[2], &writer, &error) < 0)
        return fprintf(stderr, "inline: %s\n", error.text), 1;
    while (sent >= 0 && (count = pb_pipe_read(reader, records, 64)) >= 0) {
        for (int i = kept = 0; i < count; i++)
            if (!is_dns(records[i].data, records[i].captured_len))
                records[kept++] = records[i];
        pb_pipe_decline(writer, (uint64_t)(count - kept));
        for (int done = 0; done < kept && (sent = pb_pipe_write(writer, &records[done], (uint32_t)(kept - done))) >= 0; done += sent)
            if (sent == 0)
                pb_pipe_writer_wait(writer, -1); /* full: the engine's outputs are slow */
        pb_pipe_release(reader); /* the records were copied: their memory may be used again */
        if (count == 0)
            pb_pipe_wait(reader, -1);
    }
}
