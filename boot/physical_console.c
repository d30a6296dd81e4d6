#include "boot/physical_console.h"

#include "arch/x86/apic.h"
#include "arch/x86/desc.h"
#include "arch/x86/ioapic_phys.h"
#include "arch/x86/tsc.h"
#include "arch/x86/uart.h"
#include "boot/firmware.h"
#include "boot/serial.h"
#include "core/console.h"
#include "core/sched.h"
#include "lib/log.h"
#include "lib/util.h"

#define TICK_NS 100000000ull
/* A port that never falls silent is no reason to stay in its handler. */
#define MAX_TURNS 64

static struct uart *ports;
static size_t count;

/* Every port gets every byte, so the fullest one decides. */
static unsigned int tx_room(void)
{
	size_t room = ~(size_t)0;

	for (size_t i = 0; i < count; i++)
		room = MIN(room, uart_tx_ready(&ports[i]));
	return (unsigned int)room;
}

static void tx(uint8_t byte)
{
	for (size_t i = 0; i < count; i++)
		uart_tx(&ports[i], byte);
}

static bool rx(uint8_t *byte)
{
	for (size_t i = 0; i < count; i++)
		if (uart_rx(&ports[i], byte))
			return true;
	return false;
}

static void tx_irq(bool on)
{
	for (size_t i = 0; i < count; i++)
		uart_irq_enable(&ports[i], true, on);
}

static const struct console_port port = {tx_room, tx, rx, tx_irq};

void physical_console_init(void)
{
	count = serial_ports(&ports);
	console_init(count ? &port : NULL);
	log_set_sink(console_write_log, NULL);
}

static bool wants_attention(void)
{
	for (size_t i = 0; i < count; i++)
		if (uart_iir(&ports[i]) != UART_IIR_NONE)
			return true;
	return false;
}

/*
 * The interrupt is an edge: it comes again only after there was a moment with nothing to tell. A
 * byte that arrives while the transmitter still asks would leave the line high for ever.
 */
static void on_irq(unsigned int vector)
{
	unsigned int turns = MAX_TURNS;

	(void)vector;
	do {
		for (size_t i = 0; i < count; i++)
			uart_clear_status(&ports[i]);
		console_irq();
	} while (wants_attention() && --turns);
}

/* COM1 and COM3 have ISA interrupt 4, COM2 and COM4 have 3. */
static bool isa_irq(const struct uart *u, uint8_t *irq)
{
	if (u->mmio)
		return false;
	*irq = u->base == 0x3f8 || u->base == 0x3e8 ? 4 : 3;
	return u->base == 0x3f8 || u->base == 0x3e8 || u->base == 0x2f8 || u->base == 0x2e8;
}

/* Without ACPI the ISA interrupts are on the pins of their number, edge, active high. */
static bool route(const struct uart *u, const struct acpi_info *acpi, unsigned int n)
{
	struct acpi_override o = {0};
	uint8_t irq;

	if (!isa_irq(u, &irq))
		return false;
	o.gsi = irq;
	if (acpi)
		o = acpi_isa_irq(acpi, irq);
	irq_register(VEC_CONSOLE + n, on_irq);
	return ioapic_route(o.gsi, apic_id(), (uint8_t)(VEC_CONSOLE + n), o.level, o.active_low) ==
	       0;
}

/* A port whose interrupt is not known is looked at by the clock. */
static uint64_t poll(void)
{
	uint64_t soon = tsc_now() + tsc_from_ns(TICK_NS);

	console_irq();
	return MIN(console_tick(), soon);
}

static uint64_t tick(void)
{
	uint64_t soon = tsc_now() + tsc_from_ns(TICK_NS);

	return MIN(console_tick(), soon);
}

void physical_console_use_irq(const struct handover *h)
{
	const struct acpi_info *acpi = firmware_tables(h->rsdp);
	bool all = true;

	if (!count)
		return;
	for (size_t i = 0; i < count; i++)
		all &= route(&ports[i], acpi, (unsigned int)i);
	if (all)
		console_use_irq();
	else
		log_info("a console's interrupt is not known: it is polled");
	/* With one VM nothing is due by the clock: its bytes pass as they are. */
	if (!all)
		sched_set_housekeeping(poll);
	else if (h->vm_count > 1)
		sched_set_housekeeping(tick);
}
