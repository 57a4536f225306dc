/*
 * tables.c - drivers for tests of what the control plane makes of drivers: one whose
 * operations are in a module (gauged.c), one whose module is not there, one that lacks
 * something. Linked into a library that test/engine/drivers.test.ts has loaded.
 */
#include <errno.h>

#include "core/error.h"
#include "ports/module.h"

static const struct pb_driver_module gauged_module = {
    .file = "packet-bricks-gauged.so", .build_package = "libgauged-dev", .package = "libgauged1"};

static const struct pb_counter_desc gauged_counters[] = {
    {"starts", PB_COUNTER_TOTAL, "starts", "times that the port was opened"},
};

static const struct pb_port_driver gauged_driver = {
    .name = "gauged",
    .text = "a device that counts",
    .input = true,
    .names = PB_NAMES_DEVICE,
    .counters = gauged_counters,
    .counters_count = 1,
    .device_counters_max = 3,
    .module = &gauged_module,
};
PB_PORT_DRIVER(gauged_driver);

static const struct pb_driver_module absent_module = {
    .file = "packet-bricks-absent.so", .build_package = "libabsent-dev", .package = "libabsent1"};

static const struct pb_port_driver absent_driver = {
    .name = "absent",
    .text = "one whose module was not built",
    .input = true,
    .names = PB_NAMES_INTERFACE,
    .module = &absent_module,
};
PB_PORT_DRIVER(absent_driver);

static int needy_probe(struct pb_error *error)
{
    return pb_fail(error, ENOENT, "there is no /dev/needy; load its module (modprobe needy)");
}

static const struct pb_port_operations no_operations;

static const struct pb_port_driver needy_driver = {
    .name = "needy",
    .text = "one that lacks something",
    .output = true,
    .names = PB_NAMES_INTERFACE,
    .operations = &no_operations,
    .probe = needy_probe,
};
PB_PORT_DRIVER(needy_driver);
