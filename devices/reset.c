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

/* 61h: bits 3:0 stay as written; REFRESH changes with every read. */
#define PORT_B_WRITABLE 0x0fu
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

/* ---- ports of one byte ---- */

struct reset_port_ops {
	uint16_t port;
	bool always; /* and not only where another device has it otherwise */
	uint8_t (*read)(struct reset_ports *r);
	void (*write)(struct reset_ports *r, uint8_t byte);
};

/*
 * No keyboard controller but its reset line. The status says "take a command, nothing to read", for
 * kernels wait for that before the reset command.
 */
static uint8_t read_kbc(struct reset_ports *r)
{
	(void)r;
	return 0;
}

static void write_64(struct reset_ports *r, uint8_t byte)
{
	r->output_port = byte == KBC_WRITE_OUTPUT_PORT;
	if (byte >= KBC_PULSE && !(byte & KBC_RESET_LINE))
		reboot(r);
}

static void write_60(struct reset_ports *r, uint8_t byte)
{
	if (r->output_port && !(byte & KBC_RESET_LINE))
		reboot(r);
	r->output_port = false;
}

static uint8_t read_92(struct reset_ports *r)
{
	return r->a20;
}

static void write_92(struct reset_ports *r, uint8_t byte)
{
	r->a20 = byte & ALT_A20;
	if (byte & FAST_INIT)
		reboot(r);
}

static uint8_t read_61(struct reset_ports *r)
{
	r->port_b ^= PORT_B_REFRESH;
	return r->port_b;
}

static void write_61(struct reset_ports *r, uint8_t byte)
{
	r->port_b = (r->port_b & PORT_B_REFRESH) | (byte & PORT_B_WRITABLE);
}

static uint8_t read_80(struct reset_ports *r)
{
	return r->post;
}

static void write_80(struct reset_ports *r, uint8_t byte)
{
	r->post = byte;
}

static const struct reset_port_ops ports[RESET_PORTS] = {
	{0x60, false, read_kbc, write_60}, {0x61, false, read_61, write_61},
	{0x64, false, read_kbc, write_64}, {0x80, true, read_80, write_80},
	{0x92, true, read_92, write_92},
};

static void port(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		 uint64_t *value)
{
	struct reset_port *p = dev;

	(void)v;
	(void)offset;
	(void)size;
	if (write)
		p->ops->write(p->all, (uint8_t)*value);
	else
		*value = p->ops->read(p->all);
}

int reset_init(struct reset_ports *r, struct vm *vm, bool all)
{
	*r = (struct reset_ports){.vm = vm};
	reset_reset(r);
	for (unsigned int i = 0; i < RESET_PORTS; i++) {
		int err = 0;

		r->port[i] = (struct reset_port){r, &ports[i]};
		if (all || ports[i].always)
			err = bus_add_pio(vm, ports[i].port, 1, port, &r->port[i]);
		if (err)
			return err;
	}
	return bus_add_pio(vm, 0xcf8, 4, port_cf8, r);
}

void reset_reset(struct reset_ports *r)
{
	r->control = r->port_b = r->post = 0;
	r->a20 = ALT_A20;
	r->output_port = false;
}
