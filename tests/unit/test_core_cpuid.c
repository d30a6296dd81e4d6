/* links: core/run.c core/devtimer.c core/event.c core/cr.c core/share.c core/vcpu.c core/mmio.c core/task.c core/debug.c core/bus.c core/gmem.c core/pvclock.c core/lapic.c core/lapic_irq.c core/lapic_timer.c core/clock.c tests/unit/support/core_exit.c tests/unit/support/core_sched.c tests/unit/support/core_lifecycle.c tests/unit/support/core_msr.c tests/unit/support/core_cpuid.c emul/alu.c emul/decode.c emul/exec.c emul/string.c emul/tables.c emul/walk.c arch/x86/paging.c lib/log.c lib/fmt.c lib/strbuf.c tests/unit/support/fake_core.c tests/unit/support/fake_machine.c tests/unit/support/fake_hv.c */
/* What CPUID tells a guest, of a processor that has every bit set: SDM vol. 2A, APM vol. 3 E. */
#include "tests/unit/support/fake_hv.h"

#include <string.h>

#include "arch/x86/msr.h"
#include "core/cpuid.h"
#include "core/cr.h"
#include "core/exits.h"
#include "core/msr.h"
#include "lib/err.h"

static struct vm *vm;
static struct vcpu *v;
static uint32_t r[4];

enum { EAX, EBX, ECX, EDX };

static void remake(void)
{
	cpuid_fini(vm);
	assert_int_equal(cpuid_init(vm), 0);
}

static int setup(void **state)
{
	(void)state;
	vm = fake_hv_vm(1, 3);
	v = vm->vcpu[2];
	v->apic_mode = APIC_XAPIC;
	hv->load(v);
	fake_guest(v)->efer = EFER_LME | EFER_LMA;
	fake_guest(v)->seg[SEG_CS].attr = SEG_ATTR_L;
	return 0;
}

static int setup_amd(void **state)
{
	setup(state);
	fake_cpuid_amd();
	remake();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_hv_end();
	return 0;
}

static void read(uint32_t leaf, uint32_t subleaf)
{
	memset(r, 0xa5, sizeof(r));
	cpuid_read(v, leaf, subleaf, r);
}

static void assert_regs(uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
	assert_int_equal(r[EAX], eax);
	assert_int_equal(r[EBX], ebx);
	assert_int_equal(r[ECX], ecx);
	assert_int_equal(r[EDX], edx);
}

static void assert_leaf(uint32_t leaf, uint32_t subleaf, uint32_t eax, uint32_t ebx, uint32_t ecx,
			uint32_t edx)
{
	read(leaf, subleaf);
	assert_regs(eax, ebx, ecx, edx);
}

static bool bit(unsigned int reg, unsigned int n)
{
	return r[reg] >> n & 1;
}

/* ---- features ---- */

static void test_leaf_1(void **state)
{
	static const uint8_t no_ecx[] = {2, 3, 4, 5, 6, 7, 8, 10, 11, 14, 15, 18};
	static const uint8_t no_edx[] = {18, 21, 22, 29, 30, 31};

	(void)state;
	read(1, 0);
	assert_int_equal(r[EAX], 0x50654);
	for (size_t i = 0; i < sizeof(no_ecx); i++)
		assert_false(bit(ECX, no_ecx[i])); /* DTES64 MONITOR VMX SMX EIST PDCM DCA ... */
	for (size_t i = 0; i < sizeof(no_edx); i++)
		assert_false(bit(EDX, no_edx[i])); /* PSN DS ACPI TM IA64 PBE */
	/* SSE3, x2APIC, TSC deadline, XSAVE, AVX, hypervisor. */
	assert_true(bit(ECX, 0) && bit(ECX, 21) && bit(ECX, 24) && bit(ECX, 26) && bit(ECX, 28) &&
		    bit(ECX, 31));
	assert_true(bit(EDX, 0) && bit(EDX, 9) && bit(EDX, 16) && bit(EDX, 28));
}

/* What the platform itself does is there whatever the processor has. */
static void test_leaf_1_without_features(void **state)
{
	(void)state;
	fake_set_leaf(1, 0, 0x50654, 0x800, 0, 0);
	vm->vcpu_count = 1;
	remake();
	read(1, 0);
	assert_int_equal(r[ECX], BIT(21) | BIT(24) | BIT(31));
	assert_int_equal(r[EDX], 0);
	vm->vcpu_count = 3;
}

