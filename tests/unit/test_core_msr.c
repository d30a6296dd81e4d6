/* links: core/run.c core/devtimer.c core/event.c core/cr.c core/share.c core/vcpu.c core/mmio.c core/task.c core/debug.c core/bus.c core/gmem.c core/pvclock.c core/lapic.c core/lapic_irq.c core/lapic_timer.c core/clock.c tests/unit/support/core_exit.c tests/unit/support/core_sched.c tests/unit/support/core_lifecycle.c tests/unit/support/core_msr.c tests/unit/support/core_cpuid.c emul/alu.c emul/decode.c emul/exec.c emul/string.c emul/tables.c emul/walk.c arch/x86/paging.c lib/log.c lib/fmt.c lib/strbuf.c tests/unit/support/fake_core.c tests/unit/support/fake_machine.c tests/unit/support/fake_hv.c */
/* The MSR policy and the paravirtual clock: SDM vol. 4, vol. 3B 18.17, Linux's kvm/x86/msr.rst. */
#include "tests/unit/support/fake_hv.h"

#include <string.h>

#include "arch/x86/msr.h"
#include "core/cpuid.h"
#include "core/exits.h"
#include "core/lapic.h"
#include "core/lapic_page.h"
#include "core/msr.h"
#include "lib/err.h"

#define GP (-EPERM)

static struct vm *vm;
static struct vcpu *v;

static int setup(void **state)
{
	(void)state;
	vm = fake_hv_vm(1, 1);
	fake.tsc = 5000;
	fake_hv_start(vm);
	v = vm->vcpu[0];
	return 0;
}

static int setup_amd(void **state)
{
	setup(state);
	fake_cpuid_amd();
	cpuid_fini(vm);
	return cpuid_init(vm);
}

static int teardown(void **state)
{
	(void)state;
	fake_hv_end();
	return 0;
}

static uint64_t get(uint32_t index)
{
	uint64_t value = 0xa5a5;

	assert_int_equal(msr_read(v, index, &value), 0);
	return value;
}

static int put(uint32_t index, uint64_t value)
{
	return msr_write(v, index, value);
}

static bool readable(uint32_t index)
{
	uint64_t value;

	return msr_read(v, index, &value) == 0;
}

/* ---- what is not there ---- */

static void test_unknown(void **state)
{
	static const uint32_t unknown[] = {
		2,
		MSR_IA32_FEATURE_CONTROL,
		MSR_IA32_SPEC_CTRL,
		MSR_IA32_PRED_CMD,
		MSR_IA32_ARCH_CAPABILITIES,
		MSR_IA32_VMX_BASIC,
		MSR_IA32_PERFEVTSEL0,
		MSR_IA32_MC0_CTL,
		MSR_IA32_UMWAIT_CONTROL,
		MSR_IA32_MTRR_FIX64K_00000 + 1,
		MSR_IA32_MTRR_FIX16K_80000 + 2,
		MSR_IA32_MTRR_FIX4K(8),
		MSR_IA32_MTRR_PHYSBASE(8),
		MSR_KVM_WALL_CLOCK,
		MSR_KVM_SYSTEM_TIME,
		MSR_KVM_STEAL_TIME,
		0x40000000,
		0xffffffff,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		assert_false(readable(unknown[i]));
		assert_int_equal(put(unknown[i], 0), GP);
	}
	/* Once each. */
	msr_write(v, 2, 0);
	assert_null(strstr(strstr(machine.log, "MSR 2:") + 1, "MSR 2:"));
}

static void make_cpuid(uint32_t features)
{
	hv_caps.features |= features;
	cpuid_fini(vm);
	assert_int_equal(cpuid_init(vm), 0);
	fake_set_msr(MSR_IA32_PRED_CMD, 0xa5);
	(void)fake_trace();
}

