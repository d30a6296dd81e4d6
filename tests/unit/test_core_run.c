/* links: core/run.c core/devtimer.c core/event.c core/cr.c core/share.c core/vcpu.c core/mmio.c core/task.c core/debug.c core/bus.c core/gmem.c core/pvclock.c core/lapic.c core/lapic_irq.c core/lapic_timer.c core/clock.c tests/unit/support/core_exit.c tests/unit/support/core_sched.c tests/unit/support/core_lifecycle.c tests/unit/support/core_msr.c tests/unit/support/core_cpuid.c emul/alu.c emul/decode.c emul/exec.c emul/string.c emul/tables.c emul/walk.c arch/x86/paging.c lib/log.c lib/fmt.c lib/strbuf.c tests/unit/support/fake_core.c tests/unit/support/fake_machine.c tests/unit/support/fake_hv.c */
/* The run loop against the scripted back end: what enters a guest, in which order, and when. */
#include "tests/unit/support/fake_hv.h"

#include <string.h>

#include "core/lapic.h"
#include "core/lapic_page.h"
#include "core/run.h"
#include "core/sched.h"

#define MS 1000000u /* of the fake's clock, which has 1 GHz */

static struct vm *vm;
static struct vcpu *v;

static int setup(void **state)
{
	(void)state;
	vm = fake_hv_vm(1, 2);
	fake_hv_start(vm);
	v = vm->vcpu[0];
	vapic_put(v, APIC_SVR, 0x1ff);
	vapic_put(vm->vcpu[1], APIC_SVR, 0x1ff);
	return 0;
}

static int setup_vid(void **state)
{
	int err = setup(state);

	fake_hv.offers_vid = true;
	hv->apic_mode(v, v->apic_mode);
	return err;
}

static int teardown(void **state)
{
	(void)state;
	fake_hv_end();
	return 0;
}

/* ---- what a guest does ---- */

static void sti(struct vcpu *c)
{
	fake_guest(c)->rflags |= RFLAGS_IF;
}

static void cli(struct vcpu *c)
{
	fake_guest(c)->rflags &= ~RFLAGS_IF;
}

static void sti_shadow(struct vcpu *c)
{
	sti(c);
	fake_guest(c)->interruptibility |= INTR_STI;
}

static void iret(struct vcpu *c)
{
	fake_guest(c)->interruptibility &= ~INTR_NMI_BLOCKED;
}

static void block_nmi(struct vcpu *c)
{
	fake_guest(c)->interruptibility |= INTR_NMI_BLOCKED;
}

static void single_step(struct vcpu *c)
{
	fake_guest(c)->rflags |= RFLAGS_TF;
}

static void end_interrupt(struct vcpu *c)
{
	lapic_eoi(c);
	sti(c);
}

/* ---- what other cores do ---- */

static void post_50(struct vcpu *c)
{
	lapic_post(c, 0x50, false);
}

static void post_70(struct vcpu *c)
{
	lapic_post(c, 0x70, false);
}

static void send_nmi(struct vcpu *c)
{
	vcpu_nmi(c);
}

static void send_init(struct vcpu *c)
{
	vcpu_request(c, REQ_INIT);
}

static const struct fake_step nothing[1] = {{.ticks = 1}};

/* ---- order: SDM vol. 3A 6.9, table 6-2 ---- */

static void test_order(void **state)
{
	static const struct fake_step steps[] = {{.ticks = 1}, {.guest = end_interrupt}};

	(void)state;
	lapic_post(v, 0x50, false);
	vcpu_nmi(v);
	vcpu_gp(v);
	FAKE_RUN(v, steps);
	/* The exception first; the NMI next; the interrupt when its handler has set IF again. */
	assert_string_equal(fake_trace(), "exc13:0 nmi irq80 end0 ");
}

