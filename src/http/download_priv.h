/* SPDX-License-Identifier: MIT
 * The inside of a download: download.c has the connections, download_part.c the file that grows. Only for these two. */
#ifndef CARAVAN_HTTP_DOWNLOAD_PRIV_H
#define CARAVAN_HTTP_DOWNLOAD_PRIV_H

#include "http/download.h"
#include "http/spans.h"

struct part {
    char *path, *part, *state; /* owned: final path, "<path>.part", "<path>.part.json" */
    char *identity;            /* owned: what the server calls this version of the file */
    int fd;                    /* -1: closed */
    uint64_t size;
    struct spans spans;
};

/* Opens and locks it; fd is -1 before. */
err_code download_part_open(struct part *p, const char *path, struct err *e);
/* Continues an earlier attempt if size and identity are the same, else begins a new one. ERR_NO_ROOM. */
err_code download_part_begin(struct part *p, uint64_t size, const char *identity, struct err *e);
err_code download_part_write(struct part *p, uint64_t at, const char *data, size_t len, struct err *e);
/* Makes the bytes written so far durable, and notes that they are there. */
err_code download_part_save(struct part *p, struct err *e);
/* Checks the complete file (sha256 "": no check), and gives it its final name. */
err_code download_part_finish(struct part *p, const struct http_download *d, const char *sha256, struct http_download_result *ret,
                              struct err *e);
void download_part_remove(struct part *p);
void download_part_close(struct part *p);

#endif
