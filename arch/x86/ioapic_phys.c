#include "arch/x86/ioapic_phys.h"

#include "arch/x86/cpu.h"
#include "lib/err.h"

#define IOAPIC_MAX 64

/* Intel 82093AA data sheet, 3.0 */
#define IOREGSEL	0x00
#define IOWIN		0x10
#define REG_VERSION	0x01
#define REG_REDIRECT(n) (0x10 + 2 * (n))
#define ENTRY_LOW	(1u << 13)
#define ENTRY_LEVEL	(1u << 15)
#define ENTRY_MASKED	(1u << 16)

static struct ioapic {
	uint64_t base;
	uint32_t gsi_base, pins;
} ioapics[IOAPIC_MAX];
static unsigned int ioapic_count;

static uint32_t reg_read(uint64_t base, uint32_t reg)
{
	mmio_write32(base + IOREGSEL, reg);
	return mmio_read32(base + IOWIN);
}

static void reg_write(uint64_t base, uint32_t reg, uint32_t value)
{
	mmio_write32(base + IOREGSEL, reg);
	mmio_write32(base + IOWIN, value);
}

int ioapic_add(uint64_t address, uint32_t gsi_base)
{
	uint32_t version = reg_read(address, REG_VERSION);

	if (version == UINT32_MAX)
		return -ENODEV;
	if (ioapic_count == IOAPIC_MAX)
		return -ENOSPC;
	ioapics[ioapic_count++] = (struct ioapic){address, gsi_base, (version >> 16 & 0xff) + 1};
	return 0;
}

void ioapic_mask_all(void)
{
	for (unsigned int i = 0; i < ioapic_count; i++)
		for (uint32_t pin = 0; pin < ioapics[i].pins; pin++)
			reg_write(ioapics[i].base, REG_REDIRECT(pin), ENTRY_MASKED);
}

static const struct ioapic *find(uint32_t gsi)
{
	for (unsigned int i = 0; i < ioapic_count; i++)
		if (gsi >= ioapics[i].gsi_base && gsi - ioapics[i].gsi_base < ioapics[i].pins)
			return &ioapics[i];
	return NULL;
}

/* Masked while its halves do not belong together. */
int ioapic_route(uint32_t gsi, uint32_t apic_id, uint8_t vector, bool level, bool active_low)
{
	const struct ioapic *io = find(gsi);
	uint32_t reg, low = vector;

	if (!io)
		return -ENOENT;
	if (apic_id > UINT8_MAX)
		return -ERANGE;
	low |= level ? ENTRY_LEVEL : 0;
	low |= active_low ? ENTRY_LOW : 0;
	reg = REG_REDIRECT(gsi - io->gsi_base);
	reg_write(io->base, reg, low | ENTRY_MASKED);
	reg_write(io->base, reg + 1, apic_id << 24);
	reg_write(io->base, reg, low);
	return 0;
}

int ioapic_mask(uint32_t gsi)
{
	const struct ioapic *io = find(gsi);
	uint32_t reg;

	if (!io)
		return -ENOENT;
	reg = REG_REDIRECT(gsi - io->gsi_base);
	reg_write(io->base, reg, reg_read(io->base, reg) | ENTRY_MASKED);
	return 0;
}

/*
 * Intel 8259A data sheet: ICW1 to ICW4, then OCW1. The initialisation is there for the vectors,
 * since a masked 8259 may still deliver its spurious interrupt, which firmware may have left among
 * the exceptions.
 */
void pic_mask_all(void)
{
	static const struct {
		uint16_t port;
		uint8_t value;
	} sequence[] = {
		{0x20, 0x11}, {0xa0, 0x11}, /* ICW1: edge, cascade, ICW4 follows */
		{0x21, 0x20}, {0xa1, 0x28}, /* ICW2: vectors 20h and 28h */
		{0x21, 0x04}, {0xa1, 0x02}, /* ICW3: the second hangs on IRQ 2 */
		{0x21, 0x01}, {0xa1, 0x01}, /* ICW4: 8086 mode */
		{0x21, 0xff}, {0xa1, 0xff}, /* OCW1: all masked */
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(sequence); i++)
		outb(sequence[i].port, sequence[i].value);
}