static void test_higher_vector_first(void **state)
{
	static const struct fake_step steps[] = {{.ticks = 1}, {.guest = end_interrupt}};

	(void)state;
	lapic_post(v, 0x50, false);
	lapic_post(v, 0x70, false);
	FAKE_RUN(v, steps);
	assert_string_equal(fake_trace(), "irq112 irq80 end0 ");
}

/* A vector of the class in service waits for its EOI, whatever IF says (11.8.3.1). */
static void test_class_in_service_blocks(void **state)
{
	static const struct fake_step steps[] = {{.guest = sti, .ticks = 1, .exit = {EXIT_NMI, 0}},
						 {.guest = end_interrupt}};

	(void)state;
	lapic_post(v, 0x55, false);
	fake_script(v, steps, 2);
	FAKE_RUN(v, steps);
	assert_string_equal(fake_trace(), "irq85 end0 ");
	(void)post_70;
}

static void test_interrupt_waits_for_if(void **state)
{
	static const struct fake_step steps[] = {{.guest = cli, .exit = {EXIT_NMI, 0}},
						 {.ticks = 5},
						 {.guest = sti}};

	(void)state;
	cli(v);
	lapic_post(v, 0x50, false);
	FAKE_RUN(v, steps);
	/* The window's exit, and then the interrupt. */
	assert_string_equal(fake_trace(), "irq80 end0 ");
	assert_int_equal(v->exits[EXIT_INTR_WINDOW], 1);
}

/* STI holds interrupts for one more instruction (SDM vol. 2B STI). */
static void test_interrupt_waits_for_the_shadow(void **state)
{
	static const struct fake_step steps[] = {
		{.guest = sti_shadow, .exit = {EXIT_WBINVD, 2}},
	};

	(void)state;
	cli(v);
	lapic_post(v, 0x50, false);
	FAKE_RUN(v, steps);
	assert_string_equal(fake_trace(), "+2 irq80 end0 ");
}

static void test_nmi_waits_for_iret(void **state)
{
	static const struct fake_step steps[] = {{.ticks = 1, .late = NULL},
						 {.guest = send_nmi, .exit = {EXIT_NMI, 0}},
						 {.ticks = 3},
						 {.guest = iret}};

	(void)state;
	vcpu_nmi(v);
	FAKE_RUN(v, steps);
	assert_string_equal(fake_trace(), "nmi nmi end0 ");
	assert_int_equal(v->exits[EXIT_NMI_WINDOW], 1);
}

static void send_nmis(struct vcpu *c)
{
	for (unsigned int i = 0; i < 10; i++)
		vcpu_nmi(c);
}

/*
 * Two processors send one each at the same time: the first interrupts the guest, the second waits
 * for its IRET, though both came while V was out of the guest.
 */
static void test_two_nmis_at_once(void **state)
{
	static const struct fake_step steps[] = {{.guest = iret, .exit = {EXIT_NMI, 0}},
						 {.guest = iret, .exit = {EXIT_NMI, 0}},
						 {.guest = iret, .ticks = 1}};

	(void)state;
	send_nmis(v);
	FAKE_RUN(v, steps);
	assert_string_equal(fake_trace(), "nmi nmi end0 ");
}

/* One NMI is kept while one is blocked (6.7.1), no more. */
static void test_nmis_do_not_add_up(void **state)
{
	static const struct fake_step steps[] = {{.guest = send_nmi, .exit = {EXIT_NMI, 0}},
						 {.guest = send_nmi, .exit = {EXIT_NMI, 0}},
						 {.guest = iret, .exit = {EXIT_NMI, 0}},
						 {.guest = iret, .ticks = 1}};

	(void)state;
	block_nmi(v);
	FAKE_RUN(v, steps);
	assert_string_equal(fake_trace(), "nmi end0 ");
}

/* ---- RF in what is saved: SDM vol. 3B 18.3.1.1 ---- */

static bool delivered_with_rf(uint8_t vector)
{
	fake_hv_end();
	setup(NULL);
	vcpu_exception(v, vector, EXC_ERROR_CODE_MASK >> vector & 1, 0);
	FAKE_RUN(v, nothing);
	return fake_guest(v)->rflags & RFLAGS_RF;
}

