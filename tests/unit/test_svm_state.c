/* links: svm/state.c svm/vcpu.c svm/event.c svm/dump.c svm/names.c lib/strbuf.c lib/fmt.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/msr.h"
#include "arch/x86/percpu.h"
#include "core/exits.h"
#include "lib/assert.h"
#include "lib/strbuf.h"
#include "svm/internal.h"
#include "tests/unit/support/svm_core.h"

static uint8_t queued_vector;

void vcpu_exception(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error)
{
	(void)v;
	(void)has_error;
	(void)error;
	queued_vector = vector;
}

static struct vm vm;
static struct svm_vm svm_vm;
static struct vcpu vcpu;

static struct vmcb *vmcb(void)
{
	return &svm_of(&vcpu)->vmcb;
}

/* A 64-bit kernel in the middle of its work. */
static void fill_state(struct vcpu_state *st)
{
	*st = (struct vcpu_state){
		.rip = 0xffffffff81000000,
		.rflags = 0x202,
		.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG,
		.cr2 = 0x1234,
		.cr3 = 0x2000,
		.cr4 = CR4_PAE | CR4_MCE,
		.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE,
		.gdtr = {0xfffffe0000001000, 0x7f},
		.idtr = {0xfffffe0000000000, 0xfff},
		.dr = {1, 2, 3, 4},
		.dr6 = DR6_INIT,
		.dr7 = DR7_INIT,
		.sysenter_cs = 0x10,
		.sysenter_esp = 0x20,
		.sysenter_eip = 0x30,
		.star = 0x40,
		.lstar = 0x50,
		.cstar = 0x60,
		.sfmask = 0x70,
		.kernel_gs_base = 0x80,
		.tsc_aux = 0x90,
		.pat = 0x0007040600070406,
		.interruptibility = INTR_NMI_BLOCKED,
	};
	for (unsigned int i = 0; i < SEG_COUNT; i++)
		st->seg[i] = (struct vcpu_seg){.selector = (uint16_t)(8 * i + 8),
					       .attr = 0xc093,
					       .limit = 0xffffffff,
					       .base = 0x1000 * i};
	st->seg[SEG_CS].attr = 0xa09b;
	st->seg[SEG_LDTR] = (struct vcpu_seg){.attr = 0x82 | SEG_ATTR_UNUSABLE};
	st->seg[SEG_LDTR].attr &= ~SEG_ATTR_P;
	st->seg[SEG_TR] = (struct vcpu_seg){.selector = 0x40, .attr = 0x8b, .limit = 0x67};
}

static int set_up(void **state)
{
	(void)state;
	svm_features = (struct svm_features){.asid_count = 16};
	memset(&vcpu, 0, sizeof(vcpu));
	vm = (struct vm){.hv = &svm_vm};
	vm.npt.root = 0x5000;
	vcpu.vm = &vm;
	assert_int_equal(svm_vcpu_init(&vcpu), 0);
	fill_state(&vcpu.st);
	assert_int_equal(svm_vcpu_reset(&vcpu), 0);
	queued_vector = 0xff;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(vcpu.hv);
	return 0;
}

static void test_round_trip(void **state)
{
	struct vcpu_state wanted;

	(void)state;
	fill_state(&wanted);
	memset(&vcpu.st, 0, sizeof(vcpu.st));
	vcpu.st_valid = 0;
	svm_get_state(&vcpu, ST_ALL);
	assert_int_equal(vcpu.st_valid, ST_ALL);
	for (unsigned int i = 0; i < SEG_COUNT; i++) {
		assert_int_equal(vcpu.st.seg[i].selector, wanted.seg[i].selector);
		assert_int_equal(vcpu.st.seg[i].attr, wanted.seg[i].attr);
		assert_int_equal(vcpu.st.seg[i].limit, wanted.seg[i].limit);
		assert_int_equal(vcpu.st.seg[i].base, wanted.seg[i].base);
	}
	/* Padding apart, nothing else differs. */
	memset(vcpu.st.seg, 0, sizeof(vcpu.st.seg));
	memset(wanted.seg, 0, sizeof(wanted.seg));
	assert_memory_equal(&vcpu.st, &wanted, offsetof(struct vcpu_state, gdtr));
	assert_int_equal(vcpu.st.gdtr.base, wanted.gdtr.base);
	assert_int_equal(vcpu.st.gdtr.limit, wanted.gdtr.limit);
	assert_int_equal(vcpu.st.idtr.base, wanted.idtr.base);
	assert_int_equal(vcpu.st.idtr.limit, wanted.idtr.limit);
	assert_memory_equal(vcpu.st.dr, wanted.dr,
			    offsetof(struct vcpu_state, interruptibility) -
				    offsetof(struct vcpu_state, dr));
	assert_int_equal(vcpu.st.interruptibility, wanted.interruptibility);
}

