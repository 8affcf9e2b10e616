/* SPDX-License-Identifier: MIT
 * See news.h. */
#include "peers/news.h"

void news_init(struct news *n, struct io_loop *loop, void (*tell)(void *user), void *user) {
    *n = (struct news){.loop = loop, .tell = {.fn = tell, .user = user}};
}

void news_done(struct news *n) { io_task_cancel(&n->tell); }

void news_own(struct news *n) {
    n->count++;
    io_task_post(n->loop, &n->tell);
}

void news_other(struct news *n) { n->count++; }