static void test_faults_set_rf(void **state)
{
	(void)state;
	assert_true(delivered_with_rf(EXC_GP));
	assert_true(delivered_with_rf(EXC_UD));
	assert_true(delivered_with_rf(EXC_PF));
	/* Traps and aborts do not, nor does a breakpoint's fault. */
	assert_false(delivered_with_rf(EXC_DB));
	assert_false(delivered_with_rf(EXC_BP));
	assert_false(delivered_with_rf(EXC_DF));
	assert_false(delivered_with_rf(EXC_MC));
}

/* ---- virtual-interrupt delivery ---- */

static void test_virtual_delivery(void **state)
{
	static const struct fake_step steps[] = {{.ticks = 1, .exit = {EXIT_NMI, 0}},
						 {.guest = end_interrupt, .exit = {EXIT_NMI, 0}}};

	(void)state;
	lapic_post(v, 0x50, false);
	lapic_post(v, 0x70, false);
	FAKE_RUN(v, steps);
	/* The processor's own work: no event, no window. */
	assert_string_equal(fake_trace(), "virtual112 virtual80 end0 ");
	assert_int_equal(v->exits[EXIT_INTR_WINDOW], 0);
}

/* ---- a request between the last look and the entry ---- */

static void test_late_nmi_loses_no_interrupt(void **state)
{
	static const struct fake_step steps[] = {{.late = send_nmi, .ticks = 1},
						 {.guest = iret, .ticks = 1}};

	(void)state;
	lapic_post(v, 0x50, false);
	FAKE_RUN(v, steps);
	/* The interrupt is in service already: it enters first. */
	assert_string_equal(fake_trace(), "back irq80 nmi end0 ");
}

static void test_late_interrupt_loses_no_interrupt(void **state)
{
	static const struct fake_step steps[] = {{.late = post_70, .ticks = 1},
						 {.guest = sti, .ticks = 1},
						 {.guest = sti, .ticks = 1}};

	(void)state;
	lapic_post(v, 0x50, false);
	FAKE_RUN(v, steps);
	assert_string_equal(fake_trace(), "back irq80 irq112 end0 ");
}

static void test_late_request_loses_no_exception(void **state)
{
	static const struct fake_step steps[] = {{.late = post_50, .ticks = 1}};

	(void)state;
	vcpu_page_fault(v, 0xdead000, 2);
	FAKE_RUN(v, steps);
	assert_string_equal(fake_trace(), "back exc14:2 irq80 end0 ");
	assert_int_equal(fake_guest(v)->cr2, 0xdead000);
}

/* ---- an event whose delivery was cut short: SDM vol. 3C 28.2.4 ---- */

#define CUT_SHORT(...)                                       \
	{                                                    \
		.guest = sti, .exit =                        \
		{.reason = EXIT_HOST_IRQ,                    \
		 .vectoring = {.valid = true, __VA_ARGS__} } \
	}

static void test_vectoring_comes_again(void **state)
{
	static const struct fake_step steps[] = {
		CUT_SHORT(.type = EVENT_EXCEPTION, .vector = EXC_PF, .has_error = true, .error = 6),
		CUT_SHORT(.type = EVENT_SOFT_INTR, .vector = 0x80, .insn_len = 2),
		CUT_SHORT(.type = EVENT_SOFT_EXC, .vector = EXC_BP, .insn_len = 1),
		CUT_SHORT(.type = EVENT_NMI, .vector = EXC_NMI),
		CUT_SHORT(.type = EVENT_INTR, .vector = 0x61),
	};

	(void)state;
	FAKE_RUN(v, steps);
	assert_string_equal(fake_trace(), "exc14:6 int128 trap3 nmi irq97 end0 ");
}

