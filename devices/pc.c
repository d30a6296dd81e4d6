#include "devices/pc.h"

static int init_legacy(struct pc *pc, struct vm *vm)
{
	int err = i8259_init(&pc->pic, vm);

	return err ? err : i8254_init(&pc->pit, vm);
}

int pc_init(struct pc *pc, struct vm *vm, const struct pc_options *options)
{
	int err = ioapic_init(&pc->ioapic, vm);

	pc->legacy = options->legacy;
	if (!err && pc->legacy)
		err = init_legacy(pc, vm);
	if (!err)
		err = uart16550_init(&pc->com1, vm, UART_COM1_PORT, UART_COM1_GSI);
	if (!err)
		err = acpi_pm_init(&pc->pm, vm);
	if (!err)
		err = reset_init(&pc->reset, vm, !pc->legacy);
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
	if (pc->legacy) {
		i8259_reset(&pc->pic);
		i8254_reset(&pc->pit);
	}
	uart16550_reset(&pc->com1);
	acpi_pm_reset(&pc->pm);
	reset_reset(&pc->reset);
	rtc_reset(&pc->rtc);
}
