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
 * Moves SIZE bytes, a page at most, between BUF and the guest's LINEAR, which is no operand of an
 * instruction: mmio_access() as a program at the current CPL does, mmio_system_access() as the
 * processor does with descriptors and task-state segments. 0, or -EFAULT with the page fault
 * queued and nothing moved.
 */
int mmio_access(struct vcpu *v, uint64_t linear, void *buf, unsigned int size, bool write);
int mmio_system_access(struct vcpu *v, uint64_t linear, void *buf, unsigned int size, bool write);
/* Whether mmio_system_access() could write there; moves nothing. 0, or -EFAULT as above. */
int mmio_system_probe(struct vcpu *v, uint64_t linear, unsigned int size);

/*
 * The error code of the page fault that a page table outside RAM causes: it reads as all ones,
 * which has reserved bits set. I/D is reported as SDM vol. 3A 4.7 says.
 */
uint32_t mmio_table_error(struct vcpu *v, bool write, bool fetch, bool user);

#endif
