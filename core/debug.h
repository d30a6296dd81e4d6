/*
 * Breakpoints on what core/ accesses in the guest's place, which the processor does not see (SDM
 * vol. 3B 18.2). Own core.
 */
#ifndef CORE_DEBUG_H
#define CORE_DEBUG_H

#include <stdint.h>

struct vcpu;

/* DR7.R/W that such an access meets, bit by bit. */
enum debug_access {
	DEBUG_WRITE = 1u << 1 | 1u << 3,
	DEBUG_READ = 1u << 3,
	DEBUG_PORT = 1u << 2 /* with CR4.DE alone */
};

/*
 * An access of SIZE bytes at ADDRESS, linear or a port, has been made: what it meets goes to
 * v->debug_met. DR7 is the guest's, so that the caller need not ask twice.
 */
void debug_accessed(struct vcpu *v, uint64_t dr7, uint64_t address, unsigned int size,
		    enum debug_access access);

/* The instruction, or an iteration of it, is done: v->debug_met becomes a debug trap. */
void debug_retire(struct vcpu *v);

#endif