/* 15.5.1: bits 55:52 and 47:40 of a descriptor in bits 11:8 and 7:0. */
static void test_segment_attributes(void **state)
{
	(void)state;
	assert_int_equal(vmcb()->cs.attrib, 0xa9b);
	assert_int_equal(vmcb()->ds.attrib, 0xc93);
	assert_int_equal(vmcb()->tr.attrib, 0x08b);
	assert_int_equal(vmcb()->ldtr.attrib & 0x80, 0);
	/* A null selector that the guest loads has P clear. */
	vmcb()->fs.attrib = 0xc13;
	vcpu.st_valid = 0;
	svm_get_state(&vcpu, ST_SEGS);
	assert_true(vcpu.st.seg[SEG_FS].attr & SEG_ATTR_UNUSABLE);
	assert_false(vcpu.st.seg[SEG_GS].attr & SEG_ATTR_UNUSABLE);
}

static void test_cpl_is_ss_dpl(void **state)
{
	(void)state;
	assert_int_equal(vmcb()->cpl, 0);
	vmcb()->cpl = 3;
	vcpu.st_valid = 0;
	svm_get_state(&vcpu, ST_SEGS);
	assert_int_equal(SEG_ATTR_DPL(vcpu.st.seg[SEG_SS].attr), 3);
	vcpu.st.seg[SEG_SS].attr = 0xc0b3;
	svm_set_state(&vcpu, ST_SEGS);
	assert_int_equal(vmcb()->cpl, 1);
}

static void test_svme_is_hidden(void **state)
{
	(void)state;
	assert_true(vmcb()->efer & EFER_SVME);
	vcpu.st_valid = 0;
	svm_get_state(&vcpu, ST_CRS);
	assert_false(vcpu.st.efer & EFER_SVME);
}

/* A guest that turns its caches off sees that they are off; its neighbours do not feel it. */
static void test_caches_stay_on(void **state)
{
	(void)state;
	assert_int_equal(vmcb()->intercept[WORD_CR] & (CR_READ(0) | CR_WRITE(0)), 0);
	vcpu.st.cr0 |= CR0_CD | CR0_NW;
	svm_set_state(&vcpu, ST_CRS);
	assert_false(vmcb()->cr0 & (CR0_CD | CR0_NW));
	assert_int_equal(vmcb()->intercept[WORD_CR] & (CR_READ(0) | CR_WRITE(0)),
			 CR_READ(0) | CR_WRITE(0));
	vcpu.st_valid = 0;
	svm_get_state(&vcpu, ST_CRS);
	assert_int_equal(vcpu.st.cr0 & (CR0_CD | CR0_NW), CR0_CD | CR0_NW);
	vcpu.st.cr0 &= ~(CR0_CD | CR0_NW);
	svm_set_state(&vcpu, ST_CRS);
	assert_int_equal(vmcb()->intercept[WORD_CR] & (CR_READ(0) | CR_WRITE(0)), 0);
}

static void test_machine_checks_stay_on(void **state)
{
	(void)state;
	vcpu.st.cr4 &= ~CR4_MCE;
	svm_set_state(&vcpu, ST_CRS);
	assert_true(vmcb()->cr4 & CR4_MCE);
	assert_true(vmcb()->intercept[WORD_CR] & CR_READ(4));
	vcpu.st_valid = 0;
	svm_get_state(&vcpu, ST_CRS);
	assert_false(vcpu.st.cr4 & CR4_MCE);
}