/* A page fault met while a general protection fault was delivered: table 6-5. */
static void test_vectoring_joins(void **state)
{
	static const struct fake_step steps[] = {
		{.exit = {.reason = EXIT_EXCEPTION,
			  .vectoring = {.valid = true, .type = EVENT_EXCEPTION, .vector = EXC_PF},
			  .event = {.valid = true,
				    .type = EVENT_EXCEPTION,
				    .vector = EXC_GP,
				    .has_error = true,
				    .error = 8}}},
	};

	(void)state;
	FAKE_RUN(v, steps);
	assert_string_equal(fake_trace(), "exc8:0 end0 ");
}

/* ---- table 6-5 ---- */

enum outcome { SERIAL, DOUBLE, TRIPLE };

static enum outcome outcome_of(uint8_t first, uint8_t second)
{
	static const uint8_t contributory[] = {EXC_DE, EXC_TS, EXC_NP, EXC_SS, EXC_GP, EXC_CP};
	bool c1 = memchr(contributory, first, sizeof(contributory));
	bool c2 = memchr(contributory, second, sizeof(contributory));
	bool p2 = second == EXC_PF;

	if (first == EXC_DF)
		return c2 || p2 ? TRIPLE : SERIAL;
	if (first == EXC_PF)
		return c2 || p2 ? DOUBLE : SERIAL;
	return c1 && c2 ? DOUBLE : SERIAL;
}

static void test_double_faults(void **state)
{
	(void)state;
	for (uint8_t first = 0; first < 22; first++) {
		for (uint8_t second = 0; second < 22; second++) {
			if (first == EXC_NMI || second == EXC_NMI || second == EXC_DF)
				continue;
			v->pending = (struct hv_event){.valid = true,
						       .vector = first,
						       .type = EVENT_EXCEPTION};
			vm->end = VM_END_NONE;
			vcpu_exception(v, second, true, 0x18);
			switch (outcome_of(first, second)) {
			case SERIAL:
				assert_int_equal(v->pending.vector, second);
				assert_int_equal(v->pending.error, 0x18);
				assert_int_equal(vm->end, VM_END_NONE);
				break;
			case DOUBLE:
				assert_int_equal(v->pending.vector, EXC_DF);
				assert_true(v->pending.has_error);
				assert_int_equal(v->pending.error, 0);
				assert_int_equal(vm->end, VM_END_NONE);
				break;
			case TRIPLE:
				assert_int_equal(vm->end, VM_END_CRASH);
				assert_string_equal(vm->end_why, "triple fault");
			}
		}
	}
}

/* A triple fault is a crash with its dump. */
static void test_triple_fault_is_dumped(void **state)
{
	(void)state;
	vcpu_exception(v, EXC_DF, true, 0);
	vcpu_gp(v);
	assert_int_equal(vm->end, VM_END_CRASH);
	assert_int_equal(fake_hv.dumps, 1);
	assert_non_null(strstr(machine.log, "vm vm0: vcpu 0: triple fault\nthe fake's dump\n"));
}

static void test_no_error_code_in_real_mode(void **state)
{
	(void)state;
	fake_guest(v)->cr0 &= ~(CR0_PE | CR0_PG);
	v->st_valid = 0;
	vcpu_gp(v);
	FAKE_RUN(v, nothing);
	assert_string_equal(fake_trace(), "exc13 end0 ");
}

/* ---- HLT ---- */

#define HLT                                         \
	{                                           \
		.exit = { EXIT_HLT, .insn_len = 1 } \
	}

static const struct fake_step hlt[] = {HLT};

/* Another vCPU's work on V while it sleeps, and whether it wakes. */
static bool wakes_for(void (*what)(struct vcpu *c))
{
	v->slice_end = ~0ull;
	FAKE_RUN(v, hlt);
	assert_int_equal(v->activity, VCPU_HALTED);
	assert_string_equal(fake_trace(), "+1 ");
	what(v);
	run_vcpu(v);
	return v->activity != VCPU_HALTED;
}

