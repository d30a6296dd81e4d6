/* links: devices/pc.c devices/pc_ports.c devices/debug_ports.c devices/ioapic.c devices/i8259.c devices/i8254.c devices/i8042.c devices/hpet.c devices/fw_cfg.c core/gmem.c core/devtimer.c devices/uart16550.c devices/acpi_pm.c devices/reset.c devices/rtc.c core/bus.c core/clock.c core/lapic.c core/lapic_irq.c core/lapic_timer.c lib/strbuf.c lib/fmt.c tests/unit/support/fake_core.c -lcmocka */
/*
 * Every register of every device, ports, MMIO and the local APIC, in any order, while time passes
 * and keys are typed. The input: one byte of options, then operations (struct op).
 */
#include "tests/unit/support/fake_core.h"

#include <stdlib.h>
#include <string.h>

#include "core/bus.h"
#include "core/console.h"
#include "core/devtimer.h"
#include "core/lapic.h"
#include "devices/pc.h"

#define VCPUS	2u
#define OPS_MAX 4096u

enum {
	IN,
	OUT,
	IN_ANY,
	OUT_ANY,
	MMIO_READ,
	MMIO_WRITE,
	APIC_READ,
	APIC_WRITE,
	MSR_READ,
	MSR_WRITE,
	BASE,
	WAIT,
	TYPE,
	TAKE,
	EOI,
	DEADLINE,
	OP_COUNT
};

struct op {
	uint8_t what; /* bits 6:0 modulo OP_COUNT; bit 7: the vCPU */
	uint8_t size;
	uint16_t where;
	uint32_t value;
};

static struct vm *vm;
static struct pc pc;
static struct console_client client;
static uint8_t ram[0x10000]; /* from 0 on: what fw_cfg's DMA can reach */
static const struct fw_cfg_file files[] = {{"opt/a", "some bytes", 10}, {"opt/b", "", 0}};
static uint8_t full; /* the console takes no more, as often as this says */

static void must(int condition)
{
	if (!condition)
		abort();
}

int console_attach(struct vm *to, const struct console_client *c)
{
	(void)to;
	client = *c;
	return 0;
}

bool console_put(struct vm *from, uint8_t byte)
{
	(void)from;
	return !full || byte % full;
}

void console_input_ready(struct vm *to)
{
	(void)to;
}

void console_reset(struct vm *of)
{
	(void)of;
}

static uint16_t device_port(uint16_t where)
{
	const struct bus_region_slot *slot = &vm->pio[where % vm->pio_count];

	/* One port beyond either end, too. */
	return (uint16_t)(slot->base + (where >> 5) % (slot->size + 2) - 1);
}

static uint64_t device_gpa(uint16_t where)
{
	const struct bus_region_slot *slot = &vm->mmio[where % vm->mmio_count];

	return slot->base + (where >> 4) % (slot->size + 8) - 4;
}

static void type(uint8_t byte)
{
	spin_lock(&vm->dev_lock);
	if (client.input_room(client.dev))
		client.input(client.dev, byte);
	else
		client.output_room(client.dev);
	spin_unlock(&vm->dev_lock);
}

/* As the run loop does: what is pending enters, if it may. */
static void take(struct vcpu *v)
{
	int vector;

	lapic_sync(v);
	vector = lapic_next(v);
	if (vector >= 0) {
		must(vector >= 16 && vector < 256);
		lapic_accept(v, (uint8_t)vector);
	} else if (vm->extint.acknowledge && vm->extint.line && lapic_accepts_extint(v)) {
		spin_lock(&vm->dev_lock);
		(void)vm->extint.acknowledge(vm->extint.dev);
		spin_unlock(&vm->dev_lock);
	}
	(void)lapic_blocked_class(v);
	(void)lapic_has_deliverable(v);
}

static void expire(void)
{
	for (unsigned int i = 0; i < VCPUS; i++) {
		struct vcpu *v = vm->vcpu[i];

		if (v->timer_deadline && v->timer_deadline <= fake.tsc)
			lapic_timer_expired(v);
		must(!v->timer_deadline || v->timer_deadline > fake.tsc);
	}
	dev_timers_run(vm);
}

