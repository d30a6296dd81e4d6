/* links: svm/run.c svm/exit.c svm/event.c svm/state.c svm/vcpu.c lib/log.c lib/fmt.c */
#include "tests/unit/support/svm_machine.h"

#include "core/task.h"

static void do_cpuid(struct vmcb *b)
{
	b->exitcode = VMEXIT_CPUID;
}

static void do_intr(struct vmcb *b)
{
	b->exitcode = VMEXIT_INTR;
}

static void test_cpuid_stays_inside(void **state)
{
	struct hv_exit x;

	(void)state;
	x = run_script(do_cpuid, do_cpuid, do_intr);
	assert_int_equal(x.reason, EXIT_HOST_IRQ);
	assert_false(x.vectoring.valid);
	assert_int_equal(entries, 3);
	assert_int_equal(core.cpuid, 2);
	assert_int_equal(vcpu.exits[EXIT_CPUID], 2);
	assert_int_equal(vmcb()->rip, 0x1004);
	assert_int_equal(vmcb()->rax, 0x11);
	assert_int_equal(vmcb()->clean, CLEAN_ALL);
}

static void do_cpuid_with_next_rip(struct vmcb *b)
{
	b->exitcode = VMEXIT_CPUID;
	b->nrip = b->rip + 3;
}

static void test_next_rip(void **state)
{
	(void)state;
	svm_features.next_rip = true;
	run_script(do_cpuid_with_next_rip, do_intr, NULL);
	assert_int_equal(vmcb()->rip, 0x1003);
	assert_int_equal(core.lengths, 0);
}

static void do_rdmsr(struct vmcb *b)
{
	b->exitcode = VMEXIT_MSR;
}

static void do_wrmsr(struct vmcb *b)
{
	b->exitcode = VMEXIT_MSR;
	b->exitinfo1 = 1;
}

static void test_msr(void **state)
{
	(void)state;
	run_script(do_rdmsr, do_wrmsr, do_intr);
	assert_int_equal(core.rdmsr, 1);
	assert_int_equal(core.wrmsr, 1);
	assert_int_equal(vmcb()->rip, 0x1004);
	/* #GP queued: the instruction is not skipped. */
	core.act = ACT_STAY;
	run_script(do_rdmsr, do_intr, NULL);
	assert_int_equal(vmcb()->rip, 0x1004);
}

static void do_self_ipi(struct vmcb *b)
{
	do_wrmsr(b);
	vcpu.requests |= REQ_EVENT;
}

/* An interrupt that core/ lets in at once does not end the loop; any other request does. */
static void test_events_inside(void **state)
{
	(void)state;
	core.events = 1;
	assert_int_equal(run_script(do_self_ipi, do_intr, NULL).reason, EXIT_HOST_IRQ);
	assert_int_equal(entries, 2);
	assert_int_equal(core.events, 0);
	assert_int_equal(run_script(do_self_ipi, do_intr, NULL).reason, EXIT_NONE);
	assert_int_equal(entries, 1);
}

/* 15.10.2: IN AL, DX from 3FDh */
static void do_in(struct vmcb *b)
{
	b->exitcode = VMEXIT_IOIO;
	b->exitinfo1 = 0x03fd0011;
	b->exitinfo2 = b->rip + 1;
}

/* OUT 80h, EAX with a prefix */
static void do_out(struct vmcb *b)
{
	b->exitcode = VMEXIT_IOIO;
	b->exitinfo1 = 0x00800040;
	b->exitinfo2 = b->rip + 3;
}

/* REP OUTSB with 64-bit addresses from FS */
static void do_outs(struct vmcb *b)
{
	b->exitcode = VMEXIT_IOIO;
	b->exitinfo1 = 0x03f8121c;
	b->exitinfo2 = b->rip + 3;
}