static void test_hlt_wakes_for_an_interrupt(void **state)
{
	(void)state;
	assert_true(wakes_for(post_50));
	assert_string_equal(fake_trace(), "irq80 end0 ");
}

static void test_hlt_sleeps_with_if_clear(void **state)
{
	(void)state;
	cli(v);
	v->st_valid = 0;
	assert_false(wakes_for(post_50));
	vcpu_nmi(v);
	run_vcpu(v);
	assert_string_equal(fake_trace(), "nmi end0 ");
}

static void test_hlt_sleeps_below_tpr(void **state)
{
	(void)state;
	v->apic_page[APIC_TPR] = 0x60;
	assert_false(wakes_for(post_50));
	post_70(v);
	run_vcpu(v);
	assert_string_equal(fake_trace(), "irq112 end0 ");
}

/* In an NMI's handler a second one is kept, and wakes nothing (6.7.1). */
static void test_hlt_sleeps_with_nmi_blocked(void **state)
{
	(void)state;
	block_nmi(v);
	v->st_valid = 0;
	assert_false(wakes_for(send_nmi));
	lapic_post(v, 0x50, false);
	run_vcpu(v);
	assert_string_equal(fake_trace(), "irq80 end0 ");
}

/* A debug exception resumes execution (SDM vol. 2A HLT): the single step behind HLT. */
static void test_hlt_does_not_sleep_in_single_step(void **state)
{
	(void)state;
	single_step(v);
	v->st_valid = 0;
	FAKE_RUN(v, hlt);
	assert_string_equal(fake_trace(), "+1 end0 ");
	assert_true(fake_of(v)->pending_db);
}

static void test_hlt_wakes_for_init(void **state)
{
	(void)state;
	assert_true(wakes_for(send_init) || vm->end == VM_END_REBOOT);
	assert_int_equal(vm->end, VM_END_REBOOT);
}

/* What was pending when HLT ran ends it at once. */
static void test_hlt_with_an_interrupt_pending(void **state)
{
	static const struct fake_step steps[] = {{.guest = post_50, .exit = {EXIT_HLT, 1}}};

	(void)state;
	FAKE_RUN(v, steps);
	assert_string_equal(fake_trace(), "+1 irq80 end0 ");
}

/* ---- INIT and SIPI: SDM vol. 3A 9.4.3 ---- */

static void icr(uint32_t low)
{
	struct apic_msg msg = {.dest = 1,
			       .delivery = low >> 8 & 7,
			       .vector = (uint8_t)low,
			       .assert_level = true,
			       .level = (low >> 8 & 7) == APIC_INIT};

	lapic_send(vm, v, &msg);
}

#define SEND_INIT    icr(APIC_INIT << 8)
#define SEND_SIPI(n) icr(APIC_STARTUP << 8 | (n))

static void run_ap(void)
{
	struct vcpu *ap = vm->vcpu[1];

	sched_unload(v);
	fake_trace();
	FAKE_RUN(ap, nothing);
}

static void assert_started_at(uint8_t vector)
{
	const struct vcpu_state *st = fake_guest(vm->vcpu[1]);

	assert_true(fake_of(vm->vcpu[1])->entries > 0);
	assert_int_equal(st->rip, 0);
	assert_int_equal(st->seg[SEG_CS].selector, vector << 8);
	assert_int_equal(st->seg[SEG_CS].base, vector << 12);
	assert_int_equal(st->cr0, 0x60000010);
	assert_int_equal(st->rflags, 2);
}

static void test_sipi_without_init(void **state)
{
	(void)state;
	SEND_SIPI(0x9a);
	run_ap();
	assert_started_at(0x9a);
}

/* Kernels send SIPI right behind INIT. */
static void test_init_and_sipi_at_once(void **state)
{
	(void)state;
	SEND_INIT;
	SEND_SIPI(0x9a);
	run_ap();
	assert_started_at(0x9a);
}

