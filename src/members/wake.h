/* SPDX-License-Identifier: MIT
 * Wake-on-LAN: the magic packet that starts a machine which is asleep or switched off, if its firmware is set up for that. It is six bytes
 * of 0xFF and then sixteen times the hardware address of the machine's network interface, sent as a UDP broadcast; no router passes it on.
 * Blocking but quick; any thread. */
#ifndef CARAVAN_MEMBERS_WAKE_H
#define CARAVAN_MEMBERS_WAKE_H

#include <stddef.h>
#include <stdint.h>

enum { WAKE_ADDRESS_SIZE = 6, WAKE_MAX_ADDRESSES = 8, WAKE_PACKET_SIZE = 6 + 16 * WAKE_ADDRESS_SIZE, WAKE_PORT = 9 };

struct roster_hardware;
/* This machine's own interfaces, networks inside of it left out. Returns how many, at most max. */
size_t wake_own(struct roster_hardware *ret, size_t max);
void wake_packet(const uint8_t address[WAKE_ADDRESS_SIZE], uint8_t ret[WAKE_PACKET_SIZE]);
/* Sends the packets for these interfaces of one machine on every network of this machine. Returns on how many networks all have left. */
size_t wake_send(const struct roster_hardware *hardware, size_t n);

#endif