static void test_pio(void **state)
{
	struct hv_exit x;

	(void)state;
	run_script(do_in, do_intr, NULL);
	assert_int_equal(core.port, 0x3fd);
	assert_true(core.in);
	assert_int_equal(core.size, 1);
	run_script(do_out, do_intr, NULL);
	assert_int_equal(core.port, 0x80);
	assert_false(core.in);
	assert_int_equal(core.size, 4);
	assert_int_equal(vmcb()->rip, 0x1004);
	assert_int_equal(core.lengths, 0);
	/* What may meet a breakpoint is core's. */
	vmcb()->dr7 = 0x402;
	x = run_one(do_out);
	assert_int_equal(x.reason, EXIT_PIO);
	assert_false(x.pio.string);
	assert_int_equal(x.insn_len, 3);
	vmcb()->dr7 = 0x400;
	x = run_one(do_outs);
	assert_int_equal(x.reason, EXIT_PIO);
	assert_true(x.pio.string && x.pio.rep && x.pio.decode && !x.pio.in);
	assert_int_equal(x.pio.size, 1);
	assert_int_equal(x.insn_len, 3);
	svm_features.decode_assists = true;
	x = run_one(do_outs);
	assert_false(x.pio.decode);
	assert_int_equal(x.pio.seg, SEG_FS);
	assert_int_equal(x.pio.addr_size, 8);
}

/* What goes out to core/ by its reason alone. */
static const struct {
	uint64_t exitcode;
	enum hv_reason reason;
} plain[] = {
	{VMEXIT_INTR, EXIT_HOST_IRQ},	{VMEXIT_NMI, EXIT_NMI},
	{VMEXIT_INIT, EXIT_INIT},	{VMEXIT_VINTR, EXIT_INTR_WINDOW},
	{VMEXIT_RDPMC, EXIT_RDPMC},	{VMEXIT_RSM, EXIT_UD},
	{VMEXIT_INVD, EXIT_INVD},	{VMEXIT_PAUSE, EXIT_PAUSE},
	{VMEXIT_HLT, EXIT_HLT},		{VMEXIT_INVLPGA, EXIT_UD},
	{VMEXIT_SHUTDOWN, EXIT_TRIPLE}, {VMEXIT_VMRUN, EXIT_UD},
	{VMEXIT_VMLOAD, EXIT_UD},	{VMEXIT_VMSAVE, EXIT_UD},
	{VMEXIT_STGI, EXIT_UD},		{VMEXIT_CLGI, EXIT_UD},
	{VMEXIT_SKINIT, EXIT_UD},	{VMEXIT_WBINVD, EXIT_WBINVD},
	{VMEXIT_MONITOR, EXIT_MONITOR}, {VMEXIT_MWAIT, EXIT_MWAIT},
	{VMEXIT_XSETBV, EXIT_XSETBV},	{VMEXIT_RDPRU, EXIT_UD},
	{VMEXIT_INVLPGB, EXIT_UD},	{VMEXIT_MCOMMIT, EXIT_UD},
	{VMEXIT_TLBSYNC, EXIT_UD},	{0x8f, EXIT_UNKNOWN},
	{0x401, EXIT_UNKNOWN},		{0xa2, EXIT_UNKNOWN},
	{VMEXIT_EXCP0 + EXC_MC, EXIT_MACHINE_CHECK},
};

static uint64_t plain_code;

static void do_plain(struct vmcb *b)
{
	b->exitcode = plain_code;
}

static void test_plain_reasons(void **state)
{
	(void)state;
	host_handlers_count();
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		struct hv_exit x;

		plain_code = plain[i].exitcode;
		x = run_one(do_plain);
		if (x.reason != plain[i].reason)
			fail_msg("EXITCODE %#llx: reason %d", (unsigned long long)plain_code,
				 x.reason);
		assert_int_equal(x.insn_len, 0);
		assert_int_equal(vmcb()->rip, 0x1000);
	}
	/* A machine check has been delivered to nobody yet (15.12.18). */
	assert_int_equal(host_handlers, 1);
	assert_int_equal(host_vector, EXC_MC);
}

static void do_vmmcall(struct vmcb *b)
{
	b->exitcode = VMEXIT_VMMCALL;
}

static void do_ud(struct vmcb *b)
{
	b->exitcode = VMEXIT_EXCP0 + EXC_UD;
}

static void test_hypercall_of_either_vendor(void **state)
{
	struct hv_exit x;

	(void)state;
	run_script(do_vmmcall, do_intr, NULL);
	assert_int_equal(vcpu.exits[EXIT_HYPERCALL], 1);
	assert_int_equal(vmcb()->rip, 0x1002);
	memcpy(core.bytes, "\x0f\x01\xc1", 3);
	run_script(do_ud, do_intr, NULL);
	assert_int_equal(vcpu.exits[EXIT_HYPERCALL], 2);
	assert_int_equal(vmcb()->rip, 0x1005);
	memcpy(core.bytes, "\x0f\x0b\xc1", 3);
	x = run_script(do_ud, do_intr, NULL);
	assert_int_equal(vcpu.exits[EXIT_HYPERCALL], 2);
	assert_int_equal(x.reason, EXIT_EXCEPTION);
	assert_int_equal(x.event.vector, EXC_UD);
	assert_false(x.event.has_error);
	assert_int_equal(vmcb()->rip, 0x1005);
}

