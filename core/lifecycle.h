/*
 * A VM's life: started, ended by itself or by a fault, restarted or not. When the last one has
 * ended the machine powers off.
 */
#ifndef CORE_LIFECYCLE_H
#define CORE_LIFECYCLE_H

#include <stdbool.h>

struct vm;
struct vcpu;

/* Makes the VM known and counts it as alive. At boot, before the cores run. */
void vm_register(struct vm *vm);
/* Asks the core of vCPU 0 to load and start it. From any core. */
void vm_start(struct vm *vm);

/*
 * The guest, or Socle on its behalf, cannot go on: prints WHY and everything there is to say of V,
 * and ends its VM. V is loaded on this core. The caller goes on and finds REQ_STOP.
 */
void vcpu_crash(struct vcpu *v, const char *why) __attribute__((cold));

/* REQ_START on V, loaded on this core: vCPU 0 loads the guest, the others wait for SIPI. */
void lifecycle_start(struct vcpu *v);
/* V has been taken off its core for good, until a REQ_START. The last one of a VM decides what
 * comes next. */
void lifecycle_parked(struct vcpu *v);

/* True once the last guest has ended. */
bool lifecycle_all_ended(void);

/* boot/ provides it: every other core has stopped; power off. On the boot core. */
_Noreturn void machine_off(void);

#endif
