/* gunzip.c - see gunzip.h. The ABI is that of zlib 1.2 (zlib.h). */
#include "gunzip.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

#define Z_OK 0
#define Z_STREAM_END 1
#define Z_BUF_ERROR (-5)
#define Z_NO_FLUSH 0
#define WINDOW_BITS_GZIP (15 + 16) /* the largest window, gzip's header */

/* struct z_stream_s. inflateInit2_() is told our version and its size, and
 * refuses when they are not those of the library. */
struct zlib_stream {
    const uint8_t *next_in;
    unsigned avail_in;
    unsigned long total_in;
    uint8_t *next_out;
    unsigned avail_out;
    unsigned long total_out;
    const char *msg;
    void *state;
    void *zalloc, *zfree, *opaque; /* NULL: malloc and free */
    int data_type;
    unsigned long adler, reserved;
};

struct pcap_gunzip {
    struct zlib_stream stream;
    bool pending; /* the last call ran out of room: more may come out without input */
    bool between; /* after a member's end, before the next one's start */
    bool ended;   /* what follows is no member: padding, ignored as gzip does */
};

static struct {
    pthread_once_t once;
    int (*inflate_init2)(struct zlib_stream *stream, int window_bits, const char *version, int stream_bytes);
    int (*inflate)(struct zlib_stream *stream, int flush);
    int (*inflate_reset)(struct zlib_stream *stream);
    int (*inflate_end)(struct zlib_stream *stream);
    bool found;
} zlib = {.once = PTHREAD_ONCE_INIT};

/* A process that has a zlib of its own (node exports Chromium's, whose state is
 * laid out in another way) must not lend it to libz's calls of itself: each would
 * write into the other's state. Sanitizers do not bear the flag; the programs that
 * are built with them have no second zlib. */
#ifdef PB_SANITIZED
#define ZLIB_OWN_SYMBOLS 0
#else
#define ZLIB_OWN_SYMBOLS RTLD_DEEPBIND
#endif

/* Never closed again: engine threads may be inside it at any time. */
static void zlib_load(void)
{
    void *library = dlopen("libz.so.1", RTLD_NOW | RTLD_LOCAL | ZLIB_OWN_SYMBOLS);
    if (library == NULL)
        return;
    *(void **)&zlib.inflate_init2 = dlsym(library, "inflateInit2_");
    *(void **)&zlib.inflate = dlsym(library, "inflate");
    *(void **)&zlib.inflate_reset = dlsym(library, "inflateReset");
    *(void **)&zlib.inflate_end = dlsym(library, "inflateEnd");
    zlib.found = zlib.inflate_init2 != NULL && zlib.inflate != NULL && zlib.inflate_reset != NULL &&
                 zlib.inflate_end != NULL;
}

int pcap_gunzip_open(struct pcap_gunzip **gunzip)
{
    pthread_once(&zlib.once, zlib_load);
    if (!zlib.found)
        return -ENOPKG;
    struct pcap_gunzip *made = calloc(1, sizeof(*made));
    if (made == NULL)
        return -ENOMEM;
    if (zlib.inflate_init2(&made->stream, WINDOW_BITS_GZIP, "1.2.0", (int)sizeof(made->stream)) != Z_OK) {
        free(made);
        return -ENOPKG;
    }
    *gunzip = made;
    return 0;
}

void pcap_gunzip_close(struct pcap_gunzip *gunzip)
{
    if (gunzip == NULL)
        return;
    zlib.inflate_end(&gunzip->stream);
    free(gunzip);
}

ptrdiff_t pcap_gunzip_run(struct pcap_gunzip *gunzip, const uint8_t **in, const uint8_t *in_end, uint8_t *out,
                          size_t out_bytes)
{
    struct zlib_stream *stream = &gunzip->stream;
    unsigned room = out_bytes > INT_MAX ? INT_MAX : (unsigned)out_bytes;
    stream->next_out = out;
    stream->avail_out = room;
    while ((*in < in_end || gunzip->pending) && stream->avail_out == room) {
        if (gunzip->between && (*in)[0] != 0x1f)
            gunzip->ended = true;
        if (gunzip->ended) {
            *in = in_end;
            break;
        }
        if (gunzip->between)
            zlib.inflate_reset(stream);
        gunzip->between = false;
        stream->next_in = *in;
        stream->avail_in = in_end - *in > INT_MAX ? INT_MAX : (unsigned)(in_end - *in);
        int result = zlib.inflate(stream, Z_NO_FLUSH);
        *in = stream->next_in;
        gunzip->between = result == Z_STREAM_END;
        gunzip->pending = stream->avail_out == 0 && !gunzip->between;
        /* What came out before the broken place is delivered first; the next call fails again. */
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            return stream->avail_out < room ? (ptrdiff_t)(room - stream->avail_out) : -EBADMSG;
    }
    return (ptrdiff_t)(room - stream->avail_out);
}

bool pcap_gunzip_may_end(const struct pcap_gunzip *gunzip)
{
    return gunzip->between || gunzip->ended;
}
