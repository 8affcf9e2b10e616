/* SPDX-License-Identifier: MIT
 * Fuzzes the files of kept prefixes: any bytes give an error with a text, or what gives the same bytes when it is written again. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stage/prefix_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t id[MODEL_HASH_SIZE] = "an id of thirty-two bytes.......";
static char path[64], again[64];

static void remove_files(void) {
    unlink(path);
    unlink(again);
}

/* In memory, where there is such a folder: on a disk each file took 3 ms. */
static void make_file(char ret[64]) {
    snprintf(ret, 64, "%s/caravan-fuzz-prefix.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    int fd = mkstemp(ret);
    if (fd < 0) abort();
    close(fd);
}

static void put(const char *name, const uint8_t *data, size_t size) {
    FILE *f = fopen(name, "wb");
    if (f == NULL || (size > 0 && fwrite(data, size, 1, f) != 1) || fclose(f) != 0) abort();
}

static void check(const uint8_t *data, size_t size, bool whole) {
    struct prefix_file f = {0};
    struct err e = {0};
    err_code code = prefix_file_read(path, id, whole, &f, &e);
    if ((code != ERR_OK) != (e.text[0] != '\0')) abort();
    if (code != ERR_OK) return;
    if (prefix_file_size(&f) != size) abort();
    if (whole) {
        uint8_t *back = malloc(size + 1);
        FILE *in;
        if (prefix_file_write(again, id, &f, &e) || (in = fopen(again, "rb")) == NULL) abort();
        if (back == NULL || fread(back, 1, size + 1, in) != size || memcmp(back, data, size) != 0) abort();
        fclose(in);
        free(back);
    }
    prefix_file_done(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (path[0] == '\0') {
        make_file(path);
        make_file(again);
        atexit(remove_files);
    }
    put(path, data, size);
    check(data, size, false);
    check(data, size, true);
    return 0;
}
