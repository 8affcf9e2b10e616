/* SPDX-License-Identifier: MIT
 * bin/caravan of a bundle: starts lib/caravan/caravan by the loader that lies beside it, with the libraries that lie there. So a bundle
 * runs wherever it is unpacked, whatever C library the machine has. Linked statically; needs /proc. CARAVAN_LOADER is the loader's name. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Cuts the last part off a path. */
static void to_folder(char *path) {
    char *end = strrchr(path, '/');
    if (end != NULL) *end = '\0';
}

int main(int argc, char **argv) {
    char root[4096], folder[sizeof(root) + 16], loader[sizeof(folder) + 64], program[sizeof(folder) + 64];
    ssize_t n = readlink("/proc/self/exe", root, sizeof(root) - 1);
    if (n <= 0) {
        fprintf(stderr, "caravan: cannot find its own place: /proc/self/exe: %s\nhint: mount /proc\n", strerror(errno));
        return 69;
    }
    root[n] = '\0';
    to_folder(root); /* bin */
    to_folder(root);
    snprintf(folder, sizeof(folder), "%s/lib/caravan", root);
    snprintf(loader, sizeof(loader), "%s/" CARAVAN_LOADER, folder);
    snprintf(program, sizeof(program), "%s/caravan", folder);
    char *first[] = {loader, "--library-path", folder, "--argv0", argc > 0 ? argv[0] : "caravan", program};
    const size_t n_first = sizeof(first) / sizeof(first[0]);
    char **args = calloc(n_first + (size_t)argc + 1, sizeof(*args));
    if (args == NULL) return 71;
    memcpy(args, first, sizeof(first));
    for (int i = 1; i < argc; i++) args[n_first + (size_t)i - 1] = argv[i];
    execv(loader, args);
    fprintf(stderr, "caravan: cannot start \"%s\": %s\nhint: bin/ and lib/ of the bundle belong together: unpack the whole archive\n",
            loader, strerror(errno));
    return 69;
}
