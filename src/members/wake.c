/* SPDX-License-Identifier: MIT
 * See wake.h. */
#include "members/wake.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "members/interfaces.h"
#include "members/roster.h"
#include "os/net.h"

size_t wake_own(struct roster_hardware *ret, size_t max) {
    struct os_hardware all[INTERFACES_MAX];
    size_t n = 0, n_all = os_hardware(all, INTERFACES_MAX);
    for (size_t i = 0; i < n_all && n < max; i++)
        if (!interfaces_is_inner(all[i].name)) memcpy(ret[n++].address, all[i].address, WAKE_ADDRESS_SIZE);
    return n;
}

void wake_packet(const uint8_t address[WAKE_ADDRESS_SIZE], uint8_t ret[WAKE_PACKET_SIZE]) {
    memset(ret, 0xff, 6);
    for (size_t at = 6; at < WAKE_PACKET_SIZE; at += WAKE_ADDRESS_SIZE) memcpy(ret + at, address, WAKE_ADDRESS_SIZE);
}

/* Where a broadcast on the interface's network goes; false: it has none. */
static bool broadcast_of(const struct os_interface *a, struct sockaddr_in *ret) {
    if (a->addr.ss_family != AF_INET || a->mask.ss_family != AF_INET || !a->up || a->loopback || interfaces_is_inner(a->name)) return false;
    in_addr_t mask = ((const struct sockaddr_in *)&a->mask)->sin_addr.s_addr;
    *ret = *(const struct sockaddr_in *)&a->addr;
    ret->sin_port = htons(WAKE_PORT);
    ret->sin_addr.s_addr |= ~mask;
    return ntohl(~mask) > 1; /* a link between two ends has no broadcast */
}

static bool send_all(int fd, const struct sockaddr_in *to, const struct roster_hardware *hardware, size_t n) {
    uint8_t packet[WAKE_PACKET_SIZE];
    bool good = true;
    for (size_t i = 0; i < n; i++) {
        wake_packet(hardware[i].address, packet);
        good = sendto(fd, packet, sizeof(packet), 0, (const struct sockaddr *)to, sizeof(*to)) == (ssize_t)sizeof(packet) && good;
    }
    return good;
}

size_t wake_send(const struct roster_hardware *hardware, size_t n) {
    struct os_interface all[INTERFACES_MAX];
    struct sockaddr_in to;
    size_t networks = 0, n_all = os_interfaces(all, INTERFACES_MAX);
    int fd = os_socket(AF_INET, SOCK_DGRAM), on = 1;
    if (fd < 0) return 0;
    if (setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)) == 0)
        for (size_t i = 0; i < n_all; i++) networks += broadcast_of(&all[i], &to) && send_all(fd, &to, hardware, n);
    close(fd);
    return networks;
}
