/* The machine's own I/O APICs and 8259s. First core only, or serialised by the caller. */
#ifndef ARCH_X86_IOAPIC_PHYS_H
#define ARCH_X86_IOAPIC_PHYS_H

#include <stdbool.h>
#include <stdint.h>

#define IOAPIC_DEFAULT_BASE 0xfec00000u

/*
 * Makes one I/O APIC known; its page must be mapped (PT_R | PT_W, MT_UC). -ENOSPC: too many;
 * -ENODEV: nothing answers there (all ones).
 */
int ioapic_add(uint64_t address, uint32_t gsi_base);

/* Masks every entry of every one that is known. Before interrupts are ever on. */
void ioapic_mask_all(void);

/*
 * Sends global system interrupt GSI to VECTOR on the core with APIC_ID (physical destination,
 * fixed), unmasked. -ENOENT: no I/O APIC has it; -ERANGE: APIC_ID does not fit into the entry's
 * eight bits.
 */
int ioapic_route(uint32_t gsi, uint32_t apic_id, uint8_t vector, bool level, bool active_low);
int ioapic_mask(uint32_t gsi);

/*
 * Masks both 8259s, after moving their spurious vectors out of the exceptions' range. Harmless
 * where there is none.
 */
void pic_mask_all(void);

#endif
