/* The one thing that Java cannot do for Surroundings.java: change the working folder. Only numbers cross over, so that
   it needs no header of a JDK. One thread calls it, once. */
#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

static char path[4096];

EXPORTED void Java_engine_Surroundings_put(void *env, void *type, int32_t at, int8_t part) {
    (void)env, (void)type;
    if (at >= 0 && at < (int32_t)sizeof path - 1)
        path[at] = (char)part;
}

EXPORTED int32_t Java_engine_Surroundings_change(void *env, void *type, int32_t length) {
    (void)env, (void)type;
    if (length < 1 || length >= (int32_t)sizeof path)
        return ENAMETOOLONG;
    path[length] = 0;
    return chdir(path) == 0 ? 0 : errno;
}
