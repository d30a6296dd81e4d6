/*
 * Two 8259A interrupt controllers as on a PC (Intel 8259A data sheet), the second behind input 2 of
 * the first, with the edge/level registers of PC chip sets (82371AB data sheet 4.2.5) in place of
 * the level bit of ICW1.
 */
#ifndef DEVICES_I8259_H
#define DEVICES_I8259_H

#include <stdbool.h>
#include <stdint.h>

/* The I/O APIC's input that the pair's INT goes to. */
#define I8259_GSI 0

struct vm;

struct i8259_chip {
	uint8_t lines;	 /* inputs, as they are now */
	uint8_t latched; /* edges that were seen: IRR of edge-triggered inputs */
	uint8_t isr, imr, elcr;
	uint8_t base;	  /* vector of input 0 */
	uint8_t lowest;	  /* the input of lowest priority */
	uint8_t next_icw; /* that is awaited: 2 to 4; 0: none, initialized */
	bool single, wants_icw4;
	bool auto_eoi, rotate_auto, nested_special, mask_special;
	bool reads_isr, poll;
};

struct i8259 {
	struct vm *vm;
	struct i8259_chip chip[2]; /* first, second */
};

/*
 * Puts the pair on VM's bus and among its interrupt sinks, and makes it the source of ExtINT. Input
 * 0 is GSI 2, as the MADT says; other inputs are the GSIs of their number. 0, bus errors, or
 * -ENOSPC with no sink free.
 */
int i8259_init(struct i8259 *pic, struct vm *vm);
/*
 * State as firmware leaves it: initialized with bases 08h and 70h, all masked, the SCI
 * level-triggered. dev_lock held, or no vCPU runs.
 */
void i8259_reset(struct i8259 *pic);

#endif
