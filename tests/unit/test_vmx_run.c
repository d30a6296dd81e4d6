/* links: tests/unit/support/vmx_run.c tests/unit/support/vmx_events.c tests/unit/support/vmx_state.c tests/unit/support/vmx_vcpu.c tests/unit/support/vmx_decode.c tests/unit/support/vmx_caps.c core/gmem.c arch/x86/paging.c lib/strbuf.c lib/fmt.c lib/log.c tests/unit/support/fake_core.c tests/unit/support/fake_machine.c tests/unit/support/fake_vmx.c */
/* Entries, exits and what a processor keeps between them: VT-x against a table of fields. */
#include "tests/unit/support/fake_vmx.h"
#include "tests/unit/support/host_handler.h"

#include <stdlib.h>
#include <string.h>

#include "arch/x86/desc.h"
#include "arch/x86/msr.h"
#include "core/cpuid.h"
#include "core/exits.h"
#include "core/lapic.h"
#include "core/lifecycle.h"
#include "core/sched.h"

static struct vm *vm;
static struct vcpu *v, *w;
static struct hv_exit x;

/* ---- core/, as far as vmx/ calls it ---- */

static unsigned int cpuids;
static struct cpuid_plain no_plain_leaves;

void exit_cpuid(struct vcpu *c)
{
	(void)c;
	cpuids++;
	fake.tsc += 100;
}

enum act exit_rdmsr(struct vcpu *c)
{
	(void)c;
	return ACT_NEXT;
}

enum act exit_wrmsr(struct vcpu *c)
{
	c->requests |= REQ_EVENT;
	return ACT_NEXT;
}

static unsigned int events;

bool run_events(struct vcpu *c)
{
	if (c->requests != REQ_EVENT || !events)
		return false;
	events--;
	c->requests = 0;
	return true;
}

void exit_pio(struct vcpu *c, uint16_t port, bool in, uint8_t size)
{
	(void)c;
	assert_int_equal(port, 0x3f8);
	assert_true(in);
	assert_int_equal(size, 2);
}

unsigned int exit_fetch(struct vcpu *c, uint8_t buf[15])
{
	(void)c;
	(void)buf;
	return 0;
}

uint64_t idt_base(void)
{
	return 0x1000;
}

_Noreturn void sched_loop(struct pcpu *cpu)
{
	(void)cpu;
	abort();
}

/* ---- a VM ---- */

static void flat64(struct vcpu *c)
{
	c->st.cr0 = CR0_PE | CR0_PG | CR0_ET;
	c->st.cr4 = CR4_PAE;
	c->st.efer = EFER_LME | EFER_LMA;
	c->st.rflags = RFLAGS_FIXED | RFLAGS_IF;
	c->st.rip = 0x1000;
	c->st.seg[SEG_CS].attr = 0xa09b;
	c->st.seg[SEG_SS].attr = 0xc093;
}

static void on_core(unsigned int core, struct vcpu *c)
{
	machine.here = core;
	vmx_load(c);
}

/* A processor without TRUE controls has CR3 exits always on, when AND_CR3. */
static void start(bool and_cr3)
{
	fake_vmx_reset();
	fake_machine_reset(2);
	fake_set_msr(MSR_IA32_PAT, HOST_PAT);
	fake_set_msr(MSR_IA32_EFER, EFER_LME | EFER_LMA);
	memset(&vmx_controls, 0, sizeof(vmx_controls));
	vmx_controls.pin = PIN_PREEMPTION_TIMER;
	vmx_controls.proc = and_cr3 ? PROC_CR3_LOAD : 0;
	vmx_controls.invept_type = vmx_controls.invvpid_type = 1;
	vm = fake_vm_new(2);
	v = vm->vcpu[0];
	w = vm->vcpu[1];
	vm->npt.root = 0x7000;
	vm->cpuid = &no_plain_leaves;
	assert_int_equal(vmx_vm_init(vm), 0);
	for (unsigned int i = 0; i < 2; i++) {
		free(vm->vcpu[i]->apic_page);
		vm->vcpu[i]->cpu = pcpus[i];
		assert_int_equal(vmx_vcpu_init(vm->vcpu[i]), 0);
		flat64(vm->vcpu[i]);
		on_core(i, vm->vcpu[i]);
		assert_int_equal(vmx_vcpu_reset(vm->vcpu[i]), 0);
	}
	machine.here = 0;
	vmx.invvpids = vmx.invepts = 0;
}

