#include "devices/pc.h"

int pc_init(struct pc *pc, struct vm *vm, const struct pc_options *options)
{
	int err = ioapic_init(&pc->ioapic, vm);

	if (!err)
		err = uart16550_init(&pc->com1, vm, UART_COM1_PORT, UART_COM1_GSI);
	if (!err)
		err = acpi_pm_init(&pc->pm, vm);
	if (!err)
		err = reset_init(&pc->reset, vm);
	if (!err)
		err = rtc_init(&pc->rtc, vm);
	if (!err)
		err = debug_ports_init(&pc->debug, vm, options->debug_exit, options->debug_console);
	if (!err)
		pc_reset(pc);
	return err;
}

void pc_reset(struct pc *pc)
{
	/* First: the others drop their lines. */
	ioapic_reset(&pc->ioapic);
	uart16550_reset(&pc->com1);
	acpi_pm_reset(&pc->pm);
	reset_reset(&pc->reset);
	rtc_reset(&pc->rtc);
}