static void test_leaf_7(void **state)
{
	(void)state;
	read(7, 0);
	assert_int_equal(r[EAX], 0);
	/* FSGSBASE, TSC_ADJUST, SMEP, INVPCID, SMAP; no SGX, HLE, RTM, MPX, PT. */
	assert_true(bit(EBX, 0) && bit(EBX, 1) && bit(EBX, 7) && bit(EBX, 10) && bit(EBX, 20));
	assert_false(bit(EBX, 2) || bit(EBX, 4) || bit(EBX, 11) || bit(EBX, 14) || bit(EBX, 25));
	/* UMIP, PKU, RDPID; no WAITPKG, CET, MAWAU, KL, SGX_LC, PKS. */
	assert_true(bit(ECX, 2) && bit(ECX, 3) && bit(ECX, 22));
	/* MOVDIRI and MOVDIR64B are for device memory, where Socle does not execute them. */
	assert_false(bit(ECX, 27) || bit(ECX, 28));
	assert_false(bit(ECX, 5) || bit(ECX, 7) || bit(ECX, 17) || bit(ECX, 23) || bit(ECX, 30) ||
		     bit(ECX, 31));
	/* No IBRS, STIBP, SSBD, L1D_FLUSH, ARCH_CAPABILITIES, whose MSRs there are not; no AMX. */
	assert_int_equal(r[EDX] & (0xfcu << 24), 0);
	assert_false(bit(EDX, 22) || bit(EDX, 24) || bit(EDX, 25) || bit(EDX, 5));
	assert_leaf(7, 1, 0, 0, 0, 0);
}

static void test_what_the_back_end_cannot(void **state)
{
	(void)state;
	read(0x80000001, 0);
	assert_true(bit(EDX, 27));
	hv_caps.features = HV_F_NO_RDTSCP | HV_F_NO_INVPCID | HV_F_NO_XSAVES;
	remake();
	read(0x80000001, 0);
	assert_false(bit(EDX, 27));
	read(7, 0);
	assert_false(bit(EBX, 10));
	/* RDPID goes with RDTSCP (SDM vol. 3C 26.3): its control enables both. */
	assert_false(bit(ECX, 22));
	read(0xd, 1);
	assert_int_equal(r[EAX], 7);
}

/* Where SPEC_CTRL is switched: Intel's bits, and AMD's with IBPB. */
static void test_spec_ctrl(void **state)
{
	const uint32_t amd = BIT(12) | BIT(14) | BIT(15) | BIT(24);

	(void)state;
	read(0x80000008, 0);
	assert_int_equal(r[EBX] & amd, 0);
	hv_caps.features |= HV_F_SPEC_CTRL;
	remake();
	read(7, 0);
	assert_int_equal(r[EDX] & (0xfcu << 24), BIT(26) | BIT(27) | BIT(31));
	read(0x80000008, 0);
	assert_int_equal(r[EBX] & amd, amd);
	assert_false(bit(EBX, 25));
}

static void test_frequencies_and_counters_are_not_passed_on(void **state)
{
	(void)state;
	assert_leaf(0x15, 0, 0, 0, 0, 0);
	assert_leaf(0x16, 0, 0, 0, 0, 0);
	assert_leaf(0xa, 0, 0, 0, 0, 0);
	assert_leaf(5, 0, 0, 0, 0, 0);
	/* ARAT alone. */
	assert_leaf(6, 0, BIT(2), 0, 0, 0);
}

static void test_extended(void **state)
{
	(void)state;
	read(0x80000000, 0);
	assert_int_equal(r[EAX], 0x80000008);
	read(0x80000001, 0);
	/* SYSCALL, NX, 1 GiB, LM; no SVM, SKINIT, WDT, LWP, PERFCTR, MWAITX. */
	assert_true(bit(EDX, 11) && bit(EDX, 20) && bit(EDX, 26) && bit(EDX, 29));
	assert_false(bit(ECX, 2) || bit(ECX, 12) || bit(ECX, 13) || bit(ECX, 15) || bit(ECX, 23) ||
		     bit(ECX, 29));
	assert_leaf(0x80000007, 0, 0, 0, 0, BIT(8));
	read(0x80000008, 0);
	assert_int_equal(r[EAX], 0x3027);
	assert_int_equal(cpuid_phys_width(vm), 39);
}