static int setup(void **state)
{
	(void)state;
	start(false);
	return 0;
}

static int setup_without_true_controls(void **state)
{
	(void)state;
	start(true);
	return 0;
}

static int teardown(void **state)
{
	struct vmx_vm *h = vm->hv;

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		free(vmx_of(vm->vcpu[i])->vmcs);
		free(vmx_of(vm->vcpu[i])->msr_bitmap);
		free(vm->vcpu[i]->hv);
	}
	free(h->io_bitmap);
	free(h);
	fake_vm_free(vm);
	return 0;
}

static void guest_hlt(struct vcpu *c)
{
	(void)c;
	vmwrite(VMCS_EXIT_REASON, VMX_HLT);
	vmwrite(VMCS_EXIT_INSN_LEN, 1);
}

static void run(void)
{
	vmx.guest = guest_hlt;
	assert_int_equal(vmx_run(v, &x), 0);
}

/* ---- an event that does not get in ---- */

static void assert_taken_back(const struct hv_event *ev)
{
	unsigned int entries = vmx.launches + vmx.resumes;

	vmx_inject(v, ev);
	v->requests = REQ_NMI;
	run();
	assert_int_equal(x.reason, EXIT_NONE);
	assert_int_equal(vmx.launches + vmx.resumes, entries);
	assert_true(x.vectoring.valid);
	assert_int_equal(x.vectoring.vector, ev->vector);
	assert_int_equal(x.vectoring.type, ev->type);
	assert_int_equal(x.vectoring.has_error, ev->has_error);
	assert_int_equal(x.vectoring.error, ev->error);
	assert_int_equal(x.vectoring.insn_len, ev->insn_len);
	/* Nor does it enter with the next. */
	v->requests = 0;
	run();
	assert_false(vmx.entered & INTR_INFO_VALID);
}

static void test_event_is_given_back(void **state)
{
	static const struct hv_event events[] = {
		{.valid = true, .type = EVENT_INTR, .vector = 0x51},
		{.valid = true, .type = EVENT_NMI, .vector = EXC_NMI},
		{.valid = true,
		 .type = EVENT_EXCEPTION,
		 .vector = EXC_PF,
		 .has_error = true,
		 .error = 0x15},
		{.valid = true, .type = EVENT_SOFT_INTR, .vector = 0x80, .insn_len = 2},
		{.valid = true, .type = EVENT_SOFT_EXC, .vector = EXC_BP, .insn_len = 1},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(events); i++)
		assert_taken_back(&events[i]);
}

static void request_and_exit(struct vcpu *c)
{
	c->requests = REQ_IRQ;
	vmwrite(VMCS_EXIT_REASON, VMX_CPUID);
	vmwrite(VMCS_EXIT_INSN_LEN, 2);
}

/* What has entered is not given back. */
static void test_delivered_event_is_not_given_back(void **state)
{
	const struct hv_event ev = {.valid = true, .type = EVENT_INTR, .vector = 0x51};

	(void)state;
	vmx_inject(v, &ev);
	vmx.guest = request_and_exit;
	assert_int_equal(vmx_run(v, &x), 0);
	assert_int_equal(vmx.entered, INTR_INFO_VALID | 0x51);
	assert_int_equal(x.reason, EXIT_NONE);
	assert_false(x.vectoring.valid);
}

/* An NMI that was cut short blocks nothing yet: 27.3.1.5 would refuse the entry. */
static void test_nmi_again(void **state)
{
	const struct hv_event ev = {.valid = true, .type = EVENT_NMI, .vector = EXC_NMI};

	(void)state;
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, INTR_NMI_BLOCKED);
	v->st_valid = 0;
	assert_false(vmx_can_inject(v, EVENT_NMI));
	vmx_inject(v, &ev);
	assert_int_equal(vmread(VMCS_GUEST_INTERRUPTIBILITY), 0);
}

