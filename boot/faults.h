/*
 * Faults of the machine: NMIs that nobody in here sent, and machine checks. One that leaves nothing
 * to go on with is a panic; the others are said and the machine goes on.
 */
#ifndef BOOT_FAULTS_H
#define BOOT_FAULTS_H

#include "arch/x86/acpi.h"

/*
 * Takes the hooks for both; lets the platform's NMI reach this core, the first one, by the pin that
 * ACPI names (NULL: no tables), LINT1 without. After idt_init() and apic_init_cpu().
 */
void faults_init(const struct acpi_info *acpi);

/* Machine checks on, errors of before now said. On each core, after desc_load(). */
void faults_init_cpu(void);

/* Says what has come to this core since the last call. Each second or so, on each core. */
void faults_poll(void);

#endif