static void do_gp(struct vmcb *b)
{
	b->exitcode = VMEXIT_EXCP0 + EXC_GP;
}

static void do_gp_with_error(struct vmcb *b)
{
	b->exitcode = VMEXIT_EXCP0 + EXC_GP;
	b->exitinfo1 = 0x28;
}

/* A program's VMLOAD is #GP on a processor with SVM, #UD on one without. */
static void test_general_protection(void **state)
{
	struct hv_exit x;

	(void)state;
	memcpy(core.bytes, "\x0f\x01\xda", 3);
	assert_int_equal(run_one(do_gp).event.vector, EXC_UD);
	x = run_one(do_gp_with_error);
	assert_int_equal(x.event.vector, EXC_GP);
	assert_int_equal(x.event.error, 0x28);
	vmcb()->rip = 0x800000000000;
	assert_int_equal(run_one(do_gp).event.vector, EXC_GP);
	vmcb()->rip = 0x1000;
	memcpy(core.bytes, "\x0f\x01\xd7", 3);
	x = run_one(do_gp);
	assert_int_equal(x.event.vector, EXC_GP);
	assert_true(x.event.has_error);
}

static void do_icebp(struct vmcb *b)
{
	b->exitcode = VMEXIT_ICEBP;
}

static void test_int1(void **state)
{
	(void)state;
	assert_int_equal(run_one(do_icebp).reason, EXIT_NONE);
	assert_int_equal(core.queued, EXC_DB);
	assert_int_equal(vmcb()->rip, 0x1002);
	assert_false(vmcb()->dr6 & DR6_BS);
}

static void do_ac(struct vmcb *b)
{
	b->exitcode = VMEXIT_EXCP0 + EXC_AC;
}

static void test_exception_with_error_code(void **state)
{
	struct hv_exit x;

	(void)state;
	x = run_one(do_ac);
	assert_int_equal(x.reason, EXIT_EXCEPTION);
	assert_int_equal(x.event.vector, EXC_AC);
	assert_int_equal(x.event.type, EVENT_EXCEPTION);
	assert_true(x.event.valid && x.event.has_error);
}

static void do_npf(struct vmcb *b)
{
	b->exitcode = VMEXIT_NPF;
	b->exitinfo1 = 0x100000006; /* a user's write to a page that is not present */
	b->exitinfo2 = 0xfee000b0;
	b->exitintinfo = 0x80000b0e | 2ull << 32; /* while it delivered #PF */
}

static void do_npf_walk(struct vmcb *b)
{
	b->exitcode = VMEXIT_NPF;
	b->exitinfo1 = 0x200000014;
	b->exitinfo2 = 0x1000;
}

static void do_npf_reserved(struct vmcb *b)
{
	b->exitcode = VMEXIT_NPF;
	b->exitinfo1 = 0x10000000d;
}

static void test_nested_page_fault(void **state)
{
	struct hv_exit x;

	(void)state;
	x = run_one(do_npf);
	assert_int_equal(x.reason, EXIT_NPF);
	assert_int_equal(x.npf.gpa, 0xfee000b0);
	assert_true(x.npf.write);
	assert_false(x.npf.fetch || x.npf.table_walk || x.npf.gla_valid);
	assert_true(x.vectoring.valid && x.vectoring.has_error);
	assert_int_equal(x.vectoring.vector, EXC_PF);
	assert_int_equal(x.vectoring.type, EVENT_EXCEPTION);
	assert_int_equal(x.vectoring.error, 2);
	x = run_one(do_npf_walk);
	assert_true(x.npf.table_walk && x.npf.fetch && !x.npf.write);
	assert_false(x.vectoring.valid);
	assert_int_equal(run_one(do_npf_reserved).reason, EXIT_NPT_MISCONFIG);
}

static void do_cr4_write(struct vmcb *b)
{
	b->exitcode = VMEXIT_CR0_WRITE + 4;
	b->exitinfo1 = CRDR_MOV | 9;
}

