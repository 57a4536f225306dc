/*
 * module.h - drivers whose operations are in a shared library of their own, because
 * they need libraries that not every machine has.
 *
 * The driver's table is in ports/NAME.c, as that of any other; its operations are in the
 * folder ports/NAME/, from which the Makefile builds the module where what it needs
 * is installed. The module is loaded when the first port of one of its drivers is made, or
 * is asked for, and stays. What a module calls of this library says PB_MODULE_API.
 * Control thread.
 */
#ifndef PB_MODULE_H
#define PB_MODULE_H

#include "port.h"

/* A module, as the tables of its drivers name it. */
struct pb_driver_module {
    const char *file;          /* beside this library */
    const char *build_package; /* Debian's, without which it was not built */
    const char *package;       /* Debian's, whose libraries it loads */
};

/* What a module's file exports, under the name PB_MODULE_SYMBOL. */
struct pb_module_exports {
    /* Of the driver of that name. */
    const struct pb_port_operations *(*operations)(const char *driver);
    /* See pb_driver_setup(). NULL: there is nothing to set. */
    int (*setup)(const char *settings, struct pb_error *error);
};
#define PB_MODULE_SYMBOL "pb_module_exports"

/* Load it, if it is not yet. NULL, with text: `driver` needs it. */
const struct pb_module_exports *pb_module_load(const struct pb_driver_module *module, const char *driver, struct pb_error *error);

#endif
