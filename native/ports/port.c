/* port.c - what drivers share: the registry, options, errors and reports. See port.h. */
#include "port.h"

#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "../core/error.h"
#include "../engine/events.h"

#define DRIVERS_MAX 32
#define PREFIX "port \"%s\": " /* of every text about a port; its label */

static const struct pb_port_driver *drivers[DRIVERS_MAX];
static uint32_t drivers_count;

void pb_port_driver_register(const struct pb_port_driver *driver)
{
    /* Runs before main: a 33rd driver is a mistake of the build, seen at once. */
    if (drivers_count == DRIVERS_MAX)
        abort();
    uint32_t i = drivers_count++;
    for (; i > 0 && strcmp(drivers[i - 1]->name, driver->name) > 0; i--)
        drivers[i] = drivers[i - 1];
    drivers[i] = driver;
}

const struct pb_port_driver *pb_port_driver_find(const char *name)
{
    for (uint32_t i = 0; i < drivers_count; i++)
        if (strcmp(drivers[i]->name, name) == 0)
            return drivers[i];
    return NULL;
}

const struct pb_port_driver *pb_port_driver_at(uint32_t i)
{
    return i < drivers_count ? drivers[i] : NULL;
}

/* The raw value of `key` in "a=1&b=2", or NULL; its length in *length. */
static const char *option_find(const char *options, const char *key, size_t *length)
{
    size_t key_length = strlen(key);
    while (options != NULL && *options != '\0') {
        size_t pair_length = strcspn(options, "&");
        if (pair_length > key_length && options[key_length] == '=' && strncmp(options, key, key_length) == 0) {
            *length = pair_length - key_length - 1;
            return options + key_length + 1;
        }
        options += pair_length;
        if (*options == '&')
            options++;
    }
    return NULL;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

uint32_t pb_port_option_string(const struct pb_port *port, const char *key, char *text, uint32_t text_bytes)
{
    size_t length = 0;
    const char *value = option_find(port->options, key, &length);
    if (value == NULL) {
        value = "";
        for (const struct pb_option_desc *option = port->driver->options; option != NULL && option->name != NULL; option++)
            if (strcmp(option->name, key) == 0)
                value = option->default_text;
        length = strlen(value);
    }
    uint32_t used = 0;
    for (size_t i = 0; i < length && used + 1 < text_bytes; i++) {
        if (value[i] == '%' && i + 2 < length && hex_digit(value[i + 1]) >= 0 && hex_digit(value[i + 2]) >= 0) {
            text[used++] = (char)(hex_digit(value[i + 1]) << 4 | hex_digit(value[i + 2]));
            i += 2;
        } else {
            text[used++] = value[i];
        }
    }
    text[used] = '\0';
    return used;
}

bool pb_port_option_is_said(const struct pb_port *port, const char *key)
{
    size_t length;
    return option_find(port->options, key, &length) != NULL;
}

int64_t pb_port_option_integer(const struct pb_port *port, const char *key)
{
    char text[64];
    pb_port_option_string(port, key, text, sizeof(text));
    return strtoll(text, NULL, 0);
}

double pb_port_option_number(const struct pb_port *port, const char *key)
{
    char text[64];
    pb_port_option_string(port, key, text, sizeof(text));
    return strtod(text, NULL);
}

bool pb_port_option_boolean(const struct pb_port *port, const char *key)
{
    char text[64];
    pb_port_option_string(port, key, text, sizeof(text));
    return strcmp(text, "1") == 0 || strcmp(text, "true") == 0;
}

void pb_port_label(struct pb_port *port, const char *driver, const char *name)
{
    static const char gap[] = "...";
    int used = snprintf(port->label, sizeof(port->label), "%.32s:", driver);
    size_t room = sizeof(port->label) - 1 - (size_t)used, length = strlen(name), half = (room - strlen(gap)) / 2;
    if (length <= room)
        memcpy(port->label + used, name, length + 1);
    else
        snprintf(port->label + used, room + 1, "%.*s%s%s", (int)half, name, gap, name + length - half);
}

int pb_port_fail(const struct pb_port *port, struct pb_error *error, int code, const char *format, ...)
{
    char text[PB_ERROR_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return pb_fail(error, code, PREFIX "cannot open for %s: %s", port->label,
                   port->role == PB_PORT_INPUT ? "input" : "output", text);
}

int pb_port_fail_errno(const struct pb_port *port, struct pb_error *error, int code, const char *remedy, const char *format,
                       ...)
{
    char text[PB_ERROR_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return pb_port_fail(port, error, code, "%s: %s; %s", text, pb_errno_words(code), pb_errno_remedy(code, remedy));
}

int pb_port_fail_queue(const struct pb_port *port, struct pb_error *error, const char *device, uint32_t queue, uint32_t have,
                       const char *remedy)
{
    const char *kind = port->role == PB_PORT_INPUT ? "receive" : "send";
    if (have == 1)
        return pb_port_fail(port, error, EINVAL, "%s has no %s queue %u, only queue 0; use that, or %s", device, kind, queue, remedy);
    return pb_port_fail(port, error, EINVAL, "%s has no %s queue %u, only 0 to %u; use one of these, or %s", device, kind, queue,
                        have - 1, remedy);
}

int pb_port_no_memory(const struct pb_port *port, struct pb_error *error)
{
    return pb_port_fail(port, error, ENOMEM, "%s", pb_errno_text(ENOMEM));
}

void pb_port_report(const struct pb_port *port, const char *format, ...)
{
    char text[PB_ERROR_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    pb_event_post(port->engine_handle, PREFIX "%s", port->label, text);
}

const char *pb_interfaces_text(char *text, uint32_t text_bytes)
{
    uint32_t used = 0;
    text[0] = '\0';
    struct if_nameindex *interfaces = if_nameindex();
    for (struct if_nameindex *i = interfaces; i != NULL && i->if_name != NULL; i++) {
        int n = snprintf(text + used, text_bytes - used, "%s%s", used > 0 ? ", " : "", i->if_name);
        if (n < 0 || (uint32_t)n >= text_bytes - used)
            break;
        used += (uint32_t)n;
    }
    if (interfaces != NULL)
        if_freenameindex(interfaces);
    return text;
}
