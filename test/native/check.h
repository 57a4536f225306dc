/*
 * check.h - the few lines the C tests share.
 *
 * A test program returns 0 when every CHECK held; the first that did not ends
 * it with its place and text.
 */
#ifndef PB_CHECK_H
#define PB_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);                                    \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

/* Like CHECK for two integers, printing both. */
#define CHECK_EQUAL(actual, expected)                                                                                  \
    do {                                                                                                               \
        long long check_a = (long long)(actual), check_e = (long long)(expected);                                      \
        if (check_a != check_e) {                                                                                      \
            fprintf(stderr, "%s:%d: %s is %lld, expected %lld\n", __FILE__, __LINE__, #actual, check_a, check_e);      \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#endif
