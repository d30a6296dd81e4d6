/* links: svm/event.c */
/* What AMD-V leaves in the processor beside the VMCB: two vCPUs of two VMs take turns on a core. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/cpu.h"
#include "arch/x86/msr.h"
#include "arch/x86/percpu.h"
#include "core/exits.h"
#include "lib/assert.h"
#include "svm/internal.h"
#include "tests/unit/support/svm_core.h"

static struct {
	uint64_t dr[4], tsc_aux;
} core;

static void write_tsc_aux(uint32_t index, uint64_t value)
{
	assert_int_equal(index, MSR_IA32_TSC_AUX);
	core.tsc_aux = value;
}

/* Included, not linked: the privileged instructions are the test's. */
#define read_dr0()	    core.dr[0]
#define read_dr1()	    core.dr[1]
#define read_dr2()	    core.dr[2]
#define read_dr3()	    core.dr[3]
#define write_dr0(value)    (core.dr[0] = (value))
#define write_dr1(value)    (core.dr[1] = (value))
#define write_dr2(value)    (core.dr[2] = (value))
#define write_dr3(value)    (core.dr[3] = (value))
#define wrmsr(index, value) write_tsc_aux(index, value)
#include "svm/vcpu.c"
#include "svm/state.c"

static struct svm_cpu cores[2];

void vcpu_exception(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error)
{
	(void)v;
	(void)vector;
	(void)has_error;
	(void)error;
}

static struct vm vm;
static struct svm_vm svm_vm;
static struct vcpu vcpus[2];

static int setup(void **state)
{
	(void)state;
	memset(&core, 0, sizeof(core));
	memset(cores, 0, sizeof(cores));
	memset(vcpus, 0, sizeof(vcpus));
	svm_features = (struct svm_features){.asid_count = 8, .tsc_aux = true};
	vm.hv = &svm_vm;
	pcpu.hv_private = &cores[0];
	for (unsigned int i = 0; i < 2; i++) {
		vcpus[i].vm = &vm;
		assert_int_equal(svm_vcpu_init(&vcpus[i]), 0);
		assert_int_equal(svm_vcpu_reset(&vcpus[i]), 0);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 2; i++)
		free(vcpus[i].hv);
	return 0;
}

static void set_drs_of(struct vcpu *v, uint64_t first)
{
	for (unsigned int i = 0; i < 4; i++)
		v->st.dr[i] = first + i;
	svm_set_state(v, ST_DRS);
}

/* What a guest writes while it has the core does not exit: DR0 to DR3 are its own there. */
static void guest_writes(uint64_t first)
{
	for (unsigned int i = 0; i < 4; i++)
		core.dr[i] = first + i;
}

static void assert_core_has(uint64_t first)
{
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(core.dr[i], first + i);
}

/* VMRUN switches DR6 and DR7 alone (15.5.1). */
static void test_debug_registers_take_turns(void **state)
{
	(void)state;
	set_drs_of(&vcpus[0], 0x1000);
	set_drs_of(&vcpus[1], 0x2000);
	svm_load(&vcpus[0]);
	assert_core_has(0x1000);
	guest_writes(0x3000);
	svm_put(&vcpus[0]);
	svm_load(&vcpus[1]);
	/* Nothing of the other's is left. */
	assert_core_has(0x2000);
	svm_put(&vcpus[1]);
	svm_load(&vcpus[0]);
	assert_core_has(0x3000);
}

/* A dump, or an access that a breakpoint watches, wants them in the middle of a turn. */
static void test_debug_registers_in_a_turn(void **state)
{
	struct vcpu *v = &vcpus[0];

	(void)state;
	svm_load(v);
	guest_writes(0x4000);
	v->st_valid = 0;
	svm_get_state(v, ST_DRS);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(v->st.dr[i], 0x4000 + i);
	set_drs_of(v, 0x5000);
	assert_core_has(0x5000);
}

/* Not in the core, they are not read from it: it has another's. */
static void test_debug_registers_of_one_that_waits(void **state)
{
	(void)state;
	set_drs_of(&vcpus[0], 0x1000);
	svm_load(&vcpus[0]);
	svm_put(&vcpus[0]);
	svm_load(&vcpus[1]);
	guest_writes(0x6000);
	vcpus[0].st_valid = 0;
	svm_get_state(&vcpus[0], ST_DRS);
	assert_int_equal(vcpus[0].st.dr[3], 0x1003);
	set_drs_of(&vcpus[0], 0x7000);
	assert_core_has(0x6000);
}

/* 15.15.1, 15.16: a VMCB that comes back may have changed, and an ASID is one core's. */
static void test_another_core(void **state)
{
	struct svm_vcpu *s = svm_of(&vcpus[0]);

	(void)state;
	svm_load(&vcpus[0]);
	s->asid_generation = 5;
	s->vmcb.clean = 0x1fff;
	svm_put(&vcpus[0]);
	svm_load(&vcpus[0]);
	assert_int_equal(s->asid_generation, 5);
	assert_int_equal(s->vmcb.clean, 0);
	svm_put(&vcpus[0]);
	pcpu.hv_private = &cores[1];
	svm_load(&vcpus[0]);
	assert_int_equal(s->asid_generation, 0);
	assert_ptr_equal(s->cpu, &cores[1]);
}

static void test_tsc_aux(void **state)
{
	(void)state;
	svm_of(&vcpus[0])->tsc_aux = 7;
	svm_of(&vcpus[1])->tsc_aux = 9;
	svm_load(&vcpus[0]);
	assert_int_equal(core.tsc_aux, 7);
	svm_put(&vcpus[0]);
	svm_load(&vcpus[1]);
	assert_int_equal(core.tsc_aux, 9);
	/* A processor without RDTSCP has no such register. */
	svm_put(&vcpus[1]);
	svm_features.tsc_aux = false;
	svm_load(&vcpus[0]);
	assert_int_equal(core.tsc_aux, 9);
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(debug_registers_take_turns),
		T(debug_registers_in_a_turn),
		T(debug_registers_of_one_that_waits),
		T(another_core),
		T(tsc_aux),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
