/*
 * An 8042 keyboard controller as on a PS/2 (IBM PS/2 Hardware Interface Technical Reference,
 * "Keyboard and Auxiliary Device Controller"), with nothing attached to either of its two ports.
 */
#ifndef DEVICES_I8042_H
#define DEVICES_I8042_H

#include <stdbool.h>
#include <stdint.h>

#define I8042_DATA_PORT	   0x60
#define I8042_COMMAND_PORT 0x64
#define I8042_KEYBOARD_GSI 1
#define I8042_AUX_GSI	   12

struct vm;

struct i8042 {
	struct vm *vm;
	uint8_t status;	     /* but bit 4, which is always 1 */
	uint8_t out;	     /* the output buffer */
	uint8_t ram[32];     /* byte 0 is the command byte */
	uint8_t output_port; /* bits 1:0 */
	uint8_t command;     /* the next byte to 60h belongs to it; 0: none */
};

/* Puts the controller on VM's bus. 0 or bus errors. */
int i8042_init(struct i8042 *k, struct vm *vm);
/* State as firmware leaves it. dev_lock held, or no vCPU runs. */
void i8042_reset(struct i8042 *k);

#endif