static void test_new_paging_mode_flushes(void **state)
{
	struct svm_vcpu *s = svm_of(&vcpu);

	(void)state;
	s->flush = false;
	vcpu.st.cr2 = 0x9999;
	vcpu.st.cr0 |= CR0_TS;
	svm_set_state(&vcpu, ST_CRS);
	assert_false(s->flush);
	vcpu.st.cr4 |= CR4_PGE;
	svm_set_state(&vcpu, ST_CRS);
	assert_true(s->flush);
	s->flush = false;
	vcpu.st.cr3 = 0x7000;
	svm_set_state(&vcpu, ST_CRS);
	assert_true(s->flush);
}

/* Every group of state, and the clean bits that it may take with it: 15.15.3. */
static void test_clean_bits(void **state)
{
	static const struct {
		uint32_t group, cleared;
	} cases[] = {
		{ST_RIP, 0},
		{ST_CRS, CLEAN_CRX | CLEAN_CR2 | CLEAN_I},
		{ST_SEGS, CLEAN_SEG | CLEAN_DT},
		{ST_DRS, CLEAN_DRX},
		{ST_MSRS, CLEAN_NP},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		vmcb()->clean = CLEAN_ALL;
		svm_set_state(&vcpu, cases[i].group);
		assert_int_equal(vmcb()->clean, CLEAN_ALL); /* as it was */
	}
	vcpu.st.rip++;
	vcpu.st.cr0 ^= CR0_AM | CR0_CD;
	vcpu.st.cr2++;
	vcpu.st.seg[SEG_ES].base++;
	vcpu.st.idtr.limit--;
	vcpu.st.dr7 |= 1;
	vcpu.st.pat++;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		vmcb()->clean = CLEAN_ALL;
		svm_set_state(&vcpu, cases[i].group);
		assert_int_equal(vmcb()->clean, CLEAN_ALL & ~cases[i].cleared);
	}
	/* VMLOAD moves it: no clean bit stands for FS. */
	vmcb()->clean = CLEAN_ALL;
	vcpu.st.seg[SEG_FS].base++;
	svm_set_state(&vcpu, ST_SEGS);
	assert_int_equal(vmcb()->clean, CLEAN_ALL);
}

static bool msr_traps(uint32_t byte, uint32_t bit)
{
	return svm_of(&vcpu)->msrpm[byte] >> bit & 1;
}

/*
 * 15.11: 0 to 1FFFh at byte 0, C0000000h at 800h, C0010000h at 1000h; two bits each, reads below
 * writes.
 */
static void test_msr_permission_map(void **state)
{
	(void)state;
	assert_true(msr_traps(0x800 + 0x80 / 4, 0) && msr_traps(0x800 + 0x80 / 4, 1));	/* EFER */
	assert_false(msr_traps(0x800 + 0x80 / 4, 2) || msr_traps(0x800 + 0x80 / 4, 3)); /* STAR */
	assert_false(msr_traps(0x174 / 4, 0) || msr_traps(0x174 / 4, 1)); /* SYSENTER_CS */
	assert_true(msr_traps(0x277 / 4, 6) && msr_traps(0x277 / 4, 7));  /* PAT */
	assert_true(msr_traps(0x1000 + 0x114 / 4, 0));			  /* VM_CR */
	svm_msr_trap(&vcpu, 0x277, false, true);
	assert_false(msr_traps(0x277 / 4, 6));
	assert_true(msr_traps(0x277 / 4, 7));
	assert_true(msr_traps(0x277 / 4, 5)); /* the neighbour, 276h */
	svm_msr_trap(&vcpu, 0xc0011fff, false, false);
	assert_false(msr_traps(0x17ff, 6) || msr_traps(0x17ff, 7));
	/* What no bit stands for traps by itself. */
	svm_msr_trap(&vcpu, 0x4b564d00, true, true);
}

