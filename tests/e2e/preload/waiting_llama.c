/* SPDX-License-Identifier: MIT
 * Loaded before libllama (LD_PRELOAD), this makes the loading of a model wait until somebody opens the pipe that GGML_LOAD_WAITS_FOR
 * names for writing. Without the pipe nothing waits, nor does a model of which only the size is asked. (Stages get variables of this
 * name.) */
#include <dlfcn.h>
#include <fcntl.h>
#include <llama.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct llama_model *llama_model_load_from_file_ptr(FILE *file, struct llama_model_params params) {
    struct llama_model *(*next)(FILE *, struct llama_model_params);
    const char *pipe = getenv("GGML_LOAD_WAITS_FOR");
    int fd = pipe != NULL && !params.no_alloc ? open(pipe, O_RDONLY) : -1;
    if (fd >= 0) close(fd);
    *(void **)&next = dlsym(RTLD_NEXT, "llama_model_load_from_file_ptr");
    return next(file, params);
}
