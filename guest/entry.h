/* The processor state in which guests are entered, and the tables in guest memory that it needs. */
#ifndef GUEST_ENTRY_H
#define GUEST_ENTRY_H

#include <stdint.h>

#include "guest/writer.h"

struct vcpu;

/* Selectors of the GDT at LAYOUT_GDT. */
#define ENTRY_CS 0x10u
#define ENTRY_DS 0x18u

/*
 * Each starts from V in its state after power-up and sets what differs: mode, segments, caches on,
 * interrupts off, RIP, RSP, all other general registers 0. The last two write a GDT with flat
 * segments of 4 GiB, and the last one page tables that map the first 4 GiB to themselves.
 */
void entry_real(struct vcpu *v, uint16_t ip, uint16_t sp);
void entry_protected(struct writer *w, struct vcpu *v, uint64_t rip);
void entry_long(struct writer *w, struct vcpu *v, uint64_t rip);

#endif