/* IBRS, STIBP and SSBD; the first value but 0 gives the register to the guest. */
static void test_spec_ctrl(void **state)
{
	(void)state;
	make_cpuid(HV_F_SPEC_CTRL);
	assert_int_equal(get(MSR_IA32_SPEC_CTRL), 0);
	assert_int_equal(put(MSR_IA32_SPEC_CTRL, 0), 0);
	assert_int_equal(put(MSR_IA32_SPEC_CTRL, 8), GP);
	assert_int_equal(put(MSR_IA32_SPEC_CTRL, SPEC_CTRL_BHI_DIS_S), GP);
	assert_int_equal(put(MSR_IA32_SPEC_CTRL, BIT(32)), GP);
	assert_string_equal(fake_trace(), "");
	assert_int_equal(put(MSR_IA32_SPEC_CTRL, 7), 0);
	assert_string_equal(fake_trace(), "spec_ctrl7 ");
}

/* Only written, and only its one bit. */
static void test_pred_cmd(void **state)
{
	(void)state;
	make_cpuid(HV_F_SPEC_CTRL);
	assert_false(readable(MSR_IA32_PRED_CMD));
	assert_int_equal(put(MSR_IA32_PRED_CMD, 2), GP);
	assert_int_equal(put(MSR_IA32_PRED_CMD, 0), 0);
	assert_int_equal(fake_rdmsr(MSR_IA32_PRED_CMD), 0xa5);
	assert_int_equal(put(MSR_IA32_PRED_CMD, 1), 0);
	assert_int_equal(fake_rdmsr(MSR_IA32_PRED_CMD), 1);
}

/* A processor that has IBRS alone, on the older one of AMD's leaves or Intel's. */
static void test_spec_ctrl_without_ssbd(void **state)
{
	(void)state;
	fake_set_leaf(7, 0, 0, 0, 0, BIT(26));
	fake_set_leaf(0x80000008, 0, 0x3027, 0, 0, 0);
	make_cpuid(HV_F_SPEC_CTRL);
	assert_int_equal(put(MSR_IA32_SPEC_CTRL, SPEC_CTRL_SSBD), GP);
	assert_int_equal(put(MSR_IA32_SPEC_CTRL, SPEC_CTRL_IBRS | SPEC_CTRL_STIBP), 0);
	fake_set_leaf(7, 0, 0, 0, 0, 0);
	make_cpuid(HV_F_SPEC_CTRL);
	assert_false(readable(MSR_IA32_SPEC_CTRL));
	assert_int_equal(put(MSR_IA32_PRED_CMD, 1), GP);
	fake_set_leaf(0x80000008, 0, 0x3027, BIT(12) | BIT(24), 0, 0);
	make_cpuid(HV_F_SPEC_CTRL);
	assert_int_equal(put(MSR_IA32_SPEC_CTRL, SPEC_CTRL_IBRS), GP);
	assert_int_equal(put(MSR_IA32_SPEC_CTRL, SPEC_CTRL_SSBD), 0);
	assert_int_equal(put(MSR_IA32_PRED_CMD, 1), 0);
}

/* The word for the end of an interrupt: only where the processor does not do it itself. */
static void test_pv_eoi(void **state)
{
	(void)state;
	assert_int_equal(put(MSR_KVM_PV_EOI_EN, 0x3005), 0);
	assert_int_equal(get(MSR_KVM_PV_EOI_EN), 0x3005);
	assert_int_equal(put(MSR_KVM_PV_EOI_EN, FAKE_RAM | 1), GP);
	hv_caps.features |= HV_F_VID;
	assert_false(readable(MSR_KVM_PV_EOI_EN));
	assert_int_equal(put(MSR_KVM_PV_EOI_EN, 0), GP);
	hv_caps.features &= ~(uint32_t)HV_F_VID;
}

static void test_gp_stays_at_the_instruction(void **state)
{
	(void)state;
	v->gpr[RCX] = 2;
	v->gpr[RAX] = v->gpr[RDX] = 0x1234;
	assert_int_equal(exit_rdmsr(v), ACT_STAY);
	assert_true(v->pending.valid && v->pending.vector == EXC_GP && v->pending.has_error &&
		    v->pending.error == 0);
	assert_int_equal(v->gpr[RAX], 0x1234);
	v->pending.valid = false;
	assert_int_equal(exit_wrmsr(v), ACT_STAY);
	assert_true(v->pending.valid);
}

