#include "devices/acpi_pm.h"

#include "core/bus.h"
#include "core/clock.h"
#include "core/vm.h"

/*
 * Bytes from ACPI_PM1_EVT_PORT on: status, enable, control, 16 bits each (ACPI 6.5, 4.8.3.1,
 * 4.8.3.2).
 */
enum { STATUS, ENABLE = 2, CONTROL = 4, PM1_PORTS = 6 };
_Static_assert(ACPI_PM1_CNT_PORT - ACPI_PM1_EVT_PORT == CONTROL, "one region");

#define TMR_STS	     0x0001u
#define STS_WRITABLE 0x8731u /* all but reserved bits; writing 1 clears */
#define EN_WRITABLE  0x0721u

#define SCI_EN		 0x0001u
#define CNT_WRITABLE	 0x1c02u /* SLP_TYP and BM_RLD stay */
#define SLP_TYP(control) (((control) >> 10) & 7)
#define SLP_EN		 0x2000u

static uint32_t timer(const struct acpi_pm *pm)
{
	return (uint32_t)clock_ticks(pm->vm, ACPI_PM_TMR_HZ);
}

/* The next change of the timer's highest bit, where somebody waits for it. */
static void arm(struct acpi_pm *pm)
{
	uint64_t ticks = clock_ticks(pm->vm, ACPI_PM_TMR_HZ);
	bool waits = pm->enable & TMR_STS && !(pm->status & TMR_STS);
	uint64_t at = clock_tsc_of(pm->vm, ((ticks >> 31) + 1) << 31, ACPI_PM_TMR_HZ);

	if (!waits)
		at = 0;
	if (at != pm->overflow.at)
		dev_timer_set(pm->vm, &pm->overflow, at);
}

/* TMR_STS is set whenever the timer's highest bit changes (4.8.3.3). */
static void update(struct acpi_pm *pm)
{
	bool high = timer(pm) >> 31;
	bool sci;

	if (high != pm->timer_high)
		pm->status |= TMR_STS;
	pm->timer_high = high;
	sci = pm->status & pm->enable;
	if (sci != pm->sci) {
		pm->sci = sci;
		vm_set_irq(pm->vm, ACPI_SCI_GSI, sci);
	}
	arm(pm);
}

static void overflowed(void *dev)
{
	update(dev);
}

static uint8_t read_byte(const struct acpi_pm *pm, uint64_t offset)
{
	/* There is no SMI command to turn ACPI on: it is on. */
	const uint16_t value[] = {pm->status, pm->enable, pm->control | SCI_EN};

	return (uint8_t)(value[offset / 2] >> 8 * (offset & 1));
}

static void write_control(struct acpi_pm *pm, uint16_t value, uint16_t written)
{
	pm->control = (pm->control & ~written) | (value & written & CNT_WRITABLE);
	if (value & SLP_EN && SLP_TYP(pm->control) == ACPI_S5_SLP_TYP)
		vm_end(pm->vm, VM_END_SHUTDOWN, "");
}

static void write_byte(struct acpi_pm *pm, uint64_t offset, uint8_t byte)
{
	unsigned int shift = 8 * (offset & 1);
	uint16_t mask = (uint16_t)(0xff << shift);
	uint16_t value = (uint16_t)(byte << shift);

	switch (offset & ~1ULL) {
	case STATUS:
		pm->status &= (uint16_t) ~(value & STS_WRITABLE);
		break;
	case ENABLE:
		pm->enable = (pm->enable & (uint16_t)~mask) | (value & EN_WRITABLE);
		break;
	default:
		write_control(pm, value, mask);
		break;
	}
}

static void port_byte(void *dev, uint64_t offset, bool write, uint8_t *byte)
{
	if (write)
		write_byte(dev, offset, *byte);
	else
		*byte = read_byte(dev, offset);
}

static void pm1(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		uint64_t *value)
{
	(void)v;
	update(dev);
	bus_by_bytes(port_byte, dev, offset, write, size, value);
	update(dev);
}

/* Behind its first byte: rare, and apart so that the usual way keeps nothing for it. */
static noinline uint64_t timer_from(const struct acpi_pm *pm, uint64_t offset)
{
	return timer(pm) >> 8 * offset;
}

static void pm_timer(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		     uint64_t *value)
{
	(void)v;
	(void)size;
	if (!write)
		*value = likely(!offset) ? timer(dev) : timer_from(dev, offset);
}

int acpi_pm_init(struct acpi_pm *pm, struct vm *vm)
{
	int err = bus_add_pio(vm, ACPI_PM1_EVT_PORT, PM1_PORTS, pm1, pm);

	if (err)
		return err;
	*pm = (struct acpi_pm){.vm = vm, .overflow = {.expired = overflowed, .dev = pm}};
	dev_timer_add(vm, &pm->overflow);
	return bus_add_pio(vm, ACPI_PM_TMR_PORT, 4, pm_timer, pm);
}

void acpi_pm_reset(struct acpi_pm *pm)
{
	dev_timer_set(pm->vm, &pm->overflow, 0);
	pm->status = 0;
	pm->enable = 0;
	pm->control = 0;
	pm->timer_high = timer(pm) >> 31;
	pm->sci = false;
	vm_set_irq(pm->vm, ACPI_SCI_GSI, false);
}
