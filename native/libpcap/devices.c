/*
 * devices.c - pipes in the list of devices. See capture.h.
 *
 * They come behind the real ones, whose numbers and default stay what they are.
 * Entries are made as libpcap makes its own: the real pcap_freealldevs() frees them.
 */
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "real.h"

static void free_device(pcap_if_t *device)
{
    if (device == NULL)
        return;
    free(device->name);
    free(device->description);
    free(device);
}

static pcap_if_t *make_device(const char *name)
{
    char text[128];
    struct pb_pipe_status status;
    if (pb_pipe_status(name, &status, NULL) < 0)
        return NULL; /* gone in the meantime */
    snprintf(text, sizeof(text), "packet-bricks pipe %s engine %s",
             status.direction == PB_PIPE_FROM_APPLICATION ? "into" : "of", status.engine);
    pcap_if_t *device = calloc(1, sizeof(*device));
    if (device == NULL)
        return NULL;
    device->name = strdup(name);
    device->description = strdup(text);
    device->flags = PCAP_IF_UP | PCAP_IF_RUNNING | PCAP_IF_CONNECTION_STATUS_NOT_APPLICABLE;
    if (device->name != NULL && device->description != NULL)
        return device;
    free_device(device);
    return NULL;
}

static int append(const char *name, void *arg)
{
    pcap_if_t ***end = arg, *device = make_device(name);
    if (device != NULL) {
        **end = device;
        *end = &device->next;
    }
    return 0;
}

int pcap_findalldevs(pcap_if_t **devices, char *errbuf)
{
    int result = PB_REAL(pcap_findalldevs)(devices, errbuf);
    if (result < 0)
        return result;
    pcap_if_t **end = devices;
    while (*end != NULL)
        end = &(*end)->next;
    pb_pipe_list(append, &end, NULL); /* where pipes cannot be listed, there are none */
    return result;
}

/* A pipe has no address, as the device "any" has none: both are 0 then. */
int pcap_lookupnet(const char *device, uint32_t *net, uint32_t *mask, char *errbuf)
{
    char name[PB_PIPE_NAME_MAX + 1];
    if (!pb_capture_names_pipe(device, name))
        return PB_REAL(pcap_lookupnet)(device, net, mask, errbuf);
    *net = *mask = 0;
    return 0;
}
