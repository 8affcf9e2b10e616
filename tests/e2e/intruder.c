/* SPDX-License-Identifier: MIT
 * A program with a cluster's key and an identity that asks a node for a model's weights:  intruder KEY-FILE IDENTITY-FILE
 * HOST:PORT MODEL-FILE.  Prints "taken" (status 0), or why it was refused (1). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "members/identity.h"
#include "members/key.h"
#include "weights/weights_priv.h"

static int stop(const struct err *e) {
    printf("%s: %s\n", err_name(e->code), e->text);
    return 1;
}

int main(int argc, char **argv) {
    uint8_t key[IO_TLS_KEY_SIZE];
    struct identity id;
    struct weights_place place = {.instance = "intruder-1", .epoch = 1};
    struct io_tls_stream *stream = NULL;
    static struct weights_shape shape;
    struct model_gguf *g;
    struct err e = {0};
    bool made;
    char *colon = argc == 5 ? strrchr(argv[3], ':') : NULL;
    if (!colon || (size_t)(colon - argv[3]) >= sizeof(place.source.host)) {
        fprintf(stderr, "intruder KEY-FILE IDENTITY-FILE HOST:PORT MODEL-FILE\n");
        return 64;
    }
    io_tls_startup();
    if (key_open(argv[1], key, &made, &e) != ERR_OK || identity_peek(argv[2], &id, &e) != ERR_OK) return stop(&e);
    if (model_gguf_open(argv[4], &g, &e) != ERR_OK) return stop(&e);
    key_link(key, place.key);
    wire_pass_make(id.secret, place.instance, place.epoch, &place.pass);
    memcpy(place.source.host, argv[3], (size_t)(colon - argv[3]));
    place.source.port = (uint16_t)strtoul(colon + 1, NULL, 10);
    struct weights_shared *shared = weights_shared_create(&place, &e);
    err_code code = shared ? weights_connect(shared, &place.source, 0, model_gguf_id(g), &stream, &shape, &e) : ERR_INTERNAL;
    if (code == ERR_OK) puts("taken");
    io_tls_close(stream);
    weights_shared_release(shared);
    model_gguf_free(g);
    return code == ERR_OK ? 0 : stop(&e);
}
