/* All devices of a VM. */
#ifndef DEVICES_PC_H
#define DEVICES_PC_H

#include "devices/acpi_pm.h"
#include "devices/debug_ports.h"
#include "devices/fw_cfg.h"
#include "devices/hpet.h"
#include "devices/i8042.h"
#include "devices/i8254.h"
#include "devices/i8259.h"
#include "devices/ioapic.h"
#include "devices/reset.h"
#include "devices/rtc.h"
#include "devices/uart16550.h"

struct vm;

/* What a VM's section of the configuration says of its devices. */
struct pc_options {
	bool legacy; /* 8259 pair, 8254 and 8042: platform = pc */
	bool hpet, com2;
	uint16_t debug_exit, debug_console; /* ports; 0: none */
	struct fw_cfg_content fw_cfg;
};

struct pc {
	bool legacy, has_hpet, has_com2;
	struct ioapic ioapic;
	struct i8259 pic; /* with legacy, like pit and kbc */
	struct i8254 pit;
	struct i8042 kbc;
	struct hpet hpet;
	struct fw_cfg fw_cfg;
	struct uart16550 com1, com2;
	struct acpi_pm pm;
	struct reset_ports reset;
	struct rtc rtc;
	struct debug_ports debug;
};

/*
 * Makes VM's devices in *PC, which the caller gives and keeps as long as the VM. At boot, VM zeroed
 * but for what the configuration says. 0, or the error of the bus or the console. No bus error
 * comes from OPTIONS that have no conflict (devices/pc_ports.h).
 */
int pc_init(struct pc *pc, struct vm *vm, const struct pc_options *options);
/* Every device into its state after power-up; no vCPU of the VM runs. */
void pc_reset(struct pc *pc);

#endif