static void do_cr0_selective(struct vmcb *b)
{
	b->exitcode = VMEXIT_CR0_SEL_WRITE; /* LMSW */
}

static void do_dr7_read(struct vmcb *b)
{
	b->exitcode = VMEXIT_DR0_READ + 7;
	b->exitinfo1 = 3;
}

static void test_registers(void **state)
{
	struct hv_exit x;

	(void)state;
	x = run_one(do_cr4_write);
	assert_int_equal(x.reason, EXIT_CR);
	assert_int_equal(x.cr.reg, 4);
	assert_true(x.cr.write && x.cr.decode);
	assert_false(x.cr.clts || x.cr.lmsw);
	svm_features.decode_assists = true;
	x = run_one(do_cr4_write);
	assert_false(x.cr.decode);
	assert_int_equal(x.cr.gpr, R9);
	x = run_one(do_cr0_selective);
	assert_int_equal(x.cr.reg, 0);
	assert_true(x.cr.write && x.cr.decode);
	x = run_one(do_dr7_read);
	assert_int_equal(x.reason, EXIT_DR);
	assert_int_equal(x.dr.reg, 7);
	assert_int_equal(x.dr.gpr, RBX);
	assert_false(x.dr.write || x.dr.decode);
}

static void do_debug(struct vmcb *b)
{
	b->exitcode = VMEXIT_EXCP0 + EXC_DB;
	b->dr7 |= DR7_GD;
}

/* A handler of #DB can look at the debug registers. */
static void test_general_detect(void **state)
{
	struct hv_exit x;

	(void)state;
	x = run_one(do_debug);
	assert_int_equal(x.reason, EXIT_EXCEPTION);
	assert_int_equal(x.event.vector, EXC_DB);
	assert_false(vmcb()->dr7 & DR7_GD);
}

static void do_invalid(struct vmcb *b)
{
	b->exitcode = VMEXIT_INVALID;
}

static void test_invalid_vmcb(void **state)
{
	struct hv_exit x;

	(void)state;
	entries = 0;
	script[0] = do_invalid;
	assert_int_equal(svm_run(&vcpu, &x), -EIO);
	assert_int_equal(x.reason, EXIT_ENTRY_FAILED);
}

/* QEMU's TCG, whose code has 32 bits. */
static void do_exit_err(struct vmcb *b)
{
	b->exitcode = 0xffffffff;
}

/* Where a processor has #GP(0), QEMU's TCG leaves the guest with the code of a VMRUN that failed.
 */
static void test_reserved_bits_of_cr3(void **state)
{
	static const struct {
		uint8_t insn[4];
		uint64_t value;
		bool gp;
	} cases[] = {
		{{0x0f, 0x22, 0xd8}, BIT(40), true}, /* MOV CR3, RAX */
		{{0x0f, 0x22, 0xd8}, BIT(62), true},
		{{0x0f, 0x22, 0xd8}, BIT(39), false},	   /* an address that there is */
		{{0x0f, 0x22, 0xd8}, BIT(63), true},	   /* CR4.PCIDE is clear */
		{{0x41, 0x0f, 0x22, 0xd8}, BIT(50), true}, /* MOV CR3, R8 */
		{{0x0f, 0x22, 0xc0}, BIT(50), false},	   /* MOV CR0, RAX */
		{{0x0f, 0x20, 0xd8}, BIT(50), false},	   /* MOV RAX, CR3 */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct hv_exit x = {0};

		memcpy(core.bytes, cases[i].insn, sizeof(cases[i].insn));
		vcpu.gpr[cases[i].insn[0] == 0x41 ? R8 : RAX] = cases[i].value;
		entries = 0;
		vcpu.requests = 0;
		script[0] = do_exit_err;
		script[1] = NULL;
		assert_int_equal(svm_run(&vcpu, &x), cases[i].gp ? 0 : -EIO);
		assert_int_equal(x.reason, cases[i].gp ? EXIT_EXCEPTION : EXIT_ENTRY_FAILED);
		if (!cases[i].gp)
			continue;
		assert_int_equal(x.event.vector, EXC_GP);
		assert_true(x.event.has_error);
		assert_int_equal(x.event.error, 0);
	}
}

static const struct hv_event interrupt = {.valid = true, .vector = 0x41, .type = EVENT_INTR};
static const struct hv_event nmi = {.valid = true, .vector = 2, .type = EVENT_NMI};

