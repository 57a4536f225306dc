/*
 * wrapper.h - for programs whose command is a wrapper that runs them and says so by
 * BRICKS_WRAPPER, its process id. Called first thing in main().
 */
#ifndef PB_WRAPPER_H
#define PB_WRAPPER_H

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Should the wrapper be killed, end, too: nobody would know of this process, and its pipe would be taken. */
static inline void pb_wrapper_follow(void)
{
    const char *text = getenv("BRICKS_WRAPPER");
    pid_t wrapper = text != NULL ? (pid_t)atoi(text) : 0;
    unsetenv("BRICKS_WRAPPER");
    if (wrapper != getppid())
        return;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (wrapper != getppid())
        raise(SIGTERM); /* it was faster */
}

#endif
