/* ACPI fixed hardware (ACPI 6.5, 4.8.3): PM1 events, PM1 control and the power management timer. */
#ifndef DEVICES_ACPI_PM_H
#define DEVICES_ACPI_PM_H

#include <stdint.h>

/* As the FADT says. */
#define ACPI_PM1_EVT_PORT 0x600
#define ACPI_PM1_CNT_PORT 0x604
#define ACPI_PM_TMR_PORT 0x608
#define ACPI_SCI_GSI 9
/* SLP_TYP of S5 in the DSDT. */
#define ACPI_S5_SLP_TYP 0
#define ACPI_PM_TMR_HZ 3579545u

struct vm;

struct acpi_pm {
	struct vm *vm;
	uint16_t status, enable, control;
	uint32_t timer_base; /* ticks at which the timer read 0 */
};

/* Puts the registers on VM's bus. 0 or bus errors. */
int acpi_pm_init(struct acpi_pm *pm, struct vm *vm);
/* State after power-up. dev_lock held, or no vCPU runs. */
void acpi_pm_reset(struct acpi_pm *pm);

#endif