static void take_interrupt(struct vmcb *b)
{
	assert_int_equal(b->eventinj, EVENTINJ_V | 0x41);
	b->exitcode = VMEXIT_HLT;
}

static void nothing_to_take(struct vmcb *b)
{
	assert_int_equal(b->eventinj, 0);
	b->exitcode = VMEXIT_HLT;
}

/* An event is delivered once; what a request overtakes goes back to core/ instead of being lost. */
static void test_injection(void **state)
{
	struct hv_exit x;

	(void)state;
	assert_true(svm_can_inject(&vcpu, EVENT_INTR));
	svm_inject(&vcpu, &interrupt);
	run_one(take_interrupt);
	run_one(nothing_to_take);
	svm_inject(&vcpu, &interrupt);
	vcpu.requests = REQ_IRQ;
	entries = 0;
	assert_int_equal(svm_run(&vcpu, &x), 0);
	assert_int_equal(entries, 0);
	assert_int_equal(x.reason, EXIT_NONE);
	assert_true(x.vectoring.valid);
	assert_int_equal(x.vectoring.vector, 0x41);
	assert_int_equal(x.vectoring.type, EVENT_INTR);
	run_one(nothing_to_take);
}

/* HLT in the shadow of STI with an interrupt waiting: it comes behind HLT, not between the two. */
static void test_hlt_behind_sti(void **state)
{
	(void)state;
	core.bytes[0] = 0xf4;
	vmcb()->int_state = INT_STATE_SHADOW;
	svm_want_window(&vcpu, true, false);
	assert_int_equal(vmcb()->rip, 0x1001);
	assert_int_equal(vmcb()->int_state, 0);
	assert_true(vmcb()->int_ctl & INT_CTL_IRQ);
	/* Not without a shadow, an interrupt or IF, and no other instruction. */
	svm_want_window(&vcpu, true, false);
	vmcb()->int_state = INT_STATE_SHADOW;
	svm_want_window(&vcpu, false, false);
	vmcb()->rflags = 2;
	svm_want_window(&vcpu, true, false);
	vmcb()->rflags = 0x202;
	core.bytes[0] = 0x90;
	svm_want_window(&vcpu, true, false);
	assert_int_equal(vmcb()->rip, 0x1001);
	assert_int_equal(vmcb()->int_state, INT_STATE_SHADOW);
}

static void test_when_interrupts_may_enter(void **state)
{
	(void)state;
	vmcb()->int_state = INT_STATE_SHADOW;
	assert_false(svm_can_inject(&vcpu, EVENT_INTR));
	assert_false(svm_can_inject(&vcpu, EVENT_NMI));
	vmcb()->int_state = 0;
	vmcb()->rflags = 2;
	assert_false(svm_can_inject(&vcpu, EVENT_INTR));
	assert_true(svm_can_inject(&vcpu, EVENT_NMI));
}

static void test_error_code(void **state)
{
	(void)state;
	vmcb_set_cr2(vmcb(), 0xdead000);
	svm_inject(&vcpu, &(struct hv_event){.valid = true,
					     .has_error = true,
					     .vector = EXC_PF,
					     .type = EVENT_EXCEPTION,
					     .error = 0x15});
	assert_int_equal(vmcb()->eventinj, 0x1580000b0e);
	/* As the processor's own would, it drops the translation. */
	assert_int_equal(invlpgas, 1);
}

static void test_interrupt_window(void **state)
{
	(void)state;
	svm_want_window(&vcpu, true, false);
	assert_true(vmcb()->intercept[WORD_3] & INTERCEPT_VINTR);
	assert_true(vmcb()->int_ctl & INT_CTL_IRQ);
	assert_true(vmcb()->int_ctl & INT_CTL_IGN_TPR);
	assert_true(vmcb()->int_ctl & INT_CTL_INTR_MASKING);
	svm_want_window(&vcpu, false, false);
	assert_false(vmcb()->intercept[WORD_3] & INTERCEPT_VINTR);
	assert_false(vmcb()->int_ctl & INT_CTL_IRQ);
	assert_true(vmcb()->int_ctl & INT_CTL_INTR_MASKING);
}

/* INT n whose delivery faulted in nested paging: RIP is still at the INT n, which runs again. */
static void do_npf_in_int_n(struct vmcb *b)
{
	do_npf(b);
	b->exitintinfo = EVENTINJ_V | 4 << 8 | 0x80;
}

