/* module_api.h - marks what driver modules (ports/module.h) may call of this library. */
#ifndef PB_MODULE_API_H
#define PB_MODULE_API_H

#define PB_MODULE_API __attribute__((visibility("default")))

#endif