static void test_guests_get_no_svm_instruction(void **state)
{
	const uint32_t word4 = INTERCEPT_VMRUN | INTERCEPT_VMMCALL | INTERCEPT_VMLOAD |
			       INTERCEPT_VMSAVE | INTERCEPT_STGI | INTERCEPT_CLGI |
			       INTERCEPT_SKINIT;
	const uint32_t word3 = INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_SMI | INTERCEPT_INIT |
			       INTERCEPT_SHUTDOWN | INTERCEPT_INVD | INTERCEPT_RSM |
			       INTERCEPT_INVLPGA | INTERCEPT_IOIO_PROT | INTERCEPT_MSR_PROT |
			       INTERCEPT_FERR_FREEZE;

	(void)state;
	assert_int_equal(vmcb()->intercept[WORD_3] & word3, word3);
	/* Task switches are the processor's own. */
	assert_false(vmcb()->intercept[WORD_3] & INTERCEPT_TASK_SWITCH);
	assert_int_equal(vmcb()->intercept[WORD_4] & word4, word4);
	assert_int_equal(vmcb()->intercept[WORD_EXCEPTION],
			 BIT(1) | BIT(6) | BIT(13) | BIT(17) | BIT(18));
	assert_true(vmcb()->int_ctl & INT_CTL_INTR_MASKING);
	assert_false(vmcb()->int_ctl & INT_CTL_GIF_ENABLE);
	assert_int_equal(vmcb()->lbr_virt, 0); /* nor virtual VMLOAD and VMSAVE */
	assert_int_equal(vmcb()->n_cr3, 0x5000);
}

/* SPEC_CTRL is the guest's once it has written to it, and nobody's after a reset. */
static void test_spec_ctrl(void **state)
{
	(void)state;
	assert_true(msr_traps(0x48 / 4, 0) && msr_traps(0x48 / 4, 1));
	svm_pass_spec_ctrl(&vcpu, 4);
	assert_int_equal(svm_of(&vcpu)->vmcb.spec_ctrl, 4);
	assert_false(msr_traps(0x48 / 4, 0) || msr_traps(0x48 / 4, 1));
	assert_int_equal(svm_vcpu_reset(&vcpu), 0);
	assert_int_equal(svm_of(&vcpu)->vmcb.spec_ctrl, 0);
	assert_true(msr_traps(0x48 / 4, 0) && msr_traps(0x48 / 4, 1));
}

static void test_traps_switch(void **state)
{
	(void)state;
	svm_set_traps(&vcpu, TRAP_RDTSC | TRAP_DR);
	assert_true(vmcb()->intercept[WORD_3] & INTERCEPT_RDTSC);
	assert_true(vmcb()->intercept[WORD_4] & INTERCEPT_RDTSCP);
	assert_false(vmcb()->intercept[WORD_3] & INTERCEPT_HLT);
	assert_int_equal(vmcb()->intercept[WORD_DR], UINT32_MAX);
	svm_set_traps(&vcpu, TRAP_HLT | TRAP_PAUSE | TRAP_MWAIT);
	assert_false(vmcb()->intercept[WORD_3] & INTERCEPT_RDTSC);
	assert_true(vmcb()->intercept[WORD_3] & INTERCEPT_HLT);
	assert_true(vmcb()->intercept[WORD_3] & INTERCEPT_PAUSE);
	assert_true(vmcb()->pause_filter_count > 0);
	assert_true(vmcb()->intercept[WORD_4] & INTERCEPT_MWAIT);
	assert_int_equal(vmcb()->intercept[WORD_DR], 0);
	/* What always traps still does. */
	assert_true(vmcb()->intercept[WORD_3] & INTERCEPT_CPUID);
}

static void test_skip_ends_shadow_and_resume_flag(void **state)
{
	(void)state;
	vmcb()->int_state = INT_STATE_SHADOW;
	vmcb()->rflags = 0x202 | RFLAGS_RF;
	vcpu.st_valid = ST_ALL;
	svm_skip_insn(&vcpu, 2);
	assert_int_equal(vmcb()->rip, 0xffffffff81000002);
	assert_int_equal(vmcb()->int_state, 0);
	assert_int_equal(vmcb()->rflags, 0x202);
	assert_int_equal(queued_vector, 0xff);
	svm_get_state(&vcpu, ST_RIP);
	assert_int_equal(vcpu.st.rip, 0xffffffff81000002);
}

static void test_skip_wraps_outside_64bit_code(void **state)
{
	(void)state;
	vmcb()->cs.attrib = 0xc9b;
	vmcb()->rip = 0xffffffff;
	svm_skip_insn(&vcpu, 2);
	assert_int_equal(vmcb()->rip, 1);
}

