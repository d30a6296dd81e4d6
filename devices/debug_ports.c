#include "devices/debug_ports.h"

#include "core/bus.h"
#include "core/console.h"
#include "core/vm.h"
#include "lib/strbuf.h"

/* Only a write to the first port is a status; reads find nothing. */
static void exit_port(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		      uint64_t *value)
{
	struct debug_ports *d = dev;
	char text[24];
	struct strbuf sb;

	(void)v;
	(void)size;
	if (!write) {
		*value = ~0ULL;
		return;
	}
	if (offset)
		return;
	sb_init(&sb, text, sizeof(text));
	sb_printf(&sb, "%llu", (unsigned long long)*value);
	vm_end(d->vm, VM_END_EXIT, text);
}

/* A byte for which the console has no room is lost: this port cannot make its writer wait. */
static void console_port(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
			 uint64_t *value)
{
	struct debug_ports *d = dev;

	(void)v;
	(void)offset;
	(void)size;
	if (write)
		console_put(d->vm, (uint8_t)*value);
	else
		*value = DEBUG_CONSOLE_ID;
}

int debug_ports_init(struct debug_ports *d, struct vm *vm, uint16_t exit, uint16_t console)
{
	uint32_t count = MIN(DEBUG_EXIT_PORTS, 0x10000u - exit);
	int err = exit ? bus_add_pio(vm, exit, count, exit_port, d) : 0;

	d->vm = vm;
	if (!err && console)
		err = bus_add_pio(vm, console, 1, console_port, d);
	return err;
}
