/* ACPI fixed hardware (ACPI 6.5, 4.8.3): PM1 events, PM1 control and the power management timer. */
#ifndef DEVICES_ACPI_PM_H
#define DEVICES_ACPI_PM_H

#include <stdbool.h>
#include <stdint.h>

#include "core/devtimer.h"

/* As the FADT says. */
#define ACPI_PM1_EVT_PORT 0x600
#define ACPI_PM1_CNT_PORT 0x604
#define ACPI_PM_TMR_PORT  0x608
#define ACPI_SCI_GSI	  9
/* SLP_TYP of S5 in the DSDT. */
#define ACPI_S5_SLP_TYP 0
#define ACPI_PM_TMR_HZ	3579545u

struct vm;

struct acpi_pm {
	struct vm *vm;
	uint16_t status, enable, control;
	bool timer_high; /* bit 31 of the timer when last looked at: TMR_STS tells of its changes */
	bool sci;	 /* level of the interrupt line */
	struct dev_timer overflow; /* the next change of that bit, while it interrupts */
};

/* Puts the registers on VM's bus. 0 or bus errors. */
int acpi_pm_init(struct acpi_pm *pm, struct vm *vm);
/* State after power-up. dev_lock held, or no vCPU runs. */
void acpi_pm_reset(struct acpi_pm *pm);

#endif