static void test_when_events_may_enter(void **state)
{
	static const struct {
		uint64_t rflags, intr;
		bool irq, nmi;
	} cases[] = {
		{RFLAGS_IF, 0, true, true},
		{0, 0, false, true},
		{RFLAGS_IF, INTR_STI, false, false},
		{RFLAGS_IF, INTR_MOV_SS, false, false},
		{RFLAGS_IF, INTR_NMI_BLOCKED, true, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		vmwrite(VMCS_GUEST_RFLAGS, cases[i].rflags);
		vmwrite(VMCS_GUEST_INTERRUPTIBILITY, cases[i].intr);
		v->st_valid = 0;
		assert_int_equal(vmx_can_inject(v, EVENT_INTR), cases[i].irq);
		assert_int_equal(vmx_can_inject(v, EVENT_NMI), cases[i].nmi);
	}
}

/* Some processors open the NMI window in an STI shadow, where no NMI goes in (27.7.6). */
static void test_nmi_waits_behind_sti(void **state)
{
	(void)state;
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, INTR_STI);
	v->st_valid = 0;
	vmx_want_window(v, false, true);
	assert_true(vmread(VMCS_PROC_CONTROLS) & PROC_INTR_WINDOW);
	assert_false(vmread(VMCS_PROC_CONTROLS) & PROC_NMI_WINDOW);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, INTR_MOV_SS);
	v->st_valid = 0;
	vmx_want_window(v, false, true);
	assert_false(vmread(VMCS_PROC_CONTROLS) & PROC_INTR_WINDOW);
	assert_true(vmread(VMCS_PROC_CONTROLS) & PROC_NMI_WINDOW);
}

/* MOV SS and INT1 with TF: an entry in the shadow would want a pending single step (27.3.1.5). */
static void test_debug_exception_ends_shadow(void **state)
{
	(void)state;
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_TF);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, INTR_MOV_SS | INTR_NMI_BLOCKED);
	vmwrite(VMCS_EXIT_INTR_INFO, INTR_INFO_VALID | EVENT_PRIV_SOFT_EXC << 8 | EXC_DB);
	vmwrite(VMCS_EXIT_INSN_LEN, 1);
	vmx_decode_exit(v, VMX_EXCEPTION_OR_NMI, &x);
	assert_int_equal(vmread(VMCS_GUEST_INTERRUPTIBILITY), INTR_NMI_BLOCKED);
	assert_int_equal(x.reason, EXIT_EXCEPTION);
	assert_int_equal(x.event.type, EVENT_PRIV_SOFT_EXC);
	assert_int_equal(x.event.insn_len, 1);
}

/*
 * What was meant for the machine, and not for the guest: the hypervisor's own handler runs, and
 * NMIs stay blocked until its IRET (28.2, 6.7.1).
 */
static void test_host_handlers_run(void **state)
{
	(void)state;
	host_handlers_count();
	vmwrite(VMCS_EXIT_INTR_INFO, INTR_INFO_VALID | EVENT_EXCEPTION << 8 | EXC_MC);
	vmx_decode_exit(v, VMX_EXCEPTION_OR_NMI, &x);
	assert_int_equal(host_handlers, 1);
	assert_int_equal(host_vector, EXC_MC);
	assert_int_equal(x.reason, EXIT_MACHINE_CHECK);
	vmwrite(VMCS_EXIT_INTR_INFO, INTR_INFO_VALID | EVENT_NMI << 8 | EXC_NMI);
	vmx_decode_exit(v, VMX_EXCEPTION_OR_NMI, &x);
	assert_int_equal(host_handlers, 2);
	assert_int_equal(host_vector, EXC_NMI);
	assert_int_equal(x.reason, EXIT_NMI);
	/* A guest's own exceptions are the guest's. */
	vmwrite(VMCS_EXIT_INTR_INFO, INTR_INFO_VALID | EVENT_EXCEPTION << 8 | EXC_AC);
	vmx_decode_exit(v, VMX_EXCEPTION_OR_NMI, &x);
	assert_int_equal(host_handlers, 2);
}

