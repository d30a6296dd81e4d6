/* A vCPU's architectural state after power-up, INIT and SIPI. */
#ifndef CORE_VCPU_H
#define CORE_VCPU_H

#include <stdbool.h>
#include <stdint.h>

struct vcpu;

/*
 * Writes the state after power-up (init == false) or after INIT into v->st and v->gpr; the caller
 * hands it to the back end. For INIT, v->st must hold all of the current state. The local APIC is
 * reset by lapic_reset().
 */
void vcpu_state_reset(struct vcpu *v, bool init);
/* Start-up IPI: real mode at VECTOR:0000 (SDM vol. 3A 9.4.3). After vcpu_state_reset(). */
void vcpu_state_startup(struct vcpu *v, uint8_t vector);

#endif
