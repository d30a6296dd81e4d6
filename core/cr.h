/* Control registers as a guest writes them, with the checks that the processor would make. Own
 * core. */
#ifndef CORE_CR_H
#define CORE_CR_H

#include <stdint.h>

struct vcpu;

/* PAT after reset (SDM vol. 3A 12.12.4). */
#define PAT_RESET 0x0007040600070406ULL

/* Each: 0, or -EPERM where the processor raises #GP(0); nothing has then changed. The value is the
 * guest's. */
int cr0_write(struct vcpu *v, uint64_t value);
int cr3_write(struct vcpu *v, uint64_t value);
int cr4_write(struct vcpu *v, uint64_t value);
int efer_write(struct vcpu *v, uint64_t value);
int xcr0_write(struct vcpu *v, uint32_t index, uint64_t value);

/* CR4 was set otherwise (reset, load of a guest): what CPUID derives from it follows. */
void cr4_changed(struct vcpu *v);

#endif