/* ---- whose VMCS it is ---- */

static void test_launch_and_resume(void **state)
{
	(void)state;
	run();
	run();
	assert_int_equal(vmx.launches, 1);
	assert_int_equal(vmx.resumes, 1);
	vmx_put(v);
	vmx_load(v);
	run();
	assert_int_equal(vmx.launches, 2);
}

/* VMCLEAR before another core loads it (25.11.1), and none of its registers stays behind. */
static void test_move_to_another_core(void **state)
{
	(void)state;
	vmx.registers[FAKE_DR1] = 0x1234;
	vmx.registers[FAKE_CR2] = 0x5678;
	fake_set_msr(MSR_IA32_LSTAR, 0x9abc);
	vmx_put(v);
	vmx.registers[FAKE_DR1] = vmx.registers[FAKE_CR2] = 0;
	fake_set_msr(MSR_IA32_LSTAR, 0);
	machine.here = 1;
	vmx_put(w);
	vmx_load(v);
	assert_int_equal(vmx.registers[FAKE_DR1], 0x1234);
	assert_int_equal(vmx.registers[FAKE_CR2], 0x5678);
	assert_int_equal(fake_rdmsr(MSR_IA32_LSTAR), 0x9abc);
	run();
	/* The rule itself. */
	vmx.keep_on = true;
	machine.here = 0;
	vmx_load(v);
	assert_string_equal(vmx.broken, "VMPTRLD of a VMCS that is active on another core");
}

/* ---- translations ---- */

static void test_nested_change_flushes_each_vcpu_once(void **state)
{
	(void)state;
	run();
	assert_int_equal(vmx.invepts, 0);
	vmx_npt_flush(vm);
	/* Whoever is in the guest comes out. */
	assert_int_equal(v->requests, REQ_YIELD);
	assert_int_equal(w->requests, REQ_YIELD);
	v->requests = w->requests = 0;
	run();
	assert_int_equal(vmx.invepts, 1);
	assert_int_equal(vmx.last_eptp, 0x7000 | 6 | 3 << 3);
	run();
	assert_int_equal(vmx.invepts, 1);
	machine.here = 1;
	vmx.guest = guest_hlt;
	assert_int_equal(vmx_run(w, &x), 0);
	assert_int_equal(vmx.invepts, 2);
}