/* ---- dynamic bits ---- */

static void test_osxsave_and_ospke(void **state)
{
	(void)state;
	read(1, 0);
	assert_false(bit(ECX, 27));
	read(7, 0);
	assert_false(bit(ECX, 4));
	v->osxsave = v->ospke = true;
	read(1, 0);
	assert_true(bit(ECX, 27));
	read(7, 0);
	assert_true(bit(ECX, 4));
}

/* Without its APIC a processor says so (SDM vol. 3A 11.4.3), and AMD's twice. */
static void test_apic_off(void **state)
{
	(void)state;
	v->apic_mode = APIC_OFF;
	read(1, 0);
	assert_false(bit(EDX, 9));
	read(0x80000001, 0);
	assert_false(bit(EDX, 9));
	v->apic_mode = APIC_X2APIC;
	read(1, 0);
	assert_true(bit(EDX, 9));
}

/* Intel's has it in 64-bit mode alone; AMD's tell of it everywhere. */
static void test_syscall(void **state)
{
	(void)state;
	fake_guest(v)->seg[SEG_CS].attr = 0;
	v->st_valid = 0;
	read(0x80000001, 0);
	assert_false(bit(EDX, 11));
	fake_guest(v)->efer = 0;
	v->st_valid = 0;
	read(0x80000001, 0);
	assert_false(bit(EDX, 11));
}

static void test_syscall_of_amd(void **state)
{
	(void)state;
	fake_guest(v)->efer = 0;
	v->st_valid = 0;
	read(0x80000001, 0);
	assert_true(bit(EDX, 11) && bit(EDX, 9));
}

/* What IA32_MISC_ENABLE switches, of this vCPU alone: SDM vol. 4 table 2-2. */
static void test_misc_enable(void **state)
{
	struct vcpu *other = vm->vcpu[1];

	(void)state;
	other->apic_mode = APIC_XAPIC;
	fake_set_leaf(5, 0, 0x40, 0x40, 3, 0x20);
	remake();
	assert_int_equal(msr_write(v, MSR_IA32_MISC_ENABLE, BIT(18) | BIT(22) | BIT(34)), 0);
	v->gpr[RAX] = 0;
	exit_cpuid(v);
	assert_int_equal(v->gpr[RAX], 2);
	read(1, 0);
	assert_true(bit(ECX, 3));
	read(5, 0);
	assert_true(r[EAX] && r[EBX] >= r[EAX] && !r[ECX] && !r[EDX]);
	read(0x80000001, 0);
	assert_false(bit(EDX, 20));
	assert_int_equal(efer_write(v, EFER_LME | EFER_NXE), -EPERM);
	other->gpr[RAX] = 0;
	exit_cpuid(other);
	assert_true(other->gpr[RAX] > 2);
	assert_int_equal(msr_write(v, MSR_IA32_MISC_ENABLE, 0), 0);
	read(1, 0);
	assert_false(bit(ECX, 3));
	read(0x80000001, 0);
	assert_true(bit(EDX, 20));
	assert_int_equal(efer_write(v, EFER_LME | EFER_NXE), 0);
	/* A processor without MONITOR has no switch for it. */
	fake_set_leaf(1, 0, 0x50654, 0x800, ~8u, ~0u);
	remake();
	assert_int_equal(msr_write(v, MSR_IA32_MISC_ENABLE, BIT(18)), 0);
	assert_int_equal(v->misc_enable & BIT(18), 0);
}

/* ---- topology: one package, a core a vCPU, no threads ---- */

static void test_topology(void **state)
{
	(void)state;
	read(1, 0);
	assert_int_equal(r[EBX], 2u << 24 | 3u << 16 | 0x800);
	assert_leaf(0xb, 0, 0, 1, 0x100, 2);
	assert_leaf(0xb, 1, 2, 3, 0x201, 2);
	assert_leaf(0xb, 2, 0, 0, 2, 2);
	assert_leaf(0xb, 0x17, 0, 0, 0x17, 2);
}

static void test_caches(void **state)
{
	(void)state;
	/* Levels 1 and 2 belong to a core; the third to all four APIC IDs that 3 vCPUs span. */
	assert_leaf(4, 0, 0x0c000121, 0x01c0003f, 0x3f, 0);
	assert_leaf(4, 1, 0x0c000143, 0x03c0003f, 0x3ff, 6);
	assert_leaf(4, 2, 0x0c00c163, 0x0280003f, 0x7fff, 4);
	assert_leaf(4, 3, 0, 0, 0, 0);
	assert_leaf(4, 0xffffffff, 0, 0, 0, 0);
}

