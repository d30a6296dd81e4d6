/*
 * A VM's life: started, ended by itself or by a fault, restarted or not. When the last one has
 * ended the machine powers off.
 */
#ifndef CORE_LIFECYCLE_H
#define CORE_LIFECYCLE_H

#include <stdbool.h>

struct vm;
struct vcpu;

/*
 * Makes the VM known; with autostart it counts as alive, else as ended. At boot, before the cores
 * run.
 */
void vm_register(struct vm *vm);
/* Asks the core of vCPU 0 to load and start it. From any core. */
void vm_start(struct vm *vm);

/*
 * The guest, or Socle on its behalf, cannot go on: prints WHY and everything there is to say of V,
 * and ends its VM. V is loaded on this core. The caller goes on and finds REQ_STOP.
 */
void vcpu_crash(struct vcpu *v, const char *why) __attribute__((cold));

/*
 * From outside, on any core; they return at once, and the VM's cores follow. -EINVAL: VM is in no
 * state for this (what has ended can only be started, what does not run not be paused).
 */
int vm_pause(struct vm *vm); /* its clocks stand still, but for the time of day */
int vm_resume(struct vm *vm);
int vm_stop(struct vm *vm);  /* for good, whatever on_reboot and on_crash say */
int vm_reset(struct vm *vm); /* a new life, whatever they say */
int vm_start_again(struct vm *vm);

/*
 * While HOLD, the machine stays on when the last guest has ended, so that one can be started
 * again. Any core.
 */
void lifecycle_hold(bool hold);

/* Prints everything there is to say of V, which is loaded on this core or was never started. */
void lifecycle_dump(struct vcpu *v);

/*
 * REQ_START on V, parked on this core: vCPU 0 loads the guest, the others wait for SIPI. False: it
 * is not done yet (memory is zeroed piece by piece) or not wanted any more; REQ_START stands, or
 * not. REQ_CLEAN on vCPU 0, likewise in pieces, when its VM has ended: memory is zeroed and the VM
 * counts no more; false.
 */
bool lifecycle_start(struct vcpu *v);
/*
 * V, loaded on this core, is about to execute: false while its VM is paused. Its clocks are set
 * back by the pauses that have passed. And it has come back, and executes nothing until it enters
 * again.
 */
bool lifecycle_enter(struct vcpu *v);
void lifecycle_leave(struct vcpu *v);
/* V has been taken off its core for good, until a REQ_START. The last one of a VM decides what
 * comes next. */
void lifecycle_parked(struct vcpu *v);

/* True once the last guest has ended and its memory is zeroed. */
bool lifecycle_all_ended(void);

/* boot/ provides it: every other core has stopped; power off. On the boot core. */
_Noreturn void machine_off(void);

#endif