static void bus_op(struct vcpu *v, const struct op *op, bool mmio, bool write, bool any)
{
	uint8_t size = (uint8_t)(1u << (op->size & (mmio ? 3 : 1)));
	uint64_t value = op->value | (uint64_t)op->value << 32;

	if (!mmio && op->size & 4)
		size = 4;
	if (!write)
		value = 0x5555555555555555;
	if (mmio)
		bus_mmio(v, device_gpa(op->where), write, size, &value);
	else
		bus_pio(v, any ? op->where : device_port(op->where), write, size, &value);
	if (!write && size < 8)
		must(value >> (8 * size) == 0);
}

static void apic_op(struct vcpu *v, const struct op *op, bool write)
{
	uint64_t value = op->value | (uint64_t)op->size << 32;
	uint8_t size = (uint8_t)(1u << (op->size & 3));

	if (v->apic_mode == APIC_XAPIC)
		lapic_mmio(v, op->where % (PAGE_SIZE - size + 1u), write, size, &value);
}

static void msr_op(struct vcpu *v, const struct op *op, bool write)
{
	uint64_t value = op->value | (uint64_t)op->size << 32;

	if (write)
		(void)lapic_msr_write(v, 0x800 + op->where % 0x100, value);
	else
		(void)lapic_msr_read(v, 0x800 + op->where % 0x100, &value);
}

static void run(const struct op *op)
{
	struct vcpu *v = vm->vcpu[op->what >> 7];

	switch (op->what % 128 % OP_COUNT) {
	case IN:
	case OUT:
	case IN_ANY:
	case OUT_ANY:
		bus_op(v, op, false, (op->what % 128 % OP_COUNT) & 1,
		       op->what % 128 % OP_COUNT >= IN_ANY);
		break;
	case MMIO_READ:
	case MMIO_WRITE:
		bus_op(v, op, true, op->what % 128 % OP_COUNT == MMIO_WRITE, false);
		break;
	case APIC_READ:
	case APIC_WRITE:
		apic_op(v, op, op->what % 128 % OP_COUNT == APIC_WRITE);
		break;
	case MSR_READ:
	case MSR_WRITE:
		msr_op(v, op, op->what % 128 % OP_COUNT == MSR_WRITE);
		break;
	case BASE:
		(void)lapic_set_base(v, (v->apic_base & ~0xc00ull) | (op->value & 0xf00) |
						(op->size & 1 ? 0 : 0xfee00000));
		break;
	case WAIT:
		fake.tsc += (uint64_t)op->value << (op->size % 24);
		expire();
		break;
	case TYPE:
		type((uint8_t)op->value);
		full = op->size;
		break;
	case TAKE:
		take(v);
		break;
	case EOI:
		lapic_eoi(v);
		break;
	default:
		lapic_deadline_write(v, op->value | (uint64_t)op->where << 32);
		break;
	}
	must(vm->dev_lock.next == vm->dev_lock.owner);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pc_options options = {0};
	struct op op;

	if (!size)
		return 0;
	options.legacy = data[0] & 1;
	options.hpet = data[0] & 8;
	options.fw_cfg = (struct fw_cfg_content){"words", files, ARRAY_SIZE(files)};
	options.debug_exit = data[0] & 2 ? 0xf4 : 0;
	options.debug_console = data[0] & 4 ? 0xe9 : 0;
	memset(&pc, 0, sizeof(pc));
	full = 0;
	vm = fake_vm_new(VCPUS);
	fake.tsc = 1;
	vm->ram[0] = (struct vm_ram){0, sizeof(ram), ram};
	vm->ram_count = 1;
	must(pc_init(&pc, vm, &options) == 0);
	for (unsigned int i = 0; i < VCPUS; i++)
		lapic_reset(vm->vcpu[i], false);
	for (size_t at = 1, n = 0; at + sizeof(op) <= size && n < OPS_MAX; at += sizeof(op), n++) {
		memcpy(&op, data + at, sizeof(op));
		run(&op);
		if (fake.ends) {
			fake.ends = 0;
			pc_reset(&pc);
		}
	}
	fake_vm_free(vm);
	return 0;
}
