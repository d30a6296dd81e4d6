/* The run loop: events into the guest, the guest's exits to their handlers. */
#ifndef CORE_RUN_H
#define CORE_RUN_H

#include <stdbool.h>

struct vcpu;

/*
 * Runs V, loaded on this core, until it blocks, its VM ends, or its time slice does. Interrupts
 * off; they are taken in a window after the exits they cause.
 */
void run_vcpu(struct vcpu *v);

/*
 * For the back end's loop, after an exit that it has handled, with V's requests set: where they are
 * no more than an interrupt or an exception, chooses what enters next, as run_vcpu() would. False:
 * the loop has to end.
 */
bool run_events(struct vcpu *v);

#endif