/* RDMSR clears the upper halves; WRMSR does not look at them; the index is ECX. */
static void test_halves(void **state)
{
	(void)state;
	v->gpr[RCX] = 0xffffffff00000000 | MSR_IA32_KERNEL_GS_BASE;
	v->gpr[RAX] = 0xaaaaaaaa12345678;
	v->gpr[RDX] = 0xbbbbbbbb00007fff;
	assert_int_equal(exit_wrmsr(v), ACT_NEXT);
	assert_int_equal(fake_guest(v)->kernel_gs_base, 0x7fff12345678);
	v->gpr[RAX] = v->gpr[RDX] = ~0ull;
	assert_int_equal(exit_rdmsr(v), ACT_NEXT);
	assert_int_equal(v->gpr[RAX], 0x12345678);
	assert_int_equal(v->gpr[RDX], 0x7fff);
}

/* ---- addresses and reserved bits ---- */

static void test_canonical(void **state)
{
	static const uint32_t msrs[] = {MSR_IA32_LSTAR,		 MSR_IA32_CSTAR,
					MSR_IA32_KERNEL_GS_BASE, MSR_IA32_FS_BASE,
					MSR_IA32_GS_BASE,	 MSR_IA32_SYSENTER_ESP,
					MSR_IA32_SYSENTER_EIP};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++) {
		assert_int_equal(put(msrs[i], 0x7fffffffffff), 0);
		assert_int_equal(put(msrs[i], 0xffff800000000000), 0);
		assert_int_equal(put(msrs[i], 0x800000000000), GP);
		assert_int_equal(put(msrs[i], 0xfffeffffffffffff), GP);
		assert_int_equal(get(msrs[i]), 0xffff800000000000);
	}
	/* Five levels widen them. */
	fake_guest(v)->cr4 |= CR4_LA57;
	v->st_valid = 0;
	assert_int_equal(put(MSR_IA32_LSTAR, 0x800000000000), 0);
	assert_int_equal(put(MSR_IA32_LSTAR, 0x100000000000000), GP);
}

static void test_reserved_bits(void **state)
{
	static const struct {
		uint32_t index;
		uint64_t good, bad;
	} cases[] = {
		{MSR_IA32_TSC_AUX, 0xffffffff, BIT(32)},
		{MSR_IA32_FMASK, 0xffffffff, BIT(32)},
		{MSR_IA32_XSS, 0, BIT(8)},
		{MSR_IA32_MCG_STATUS, 7, 8},
		{MSR_IA32_DEBUGCTL, 0, 1},
		{MSR_IA32_BIOS_SIGN_ID, 0, 1},
		{MSR_IA32_EFER, EFER_LME | EFER_LMA | EFER_NXE, EFER_LME | EFER_SVME},
		{MSR_IA32_APIC_BASE, 0xfee00900, 0xfee00901},
		{MSR_IA32_APIC_BASE, 0xfee00900, BIT(39) | 0x900},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(put(cases[i].index, cases[i].bad), GP);
		assert_int_equal(put(cases[i].index, cases[i].good), 0);
	}
}

/* Reads only; writes only. */
static void test_one_way(void **state)
{
	(void)state;
	assert_int_equal(put(MSR_IA32_MTRRCAP, 0), GP);
	assert_int_equal(put(MSR_IA32_MCG_CAP, 0), GP);
	assert_int_equal(put(MSR_IA32_PLATFORM_ID, 0), GP);
	assert_false(readable(MSR_IA32_BIOS_UPDT_TRIG));
	assert_int_equal(put(MSR_IA32_BIOS_UPDT_TRIG, 0x1000), 0);
	assert_int_equal(get(MSR_IA32_MCG_CAP), 0);
}

/* ---- memory types: SDM vol. 3A 12.11.2, 12.12.2 ---- */

static bool is_type(uint8_t type)
{
	return type == 0 || type == 1 || type == 4 || type == 5 || type == 6;
}

