#include "devices/pc.h"

static int init_legacy(struct pc *pc, struct vm *vm)
{
	int err = i8259_init(&pc->pic, vm);

	if (!err)
		err = i8254_init(&pc->pit, vm);
	return err ? err : i8042_init(&pc->kbc, vm);
}

/* The HPET has the interrupts of the older timers. */
static void replace_timers(void *ctx, bool on)
{
	struct pc *pc = ctx;

	if (pc->legacy)
		i8254_replace(&pc->pit, on);
	rtc_replace(&pc->rtc, on);
}

static int init_optional(struct pc *pc, struct vm *vm, const struct pc_options *options)
{
	int err = 0;

	pc->legacy = options->legacy;
	pc->has_hpet = options->hpet;
	pc->has_com2 = options->com2;
	if (pc->legacy)
		err = init_legacy(pc, vm);
	if (!err && pc->has_hpet)
		err = hpet_init(&pc->hpet, vm, replace_timers, pc);
	if (!err && pc->has_com2)
		err = uart16550_init_second(&pc->com2, vm, UART_COM2_PORT, UART_COM2_GSI, "com2| ");
	return err;
}

int pc_init(struct pc *pc, struct vm *vm, const struct pc_options *options)
{
	int err = ioapic_init(&pc->ioapic, vm);

	if (!err)
		err = init_optional(pc, vm, options);
	if (!err)
		err = uart16550_init(&pc->com1, vm, UART_COM1_PORT, UART_COM1_GSI);
	if (!err)
		err = acpi_pm_init(&pc->pm, vm);
	if (!err)
		err = reset_init(&pc->reset, vm, !pc->legacy);
	if (!err)
		err = rtc_init(&pc->rtc, vm);
	if (!err)
		err = fw_cfg_init(&pc->fw_cfg, vm, &options->fw_cfg);
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
	/* Before the timers whose interrupts it may have. */
	if (pc->has_hpet)
		hpet_reset(&pc->hpet);
	if (pc->legacy) {
		i8259_reset(&pc->pic);
		i8254_reset(&pc->pit);
		i8042_reset(&pc->kbc);
	}
	uart16550_reset(&pc->com1);
	if (pc->has_com2)
		uart16550_reset(&pc->com2);
	acpi_pm_reset(&pc->pm);
	reset_reset(&pc->reset);
	rtc_reset(&pc->rtc);
	fw_cfg_reset(&pc->fw_cfg);
}
