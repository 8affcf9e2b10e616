/* SPDX-License-Identifier: MIT
 * relay --to PORT [--listen PORT] [--delay-us N] [--mbit N]: a slow network in front of a port of this machine (relay/relay.h says
 * what the numbers mean). Writes the port that it listens on, a line, to standard output, and runs until it is ended by a signal. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "relay/relay.h"

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"to", 1, NULL, 't'}, {"listen", 1, NULL, 'l'}, {"delay-us", 1, NULL, 'd'}, {"mbit", 1, NULL, 'm'}, {NULL, 0, NULL, 0}};
    struct relay_config c = {.to = {.host = "127.0.0.1"}};
    struct err e = {0};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case 't': c.to.port = (uint16_t)strtoul(optarg, NULL, 10); break;
        case 'l': c.listen_port = (uint16_t)strtoul(optarg, NULL, 10); break;
        case 'd': c.delay_us = strtoull(optarg, NULL, 10); break;
        case 'm': c.bits_per_s = strtoull(optarg, NULL, 10) * 1000000; break;
        default: return 2;
        }
    }
    if (c.to.port == 0 || optind != argc) {
        fprintf(stderr, "usage: relay --to PORT [--listen PORT] [--delay-us N] [--mbit N]\n");
        return 2;
    }
    struct relay *r;
    uint16_t port;
    if (relay_start(&c, &r, &port, &e) != ERR_OK) {
        fprintf(stderr, "relay: %s\n", e.text);
        return 1;
    }
    printf("%u\n", port);
    fflush(stdout);
    for (;;) pause();
}
