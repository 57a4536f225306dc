/*
 * interface.c - what programs ask the kernel about a device they capture from,
 * past libpcap: whether it is up (netdevice(7)). Of a pipe the kernel knows
 * nothing, and argus would take that for a failure. See capture.h.
 *
 * Any thread. Every ioctl(2) of the program comes through here; all but that one
 * question are passed on as they are.
 */
#include <net/if.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

#include "capture.h"
#include "real.h"

#pragma GCC visibility push(default)
int ioctl(int fd, unsigned long request, ...);
#pragma GCC visibility pop

int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    struct ifreq *question = argument;
    if (request != SIOCGIFFLAGS || question == NULL || !pb_capture_is_open(question->ifr_name, IFNAMSIZ))
        return PB_REAL(ioctl)(fd, request, argument);
    question->ifr_flags = IFF_UP | IFF_RUNNING | IFF_PROMISC;
    return 0;
}
