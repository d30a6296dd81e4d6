#include "arch/x86/pci.h"

#include <stdbool.h>
#include <stdint.h>

#include "arch/x86/cpu.h"
#include "lib/util.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA    0xcfc
#define CONFIG_ENABLE  BIT(31)

#define REG_ID	    0x00
#define REG_COMMAND 0x04
#define REG_CLASS   0x08
#define REG_HEADER  0x0c

#define COMMAND_MASTER	  BIT(2)
#define HEADER_MULTI	  BIT(23)
#define NO_DEVICE	  0xffffu
#define CLASS_HOST_BRIDGE 0x0600u

#define BUSES	  256u
#define DEVICES	  32u
#define FUNCTIONS 8u

static void select(uint32_t function, uint32_t reg)
{
	outl(CONFIG_ADDRESS, (uint32_t)CONFIG_ENABLE | function << 8 | reg);
}

static uint32_t read(uint32_t function, uint32_t reg)
{
	select(function, reg);
	return inl(CONFIG_DATA);
}

static bool is_master(uint32_t function)
{
	return read(function, REG_COMMAND) & COMMAND_MASTER;
}

/* By 16 bits: the status register beside it clears the bits that are written as ones. */
static void stop(uint32_t function)
{
	uint16_t command = (uint16_t)(read(function, REG_COMMAND) & ~COMMAND_MASTER);

	select(function, REG_COMMAND);
	outw(CONFIG_DATA, command);
}

static void look_at(uint32_t function, struct pci_masters *m)
{
	m->functions++;
	if (!is_master(function) || read(function, REG_CLASS) >> 16 == CLASS_HOST_BRIDGE)
		return;
	m->were_on++;
	stop(function);
	m->stay_on += is_master(function);
}

/*
 * Every bus number is asked, not only those that bridges name: there may be several roots.
 */
struct pci_masters pci_stop_masters(void)
{
	struct pci_masters m = {0};

	for (uint32_t device = 0; device < BUSES * DEVICES; device++) {
		uint32_t first = device * FUNCTIONS, count;

		if ((read(first, REG_ID) & 0xffff) == NO_DEVICE)
			continue;
		count = read(first, REG_HEADER) & HEADER_MULTI ? FUNCTIONS : 1;
		for (uint32_t i = 0; i < count; i++)
			if ((read(first + i, REG_ID) & 0xffff) != NO_DEVICE)
				look_at(first + i, &m);
	}
	return m;
}