/* SDM vol. 3A 4.10.4.1: the processor does not see these change, so VPIDs keep what they have. */
static void test_paging_bits_flush(void **state)
{
	static const struct {
		size_t field;
		uint64_t bit;
		bool flushes;
	} cases[] = {
		{offsetof(struct vcpu_state, cr0), CR0_PG, true},
		{offsetof(struct vcpu_state, cr0), CR0_WP, true},
		{offsetof(struct vcpu_state, cr0), CR0_TS, false},
		{offsetof(struct vcpu_state, cr0), CR0_CD, false},
		{offsetof(struct vcpu_state, cr4), CR4_PAE, true},
		{offsetof(struct vcpu_state, cr4), CR4_PSE, true},
		{offsetof(struct vcpu_state, cr4), CR4_PGE, true},
		{offsetof(struct vcpu_state, cr4), CR4_PCIDE, true},
		{offsetof(struct vcpu_state, cr4), CR4_SMEP, true},
		{offsetof(struct vcpu_state, cr4), CR4_SMAP, true},
		{offsetof(struct vcpu_state, cr4), CR4_OSFXSR, false},
		{offsetof(struct vcpu_state, efer), EFER_NXE, true},
		{offsetof(struct vcpu_state, efer), EFER_SCE, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t *field = (uint64_t *)((char *)&v->st + cases[i].field);

		vmx_get_state(v, ST_CRS);
		vmx.invvpids = 0;
		*field ^= cases[i].bit;
		vmx_set_state(v, ST_CRS);
		assert_int_equal(vmx.invvpids, cases[i].flushes);
		if (cases[i].flushes)
			assert_int_equal(vmx.last_vpid, vmx_of(v)->vpid);
		*field ^= cases[i].bit;
		vmx_set_state(v, ST_CRS);
	}
}

/*
 * MOV to CR3 flushes, the same value included: where it exits (no TRUE controls, SDM vol. 3D A.3.2)
 * that is Socle's to do.
 */
static void test_cr3_exit_flushes(void **state)
{
	(void)state;
	vmx_get_state(v, ST_CRS);
	vmx_set_state(v, ST_CRS);
	assert_int_equal(vmx.invvpids, 1);
}

static void test_vpids_differ(void **state)
{
	(void)state;
	assert_int_not_equal(vmx_of(v)->vpid, 0);
	assert_int_not_equal(vmx_of(v)->vpid, vmx_of(w)->vpid);
}

/* ---- what the guest sees of its control registers ---- */

static void test_control_registers_behind_the_shadow(void **state)
{
	(void)state;
	vmx_controls.cr0_fixed0 = CR0_PE | CR0_PG | CR0_NE;
	vmx_controls.cr4_fixed0 = CR4_VMXE;
	vmx_get_state(v, ST_CRS);
	v->st.cr0 = CR0_ET | CR0_CD | CR0_NW;
	v->st.cr4 = 0;
	v->st.efer = 0;
	vmx_set_state(v, ST_CRS);
	/* An unrestricted guest may have paging off; caches stay on, and machine checks. */
	assert_int_equal(vmread(VMCS_GUEST_CR0), CR0_ET | CR0_NE);
	assert_int_equal(vmread(VMCS_GUEST_CR4), CR4_VMXE | CR4_MCE);
	assert_false(vmread(VMCS_ENTRY_CONTROLS) & ENTRY_IA32E);
	v->st_valid = 0;
	memset(&v->st, 0, sizeof(v->st));
	vmx_get_state(v, ST_CRS);
	assert_int_equal(v->st.cr0, CR0_ET | CR0_CD | CR0_NW);
	assert_int_equal(v->st.cr4, 0);
}

/* ---- instructions ---- */

static void test_skip(void **state)
{
	(void)state;
	vmwrite(VMCS_GUEST_RIP, 0x1000);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, INTR_STI | INTR_NMI_BLOCKED);
	vmx_skip_insn(v, 3);
	assert_int_equal(vmread(VMCS_GUEST_RIP), 0x1003);
	assert_int_equal(vmread(VMCS_GUEST_INTERRUPTIBILITY), INTR_NMI_BLOCKED);
	assert_int_equal(vmread(VMCS_GUEST_PENDING_DEBUG), 0);
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_TF);
	vmx_skip_insn(v, 1);
	assert_int_equal(vmread(VMCS_GUEST_PENDING_DEBUG), DR6_BS);
	/* A breakpoint joins it. */
	vmx_debug_trap(v, BIT(1));
	assert_int_equal(vmread(VMCS_GUEST_PENDING_DEBUG), DR6_BS | BIT(12) | BIT(1));
	/* RF was for the instruction that is done. */
	vmwrite(VMCS_GUEST_RFLAGS, RFLAGS_FIXED | RFLAGS_RF);
	vmx_skip_insn(v, 1);
	assert_int_equal(vmread(VMCS_GUEST_RFLAGS), RFLAGS_FIXED);
}

static void test_skip_wraps(void **state)
{
	(void)state;
	vmwrite(VMCS_GUEST_RIP, 0xfffffffe);
	vmx_skip_insn(v, 2);
	assert_int_equal(vmread(VMCS_GUEST_RIP), 0x100000000);
	vmwrite(VMCS_GUEST_CS_ATTR, 0xc09b);
	vmwrite(VMCS_GUEST_RIP, 0xfffffffe);
	vmx_skip_insn(v, 2);
	assert_int_equal(vmread(VMCS_GUEST_RIP), 0);
}

static void guest_in(struct vcpu *c)
{
	(void)c;
	vmwrite(VMCS_EXIT_REASON, vmx.resumes ? VMX_HLT : VMX_IO);
	vmwrite(VMCS_EXIT_QUALIFICATION, 0x3f8 << 16 | BIT(3) | 1);
	vmwrite(VMCS_EXIT_INSN_LEN, 2);
}