static void test_memory_types(void **state)
{
	(void)state;
	for (unsigned int type = 0; type < 16; type++) {
		int want = is_type((uint8_t)type) ? 0 : GP;

		assert_int_equal(put(MSR_IA32_MTRR_DEF_TYPE, 0xc00 | type), want);
		assert_int_equal(put(MSR_IA32_MTRR_PHYSBASE(3), 0x80000000 | type), want);
		for (unsigned int i = 0; i < 8; i++) {
			uint64_t value = (uint64_t)type << 8 * i;

			assert_int_equal(put(MSR_IA32_MTRR_FIX4K(7), value), want);
			/* The PAT has UC-, 7, as well. */
			assert_int_equal(put(MSR_IA32_PAT, value), type == 7 ? 0 : want);
		}
	}
}

static void test_mtrrs(void **state)
{
	static const uint32_t fixed[] = {MSR_IA32_MTRR_FIX64K_00000, MSR_IA32_MTRR_FIX16K_80000,
					 MSR_IA32_MTRR_FIX16K_A0000, MSR_IA32_MTRR_FIX4K(0),
					 MSR_IA32_MTRR_FIX4K(7)};

	(void)state;
	/* WC, fixed ranges, eight variable ones; on, and all memory is write-back. */
	assert_int_equal(get(MSR_IA32_MTRRCAP), 0x508);
	assert_int_equal(get(MSR_IA32_MTRR_DEF_TYPE), 0x806);
	assert_int_equal(put(MSR_IA32_MTRR_DEF_TYPE, 0x1006), GP);
	assert_int_equal(put(MSR_IA32_MTRR_DEF_TYPE, 0x106), GP);
	/* Each has a place of its own. */
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		assert_int_equal(put(fixed[i], 0x0606060606060600 | (i % 2 ? 4 : 5)), 0);
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		assert_int_equal(get(fixed[i]), 0x0606060606060600 | (i % 2 ? 4 : 5));
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(put(MSR_IA32_MTRR_PHYSBASE(i), (i + 1) << 20), 0);
		assert_int_equal(put(MSR_IA32_MTRR_PHYSMASK(i), (i + 9) << 20 | 0x800), 0);
	}
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(get(MSR_IA32_MTRR_PHYSBASE(i)), (i + 1) << 20);
		assert_int_equal(get(MSR_IA32_MTRR_PHYSMASK(i)), (i + 9) << 20 | 0x800);
	}
	/* Reserved: 11:8 of a base, 10:0 of a mask, and from MAXPHYADDR up. */
	assert_int_equal(put(MSR_IA32_MTRR_PHYSBASE(0), 0x100), GP);
	assert_int_equal(put(MSR_IA32_MTRR_PHYSMASK(0), 0x400), GP);
	assert_int_equal(put(MSR_IA32_MTRR_PHYSMASK(0), BIT(39)), GP);
	assert_int_equal(put(MSR_IA32_MTRR_PHYSMASK(0), (BIT(39) - 1) & ~0x7ffull), 0);
}

/* ---- time ---- */

static void assert_tsc(uint64_t now, uint64_t adjust)
{
	assert_int_equal(get(MSR_IA32_TSC), now);
	assert_int_equal(get(MSR_IA32_TSC_ADJUST), adjust);
	/* What RDTSC adds in the guest is the same. */
	assert_int_equal(fake.tsc + fake_of(v)->tsc_offset, now);
}

/* Each moves the other (18.17.3). */
static void test_tsc_and_its_adjustment(void **state)
{
	(void)state;
	/* A guest begins with the machine's. */
	assert_tsc(5000, 0);
	fake.tsc += 300;
	assert_tsc(5300, 0);
	assert_int_equal(put(MSR_IA32_TSC, 6000), 0);
	assert_tsc(6000, 700);
	assert_int_equal(put(MSR_IA32_TSC_ADJUST, 0), 0);
	assert_tsc(5300, 0);
	assert_int_equal(put(MSR_IA32_TSC_ADJUST, 0 - 200ull), 0);
	assert_tsc(5100, 0 - 200ull);
	assert_int_equal(put(MSR_IA32_TSC, 0), 0);
	assert_tsc(0, 0 - 5300ull);
}

/* A deadline is in the guest's TSC: when that jumps, so does the moment. */
static void test_deadline_follows_the_tsc(void **state)
{
	(void)state;
	v->timer_mode = TIMER_TSC_DEADLINE;
	assert_int_equal(put(MSR_IA32_TSC_DEADLINE, 6000), 0);
	assert_int_equal(v->timer_deadline, 6000);
	assert_int_equal(put(MSR_IA32_TSC, 5400), 0);
	assert_int_equal(v->timer_deadline, 5600);
	assert_int_equal(get(MSR_IA32_TSC_DEADLINE), 6000);
}