static void do_npf_in_int3(struct vmcb *b)
{
	do_npf(b);
	b->exitintinfo = EVENTINJ_V | 3 << 8 | EXC_BP;
}

static void test_software_interrupts_run_again(void **state)
{
	(void)state;
	assert_false(run_one(do_npf_in_int_n).vectoring.valid);
	assert_false(run_one(do_npf_in_int3).vectoring.valid);
	assert_int_equal(vmcb()->rip, 0x1000);
	/* One that core/ injected has RIP behind it; it goes back. */
	svm_inject(&vcpu, &(struct hv_event){.valid = true,
					     .vector = 0x80,
					     .type = EVENT_SOFT_INTR,
					     .insn_len = 2});
	assert_int_equal(vmcb()->eventinj, EVENTINJ_V | 4 << 8 | 0x80);
	assert_int_equal(vmcb()->rip, 0x1002);
	assert_false(run_one(do_npf_in_int_n).vectoring.valid);
	assert_int_equal(vmcb()->rip, 0x1000);
}

static uint32_t *tpr(void)
{
	return (uint32_t *)(vcpu.apic_page + APIC_TPR);
}

static void write_cr8_5(struct vmcb *b)
{
	assert_int_equal(b->int_ctl & INT_CTL_TPR, 2);
	b->int_ctl = (b->int_ctl & ~INT_CTL_TPR) | 5;
	b->exitcode = VMEXIT_HLT;
}

static void leave_cr8(struct vmcb *b)
{
	b->exitcode = VMEXIT_HLT;
}

static void test_tpr(void **state)
{
	(void)state;
	*tpr() = 0x23;
	run_one(leave_cr8);
	assert_int_equal(*tpr(), 0x23);
	run_one(write_cr8_5);
	assert_int_equal(*tpr(), 0x50);
	svm_set_tpr_threshold(&vcpu, 3);
	assert_true(vmcb()->intercept[WORD_CR] & CR_WRITE(8));
	svm_set_tpr_threshold(&vcpu, 0);
	assert_false(vmcb()->intercept[WORD_CR] & CR_WRITE(8));
	/* While an interrupt window is awaited. */
	svm_want_window(&vcpu, true, false);
	svm_set_tpr_threshold(&vcpu, 0);
	assert_true(vmcb()->intercept[WORD_CR] & CR_WRITE(8));
	svm_want_window(&vcpu, false, false);
	svm_set_tpr_threshold(&vcpu, 0);
	assert_false(vmcb()->intercept[WORD_CR] & CR_WRITE(8));
}

/*
 * The handler of an NMI runs IRET: first the intercept, then the instruction itself with its trap.
 */
static void reach_iret(struct vmcb *b)
{
	assert_true(b->intercept[WORD_3] & INTERCEPT_IRET);
	b->rip = 0x2000;
	b->exitcode = VMEXIT_IRET;
}

static void run_iret(struct vmcb *b)
{
	assert_false(b->intercept[WORD_3] & INTERCEPT_IRET);
	assert_true(b->rflags & RFLAGS_TF);
	b->rip = 0x1000;
	b->rflags = 0x246;
	b->dr6 |= DR6_BS;
	b->exitcode = VMEXIT_EXCP0 + EXC_DB;
}

static void fault_in_iret(struct vmcb *b)
{
	assert_true(b->intercept[WORD_EXCEPTION] & BIT(EXC_GP));
	b->exitinfo1 = 0x10;
	b->exitcode = VMEXIT_EXCP0 + EXC_GP;
}

static void interrupted_before_iret(struct vmcb *b)
{
	assert_true(b->rflags & RFLAGS_TF);
	b->exitcode = VMEXIT_INTR;
}

static void test_nmi_window(void **state)
{
	uint64_t dr6 = vmcb()->dr6;
	struct hv_exit x;

	(void)state;
	assert_true(svm_can_inject(&vcpu, EVENT_NMI));
	svm_inject(&vcpu, &nmi);
	assert_int_equal(vmcb()->eventinj, EVENTINJ_V | 2 << 8 | 2);
	assert_false(svm_can_inject(&vcpu, EVENT_NMI));
	svm_want_window(&vcpu, false, true);
	x = run_script(reach_iret, run_iret, NULL);
	assert_int_equal(x.reason, EXIT_NMI_WINDOW);
	assert_true(svm_can_inject(&vcpu, EVENT_NMI));
	/* The guest has what its IRET loaded, and no trace of the step. */
	assert_int_equal(vmcb()->rflags, 0x246);
	assert_int_equal(vmcb()->dr6, dr6);
	assert_int_equal(vmcb()->intercept[WORD_EXCEPTION], SVM_EXCEPTIONS);
	assert_int_equal(core.queued, 0xff);
}