static void test_second_sipi_is_ignored(void **state)
{
	struct vcpu *ap = vm->vcpu[1];

	(void)state;
	SEND_SIPI(0x9a);
	run_ap();
	vm->state = VM_RUNNING;
	vm->end = VM_END_NONE;
	fake_guest(ap)->rip = 0x55;
	SEND_SIPI(0x77);
	FAKE_RUN(ap, nothing);
	assert_int_equal(fake_guest(ap)->rip, 0x55);
	assert_int_equal(ap->activity, VCPU_ACTIVE);
}

static void test_init_stops(void **state)
{
	struct vcpu *ap = vm->vcpu[1];

	(void)state;
	ap->activity = VCPU_ACTIVE;
	ap->nmi_pending = 1;
	lapic_post(ap, 0x50, false);
	SEND_INIT;
	run_ap();
	assert_int_equal(ap->activity, VCPU_WAIT_SIPI);
	assert_int_equal(fake_of(ap)->entries, 0);
	assert_int_equal(fake_guest(ap)->cr0, 0x60000010);
	assert_int_equal(fake_guest(ap)->rip, 0xfff0);
	/* What waited for the guest is gone. */
	assert_int_equal(lapic_next(ap), -1);
	assert_int_equal(ap->nmi_pending, 0);
}

/* INIT is sent, and then the processor's WRMSR takes effect before it: nothing could start it
 * again. */
static void test_init_that_meets_an_apic_going_off(void **state)
{
	struct vcpu *ap = vm->vcpu[1];

	(void)state;
	SEND_SIPI(0x9a);
	run_ap();
	vm->state = VM_RUNNING;
	vm->end = VM_END_NONE;
	fake_guest(ap)->rip = 0x55;
	SEND_INIT;
	assert_int_equal(lapic_set_base(ap, APIC_DEFAULT_BASE), 0);
	FAKE_RUN(ap, nothing);
	assert_int_equal(ap->activity, VCPU_ACTIVE);
	assert_int_equal(fake_guest(ap)->rip, 0x55);
}

/* A SIPI that an INIT follows is for nobody: the processor waits for the next. */
static void test_init_behind_a_sipi(void **state)
{
	struct vcpu *ap = vm->vcpu[1];

	(void)state;
	ap->activity = VCPU_ACTIVE;
	SEND_SIPI(0x9a);
	SEND_INIT;
	run_ap();
	assert_int_equal(ap->activity, VCPU_WAIT_SIPI);
	assert_int_equal(fake_of(ap)->entries, 0);
	SEND_SIPI(0x12);
	FAKE_RUN(ap, nothing);
	assert_started_at(0x12);
}

/* An NMI that was sent before the INIT does not come after it, where there are no handlers yet. */
static void test_nmi_before_init(void **state)
{
	struct vcpu *ap = vm->vcpu[1];

	(void)state;
	ap->activity = VCPU_ACTIVE;
	icr(APIC_NMI << 8);
	SEND_INIT;
	SEND_SIPI(0x12);
	run_ap();
	assert_started_at(0x12);
	assert_null(strstr(fake_trace(), "nmi"));
	assert_false(ap->nmi_pending);
}

/* Others may use the core between an INIT and its SIPI. */
static void test_sipi_after_another_turn(void **state)
{
	struct vcpu *ap = vm->vcpu[1];

	(void)state;
	SEND_INIT;
	run_ap();
	sched_unload(ap);
	sched_load(v);
	sched_unload(v);
	memset(&ap->st, 0xc7, sizeof(ap->st));
	SEND_SIPI(0x9a);
	run_ap();
	assert_started_at(0x9a);
}

