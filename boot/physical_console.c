#include "boot/physical_console.h"

#include "arch/x86/apic.h"
#include "arch/x86/desc.h"
#include "arch/x86/host_map.h"
#include "arch/x86/ioapic_phys.h"
#include "arch/x86/pages.h"
#include "arch/x86/tsc.h"
#include "arch/x86/uart.h"
#include "boot/firmware.h"
#include "boot/screen.h"
#include "boot/serial.h"
#include "boot/watch.h"
#include "core/console.h"
#include "core/monitor.h"
#include "core/sched.h"
#include "lib/log.h"
#include "lib/strbuf.h"
#include "lib/util.h"

/*
 * The clock looks after the ports in any case: SMM code may use one behind Socle's back and take
 * its interrupt away, which then costs a tenth of a second and not the output.
 */
#define TICK_NS	    100000000ull
#define UNPROVEN_NS 2000000ull
/* How often the screen is drawn, how long that may keep the boot core's guest waiting, and how long
 * the guest may then run when there is more to draw. */
#define FRAME_NS 40000000ull
#define DRAW_NS	 1000000ull
#define PAUSE_NS 9000000ull

/* What the screen shows at first: as much as the largest one holds. */
#define REPLAY_LINES 256
#define ISA_IRQS     16

/* Interrupts without a cause, within a tick: the line is not what firmware's tables say. */
#define STORM 5000

static struct uart *ports;
static size_t count;
/* VMs' own: com2 to com4. */
static struct own_port {
	struct uart uart;
	struct console_port port;
} own[3];
static size_t own_count;
/* A port whose interrupt is not known is looked at by the clock. */
static bool polled;
/* Its interrupt has come once: until then the clock stands in for it. */
static bool irq_works;
/* By port: where its interrupt comes from, and how often it came for nothing since
 * the last look. */
static struct {
	uint32_t gsi;
	unsigned int idle;
} irqs[SERIAL_MAX + ARRAY_SIZE(own)];
/* When the clock looks after the ports again, host TSC; ~0: there are none, and no screen. */
static uint64_t look_at = ~0ull;
/* There is a screen; and the clock, not each line, has it drawn. */
static bool screen, drawn_by_clock;

/* Every port gets every byte, so the fullest one decides. */
static unsigned int tx_room(void *ctx)
{
	size_t room = ~(size_t)0;

	(void)ctx;
	for (size_t i = 0; i < count; i++)
		room = MIN(room, uart_tx_ready(&ports[i]));
	return (unsigned int)room;
}

static void tx(void *ctx, uint8_t byte)
{
	(void)ctx;
	for (size_t i = 0; i < count; i++)
		uart_tx(&ports[i], byte);
	screen_put(byte);
	if (byte == '\n' && !drawn_by_clock)
		screen_draw(~0ull);
}

static bool rx(void *ctx, uint8_t *byte)
{
	(void)ctx;
	for (size_t i = 0; i < count; i++)
		if (uart_rx(&ports[i], byte))
			return true;
	return false;
}

static void tx_irq(void *ctx, bool on)
{
	(void)ctx;
	for (size_t i = 0; i < count; i++)
		uart_irq_enable(&ports[i], true, on);
}

static const struct console_port port = {tx_room, tx, rx, tx_irq, NULL};

/* ---- a VM's own port ---- */

static unsigned int own_tx_room(void *ctx)
{
	return (unsigned int)uart_tx_ready(ctx);
}

static void own_tx(void *ctx, uint8_t byte)
{
	uart_tx(ctx, byte);
}

static bool own_rx(void *ctx, uint8_t *byte)
{
	return uart_rx(ctx, byte);
}

static void own_tx_irq(void *ctx, bool on)
{
	uart_irq_enable(ctx, true, on);
}

const struct console_port *physical_console_own(const struct config_vm *vm)
{
	struct own_port *o = &own[own_count];

	if (own_count == ARRAY_SIZE(own) || !serial_of_vm(vm, &o->uart))
		return NULL;
	uart_init(&o->uart, false);
	o->port = (struct console_port){own_tx_room, own_tx, own_rx, own_tx_irq, &o->uart};
	own_count++;
	return &o->port;
}

/* ---- the screen ---- */

bool boot_screen_usable(const struct boot_framebuffer *fb)
{
	return screen_bytes(fb) > 0 && firmware_maps(fb->base, screen_bytes(fb));
}

void physical_console_map(const struct handover *h)
{
	const struct boot_framebuffer *fb = &h->framebuffer;
	void *memory;

	if (!h->screen)
		return;
	memory = pages_alloc(ALIGN_UP(screen_memory(fb), PAGE_SIZE) / PAGE_SIZE);
	/* What is told of the end of one framebuffer may be another device's: no reason to stop. */
	if (!memory || host_map_add(fb->base, screen_bytes(fb), PT_R | PT_W, MT_WC)) {
		log_warn("the screen cannot be mapped: it is not used");
		return;
	}
	screen_open(fb, (unsigned int)h->vm_count, memory);
	screen = true;
}

static void screen_line(void *ctx, const char *line, size_t len)
{
	(void)ctx;
	for (size_t i = 0; i < len; i++)
		screen_put((uint8_t)line[i]);
	screen_put('\r');
	screen_put('\n');
}

static void show_states(void)
{
	char text[100];
	struct strbuf line;

	sb_init(&line, text, sizeof(text));
	for (unsigned int i = 0; monitor_status(i, &line); i++) {
		screen_status(i, text);
		sb_reset(&line);
	}
}

