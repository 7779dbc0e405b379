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

typedef struct { const char *entropy; int length; } stir_t;

static int stir_one(struct dl_phdr_info *info_ptr, size_t size, void *given) {
    const stir_t *stir_ptr = given;
    const char *name = info_ptr->dlpi_name;
    (void)size;
    if (!name || !strstr(name, "libcrypto")) return 0;
    void *library = dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
    if (!library) return 0;
    void *found = dlsym(library, "RAND_add");
    if (found) ((void (*)(const void *, int, double))found)(stir_ptr->entropy, stir_ptr->length, stir_ptr->length);
    dlclose(library);
    return 0;
}

/* OpenSSL looks at the process id to notice a fork, and ids repeat across namespaces. */
static void stir_openssl_pools(const char *entropy, int length) {
    stir_t stir = {entropy, length};
    dl_iterate_phdr(stir_one, &stir);
}
#endif