/* ---- XSAVE: SDM vol. 1 13.2, 13.4 ---- */

static void test_xsave_sizes(void **state)
{
	static const struct {
		uint64_t xcr0;
		uint32_t standard, compacted;
	} cases[] = {
		{1, 576, 576},
		{3, 576, 576},
		{7, 832, 832},
		/* opmask at 1088, ZMM_Hi256 at 1152, Hi16_ZMM at 1664 */
		{0xe7, 2688, 2432},
		/* PKRU: aligned to 64 bytes where compacted */
		{0x207, 2696, 840},
		{0x2e7, 2696, 2440},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		v->xcr0 = cases[i].xcr0;
		assert_leaf(0xd, 0, 0x2e7, cases[i].standard, 2696, 0);
		assert_leaf(0xd, 1, 0xf, cases[i].compacted, 0, 0);
	}
}

/* A component that wants 64 bytes' alignment, behind one that ends between (13.4.3). */
static void test_xsave_alignment(void **state)
{
	(void)state;
	fake_set_leaf(0xd, 5, 8, 1088, 0, 0);
	fake_set_leaf(0xd, 6, 512, 1152, 2, 0);
	remake();
	v->xcr0 = 0xe7;
	read(0xd, 1);
	assert_int_equal(r[EBX], 576 + 256 + 64 + 512 + 1024);
}

static void test_xsave_components(void **state)
{
	(void)state;
	assert_leaf(0xd, 2, 256, 576, 0, 0);
	assert_leaf(0xd, 9, 8, 2688, 2, 0);
	/* Processor trace is a supervisor component; MPX is not offered. */
	assert_leaf(0xd, 8, 0, 0, 0, 0);
	assert_leaf(0xd, 3, 0, 0, 0, 0);
	assert_leaf(0xd, 63, 0, 0, 0, 0);
}

/* The AVX-512 components come together or not at all (13.3). */
static void test_xcr0_mask(void **state)
{
	(void)state;
	fake_set_leaf(0xd, 0, ~0u, 2696, 2696, ~0u);
	remake();
	assert_int_equal(cpuid_xcr0_mask(vm), 0x2e7);
	read(7, 0);
	assert_true(bit(ECX, 3));
	fake_set_leaf(0xd, 0, 0x67, 2696, 2696, 0);
	remake();
	assert_int_equal(cpuid_xcr0_mask(vm), 7);
	/* Without its component nothing would exchange PKRU: no protection keys. */
	read(7, 0);
	assert_false(bit(ECX, 3));
	fake_set_leaf(1, 0, 0x50654, 0, ~(uint32_t)BIT(26), ~0u);
	remake();
	assert_int_equal(cpuid_xcr0_mask(vm), 0);
	assert_leaf(0xd, 0, 0, 0, 0, 0);
}

/* ---- the paravirtual leaves ---- */

static void test_kvm_leaves(void **state)
{
	(void)state;
	read(0x40000000, 0);
	assert_int_equal(r[EAX], 0x40000001);
	assert_memory_equal(&r[EBX], "KVMKVMKVM\0\0\0", 12);
	read(0x40000001, 0);
	/* NOP_IO_DELAY, CLOCKSOURCE2, PV_EOI, CLOCKSOURCE_STABLE: what is really there. */
	assert_regs(BIT(1) | BIT(3) | BIT(6) | BIT(24), 0, 0, 0);
	/* Where interrupts end without exits anyway there is no PV_EOI. */
	hv_caps.features |= HV_F_VID;
	remake();
	read(0x40000001, 0);
	assert_regs(BIT(1) | BIT(3) | BIT(24), 0, 0, 0);
	hv_caps.features &= ~(uint32_t)HV_F_VID;
}

/* ---- beyond the last leaf ---- */

static void test_intel_repeats_its_last_basic_leaf(void **state)
{
	static const uint32_t beyond[] = {0xe, 0x1000, 0x40000002, 0x80000009, 0xffffffff};

	(void)state;
	fake_set_leaf(0, 0, 0xd, 0x756e6547, 0x6c65746e, 0x49656e69);
	remake();
	v->xcr0 = 7;
	for (size_t i = 0; i < ARRAY_SIZE(beyond); i++) {
		assert_leaf(beyond[i], 0, 0x2e7, 832, 2696, 0);
		assert_leaf(beyond[i], 2, 256, 576, 0, 0);
	}
}