/* Table 10-1: INIT keeps these. */
static void test_what_init_keeps(void **state)
{
	struct vcpu *ap = vm->vcpu[1];

	(void)state;
	fake_guest(ap)->pat = 0x0606060606060606;
	fake_guest(ap)->lstar = 0xffffffff81000000;
	fake_guest(ap)->cr0 = CR0_PE | CR0_ET | CR0_PG;
	fake_guest(ap)->cr4 = CR4_OSXSAVE;
	fake_guest(ap)->dr[2] = 5;
	ap->xcr0 = 7;
	ap->activity = VCPU_ACTIVE;
	hv_caps.features |= HV_F_PAUSE;
	SEND_INIT;
	run_ap();
	assert_int_equal(fake_guest(ap)->pat, 0x0606060606060606);
	assert_int_equal(fake_guest(ap)->lstar, 0xffffffff81000000);
	assert_int_equal(fake_guest(ap)->cr0, CR0_ET);
	assert_int_equal(fake_guest(ap)->cr4, 0);
	assert_false(ap->osxsave);
	assert_int_equal(fake_guest(ap)->dr[2], 0);
	assert_int_equal(ap->xcr0, 7);
	/* It still shares its core. */
	assert_int_equal(fake_of(ap)->traps, TRAP_HLT | TRAP_MWAIT | TRAP_PAUSE);
}

/* ---- timers ---- */

/* ---- events that the back end's loop lets in itself ---- */

static void self_ipi(struct vcpu *c)
{
	sti(c);
	vapic_self_ipi(c, 0x50);
}

static void self_ipi_masked(struct vcpu *c)
{
	cli(c);
	vapic_self_ipi(c, 0x50);
}

static void self_nmi(struct vcpu *c)
{
	sti(c);
	vcpu_nmi(c);
}

#define CPUID_INSIDE                                \
	{                                           \
		.reason = EXIT_CPUID, .insn_len = 2 \
	}

static void test_interrupt_inside(void **state)
{
	static const struct fake_step step[] = {
		{.guest = self_ipi, .exit = CPUID_INSIDE, .inner = true},
		{.guest = end_interrupt, .exit = CPUID_INSIDE, .inner = true},
	};

	(void)state;
	FAKE_RUN(v, step);
	assert_string_equal(fake_trace(), "+2 irq80 +2 end0 ");
	assert_int_equal(v->exits[EXIT_NONE], 1); /* the end of the script */
}

static void test_masked_interrupt_inside(void **state)
{
	static const struct fake_step step[] = {
		{.guest = self_ipi_masked, .exit = CPUID_INSIDE, .inner = true},
		{.guest = sti, .ticks = 10},
	};

	(void)state;
	FAKE_RUN(v, step);
	assert_string_equal(fake_trace(), "+2 irq80 end0 ");
	assert_int_equal(v->exits[EXIT_INTR_WINDOW], 1);
}

/* What the run loop has to see ends the back end's. */
static void test_nmi_inside(void **state)
{
	static const struct fake_step step[] = {
		{.guest = self_nmi, .exit = CPUID_INSIDE, .inner = true},
	};

	(void)state;
	FAKE_RUN(v, step);
	assert_string_equal(fake_trace(), "+2 nmi end0 ");
	assert_int_equal(v->exits[EXIT_NONE], 2);
}

static void deadline(uint64_t at)
{
	vapic_put(v, APIC_LVT_TIMER, 0xec | TIMER_TSC_DEADLINE << 17);
	v->timer_mode = TIMER_TSC_DEADLINE;
	lapic_deadline_write(v, at + v->tsc_offset);
}

static void test_deadline_interrupts_a_busy_guest(void **state)
{
	static const struct fake_step busy[] = {{.ticks = 10 * MS}};

	(void)state;
	deadline(fake.tsc + 3 * MS);
	FAKE_RUN(v, busy);
	assert_string_equal(fake_trace(), "irq236 end0 ");
	assert_int_equal(v->exits[EXIT_DEADLINE], 1);
	/* The machine's interrupts have their turn, too. */
	assert_int_equal(machine.windows, 1);
	assert_int_equal(fake.tsc, 10 * MS);
	assert_int_equal(v->tsc_deadline, 0);
}