static void test_nmi_unblocked_without_a_waiting_one(void **state)
{
	(void)state;
	svm_inject(&vcpu, &nmi);
	svm_want_window(&vcpu, false, false);
	assert_int_equal(run_script(reach_iret, run_iret, do_intr).reason, EXIT_HOST_IRQ);
	assert_int_equal(entries, 3);
	assert_true(svm_can_inject(&vcpu, EVENT_NMI));
}

/*
 * The IRET faults: the guest's handler finds the flags that the guest had, and NMI is no longer
 * blocked.
 */
static void test_nmi_iret_faults(void **state)
{
	struct hv_exit x;

	(void)state;
	svm_inject(&vcpu, &nmi);
	svm_want_window(&vcpu, false, true);
	x = run_script(reach_iret, fault_in_iret, NULL);
	assert_int_equal(x.reason, EXIT_EXCEPTION);
	assert_int_equal(x.event.vector, EXC_GP);
	assert_int_equal(x.event.error, 0x10);
	assert_int_equal(vmcb()->rflags, 0x202);
	assert_true(svm_can_inject(&vcpu, EVENT_NMI));
}

static void reach_iret_of_a_task(struct vmcb *b)
{
	reach_iret(b);
	b->cr0 |= CR0_PE;
	b->efer &= ~EFER_LMA;
	b->rflags |= RFLAGS_NT;
	b->tr.base = 0x7000;
}

/* The flags that a step sets would go into the task-state segment: no step. */
static void test_nmi_task_returns(void **state)
{
	struct hv_exit x;

	(void)state;
	svm_inject(&vcpu, &nmi);
	x = run_script(reach_iret_of_a_task, NULL, NULL);
	assert_int_equal(x.reason, EXIT_TASK_SWITCH);
	assert_int_equal(x.task.cause, TASK_IRET);
	assert_int_equal(x.task.selector, 0x28);
	assert_int_equal(x.insn_len, 2);
	assert_false(vmcb()->rflags & RFLAGS_TF);
	assert_true(svm_can_inject(&vcpu, EVENT_NMI));
}

/* An interrupt is delivered before the IRET has run: its frame must not hold our TF. */
static void test_nmi_step_is_cancelled(void **state)
{
	(void)state;
	svm_inject(&vcpu, &nmi);
	svm_want_window(&vcpu, false, true);
	run_script(reach_iret, interrupted_before_iret, NULL);
	svm_get_state(&vcpu, ST_RIP);
	assert_int_equal(vcpu.st.rflags, 0x202);
	svm_inject(&vcpu, &interrupt);
	assert_int_equal(vmcb()->rflags, 0x202);
	assert_true(vmcb()->intercept[WORD_3] & INTERCEPT_IRET);
	assert_false(svm_can_inject(&vcpu, EVENT_NMI));
}

static void do_npf_in_nmi(struct vmcb *b)
{
	do_npf(b);
	b->exitintinfo = EVENTINJ_V | 2 << 8 | 2;
}

static void test_nmi_cut_short_blocks_nothing(void **state)
{
	struct hv_exit x;

	(void)state;
	svm_inject(&vcpu, &nmi);
	x = run_one(do_npf_in_nmi);
	assert_true(x.vectoring.valid);
	assert_int_equal(x.vectoring.type, EVENT_NMI);
	assert_true(svm_can_inject(&vcpu, EVENT_NMI));
}

static void end_shadow(struct vmcb *b)
{
	assert_true(b->rflags & RFLAGS_TF);
	b->rip += 2;
	b->int_state = 0;
	b->dr6 |= DR6_BS;
	b->exitcode = VMEXIT_EXCP0 + EXC_DB;
}

static void test_nmi_after_shadow(void **state)
{
	(void)state;
	vmcb()->int_state = INT_STATE_SHADOW;
	vmcb()->rflags = 2;
	svm_want_window(&vcpu, false, true);
	assert_int_equal(run_one(end_shadow).reason, EXIT_NMI_WINDOW);
	assert_int_equal(vmcb()->rflags, 2);
	assert_true(svm_can_inject(&vcpu, EVENT_NMI));
}