static void test_leaf_0(void **state)
{
	(void)state;
	/* Leaves that Socle does not know are not offered. */
	fake_set_leaf(0, 0, 0x1e, 0x756e6547, 0x6c65746e, 0x49656e69);
	remake();
	assert_leaf(0, 0, 0x16, 0x756e6547, 0x6c65746e, 0x49656e69);
	/* The newer topology leaf says what the older one does. */
	fake_set_leaf(0, 0, 0x20, 0x756e6547, 0x6c65746e, 0x49656e69);
	fake_set_leaf(0x1a, 0, 0x40000001, 0, 0, 0);
	remake();
	assert_leaf(0, 0, 0x1f, 0x756e6547, 0x6c65746e, 0x49656e69);
	assert_leaf(0x1a, 0, 0, 0, 0, 0);
	assert_leaf(0x1f, 0, 0, 1, 0x100, 2);
	assert_leaf(0x1f, 1, 2, 3, 0x201, 2);
	assert_leaf(0x1f, 2, 0, 0, 2, 2);
	/* x2APIC brings leaf 0Bh. */
	fake_set_leaf(0, 0, 4, 0x756e6547, 0x6c65746e, 0x49656e69);
	remake();
	read(0, 0);
	assert_int_equal(r[EAX], 0xb);
	assert_leaf(7, 0, 0, 0, 0, 0);
}

static void test_amd_has_zeroes_beyond(void **state)
{
	static const uint32_t beyond[] = {0x11,	      0x1000,	  0x40000002,
					  0x80000009, 0x8000001e, 0x8000000a};

	(void)state;
	/* The last leaf is one that has something to say. */
	fake_set_leaf(0, 0, 0xd, 0x68747541, 0x444d4163, 0x69746e65);
	remake();
	assert_true(cpuid_is_amd(vm));
	for (size_t i = 0; i < ARRAY_SIZE(beyond); i++) {
		assert_leaf(beyond[i], 0, 0, 0, 0, 0);
	}
	assert_leaf(0x80000000, 0, 0x80000008, 0x68747541, 0x444d4163, 0x69746e65);
}

/* Fn8000_0008 ECX: cores less one, and the bits of an APIC ID in the package. */
static void test_amd_topology(void **state)
{
	(void)state;
	read(0x80000008, 0);
	assert_int_equal(r[ECX], 2 | 2 << 12);
	/* CLZERO, XSAVEERPTR, WBNOINVD; no IBPB, IBRS, SSBD, INVLPGB. */
	assert_int_equal(r[EBX], BIT(0) | BIT(2) | BIT(9));
	assert_int_equal(r[EDX], 0);
}

/* ---- the instruction ---- */

static void test_instruction_clears_upper_halves(void **state)
{
	(void)state;
	v->gpr[RAX] = 0xdeadbeef00000001;
	v->gpr[RCX] = v->gpr[RBX] = v->gpr[RDX] = ~0ull;
	exit_cpuid(v);
	assert_int_equal(v->gpr[RAX], 0x50654);
	assert_int_equal(v->gpr[RBX] >> 32 | v->gpr[RCX] >> 32 | v->gpr[RDX] >> 32, 0);
}

#define T(name)                                           \
	{                                                 \
#name, test_##name, setup, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(leaf_1),
		T(leaf_1_without_features),
		T(leaf_7),
		T(what_the_back_end_cannot),
		T(spec_ctrl),
		T(frequencies_and_counters_are_not_passed_on),
		T(extended),
		T(osxsave_and_ospke),
		T(apic_off),
		T(syscall),
		{"syscall_of_amd", test_syscall_of_amd, setup_amd, teardown, NULL},
		T(misc_enable),
		T(topology),
		T(caches),
		T(xsave_sizes),
		T(xsave_alignment),
		T(xsave_components),
		T(xcr0_mask),
		T(kvm_leaves),
		T(intel_repeats_its_last_basic_leaf),
		T(leaf_0),
		{"amd_has_zeroes_beyond", test_amd_has_zeroes_beyond, setup_amd, teardown, NULL},
		{"amd_topology", test_amd_topology, setup_amd, teardown, NULL},
		T(instruction_clears_upper_halves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
