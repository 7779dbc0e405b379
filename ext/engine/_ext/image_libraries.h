/* What C libraries in the process must be told around an image, and cannot be told from Python. */
#ifndef ENGINE_IMAGE_LIBRARIES_H
#define ENGINE_IMAGE_LIBRARIES_H

#include "engine/_ext/image.h"

#include <dlfcn.h>
#include <link.h>
#include <sys/wait.h>

/* Hooks of pthread_atfork run in both halves of a fork; the child has nothing else to do. */
static int fork_and_end(void) {
    pid_t pid = fork();
    int status;
    if (pid < 0) return errno;
    if (pid == 0) _exit(0);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return errno;
    return 0;
}

#define POOLS_MAX 8

typedef void (*add_t)(const void *, int, double);
static add_t pools[POOLS_MAX];
static int pools_count = -1;   /* not looked for yet; what a template found, its copies have in their memory */

static int find_pool(struct dl_phdr_info *info_ptr, size_t size, void *given) {
    const char *name = info_ptr->dlpi_name;
    (void)size, (void)given;
    if (!name || !strstr(name, "libcrypto") || pools_count == POOLS_MAX) return 0;
    void *library = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
    if (!library) return 0;
    void *found = dlsym(library, "RAND_add");
    if (found) pools[pools_count++] = (add_t)found;   /* and the library stays loaded */
    else dlclose(library);
    return 0;
}

/* OpenSSL looks at the process id to notice a fork, and ids repeat across namespaces. */
static void stir_openssl_pools(const char *entropy, int length) {
    if (pools_count < 0) {
        pools_count = 0;
        dl_iterate_phdr(find_pool, NULL);
    }
    for (int i = 0; i < pools_count; i++) pools[i](entropy, length, length);
}
#endif
