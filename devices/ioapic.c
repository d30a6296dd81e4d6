#include "devices/ioapic.h"

#include "core/bus.h"
#include "core/devtimer.h"
#include "core/lapic.h"
#include "core/vm.h"
#include "lib/err.h"

/* Memory-mapped registers (data sheet 3.1); EOI came with version 20h. */
#define IOREGSEL    0x00
#define IOWIN	    0x10
#define IOEOI	    0x40
#define IOAPIC_SIZE 0x1000

/* Registers behind IOREGSEL (3.2). */
#define IOAPICID  0x00
#define IOAPICVER 0x01
#define IOAPICARB 0x02
#define IOREDTBL  0x10

#define VERSION	    (0x20u | (IOAPIC_PINS - 1) << 16)
#define ID_WRITABLE 0x0f000000u

/* Redirection table entry (3.2.4). */
#define ENTRY_VECTOR(e)	  ((uint8_t)(e))
#define ENTRY_DELIVERY(e) (((e) >> 8) & 7)
#define ENTRY_LOGICAL	  BIT(11)
#define ENTRY_REMOTE_IRR  BIT(14)
#define ENTRY_LEVEL	  BIT(15)
#define ENTRY_MASKED	  BIT(16)
#define ENTRY_DEST(e)	  ((uint32_t)((e) >> 56))
/*
 * Delivery status (12) is always idle: a message is taken at once. Polarity (13) is kept and means
 * nothing: the platform's lines say asserted, not high.
 */
#define ENTRY_WRITABLE 0xff0000000001afffULL

/* NMI, SMI, INIT and ExtINT are edges whatever the trigger bit says (3.2.4). */
static bool is_level(uint64_t entry)
{
	return entry & ENTRY_LEVEL &&
	       (ENTRY_DELIVERY(entry) == APIC_FIXED || ENTRY_DELIVERY(entry) == APIC_LOWEST);
}

static void send(struct ioapic *io, unsigned int pin)
{
	uint64_t entry = io->entry[pin];
	struct apic_msg msg = {
		.dest = ENTRY_DEST(entry),
		.logical = entry & ENTRY_LOGICAL,
		.level = is_level(entry),
		.assert_level = true,
		.delivery = ENTRY_DELIVERY(entry),
		.vector = ENTRY_VECTOR(entry),
	};

	if (lapic_send(io->vm, NULL, &msg) && msg.level)
		io->entry[pin] |= ENTRY_REMOTE_IRR;
}

/* A level-triggered pin that is asserted, not masked and not being served sends its message. */
static void send_level(struct ioapic *io, unsigned int pin)
{
	uint64_t entry = io->entry[pin];

	if (is_level(entry) && io->lines & BIT(pin) && !(entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR)))
		send(io, pin);
}

static void set_line(void *dev, unsigned int gsi, bool level)
{
	struct ioapic *io = dev;
	uint32_t old = io->lines;
	uint32_t bit;

	if (gsi >= IOAPIC_PINS)
		return;
	bit = 1u << gsi;
	io->lines = level ? old | bit : old & ~bit;
	if (io->lines == old || !level)
		return;
	if (is_level(io->entry[gsi]))
		send_level(io, gsi);
	else if (!(io->entry[gsi] & ENTRY_MASKED))
		send(io, gsi);
}

static bool is_deaf(void *dev, unsigned int gsi)
{
	const struct ioapic *io = dev;

	return io->entry[gsi] & ENTRY_MASKED;
}

static void eoi(void *dev, uint8_t vector)
{
	struct ioapic *io = dev;

	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++) {
		uint64_t *entry = &io->entry[pin];

		if (ENTRY_VECTOR(*entry) != vector || !(*entry & ENTRY_REMOTE_IRR))
			continue;
		*entry &= ~ENTRY_REMOTE_IRR;
		send_level(io, pin);
	}
}

static uint32_t read_selected(const struct ioapic *io)
{
	unsigned int entry = (io->select - IOREDTBL) / 2;

	switch (io->select) {
	case IOAPICID:
	case IOAPICARB: /* takes the ID's value when that is written */
		return io->id;
	case IOAPICVER:
		return VERSION;
	default:
		if (io->select < IOREDTBL || entry >= IOAPIC_PINS)
			return 0;
		return (uint32_t)(io->entry[entry] >> (io->select & 1 ? 32 : 0));
	}
}

static void write_entry(struct ioapic *io, unsigned int pin, bool high, uint32_t value)
{
	unsigned int shift = high ? 32 : 0;
	uint64_t writable = ENTRY_WRITABLE & (0xffffffffULL << shift);
	uint64_t entry = (io->entry[pin] & ~writable) | ((uint64_t)value << shift & writable);

	/*
	 * A pin that becomes edge-triggered waits for no EOI: kernels rely on that to clear
	 * Remote IRR.
	 */
	if (!(entry & ENTRY_LEVEL))
		entry &= ~ENTRY_REMOTE_IRR;
	io->entry[pin] = entry;
	send_level(io, pin);
	vm_irq_heard(io->vm);
}

static void write_selected(struct ioapic *io, uint32_t value)
{
	unsigned int entry = (io->select - IOREDTBL) / 2;

	if (io->select == IOAPICID)
		io->id = value & ID_WRITABLE;
	else if (io->select >= IOREDTBL && entry < IOAPIC_PINS)
		write_entry(io, entry, io->select & 1, value);
}

static uint32_t read_reg(const struct ioapic *io, uint64_t offset)
{
	switch (offset) {
	case IOREGSEL:
		return io->select;
	case IOWIN:
		return read_selected(io);
	default:
		return 0;
	}
}

static void write_reg(struct ioapic *io, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case IOREGSEL:
		io->select = (uint8_t)value;
		break;
	case IOWIN:
		write_selected(io, value);
		break;
	case IOEOI:
		eoi(io, (uint8_t)value);
		break;
	default:
		break;
	}
}

/*
 * Registers are 32 bits wide and 16 bytes apart; narrower reads get their part, the rest is
 * nothing.
 */
static void mmio(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		 uint64_t *value)
{
	uint64_t reg = offset & ~15ULL;

	(void)v;
	if (!write)
		*value = (offset & 15) < 4 ? read_reg(dev, reg) >> 8 * (offset & 3) : 0;
	else if (!(offset & 15) && (size >= 4 || reg == IOREGSEL || reg == IOEOI))
		write_reg(dev, reg, (uint32_t)*value);
}

int ioapic_init(struct ioapic *io, struct vm *vm)
{
	if (vm->sink_count == ARRAY_SIZE(vm->sink))
		return -ENOSPC;
	*io = (struct ioapic){.vm = vm};
	ioapic_reset(io);
	vm->sink[vm->sink_count++] = (struct irq_sink){
		.set_line = set_line, .eoi = eoi, .is_deaf = is_deaf, .dev = io};
	return bus_add_mmio(vm, IOAPIC_GPA, IOAPIC_SIZE, mmio, io);
}

void ioapic_reset(struct ioapic *io)
{
	io->id = 0;
	io->select = 0;
	io->lines = 0;
	for (unsigned int pin = 0; pin < IOAPIC_PINS; pin++)
		io->entry[pin] = ENTRY_MASKED;
}
