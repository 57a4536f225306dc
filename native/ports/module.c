/* module.c - see module.h. Control thread. */
#include "module.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "../core/error.h"

#define MODULES_MAX 8
#define PATH_BYTES 4096

static struct {
    const struct pb_driver_module *module;
    const struct pb_module_exports *exports;
} loaded[MODULES_MAX];

/* The file this code is in: the module lies beside it. */
static const char *own_file(void)
{
    Dl_info info;
    return dladdr((const void *)&loaded, &info) != 0 ? info.dli_fname : NULL;
}

/* Modules take what they call of this library from the process's global symbols, where a library that
 * was opened as a plug-in of another program (Node) is not. A program's own symbols are there anyway. */
static void show_own_symbols(const char *file)
{
    (void)dlopen(file, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
}

/* `why` is the loader's text. A symbol of ours that is missing on either side: the two were built apart. */
static void fail_load(const struct pb_driver_module *module, const char *driver, const char *path, const char *why,
                      struct pb_error *error)
{
    if (strstr(why, strerror(EMFILE)) != NULL)
        pb_fail(error, EMFILE, "driver \"%s\" cannot be loaded: %s", driver, pb_errno_text(EMFILE));
    else if (strstr(why, "undefined symbol: pb_") != NULL)
        pb_fail(error, EPROTO, "driver \"%s\": its module %s is of another version; run npm run build", driver, path);
    else
        pb_fail(error, ENOENT, "driver \"%s\" cannot be loaded: %s; install %s (apt-get install %s)", driver, why,
                module->package, module->package);
}

static const struct pb_module_exports *load(const struct pb_driver_module *module, const char *driver, struct pb_error *error)
{
    char path[PATH_BYTES];
    const char *own = own_file();
    int folder = own == NULL || strrchr(own, '/') == NULL ? 0 : (int)(strrchr(own, '/') - own + 1);
    if (snprintf(path, sizeof(path), "%.*s%s", folder, own == NULL ? "" : own, module->file) >= (int)sizeof(path)) {
        pb_fail(error, ENAMETOOLONG, "driver \"%s\": the folder of %s has too long a name; move it", driver, module->file);
        return NULL;
    }
    if (access(path, F_OK) != 0) {
        pb_fail(error, ENOENT, "driver \"%s\" is not in this build; install %s (apt-get install %s), then start this "
                "program again, which builds it", driver, module->build_package, module->build_package);
        return NULL;
    }
    show_own_symbols(own);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    const struct pb_module_exports *exports = library == NULL ? NULL : dlsym(library, PB_MODULE_SYMBOL);
    if (exports == NULL)
        fail_load(module, driver, path, dlerror(), error);
    return exports;
}

const struct pb_module_exports *pb_module_load(const struct pb_driver_module *module, const char *driver, struct pb_error *error)
{
    uint32_t i = 0;
    for (; i < MODULES_MAX && loaded[i].module != NULL; i++)
        if (strcmp(loaded[i].module->file, module->file) == 0)
            return loaded[i].exports;
    const struct pb_module_exports *exports = i < MODULES_MAX ? load(module, driver, error) : NULL;
    if (exports != NULL) {
        loaded[i].module = module;
        loaded[i].exports = exports;
    }
    return exports;
}

const struct pb_port_operations *pb_port_driver_operations(const struct pb_port_driver *driver, struct pb_error *error)
{
    if (driver->operations != NULL)
        return driver->operations;
    const struct pb_module_exports *exports = pb_module_load(driver->module, driver->name, error);
    return exports == NULL ? NULL : exports->operations(driver->name);
}

/* The driver of that name, or NULL with text. */
static const struct pb_port_driver *require(const char *name, struct pb_error *error)
{
    const struct pb_port_driver *driver = pb_port_driver_find(name);
    if (driver == NULL)
        pb_fail(error, ENOENT, "no driver \"%s\"", name);
    return driver;
}

int pb_driver_probe(const char *name, struct pb_error *error)
{
    const struct pb_port_driver *driver = require(name, error);
    if (driver == NULL || pb_port_driver_operations(driver, error) == NULL)
        return -error->code;
    struct pb_error reason;
    if (driver->probe == NULL || driver->probe(&reason) == 0)
        return 0;
    return pb_fail(error, reason.code, "driver \"%s\": %s", name, reason.text);
}

int pb_driver_setup(const char *name, const char *settings, struct pb_error *error)
{
    const struct pb_port_driver *driver = require(name, error);
    const struct pb_module_exports *exports = NULL;
    if (driver != NULL && driver->module != NULL)
        exports = pb_module_load(driver->module, name, error);
    if (driver == NULL || (driver->module != NULL && exports == NULL))
        return -error->code;
    if (exports == NULL || exports->setup == NULL)
        return pb_fail(error, EOPNOTSUPP, "driver \"%s\" has no settings", name);
    return exports->setup(settings, error);
}