/* IA32_XSS comes with XSAVES (SDM vol. 4 table 2-2). */
static void test_xss_comes_with_xsaves(void **state)
{
	(void)state;
	assert_int_equal(get(MSR_IA32_XSS), 0);
	assert_int_equal(put(MSR_IA32_XSS, 0), 0);
	hv_caps.features |= HV_F_NO_XSAVES;
	cpuid_fini(vm);
	assert_int_equal(cpuid_init(vm), 0);
	assert_false(readable(MSR_IA32_XSS));
	assert_int_equal(put(MSR_IA32_XSS, 0), GP);
	hv_caps.features &= ~(uint32_t)HV_F_NO_XSAVES;
}

/* ---- makers ---- */

static void test_of_one_maker(void **state)
{
	(void)state;
	assert_int_equal(get(MSR_IA32_MISC_ENABLE) & 0x1801, 0x1801);
	/* Its switches read back; performance monitoring and branch tracing are read-only. */
	assert_int_equal(put(MSR_IA32_MISC_ENABLE, 0x400c50089), 0);
	assert_int_equal(get(MSR_IA32_MISC_ENABLE), 0x400c51809);
	assert_false(readable(MSR_AMD_HWCR));
	assert_int_equal(put(MSR_AMD_SYSCFG, 0), GP);
}

static void test_of_the_other_maker(void **state)
{
	(void)state;
	assert_false(readable(MSR_IA32_MISC_ENABLE));
	assert_false(readable(MSR_IA32_PLATFORM_ID));
	/* TscFreqSel; LFENCE serializes; SVM is off for good, and there is no host save area. */
	assert_int_equal(get(MSR_AMD_HWCR), BIT(24));
	assert_int_equal(get(MSR_AMD_DE_CFG), 2);
	assert_int_equal(get(MSR_AMD_SYSCFG), 0);
	assert_int_equal(put(MSR_AMD_PERFEVTSEL0, 0), 0);
	assert_int_equal(put(MSR_AMD_PERFCTR3, 0xffff), 0);
	assert_int_equal(get(MSR_AMD_PERFCTR3), 0);
	assert_int_equal(put(MSR_AMD_VM_CR, 0), GP);
	assert_false(readable(MSR_AMD_VM_HSAVE_PA));
}

static void test_x2apic_only_in_its_mode(void **state)
{
	(void)state;
	assert_false(readable(MSR_IA32_X2APIC(APIC_ID)));
	assert_int_equal(put(MSR_IA32_APIC_BASE, 0xfee00d00), 0);
	assert_int_equal(get(MSR_IA32_X2APIC(APIC_ID)), 0);
	assert_int_equal(get(MSR_IA32_APIC_BASE), 0xfee00d00);
	/* No way back but through off (figure 11-27). */
	assert_int_equal(put(MSR_IA32_APIC_BASE, 0xfee00900), GP);
}

/* ---- the paravirtual clock ---- */

struct page {
	uint32_t version, pad;
	uint64_t tsc_timestamp, system_time;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad2[2];
} __attribute__((packed));

static struct page page_at(uint64_t gpa)
{
	struct page p;

	memcpy(&p, vm->ram[0].hva + gpa, sizeof(p));
	return p;
}

static void test_clock_page(void **state)
{
	struct page p;

	(void)state;
	/* Aligned to 4 bytes is all that the interface asks. */
	assert_int_equal(put(MSR_KVM_SYSTEM_TIME_NEW, 0x3004 | 1), 0);
	assert_int_equal(get(MSR_KVM_SYSTEM_TIME_NEW), 0x3005);
	p = page_at(0x3004);
	assert_int_equal(p.version, 2);
	assert_int_equal(p.flags, 1);
	assert_int_equal(p.system_time, 0);
	/* Time 0 is the VM's start. */
	assert_int_equal(p.tsc_timestamp, 5000);
	assert_int_equal(p.shift, 1);
	assert_int_equal(p.mul, 0x80000000);
	/* A TSC that jumps leaves the clock where it is; the version stays even and counts. */
	assert_int_equal(put(MSR_IA32_TSC, 777), 0);
	p = page_at(0x3004);
	assert_int_equal(p.version, 4);
	assert_int_equal(p.tsc_timestamp, 777);
}

