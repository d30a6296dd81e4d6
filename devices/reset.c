#include "devices/reset.h"

#include "core/bus.h"
#include "core/vm.h"
#include "lib/util.h"

/* CF9h: a change of RST_CPU from 0 to 1 resets (ICH9 data sheet 13.7.5). */
#define RST_CPU	     0x04u
#define CF9_WRITABLE 0x0eu

/* 92h. */
#define FAST_INIT 0x01u
#define ALT_A20	  0x02u

/* 61h: timer 2's gate and the speaker stay as written; REFRESH changes with every read. */
#define PORT_B_WRITABLE 0x03u
#define PORT_B_REFRESH	0x10u

/*
 * 8042 commands: F0h to FFh pulse the output port's bits that are 0 in the command; bit 0 resets.
 */
#define KBC_WRITE_OUTPUT_PORT 0xd1u
#define KBC_PULSE	      0xf0u
#define KBC_RESET_LINE	      0x01u

static void reboot(struct reset_ports *r)
{
	vm_end(r->vm, VM_END_REBOOT, "");
}

/*
 * CF8h to CFBh are the address of PCI configuration mechanism #1, when written as 32 bits: those
 * must not reach CF9h, or looking for a PCI bus would reset the machine.
 */
static void port_cf8(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		     uint64_t *value)
{
	struct reset_ports *r = dev;
	uint8_t old = r->control;

	(void)v;
	if (offset != 1 || size != 1) {
		if (!write)
			*value = ~0ULL;
		return;
	}
	if (!write) {
		*value = r->control;
		return;
	}
	r->control = *value & CF9_WRITABLE;
	if (r->control & ~old & RST_CPU)
		reboot(r);
}

/*
 * No keyboard controller but its reset line. The status says "take a command, nothing to read", for
 * kernels wait for that before the reset command.
 */
static void port_64(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		    uint64_t *value)
{
	struct reset_ports *r = dev;
	uint8_t byte = (uint8_t)*value;

	(void)v;
	(void)offset;
	(void)size;
	if (!write) {
		*value = 0;
		return;
	}
	r->output_port = byte == KBC_WRITE_OUTPUT_PORT;
	if (byte >= KBC_PULSE && !(byte & KBC_RESET_LINE))
		reboot(r);
}

static void port_60(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		    uint64_t *value)
{
	struct reset_ports *r = dev;

	(void)v;
	(void)offset;
	(void)size;
	if (!write) {
		*value = 0;
		return;
	}
	if (r->output_port && !(*value & KBC_RESET_LINE))
		reboot(r);
	r->output_port = false;
}

static void port_92(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		    uint64_t *value)
{
	struct reset_ports *r = dev;

	(void)v;
	(void)offset;
	(void)size;
	if (!write) {
		*value = r->a20;
		return;
	}
	r->a20 = *value & ALT_A20;
	if (*value & FAST_INIT)
		reboot(r);
}

static void port_61(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		    uint64_t *value)
{
	struct reset_ports *r = dev;

	(void)v;
	(void)offset;
	(void)size;
	if (write) {
		r->port_b = (r->port_b & PORT_B_REFRESH) | (*value & PORT_B_WRITABLE);
		return;
	}
	r->port_b ^= PORT_B_REFRESH;
	*value = r->port_b;
}

static void port_80(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		    uint64_t *value)
{
	struct reset_ports *r = dev;

	(void)v;
	(void)offset;
	(void)size;
	if (write)
		r->post = (uint8_t)*value;
	else
		*value = r->post;
}

int reset_init(struct reset_ports *r, struct vm *vm, bool all)
{
	static const struct {
		uint16_t port, count;
		bus_handler *handler;
	} ports[] = {
		{0x61, 1, port_61}, {0x60, 1, port_60}, {0x64, 1, port_64},
		{0x80, 1, port_80}, {0x92, 1, port_92}, {0xcf8, 4, port_cf8},
	};

	*r = (struct reset_ports){.vm = vm};
	reset_reset(r);
	for (unsigned int i = all ? 0 : 3; i < ARRAY_SIZE(ports); i++) {
		int err = bus_add_pio(vm, ports[i].port, ports[i].count, ports[i].handler, r);

		if (err)
			return err;
	}
	return 0;
}

void reset_reset(struct reset_ports *r)
{
	*r = (struct reset_ports){.vm = r->vm, .a20 = ALT_A20};
}
