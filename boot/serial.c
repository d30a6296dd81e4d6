#include "boot/serial.h"

#include "arch/x86/uart.h"
#include "boot/firmware.h"
#include "boot/handover.h"
#include "lib/log.h"
#include "lib/util.h"

/* Lines that a port hears again when it joins late. */
#define REPLAY_LINES 256

/* ACPI: Serial Port Console Redirection Table, interface types that are 16550s. */
static const uint8_t spcr_16550[] = {0x00, 0x01, 0x12};

/* The PC's four, com1 first. */
static const uint16_t com_ports[] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};

static struct uart ports[SERIAL_MAX];
static size_t port_count;

size_t serial_ports(struct uart **array)
{
	*array = ports;
	return port_count;
}

static bool same_port(const struct uart *a, const struct uart *b)
{
	return a->mmio == b->mmio && a->base == b->base;
}

/* The one that the firmware's tables name. */
static bool find_spcr(uint64_t rsdp, struct uart *u)
{
	const struct acpi_info *info = firmware_tables(rsdp);

	if (!info || !info->has_spcr || info->spcr.base.address == 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(spcr_16550); i++) {
		if (info->spcr.interface_type != spcr_16550[i])
			continue;
		*u = (struct uart){.base = info->spcr.base.address,
				   .mmio = !info->spcr.base.is_port,
				   .stride = info->spcr.register_stride,
				   .width = info->spcr.base.bit_width == 32 ? 4 : 1};
		return true;
	}
	return false;
}

/* False for a console that is no serial port. */
static bool from_config(const struct config_console *c, struct uart *u)
{
	switch (c->kind) {
	case CONFIG_CONSOLE_COM:
		if (c->address < 1 || c->address > ARRAY_SIZE(com_ports))
			return false;
		*u = (struct uart){.base = com_ports[c->address - 1]};
		return true;
	case CONFIG_CONSOLE_PORT:
		*u = (struct uart){.base = c->address};
		return true;
	case CONFIG_CONSOLE_MMIO:
		*u = (struct uart){.base = c->address, .mmio = true};
		return true;
	default:
		return false;
	}
}

/* What is asked for, whether it is there or not. */
static size_t wanted(const struct config_socle *config, const struct uart *spcr,
		     struct uart list[SERIAL_MAX])
{
	size_t n = 0;

	if (!config || config->console_count == 0) {
		list[0] = spcr ? *spcr : (struct uart){.base = com_ports[0]};
		return 1;
	}
	for (size_t i = 0; i < config->console_count && n < SERIAL_MAX; i++)
		n += from_config(&config->consoles[i], &list[n]);
	return n;
}

static void uart_line(void *ctx, const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		uart_putc(ctx, (uint8_t)line[i]);
	uart_putc(ctx, '\r');
	uart_putc(ctx, '\n');
}

/*
 * The rate is the firmware's where its tables say that this is its console; else 115200, whatever
 * stands in the port.
 */
static bool open_port(struct uart *u, const struct uart *spcr)
{
	if (u->mmio && !firmware_maps(u->base, 8u * MAX(u->stride, 1)))
		return false;
	if (!uart_probe(u))
		return false;
	uart_init(u, spcr && same_port(u, spcr));
	log_replay(REPLAY_LINES, uart_line, u);
	return true;
}

/* Index of a port like U in the COUNT of OLD, or COUNT. */
static size_t find_port(const struct uart *old, size_t count, const struct uart *u)
{
	size_t i = 0;

	while (i < count && !same_port(&old[i], u))
		i++;
	return i;
}

bool boot_serial_init(const struct config_socle *config, uint64_t rsdp)
{
	struct uart spcr_port, list[SERIAL_MAX], found[SERIAL_MAX];
	const struct uart *spcr = find_spcr(rsdp, &spcr_port) ? &spcr_port : NULL;
	size_t n = wanted(config, spcr, list), count = 0;

	for (size_t i = 0; i < n; i++) {
		size_t k = find_port(ports, port_count, &list[i]);

		if (find_port(found, count, &list[i]) < count)
			continue;
		if (k < port_count)
			found[count++] = ports[k];
		else if (open_port(&list[i], spcr))
			found[count++] = list[i];
	}
	for (size_t i = 0; i < count; i++)
		ports[i] = found[i];
	port_count = count;
	return count > 0;
}

void boot_serial_write(const char *text, size_t len)
{
	for (size_t p = 0; p < port_count; p++) {
		for (size_t i = 0; i < len; i++)
			uart_putc(&ports[p], (uint8_t)text[i]);
	}
}

/* ---- VMs' own ---- */

bool serial_of_vm(const struct config_vm *vm, struct uart *u)
{
	if (vm->console < CONFIG_VM_CONSOLE_COM2 || vm->console > CONFIG_VM_CONSOLE_COM4)
		return false;
	*u = (struct uart){.base = com_ports[1 + vm->console - CONFIG_VM_CONSOLE_COM2]};
	return true;
}

unsigned int boot_check_console(const struct config_vm *vm, boot_report *report, void *ctx)
{
	const char *fault = NULL;
	char text[160];
	struct strbuf sb;
	struct uart u;

	if (!serial_of_vm(vm, &u))
		return 0;
	if (find_port(ports, port_count, &u) < port_count)
		fault = "is the port of Socle's own console";
	else if (!uart_probe(&u))
		fault = "does not answer";
	if (!fault)
		return 0;
	sb_init(&sb, text, sizeof(text));
	sb_printf(&sb, "vm %s: console: com%d (port %xh) %s", vm->name,
		  2 + vm->console - CONFIG_VM_CONSOLE_COM2, (unsigned int)u.base, fault);
	report(ctx, &vm->pos[CONFIG_VM_CONSOLE], sb.text);
	return 1;
}