static void test_deadline_in_the_past(void **state)
{
	(void)state;
	fake.tsc = 100;
	deadline(99);
	FAKE_RUN(v, nothing);
	assert_string_equal(fake_trace(), "irq236 end0 ");
	assert_int_equal(v->exits[EXIT_DEADLINE], 0);
}

/* Without the back end's timer the core's own does it. */
static void test_deadline_by_the_host_timer(void **state)
{
	static const struct fake_step busy[] = {{.ticks = 10 * MS}};

	(void)state;
	hv_caps.features = 0;
	deadline(fake.tsc + 3 * MS);
	FAKE_RUN(v, busy);
	assert_string_equal(fake_trace(), "irq236 end0 ");
	assert_int_equal(v->exits[EXIT_HOST_IRQ], 1);
	assert_int_equal(fake.tsc, 10 * MS);
}

static void fire_early(struct vcpu *c)
{
	(void)c;
	fake_here()->timer = fake.tsc;
}

/* A timer that counts 32 bits is early (arch/x86/apic.h): it is set again. */
static void test_host_timer_comes_early(void **state)
{
	static const struct fake_step busy[] = {{.guest = fire_early, .ticks = 10 * MS}};

	(void)state;
	fake.tsc = MS;
	hv_caps.features = 0;
	deadline(fake.tsc + 3 * MS);
	FAKE_RUN(v, busy);
	assert_string_equal(fake_trace(), "irq236 end0 ");
	assert_int_equal(v->exits[EXIT_HOST_IRQ], 2);
}

static void test_periodic(void **state)
{
	static const struct fake_step busy[] = {{.ticks = MS / 2},
						{.guest = end_interrupt, .ticks = MS},
						{.guest = end_interrupt, .ticks = MS},
						{.guest = end_interrupt, .ticks = MS}};

	(void)state;
	vapic_put(v, APIC_LVT_TIMER, 0xec | TIMER_PERIODIC << 17);
	vapic_timer_write_lvt(v, 0xec | TIMER_PERIODIC << 17);
	vapic_put(v, APIC_TIMER_DCR, 0xb);
	vapic_timer_write_divide(v, 0xb);
	vapic_timer_write_initial(v, MS);
	FAKE_RUN(v, busy);
	assert_string_equal(fake_trace(), "irq236 irq236 irq236 end0 ");
}

#define T(name)                                           \
	{                                                 \
#name, test_##name, setup, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(order),
		T(faults_set_rf),
		T(higher_vector_first),
		T(class_in_service_blocks),
		T(interrupt_waits_for_if),
		T(interrupt_waits_for_the_shadow),
		T(nmi_waits_for_iret),
		T(two_nmis_at_once),
		T(nmis_do_not_add_up),
		{"virtual_delivery", test_virtual_delivery, setup_vid, teardown, NULL},
		T(late_nmi_loses_no_interrupt),
		T(late_interrupt_loses_no_interrupt),
		T(late_request_loses_no_exception),
		T(vectoring_comes_again),
		T(vectoring_joins),
		T(double_faults),
		T(triple_fault_is_dumped),
		T(no_error_code_in_real_mode),
		T(hlt_wakes_for_an_interrupt),
		T(hlt_sleeps_with_if_clear),
		T(hlt_sleeps_below_tpr),
		T(hlt_sleeps_with_nmi_blocked),
		T(hlt_does_not_sleep_in_single_step),
		T(hlt_wakes_for_init),
		T(hlt_with_an_interrupt_pending),
		T(sipi_without_init),
		T(init_and_sipi_at_once),
		T(second_sipi_is_ignored),
		T(init_stops),
		T(init_that_meets_an_apic_going_off),
		T(init_behind_a_sipi),
		T(nmi_before_init),
		T(sipi_after_another_turn),
		T(what_init_keeps),
		T(interrupt_inside),
		T(masked_interrupt_inside),
		T(nmi_inside),
		T(deadline_interrupts_a_busy_guest),
		T(deadline_in_the_past),
		T(deadline_by_the_host_timer),
		T(host_timer_comes_early),
		T(periodic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
