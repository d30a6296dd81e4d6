/* MSR policy: what a guest may read and write that no hardware state holds. Everything else is #GP,
 * logged once. */
#ifndef CORE_MSR_H
#define CORE_MSR_H

#include <stdint.h>

#include "core/cr.h"

struct vcpu;

/* The values of emulated MSRs after power-up. */
void msr_reset(struct vcpu *v);

/* 0, or -EPERM for #GP(0). Own core. */
int msr_read(struct vcpu *v, uint32_t index, uint64_t *value);
int msr_write(struct vcpu *v, uint32_t index, uint64_t value);

#endif
