/*
 * Instructions that Socle executes in the guest's place: accesses to device memory and string port
 * I/O. Own core.
 */
#ifndef CORE_MMIO_H
#define CORE_MMIO_H

#include "core/exits.h"

/*
 * Executes the instruction at the guest's RIP with RAM, local APIC and devices behind its memory
 * operand. *LEN is its length with ACT_NEXT. What cannot be executed ends the VM with the
 * instruction's bytes as the reason.
 */
enum act mmio_emulate(struct vcpu *v, unsigned int *len);

/*
 * The error code of the page fault that a page table outside RAM causes: it reads as all ones,
 * which has reserved bits set. I/D is reported as SDM vol. 3A 4.7 says.
 */
uint32_t mmio_table_error(struct vcpu *v, bool write, bool fetch, bool user);

#endif
