/* links: core/run.c core/devtimer.c core/event.c core/cr.c core/share.c core/vcpu.c core/mmio.c core/task.c core/debug.c core/bus.c core/gmem.c core/pvclock.c core/lapic.c core/lapic_irq.c core/lapic_timer.c core/clock.c tests/unit/support/core_exit.c tests/unit/support/core_sched.c tests/unit/support/core_lifecycle.c tests/unit/support/core_msr.c tests/unit/support/core_cpuid.c emul/alu.c emul/decode.c emul/exec.c emul/string.c emul/tables.c emul/walk.c arch/x86/paging.c lib/log.c lib/fmt.c lib/strbuf.c tests/unit/support/fake_core.c tests/unit/support/fake_machine.c tests/unit/support/fake_hv.c */
/* TPR and its threshold, where the processor does not deliver interrupts by itself. */
#include "tests/unit/support/fake_hv.h"

#include "arch/x86/apic.h"
#include "arch/x86/msr.h"
#include "core/lapic.h"
#include "core/lapic_page.h"
#include "core/run.h"

static struct vm *vm;
static struct vcpu *v;

static int setup(void **state)
{
	(void)state;
	vm = fake_hv_vm(1, 1);
	fake_hv_start(vm);
	v = vm->vcpu[0];
	vapic_put(v, APIC_SVR, 0x1ff);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_hv_end();
	return 0;
}

static void end_interrupt(struct vcpu *c)
{
	lapic_eoi(c);
	fake_guest(c)->rflags |= RFLAGS_IF;
}

static void lower_tpr(struct vcpu *c)
{
	c->apic_page[APIC_TPR] = 0x40;
}

static void set_in_service(uint8_t vector)
{
	vapic_put(v, APIC_ISR + (vector >> 5 << 4), 1u << (vector & 31));
}

static void test_threshold(void **state)
{
	static const struct fake_step steps[] = {
		{.ticks = 1, .exit = {EXIT_NMI, 0}},
		{.guest = lower_tpr, .exit = {EXIT_NMI, 0}},
	};

	(void)state;
	v->apic_page[APIC_TPR] = 0x50;
	lapic_post(v, 0x52, false);
	FAKE_RUN(v, steps);
	assert_string_equal(fake_trace(), "irq82 end0 ");
	assert_int_equal(v->exits[EXIT_TPR], 1);
}

/* By an exit that leads back at once, and with a vector in service that holds it back still. */
static void lower_tpr_by_msr(struct vcpu *c)
{
	c->gpr[RCX] = MSR_IA32_X2APIC(APIC_TPR);
	c->gpr[RAX] = 0x10;
	c->gpr[RDX] = 0;
}

static void test_written_inside(void **state)
{
	static const struct fake_step steps[] = {
		{.guest = lower_tpr_by_msr,
		 .exit = {.reason = EXIT_MSR, .insn_len = 2, .msr.write = true},
		 .inner = true},
		{.guest = end_interrupt, .exit = {EXIT_NMI, 0}},
	};

	(void)state;
	assert_int_equal(lapic_set_base(v, v->apic_base | APIC_BASE_EXTD), 0);
	set_in_service(0x60);
	v->apic_page[APIC_TPR] = 0x80;
	lapic_post(v, 0x52, false);
	FAKE_RUN(v, steps);
	assert_string_equal(fake_trace(), "+2 irq82 end0 ");
}

static void apic_off_by_msr(struct vcpu *c)
{
	c->gpr[RCX] = MSR_IA32_APIC_BASE;
	c->gpr[RAX] = APIC_DEFAULT_BASE | APIC_BASE_BSP;
	c->gpr[RDX] = 0;
}

/* The APIC that is switched off has no TPR left, and nothing waits any more. */
static void test_apic_switched_off_inside(void **state)
{
	static const struct fake_step steps[] = {
		{.guest = apic_off_by_msr,
		 .exit = {.reason = EXIT_MSR, .insn_len = 2, .msr.write = true},
		 .inner = true},
		{.ticks = 1},
	};

	(void)state;
	v->apic_page[APIC_TPR] = 0x80;
	lapic_post(v, 0x52, false);
	FAKE_RUN(v, steps);
	assert_string_equal(fake_trace(), "+2 end0 ");
	assert_int_equal(fake_of(v)->tpr_threshold, 0);
}

static void test_no_threshold_without_a_reason(void **state)
{
	static const struct fake_step steps[] = {{.ticks = 1}};

	(void)state;
	v->apic_page[APIC_TPR] = 0x50;
	FAKE_RUN(v, steps);
	assert_int_equal(fake_of(v)->tpr_threshold, 0);
	assert_int_equal(v->exits[EXIT_TPR], 0);
}

#define T(name)                                           \
	{                                                 \
#name, test_##name, setup, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(threshold),
		T(written_inside),
		T(apic_switched_off_inside),
		T(no_threshold_without_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