static void test_skip_traps_with_tf(void **state)
{
	(void)state;
	vmcb()->rflags |= RFLAGS_TF;
	svm_skip_insn(&vcpu, 2);
	assert_int_equal(queued_vector, EXC_DB);
	svm_get_state(&vcpu, ST_DRS);
	assert_true(vcpu.st.dr6 & DR6_BS);
}

static void test_reset_forgets(void **state)
{
	struct svm_vcpu *s = svm_of(&vcpu);

	(void)state;
	svm_inject(&vcpu, &(struct hv_event){.valid = true, .vector = 2, .type = EVENT_NMI});
	svm_want_window(&vcpu, true, true);
	svm_msr_trap(&vcpu, MSR_IA32_PAT, false, false);
	fill_state(&vcpu.st);
	vcpu.st.interruptibility = 0;
	vmcb()->clean = CLEAN_ALL;
	svm_vcpu_reset(&vcpu);
	assert_int_equal(vmcb()->clean, 0);
	assert_int_equal(vmcb()->eventinj, 0);
	assert_false(vmcb()->int_ctl & INT_CTL_IRQ);
	assert_false(vmcb()->intercept[WORD_3] & (INTERCEPT_VINTR | INTERCEPT_IRET));
	assert_false(s->nmi_blocked || s->window_nmi);
	assert_true(msr_traps(0x277 / 4, 6));
}

static void test_dump_names(void **state)
{
	static char text[16384];
	struct strbuf out;

	(void)state;
	sb_init(&out, text, sizeof(text));
	vmcb()->exitcode = VMEXIT_CPUID;
	vmcb()->exitintinfo = EVENTINJ_V | 0x20;
	vcpu.gpr[R15] = 0xabcdef;
	svm_dump(&vcpu, &out);
	assert_false(out.cut);
	assert_non_null(strstr(text, "EXITCODE               0000000000000072 VMEXIT_CPUID\n"));
	assert_non_null(strstr(text, "EXITINTINFO            0000000080000020 V\n"));
	assert_non_null(strstr(text, " SHUTDOWN\n"));
	assert_non_null(strstr(text, "EXCP_DB EXCP_UD EXCP_GP EXCP_AC EXCP_MC"));
	assert_non_null(
		strstr(text, "CR0                    0000000080010033 PE MP ET NE WP PG\n"));
	assert_non_null(strstr(text, "RIP                    ffffffff81000000\n"));
	assert_non_null(strstr(text, "CS    selector 0010 attrib a9b limit ffffffff base "));
	assert_non_null(strstr(text, "R15 0000000000abcdef\n"));
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(svm_exit_name(0x8d), "XSETBV");
	assert_string_equal(svm_exit_name(0x7f), "SHUTDOWN");
	assert_string_equal(svm_exit_name(0x18), "CR8_WRITE");
	assert_string_equal(svm_exit_name(0x4e), "EXCP_PF");
	assert_string_equal(svm_exit_name(0xa4), "TLBSYNC");
	assert_string_equal(svm_exit_name(0x400), "NPF");
	assert_null(svm_exit_name(0x401));
	assert_string_equal(svm_intercept_name(WORD_3, 24), "HLT");
	assert_string_equal(svm_intercept_name(WORD_4, 1), "VMMCALL");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_round_trip),
		TEST(test_segment_attributes),
		TEST(test_cpl_is_ss_dpl),
		TEST(test_svme_is_hidden),
		TEST(test_caches_stay_on),
		TEST(test_machine_checks_stay_on),
		TEST(test_new_paging_mode_flushes),
		TEST(test_clean_bits),
		TEST(test_msr_permission_map),
		TEST(test_guests_get_no_svm_instruction),
		TEST(test_traps_switch),
		TEST(test_spec_ctrl),
		TEST(test_skip_ends_shadow_and_resume_flag),
		TEST(test_skip_wraps_outside_64bit_code),
		TEST(test_skip_traps_with_tf),
		TEST(test_reset_forgets),
		TEST(test_dump_names),
		TEST(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