static void test_fast_port_io(void **state)
{
	(void)state;
	vmwrite(VMCS_GUEST_RIP, 0x1000);
	vmx.guest = guest_in;
	assert_int_equal(vmx_run(v, &x), 0);
	assert_int_equal(x.reason, EXIT_HLT);
	assert_int_equal(v->exits[EXIT_PIO], 1);
	assert_int_equal(vmread(VMCS_GUEST_RIP), 0x1002);
}

static void guest_cpuid(struct vcpu *c)
{
	(void)c;
	vmwrite(VMCS_EXIT_REASON, VMX_CPUID);
	vmwrite(VMCS_EXIT_INSN_LEN, 2);
}

/*
 * The preemption timer stands still while exits are handled, 100 ticks each here: the guest is left
 * not much later than asked for. Where nothing is asked for, core/ has its turn all the same.
 */
static void test_fast_exits_keep_time(void **state)
{
	(void)state;
	vmx_controls.pin |= PIN_PREEMPTION_TIMER;
	cpuids = 0;
	fake.tsc = 1000;
	v->armed = 1000 + 50 * 100;
	vmx_set_deadline(v, v->armed);
	vmx.guest = guest_cpuid;
	assert_int_equal(vmx_run(v, &x), 0);
	assert_int_equal(x.reason, EXIT_DEADLINE);
	assert_in_range(cpuids, 50, 50 + 128);
	cpuids = 0;
	v->armed = ~0ull;
	vmx_set_deadline(v, ~0ull);
	assert_int_equal(vmx_run(v, &x), 0);
	assert_int_equal(x.reason, EXIT_DEADLINE);
	assert_in_range(cpuids, 128, 5000);
}

static void guest_refused(struct vcpu *c)
{
	(void)c;
	vmwrite(VMCS_EXIT_REASON, VMX_REASON_ENTRY_FAILED | VMX_ENTRY_GUEST_STATE);
}

static void test_entry_failed(void **state)
{
	(void)state;
	vmx.guest = guest_refused;
	assert_int_equal(vmx_run(v, &x), -5);
	assert_int_equal(x.reason, EXIT_ENTRY_FAILED);
}

/* ---- the preemption timer ---- */

static void test_deadline(void **state)
{
	(void)state;
	vmx_controls.timer_shift = 5;
	fake.tsc = 1000;
	vmx_set_deadline(v, 1000 + 3200);
	assert_int_equal(vmread(VMCS_PREEMPTION_TIMER), 101);
	/* However late it is, the guest gets on: 0 would end its turn before an instruction, and 1
	 * with the next multiple of 32. */
	vmx_set_deadline(v, 900);
	assert_in_range(vmread(VMCS_PREEMPTION_TIMER), 2, 100);
	vmx_set_deadline(v, 1001);
	assert_in_range(vmread(VMCS_PREEMPTION_TIMER), 2, 100);
	vmx_set_deadline(v, 1000 + (1ull << 60));
	assert_int_equal(vmread(VMCS_PREEMPTION_TIMER), 0xffffffff);
	vmx_set_deadline(v, 1001);
	vmx_set_deadline(v, ~0ull);
	assert_int_equal(vmread(VMCS_PREEMPTION_TIMER), 0xffffffff);
}

/* Elsewhere there is no APIC-access page: a guest that moves its registers has them emulated. */
static void test_moved_apic_is_emulated(void **state)
{
	const uint32_t virtualized = PROC2_APIC_REGISTERS | PROC2_VID | PROC2_APIC_ACCESS;

	(void)state;
	vmx_controls.apicv = true;
	v->apic_base = APIC_DEFAULT_BASE | APIC_BASE_EN;
	vmx_apic_mode(v, APIC_XAPIC);
	assert_true(v->vid);
	assert_int_equal(vmread(VMCS_PROC2_CONTROLS) & virtualized, virtualized);
	v->apic_base = 0xfe000000 | APIC_BASE_EN;
	vmx_apic_mode(v, APIC_XAPIC);
	assert_false(v->vid);
	assert_int_equal(vmread(VMCS_PROC2_CONTROLS) & virtualized, 0);
	v->apic_base = APIC_DEFAULT_BASE | APIC_BASE_EN;
	vmx_apic_mode(v, APIC_XAPIC);
	assert_true(v->vid);
}

