/*
 * An I/O APIC: 82093AA data sheet, with the EOI register of version 20h. Its pins are the GSIs
 * from 0 on.
 */
#ifndef DEVICES_IOAPIC_H
#define DEVICES_IOAPIC_H

#include <stdbool.h>
#include <stdint.h>

#define IOAPIC_GPA  0xfec00000u
#define IOAPIC_PINS 24

struct vm;

struct ioapic {
	struct vm *vm;
	uint32_t id;		     /* bits 27:24, as in the register */
	uint8_t select;		     /* IOREGSEL */
	uint32_t lines;		     /* bit per pin: asserted */
	uint64_t entry[IOAPIC_PINS]; /* redirection table */
};

/*
 * Puts an I/O APIC on VM's bus and among its interrupt sinks. 0, bus errors, or -ENOSPC with no
 * sink free.
 */
int ioapic_init(struct ioapic *io, struct vm *vm);
/* State after RESET. dev_lock held, or no vCPU runs. */
void ioapic_reset(struct ioapic *io);

#endif
