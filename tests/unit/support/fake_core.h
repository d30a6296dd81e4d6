/*
 * What surrounds a device or a local APIC, for tests of core/ and devices/: VMs without memory, a
 * clock that the test turns, and a back end and a run loop that only note what they are told.
 */
#ifndef TESTS_UNIT_SUPPORT_FAKE_CORE_H
#define TESTS_UNIT_SUPPORT_FAKE_CORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/vm.h"

#define FAKE_GSIS 24

struct fake {
	uint64_t tsc, hz;
	uint8_t phys_width;
	bool offers_vid; /* apic_mode() turns v->vid on unless the mode is APIC_OFF */

	/* Noted. */
	unsigned int apic_mode_calls, irq_syncs, eoi_exits_calls, rearms;
	uint64_t eoi_exits[4];
	enum vm_end end;
	char end_why[32];
	unsigned int ends;
	bool line[FAKE_GSIS];
	unsigned int rises[FAKE_GSIS];
};

extern struct fake fake;

/*
 * A VM with VCPUS vCPUs that have apic_page, zeroed like all of `fake` but hz (1 GHz) and
 * phys_width (39).
 */
struct vm *fake_vm_new(unsigned int vcpus);
void fake_vm_free(struct vm *vm);

/* v->requests, cleared. */
uint32_t fake_requests(struct vcpu *v);

/* One access on the bus by vCPU 0. */
uint64_t fake_in(struct vm *vm, uint16_t port, uint8_t size);
void fake_out(struct vm *vm, uint16_t port, uint8_t size, uint64_t value);

#endif