/* PAUSEs alone never exit, only loops of them (26.1.3), and only when asked for. */
static void test_loops_of_pause(void **state)
{
	(void)state;
	vmx_controls.pause_loop = true;
	assert_int_equal(vmx_vcpu_reset(v), 0);
	assert_int_equal(vmread(VMCS_PROC2_CONTROLS) & PROC2_PAUSE_LOOP, 0);
	assert_true(vmread(VMCS_PLE_GAP) && vmread(VMCS_PLE_WINDOW) > vmread(VMCS_PLE_GAP));
	vmx_set_traps(v, TRAP_HLT | TRAP_MWAIT | TRAP_PAUSE);
	assert_int_equal(vmread(VMCS_PROC2_CONTROLS) & PROC2_PAUSE_LOOP, PROC2_PAUSE_LOOP);
	assert_int_equal(vmread(VMCS_PROC_CONTROLS) & (PROC_HLT | PROC_MWAIT | PROC_PAUSE),
			 PROC_HLT | PROC_MWAIT);
	vmx_set_traps(v, TRAP_HLT | TRAP_MWAIT);
	assert_int_equal(vmread(VMCS_PROC2_CONTROLS) & PROC2_PAUSE_LOOP, 0);
}

/*
 * A guest that keeps the processor from all interrupts (26.2) is left, where the processor can: the
 * delivery that was stopped comes again, and NMIs stay blocked.
 */
static void test_notify_window(void **state)
{
	(void)state;
	vmx_controls.proc2 = PROC2_NOTIFY;
	assert_int_equal(vmx_vcpu_reset(v), 0);
	assert_int_equal(vmread(VMCS_PROC2_CONTROLS), PROC2_NOTIFY);
	assert_true(vmread(VMCS_NOTIFY_WINDOW) > 0);
	vmwrite(VMCS_IDT_VECTORING_INFO, INTR_INFO_VALID | EVENT_EXCEPTION << 8 | EXC_AC);
	vmwrite(VMCS_EXIT_QUALIFICATION, 0);
	vmx_decode_exit(v, VMX_NOTIFY, &x);
	assert_int_equal(x.reason, EXIT_NOTIFY);
	assert_false(x.notify.invalid);
	assert_true(x.vectoring.valid);
	assert_int_equal(x.vectoring.vector, EXC_AC);
	memset(&x, 0, sizeof(x));
	vmwrite(VMCS_IDT_VECTORING_INFO, 0);
	vmwrite(VMCS_EXIT_QUALIFICATION, BIT(12) | 1);
	vmx_decode_exit(v, VMX_NOTIFY, &x);
	assert_true(x.notify.invalid);
	assert_int_equal(vmread(VMCS_GUEST_INTERRUPTIBILITY), INTR_NMI_BLOCKED);
}

/* ---- SPEC_CTRL ---- */

static uint64_t spec_ctrl_seen, spec_ctrl_wanted;

static void guest_spec_ctrl(struct vcpu *c)
{
	spec_ctrl_seen = fake_rdmsr(MSR_IA32_SPEC_CTRL);
	fake_set_msr(MSR_IA32_SPEC_CTRL, spec_ctrl_wanted);
	guest_hlt(c);
}

/* What the guest has in SPEC_CTRL, having written VALUE to it when it was there last. */
static uint64_t spec_ctrl_of(struct vcpu *c, uint64_t value)
{
	spec_ctrl_wanted = value;
	vmx.guest = guest_spec_ctrl;
	assert_int_equal(vmx_run(c, &x), 0);
	return spec_ctrl_seen;
}

/* One of the low range: do its reads trap, and its writes? They do the same. */
static bool msr_traps(struct vcpu *c, uint32_t msr)
{
	const uint8_t *bitmap = vmx_of(c)->msr_bitmap;
	bool rd = bitmap[msr / 8] >> msr % 8 & 1, wr = bitmap[2048 + msr / 8] >> msr % 8 & 1;

	assert_int_equal(rd, wr);
	return rd;
}