/* When to draw again. */
static uint64_t draw(void)
{
	bool done;

	show_states();
	done = screen_draw(tsc_now() + tsc_from_ns(DRAW_NS));
	return tsc_now() + tsc_from_ns(done ? FRAME_NS : PAUSE_NS);
}

void physical_console_flush(void)
{
	console_flush();
	show_states();
	screen_draw(~0ull);
}

void physical_console_panic(const char *text, size_t len)
{
	boot_serial_write(text, len);
	for (size_t i = 0; i < len; i++)
		screen_put((uint8_t)text[i]);
}

void physical_console_redraw(void)
{
	screen_redraw();
}

/* ---- interrupts and time ---- */

void physical_console_init(void)
{
	count = serial_ports(&ports);
	log_replay(REPLAY_LINES, screen_line, NULL);
	console_init(count || screen ? &port : NULL);
	log_set_sink(console_write_log, NULL);
}

/* All serial ports, the machine's first; NULL behind the last. */
static struct uart *port_at(size_t i)
{
	if (i < count)
		return &ports[i];
	return i - count < own_count ? &own[i - count].uart : NULL;
}

static void on_irq(unsigned int vector)
{
	unsigned int n = vector - VEC_CONSOLE;

	irq_works |= n < count;
	if (!uart_irq_pending(port_at(n)))
		irqs[n].idle++;
	console_irq();
}

/* COM1 and COM3 have ISA interrupt 4, COM2 and COM4 have 3. */
static bool isa_irq(const struct uart *u, uint8_t *irq)
{
	if (u->mmio)
		return false;
	*irq = u->base == 0x3f8 || u->base == 0x3e8 ? 4 : 3;
	return u->base == 0x3f8 || u->base == 0x3e8 || u->base == 0x2f8 || u->base == 0x2e8;
}

static bool is_spcr(const struct uart *u, const struct acpi_info *acpi)
{
	return acpi && acpi->has_spcr && acpi->spcr.base.address == u->base &&
	       acpi->spcr.base.is_port == !u->mmio;
}

/*
 * Trigger and polarity of GSI, of which SPCR says nothing: as an override has it, else edge and
 * active high for ISA's, level and active low for PCI's behind them (ACPI 6.4 5.2.12.5, 5.2.15.2).
 */
static struct acpi_override gsi_line(const struct acpi_info *acpi, uint32_t gsi)
{
	bool pci = gsi >= ISA_IRQS;

	for (unsigned int i = 0; i < acpi->override_count; i++)
		if (acpi->overrides[i].gsi == gsi)
			return acpi->overrides[i];
	return (struct acpi_override){.gsi = gsi, .level = pci, .active_low = pci};
}

/*
 * Where U's interrupt arrives. Without ACPI the ISA interrupts are on the pins of their number,
 * edge, active high.
 */
static bool find_line(const struct uart *u, const struct acpi_info *acpi, struct acpi_override *o)
{
	uint8_t irq;

	if (isa_irq(u, &irq))
		*o = acpi ? acpi_isa_irq(acpi, irq) : (struct acpi_override){.gsi = irq};
	else if (is_spcr(u, acpi) && acpi->spcr.has_gsi)
		*o = gsi_line(acpi, acpi->spcr.gsi);
	else if (is_spcr(u, acpi) && acpi->spcr.has_irq)
		*o = acpi_isa_irq(acpi, acpi->spcr.irq);
	else
		return false;
	return true;
}

static bool route(const struct uart *u, const struct acpi_info *acpi, unsigned int n)
{
	struct acpi_override o = {0};

	if (!find_line(u, acpi, &o))
		return false;
	irqs[n].gsi = o.gsi;
	irq_register(VEC_CONSOLE + n, on_irq);
	return ioapic_route(o.gsi, apic_id(), (uint8_t)(VEC_CONSOLE + n), o.level, o.active_low) ==
	       0;
}

/*
 * Firmware's tables may be wrong about the interrupt, or an IOMMU may hold it back. Output would
 * stop with the first full FIFO, and nobody could read why.
 */
static bool is_unproven(void)
{
	return count && !polled && !irq_works;
}

/* A line that asks all the time would leave the boot core no time for guests. */
static void end_storms(void)
{
	for (unsigned int n = 0; port_at(n); n++) {
		if (irqs[n].idle > STORM) {
			ioapic_mask(irqs[n].gsi);
			irq_works = false;
			log_warn("a console's interrupt, %u, comes without end: it is polled",
				 irqs[n].gsi);
		}
		irqs[n].idle = 0;
	}
}

static void look_after_ports(void)
{
	uint64_t now = tsc_now();

	if (now < look_at && !polled && !is_unproven() && !own_count)
		return;
	end_storms();
	console_irq();
	look_at = now + tsc_from_ns(is_unproven() ? UNPROVEN_NS : TICK_NS);
}

static uint64_t tick(void)
{
	uint64_t next;

	look_after_ports();
	next = MIN(look_at, console_tick());
	next = MIN(next, watch_tick());
	return screen ? MIN(next, draw()) : next;
}

void physical_console_use_irq(const struct handover *h)
{
	const struct acpi_info *acpi = firmware_tables(h->rsdp);
	struct uart *u;

	sched_set_housekeeping(pcpus[0], tick);
	if (!count && !own_count && !screen)
		return;
	for (size_t i = 0; (u = port_at(i)); i++)
		polled |= !route(u, acpi, (unsigned int)i);
	if (polled)
		log_info("a console's interrupt is not known: it is polled");
	else
		console_use_irq();
	drawn_by_clock = true;
	look_at = 0;
}
