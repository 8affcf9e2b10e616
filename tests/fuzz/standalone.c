/* SPDX-License-Identifier: MIT
 * A main() for the fuzz targets where there is no libFuzzer: runs every file of the corpus folder, then mutations of them until the
 * time is over, from a seed that it prints.  fuzz_x [--seconds N] [--seed N] [FILE or FOLDER]...  A crash leaves its input beside it. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LARGEST_INPUT = 1 << 16, MOST_FILES = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

struct sample {
    uint8_t *data;
    size_t len;
};
static struct sample samples[MOST_FILES];
static size_t sample_count;
static uint8_t current[LARGEST_INPUT];
static volatile size_t current_len;
static uint64_t random_state;

static uint64_t random_next(void) {
    uint64_t z = (random_state += 0x9E3779B97F4A7C15u); /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static void write_all(int fd, const void *data, size_t len) {
    const char *p = data;
    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n <= 0) return;
        p += n;
        len -= (size_t)n;
    }
}

static void on_crash(int signal_number) {
    static const char name[] = "crash-input.bin";
    FILE *file = fopen(name, "wb"); /* not async-signal-safe, but the process is lost anyway */
    if (file) {
        fwrite(current, 1, current_len, file);
        fclose(file);
    }
    static const char text[] = "fuzz: crashed; the input is in crash-input.bin\n";
    write_all(STDERR_FILENO, text, sizeof(text) - 1);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void run_one(const uint8_t *data, size_t len) {
    if (data != current) memcpy(current, data, len);
    current_len = len;
    /* A heap copy of exactly this size, so that a sanitizer sees the first byte past the end. */
    uint8_t *copy = malloc(len ? len : 1);
    if (!copy) abort();
    memcpy(copy, current, len);
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static void load_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || sample_count == MOST_FILES) {
        fprintf(stderr, "fuzz: cannot use \"%s\": %s\n", path, file ? "too many files" : strerror(errno));
        exit(1);
    }
    uint8_t *data = malloc(LARGEST_INPUT);
    if (!data) abort();
    size_t len = fread(data, 1, LARGEST_INPUT, file);
    fclose(file);
    samples[sample_count++] = (struct sample){data, len};
}

static void load_path(const char *path) {
    struct stat st;
    if (stat(path, &st) != 0) return; /* a target without a corpus starts from the empty input */
    if (!S_ISDIR(st.st_mode)) {
        load_file(path);
        return;
    }
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        if (entry->d_name[0] == '.') continue;
        char full[4096];
        snprintf(full, sizeof(full), "%s/%s", path, entry->d_name);
        load_file(full);
    }
    if (folder) closedir(folder);
}

static size_t mutate_once(size_t len) {
    static const uint32_t odd[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000u, 0xffffffffu};
    uint64_t r = random_next();
    size_t at = len ? (size_t)(random_next() % len) : 0;
    switch (r % 6) {
    case 0: /* flip a bit */
        if (len) current[at] ^= (uint8_t)(1u << ((r >> 8) % 8));
        return len;
    case 1: /* a random byte */
        if (len) current[at] = (uint8_t)(r >> 16);
        return len;
    case 2: /* an odd number over up to four bytes */
        for (size_t i = 0; i < 4 && at + i < len; i++)
            current[at + i] = (uint8_t)(odd[(r >> 8) % (sizeof(odd) / sizeof(odd[0]))] >> (8 * i));
        return len;
    case 3: /* cut */ return at;
    case 4: { /* remove a run */
        size_t n = len - at < 1 + (r >> 8) % 16 ? len - at : 1 + (size_t)((r >> 8) % 16);
        memmove(current + at, current + at + n, len - at - n);
        return len - n;
    }
    default: { /* repeat a run in place */
        size_t n = len - at < 1 + (r >> 8) % 16 ? len - at : 1 + (size_t)((r >> 8) % 16);
        if (len + n > LARGEST_INPUT) return len;
        memmove(current + at + n, current + at, len - at);
        return len + n;
    }
    }
}

int main(int argc, char **argv) {
    double seconds = 0;
    uint64_t seed = (uint64_t)time(NULL);
    if (LLVMFuzzerInitialize) LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) seconds = strtod(argv[++i], NULL);
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) seed = strtoull(argv[++i], NULL, 10);
        else load_path(argv[i]);
    signal(SIGSEGV, on_crash);
    signal(SIGABRT, on_crash);
    signal(SIGFPE, on_crash);
    signal(SIGBUS, on_crash);
    printf("seed %llu, %zu corpus files\n", (unsigned long long)seed, sample_count);
    fflush(stdout);
    random_state = seed;
    run_one((const uint8_t *)"", 0);
    for (size_t i = 0; i < sample_count; i++) run_one(samples[i].data, samples[i].len);
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    unsigned long runs = 0;
    for (now = start; (double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9 < seconds; runs++) {
        size_t len = 0;
        if (sample_count) {
            const struct sample *s = &samples[random_next() % sample_count];
            memcpy(current, s->data, s->len);
            len = s->len;
        } else {
            len = (size_t)(random_next() % 256);
            for (size_t i = 0; i < len; i++) current[i] = (uint8_t)random_next();
        }
        for (uint64_t n = 1 + random_next() % 4; n > 0; n--) len = mutate_once(len);
        run_one(current, len);
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
    printf("%zu corpus files and %lu mutations: no crash\n", sample_count, runs);
    for (size_t i = 0; i < sample_count; i++) free(samples[i].data);
    return 0;
}