static bool spec_ctrl_traps(struct vcpu *c)
{
	return msr_traps(c, MSR_IA32_SPEC_CTRL);
}

/* Each vCPU has a bitmap to itself, and the next life begins with all of it (25.6.9). */
static void test_deadline_passes(void **state)
{
	(void)state;
	assert_true(msr_traps(v, MSR_IA32_TSC_DEADLINE));
	vmx_msr_trap(v, MSR_IA32_TSC_DEADLINE, false, false);
	assert_false(msr_traps(v, MSR_IA32_TSC_DEADLINE));
	assert_true(msr_traps(v, MSR_IA32_TSC_DEADLINE - 1));
	assert_true(msr_traps(v, MSR_IA32_TSC_DEADLINE + 1));
	assert_true(msr_traps(w, MSR_IA32_TSC_DEADLINE));
	vmx_msr_trap(v, MSR_IA32_TSC_DEADLINE, true, true);
	assert_true(msr_traps(v, MSR_IA32_TSC_DEADLINE));
	vmx_msr_trap(v, MSR_IA32_TSC_DEADLINE, false, false);
	assert_int_equal(vmx_vcpu_reset(v), 0);
	assert_true(msr_traps(v, MSR_IA32_TSC_DEADLINE));
}

/* Two on one core: each has its own, the hypervisor too, and none sees another's. */
static void test_spec_ctrl_of_each(void **state)
{
	(void)state;
	w->cpu = pcpus[0];
	machine.here = 1;
	vmx_put(w);
	machine.here = 0;
	fake_set_msr(MSR_IA32_SPEC_CTRL, SPEC_CTRL_IBRS);
	vmx.host_spec_ctrl = SPEC_CTRL_IBRS;
	assert_true(spec_ctrl_traps(v));
	vmx_pass_spec_ctrl(v, SPEC_CTRL_SSBD);
	assert_false(spec_ctrl_traps(v));
	assert_int_equal(spec_ctrl_of(v, SPEC_CTRL_STIBP), SPEC_CTRL_SSBD);
	assert_int_equal(fake_rdmsr(MSR_IA32_SPEC_CTRL), SPEC_CTRL_IBRS);
	vmx_put(v);
	on_core(0, w);
	vmx_pass_spec_ctrl(w, SPEC_CTRL_IBRS | SPEC_CTRL_SSBD);
	assert_int_equal(spec_ctrl_of(w, 0), SPEC_CTRL_IBRS | SPEC_CTRL_SSBD);
	assert_int_equal(spec_ctrl_of(w, 0), 0);
	assert_int_equal(fake_rdmsr(MSR_IA32_SPEC_CTRL), SPEC_CTRL_IBRS);
	vmx_put(w);
	on_core(0, v);
	assert_int_equal(spec_ctrl_of(v, SPEC_CTRL_STIBP), SPEC_CTRL_STIBP);
	/* The next life has to ask for it. */
	assert_int_equal(vmx_vcpu_reset(v), 0);
	assert_true(spec_ctrl_traps(v));
	run();
	assert_int_equal(fake_rdmsr(MSR_IA32_SPEC_CTRL), SPEC_CTRL_IBRS);
}

#define T(name)                                           \
	{                                                 \
#name, test_##name, setup, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(event_is_given_back),
		T(moved_apic_is_emulated),
		T(loops_of_pause),
		T(notify_window),
		T(delivered_event_is_not_given_back),
		T(nmi_again),
		T(when_events_may_enter),
		T(nmi_waits_behind_sti),
		T(host_handlers_run),
		T(debug_exception_ends_shadow),
		T(launch_and_resume),
		T(move_to_another_core),
		T(nested_change_flushes_each_vcpu_once),
		T(paging_bits_flush),
		{"cr3_exit_flushes", test_cr3_exit_flushes, setup_without_true_controls, teardown,
		 NULL},
		T(vpids_differ),
		T(control_registers_behind_the_shadow),
		T(skip),
		T(skip_wraps),
		T(fast_port_io),
		T(fast_exits_keep_time),
		T(entry_failed),
		T(deadline),
		T(deadline_passes),
		T(spec_ctrl_of_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
