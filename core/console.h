/*
 * Guests' consoles on the one physical console. A guest's serial port gives bytes with console_put() and is told when
 * there is input or room again. With one VM its bytes pass as they are; with several, each line gets "NAME| " in front
 * and lines of different VMs do not mix.
 *
 * A console's lock is the innermost one: callbacks are made without it.
 */
#ifndef CORE_CONSOLE_H
#define CORE_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vm;

#define CONSOLE_RING 65536u

/* What the device behind a console is told. Called with the VM's dev_lock held. */
struct console_client {
	void (*input)(void *dev, uint8_t byte); /* one byte was typed; the device has said input_room() > 0 */
	unsigned int (*input_room)(void *dev);
	void (*output_room)(void *dev);         /* console_put() refused before and would take a byte now */
	void *dev;
};

/* Gives VM a console with rings of its own. -ENOMEM. At boot. */
int console_attach(struct vm *vm, const struct console_client *client);

/* One byte from VM's device, dev_lock held. False when the ring is full: keep it and wait for output_room(). */
bool console_put(struct vm *vm, uint8_t byte);

#endif
