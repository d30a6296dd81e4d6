/* The run loop: events into the guest, the guest's exits to their handlers. */
#ifndef CORE_RUN_H
#define CORE_RUN_H

struct vcpu;

/*
 * Runs V, loaded on this core, until it blocks, its VM ends, or its time slice does. Interrupts
 * off; they are taken in a window after the exits they cause.
 */
void run_vcpu(struct vcpu *v);

#endif