/* Another event goes first: the processor comes back as soon as it is in. */
static void test_nmi_after_another_event(void **state)
{
	(void)state;
	svm_inject(&vcpu, &interrupt);
	svm_want_window(&vcpu, false, true);
	assert_int_equal(kicks, 1);
	assert_false(vmcb()->rflags & RFLAGS_TF);
}

static void test_virtual_nmi(void **state)
{
	(void)state;
	svm_features.virtual_nmi = true;
	svm_vcpu_reset(&vcpu);
	assert_true(vmcb()->int_ctl & INT_CTL_NMI_ENABLE);
	svm_set_nmi_blocked(svm(), true);
	assert_true(vmcb()->int_ctl & INT_CTL_NMI_MASK);
	/* It waits in the processor. */
	assert_true(svm_can_inject(&vcpu, EVENT_NMI));
	svm_inject(&vcpu, &nmi);
	assert_true(vmcb()->int_ctl & INT_CTL_NMI);
	assert_int_equal(vmcb()->eventinj, 0);
	assert_false(vmcb()->intercept[WORD_3] & INTERCEPT_IRET);
	assert_false(svm_can_inject(&vcpu, EVENT_NMI));
}

static void halt(struct vmcb *b)
{
	b->exitcode = VMEXIT_HLT;
}

static void call(struct vmcb *b)
{
	b->exitcode = VMEXIT_INTR;
}

/*
 * NMI, STI, HLT: the processor keeps the NMI in STI's shadow, and the exit of HLT comes first.
 * Nobody else would wake the guest. One that is blocked wakes nobody (SDM vol. 3A 6.7.1).
 */
static void test_virtual_nmi_ends_hlt(void **state)
{
	struct hv_exit x;

	(void)state;
	svm_features.virtual_nmi = true;
	svm_vcpu_reset(&vcpu);
	svm_inject(&vcpu, &nmi);
	x = run_script(halt, call, NULL);
	assert_int_equal(x.reason, EXIT_HOST_IRQ);
	assert_int_equal(vmcb()->rip, 0x1002);
	svm_set_nmi_blocked(svm(), true);
	x = run_one(halt);
	assert_int_equal(x.reason, EXIT_HLT);
	assert_int_equal(vmcb()->rip, 0x1002);
}

/* A guest that debugs itself gets its own traps. */
static void own_trap(struct vmcb *b)
{
	b->dr6 |= DR6_BS;
	b->exitcode = VMEXIT_EXCP0 + EXC_DB;
}

static void test_guests_own_debug_trap(void **state)
{
	struct hv_exit x;

	(void)state;
	vmcb()->rflags |= RFLAGS_TF;
	x = run_one(own_trap);
	assert_int_equal(x.reason, EXIT_EXCEPTION);
	assert_int_equal(x.event.vector, EXC_DB);
	assert_true(vmcb()->dr6 & DR6_BS);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_cpuid_stays_inside),
		TEST(test_next_rip),
		TEST(test_msr),
		TEST(test_events_inside),
		TEST(test_pio),
		TEST(test_plain_reasons),
		TEST(test_hypercall_of_either_vendor),
		TEST(test_general_protection),
		TEST(test_int1),
		TEST(test_exception_with_error_code),
		TEST(test_nested_page_fault),
		TEST(test_registers),
		TEST(test_invalid_vmcb),
		TEST(test_reserved_bits_of_cr3),
		TEST(test_injection),
		TEST(test_hlt_behind_sti),
		TEST(test_when_interrupts_may_enter),
		TEST(test_error_code),
		TEST(test_interrupt_window),
		TEST(test_software_interrupts_run_again),
		TEST(test_tpr),
		TEST(test_nmi_window),
		TEST(test_nmi_unblocked_without_a_waiting_one),
		TEST(test_general_detect),
		TEST(test_nmi_iret_faults),
		TEST(test_nmi_task_returns),
		TEST(test_nmi_step_is_cancelled),
		TEST(test_nmi_cut_short_blocks_nothing),
		TEST(test_nmi_after_shadow),
		TEST(test_nmi_after_another_event),
		TEST(test_virtual_nmi),
		TEST(test_virtual_nmi_ends_hlt),
		TEST(test_guests_own_debug_trap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
