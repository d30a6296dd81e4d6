/*
 * The paravirtual clock that Linux documents (Documentation/virt/kvm/x86/msr.rst): a page in the
 * guest's memory with the TSC's frequency and offset, and the wall clock at boot. Own core.
 */
#ifndef CORE_PVCLOCK_H
#define CORE_PVCLOCK_H

#include <stdint.h>

struct vcpu;

/* MSR_KVM_SYSTEM_TIME_NEW: physical address, 4-byte aligned, bit 0 enables. -EPERM where there is
 * no RAM. */
int pvclock_set_system_time(struct vcpu *v, uint64_t value);
/* MSR_KVM_WALL_CLOCK_NEW: writes the wall clock there once. -EPERM where there is no RAM. */
int pvclock_write_wall_clock(struct vcpu *v, uint64_t gpa);
/* The guest's TSC offset changed: the page follows. */
void pvclock_update(struct vcpu *v);

#endif