/* ((ticks << shift) * mul) >> 32, as the guest computes it. */
static uint64_t guest_ns(const struct page *p, uint64_t ticks)
{
	ticks = p->shift < 0 ? ticks >> -p->shift : ticks << p->shift;
	return (uint64_t)((unsigned __int128)ticks * p->mul >> 32);
}

static void test_clock_rates(void **state)
{
	static const uint64_t rates[] = {50000000,   999999999,	 1000000000, 1000000001,
					 2000000000, 2000000001, 2593907000, 5700000000};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		struct page p;
		int64_t error;

		fake.hz = rates[i];
		assert_int_equal(put(MSR_KVM_SYSTEM_TIME_NEW, 0x3001), 0);
		p = page_at(0x3000);
		error = (int64_t)guest_ns(&p, rates[i] * 1000) - 1000000000000;
		assert_in_range(error + 1000, 0, 2000); /* 1 us in 1000 s */
	}
}

static void test_clock_address(void **state)
{
	(void)state;
	assert_int_equal(put(MSR_KVM_SYSTEM_TIME_NEW, FAKE_RAM - 32 + 4 + 1), GP);
	assert_int_equal(put(MSR_KVM_SYSTEM_TIME_NEW, FAKE_RAM + 1), GP);
	assert_int_equal(put(MSR_KVM_SYSTEM_TIME_NEW, ~0ull - 6), GP);
	assert_int_equal(put(MSR_KVM_SYSTEM_TIME_NEW, 0x3002 | 1), GP);
	assert_int_equal(put(MSR_KVM_SYSTEM_TIME_NEW, FAKE_RAM - 32 + 1), 0);
	/* Off: any address, and nothing is written. */
	assert_int_equal(put(MSR_KVM_SYSTEM_TIME_NEW, FAKE_RAM), 0);
	assert_int_equal(put(MSR_IA32_TSC, 5), 0);
}

static void test_wall_clock(void **state)
{
	uint32_t w[3];

	(void)state;
	vm->wall_clock_ns = 1700000000ull * 1000000000 + 250 - 5000;
	assert_int_equal(put(MSR_KVM_WALL_CLOCK_NEW, 0x4004), 0);
	memcpy(w, vm->ram[0].hva + 0x4004, sizeof(w));
	assert_int_equal(w[0], 2);
	assert_int_equal(w[1], 1700000000);
	assert_int_equal(w[2], 250);
	/* A reader on another vCPU must see that there was another write. */
	assert_int_equal(put(MSR_KVM_WALL_CLOCK_NEW, 0x4004), 0);
	memcpy(w, vm->ram[0].hva + 0x4004, sizeof(w));
	assert_int_equal(w[0], 4);
	assert_int_equal(put(MSR_KVM_WALL_CLOCK_NEW, 0x4002), GP);
	assert_int_equal(put(MSR_KVM_WALL_CLOCK_NEW, FAKE_RAM - 8), GP);
	assert_int_equal(put(MSR_KVM_WALL_CLOCK_NEW, ~3ull), GP);
}

#define T(name)                                           \
	{                                                 \
#name, test_##name, setup, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(unknown),
		T(spec_ctrl),
		T(pred_cmd),
		T(spec_ctrl_without_ssbd),
		T(pv_eoi),
		T(gp_stays_at_the_instruction),
		T(halves),
		T(canonical),
		T(reserved_bits),
		T(one_way),
		T(memory_types),
		T(mtrrs),
		T(tsc_and_its_adjustment),
		T(deadline_follows_the_tsc),
		T(xss_comes_with_xsaves),
		T(of_one_maker),
		{"of_the_other_maker", test_of_the_other_maker, setup_amd, teardown, NULL},
		T(x2apic_only_in_its_mode),
		T(clock_page),
		T(clock_rates),
		T(clock_address),
		T(wall_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
