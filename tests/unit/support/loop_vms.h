/*
 * What the tests of the cores' own loops begin with: one VM or two on one core, or one on two
 * cores, of guests that are scripts. For test_core_lives and test_core_sched.
 */
#ifndef TESTS_UNIT_SUPPORT_LOOP_VMS_H
#define TESTS_UNIT_SUPPORT_LOOP_VMS_H

#include "tests/unit/support/fake_hv.h"

#define MS 1000000ull /* of the fake's clock, which has 1 GHz */

static struct vm *a, *b;

static inline int teardown(void **state)
{
	(void)state;
	fake_hv_end();
	return 0;
}

/* Two VMs of one vCPU each on one core. */
static inline int setup_two(void **state)
{
	(void)state;
	a = fake_hv_vm(1, 1);
	b = fake_hv_vm(1, 1);
	return 0;
}

static inline int setup_one(void **state)
{
	(void)state;
	a = fake_hv_vm(1, 1);
	return 0;
}

/* One VM with a vCPU on each of two cores. */
static inline int setup_smp(void **state)
{
	(void)state;
	a = fake_hv_vm(2, 2);
	return 0;
}

static const struct fake_step busy[] = {{.ticks = MS}};

/* The guest of vCPU ID does STEPS over and over. */
static inline void script(struct vm *vm, unsigned int id, const struct fake_step *steps,
			  unsigned int count)
{
	fake_script(vm->vcpu[id], steps, count);
	fake_of(vm->vcpu[id])->repeat = true;
}

static inline struct fake_vcpu *of(const struct vm *vm)
{
	return fake_of(vm->vcpu[0]);
}

#endif
