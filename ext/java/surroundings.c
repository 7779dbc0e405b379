/* What Java cannot do for Surroundings.java: change the working folder, and the variables that C code and child processes
   see. Only numbers cross over, so that it needs no header of a JDK. One thread calls it, before a function is loaded. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

static char given[1 << 17]; /* the kernel's limit for one variable */

EXPORTED void Java_engine_Surroundings_put(void *env, void *type, int32_t at, int8_t part) {
    (void)env, (void)type;
    if (at >= 0 && at < (int32_t)sizeof given - 1)
        given[at] = (char)part;
}

EXPORTED int32_t Java_engine_Surroundings_change(void *env, void *type) {
    (void)env, (void)type;
    return chdir(given) == 0 ? 0 : errno;
}

EXPORTED void Java_engine_Surroundings_clear(void *env, void *type) {
    (void)env, (void)type;
    clearenv();
}

EXPORTED void Java_engine_Surroundings_set(void *env, void *type) {
    (void)env, (void)type;
    char *kept = strdup(given); /* the environment's from now on */
    if (kept != NULL)
        putenv(kept);
}
