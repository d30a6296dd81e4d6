/* links: core/run.c core/devtimer.c core/event.c core/cr.c core/share.c core/vcpu.c core/mmio.c core/task.c core/debug.c core/bus.c core/gmem.c core/pvclock.c core/lapic.c core/lapic_irq.c core/lapic_timer.c core/clock.c tests/unit/support/core_exit.c tests/unit/support/core_sched.c tests/unit/support/core_lifecycle.c tests/unit/support/core_msr.c tests/unit/support/core_cpuid.c emul/alu.c emul/decode.c emul/exec.c emul/string.c emul/tables.c emul/walk.c arch/x86/paging.c lib/log.c lib/fmt.c lib/strbuf.c tests/unit/support/fake_core.c tests/unit/support/fake_machine.c tests/unit/support/fake_hv.c */
/* What a guest may write to control registers: SDM vol. 3A 2.5, 4.1.2, 4.4.1, 9.8.5, vol. 2B MOV.
 */
#include "tests/unit/support/fake_hv.h"

#include <string.h>

#include "core/cpuid.h"
#include "core/cr.h"
#include "lib/err.h"

#define GP (-EPERM)

#define REAL	CR0_ET
#define PROT	(CR0_PE | CR0_ET)
#define PAGED	(CR0_PE | CR0_ET | CR0_PG)
#define CODE_32 0xc09b
#define CODE_64 0xa09b
#define LONG	(EFER_LME | EFER_LMA)
#define TSS_32	0x8b
#define TSS_16	0x83

static struct vm *vm;
static struct vcpu *v;

static int setup(void **state)
{
	(void)state;
	vm = fake_hv_vm(1, 1);
	fake_hv_start(vm);
	v = vm->vcpu[0];
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_hv_end();
	return 0;
}

/* Where the guest is before it writes. */
static void be(uint64_t cr0, uint64_t cr4, uint64_t efer, uint32_t code)
{
	struct vcpu_state *g = fake_guest(v);

	g->cr0 = cr0;
	g->cr3 = 0x10000;
	g->cr4 = cr4;
	g->efer = efer;
	g->seg[SEG_CS].attr = code;
	g->seg[SEG_TR].attr = TSS_32;
	v->st_valid = 0;
}

static void test_cr0_bits(void **state)
{
	(void)state;
	be(PROT, 0, 0, CODE_32);
	assert_int_equal(cr0_write(v, PROT | BIT(32)), GP);
	assert_int_equal(cr0_write(v, BIT(63)), GP);
	assert_int_equal(cr0_write(v, CR0_PG), GP);
	assert_int_equal(cr0_write(v, PROT | CR0_NW), GP);
	assert_int_equal(fake_guest(v)->cr0, PROT);
	assert_int_equal(cr0_write(v, PROT | CR0_NW | CR0_CD), 0);
	/* Undefined bits of the lower half are ignored, ET is 1 whatever is written. */
	assert_int_equal(cr0_write(v, 0x1ff0ffc0), 0);
	assert_int_equal(fake_guest(v)->cr0, CR0_ET);
}

static void test_paging_on(void **state)
{
	static const struct {
		uint64_t cr4, efer;
		uint32_t code, tss;
		int err;
		uint64_t efer_after;
	} cases[] = {
		{0, 0, CODE_32, TSS_32, 0, 0},
		{CR4_PAE, EFER_LME, CODE_32, TSS_32, 0, LONG},
		/* Long mode wants PAE, code that is not 64-bit, and no 16-bit TSS. */
		{0, EFER_LME, CODE_32, TSS_32, GP, EFER_LME},
		{CR4_PAE, EFER_LME, CODE_64, TSS_32, GP, EFER_LME},
		{CR4_PAE, EFER_LME, CODE_32, TSS_16, GP, EFER_LME},
		/* Elsewhere none of it matters. */
		{0, 0, CODE_64, TSS_16, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		be(PROT, cases[i].cr4, cases[i].efer, cases[i].code);
		fake_guest(v)->seg[SEG_TR].attr = cases[i].tss;
		assert_int_equal(cr0_write(v, PAGED), cases[i].err);
		assert_int_equal(fake_guest(v)->efer, cases[i].efer_after);
		assert_int_equal(fake_guest(v)->cr0, cases[i].err ? PROT : PAGED);
	}
}

static void test_paging_off(void **state)
{
	(void)state;
	/* From 64-bit code: never. From compatibility mode: long mode ends. */
	be(PAGED, CR4_PAE, LONG, CODE_64);
	assert_int_equal(cr0_write(v, PROT), GP);
	be(PAGED, CR4_PAE, LONG, CODE_32);
	assert_int_equal(cr0_write(v, PROT), 0);
	assert_int_equal(fake_guest(v)->efer, EFER_LME);
	be(PAGED, CR4_PAE | CR4_PCIDE, LONG, CODE_32);
	assert_int_equal(cr0_write(v, PROT), GP);
	be(PAGED, 0, 0, CODE_64);
	assert_int_equal(cr0_write(v, REAL), 0);
}

/* ---- PAE paging: the four top entries are loaded, and checked, at once (4.4.1) ---- */

static void set_pdpte(unsigned int i, uint64_t value)
{
	memcpy(vm->ram[0].hva + 0x10000 + 8 * i, &value, sizeof(value));
}

static void test_pdptes(void **state)
{
	static const struct {
		uint64_t entry;
		int err;
	} cases[] = {
		{0x20001, 0},	   {0x20019, 0}, /* PWT, PCD */
		{0x20000, 0},	   {~1ull, 0},	 /* not present: nothing is reserved */
		{0x20003, GP},	   {0x20005, GP},     {0x20021, GP},
		{0x20101, GP},	   {BIT(39) | 1, GP}, /* MAXPHYADDR */
		{BIT(63) | 1, GP},
	};

	(void)state;
	for (unsigned int i = 0; i < 4; i++) {
		for (size_t j = 0; j < ARRAY_SIZE(cases); j++) {
			set_pdpte(i, cases[j].entry);
			be(PROT, CR4_PAE, 0, CODE_32);
			assert_int_equal(cr0_write(v, PAGED), cases[j].err);
			be(PAGED, 0, 0, CODE_32);
			assert_int_equal(cr4_write(v, CR4_PAE), cases[j].err);
			be(PAGED, CR4_PAE, 0, CODE_32);
			assert_int_equal(cr3_write(v, 0x10000), cases[j].err);
			/* Long mode finds its own faults. */
			be(PROT, CR4_PAE, EFER_LME, CODE_32);
			assert_int_equal(cr0_write(v, PAGED), 0);
		}
		set_pdpte(i, 0);
	}
	/* Bits that do not change how CR3 is used load nothing. */
	set_pdpte(0, 3);
	be(PAGED, CR4_PAE, 0, CODE_32);
	assert_int_equal(cr0_write(v, PAGED | CR0_TS), 0);
}

/* ---- CR3 ---- */

static void test_cr3(void **state)
{
	(void)state;
	be(PAGED, CR4_PAE, LONG, CODE_64);
	assert_int_equal(cr3_write(v, BIT(39)), GP);
	assert_int_equal(cr3_write(v, BIT(63)), GP);
	assert_int_equal(cr3_write(v, BIT(39) - 1), 0);
	/* Bit 63 asks not to flush, with PCIDs, and is not kept. */
	be(PAGED, CR4_PAE | CR4_PCIDE, LONG, CODE_64);
	assert_int_equal(cr3_write(v, CR3_NOFLUSH | 0x5007), 0);
	assert_int_equal(fake_guest(v)->cr3, 0x5007);
	assert_int_equal(cr3_write(v, BIT(62)), GP);
}

/* ---- CR4 ---- */

static void test_cr4_needs_cpuid(void **state)
{
	static const struct {
		uint32_t leaf, ebx, ecx, edx;
		uint64_t bits;
	} features[] = {
		{1, 0, 0, 1u << 1, CR4_VME | CR4_PVI},
		{1, 0, 0, 1u << 4, CR4_TSD},
		{1, 0, 0, 1u << 2, CR4_DE},
		{1, 0, 0, 1u << 3, CR4_PSE},
		{1, 0, 0, 1u << 6, CR4_PAE},
		{1, 0, 0, 1u << 7, CR4_MCE},
		{1, 0, 0, 1u << 13, CR4_PGE},
		{1, 0, 0, 1u << 24, CR4_OSFXSR},
		{1, 0, 0, 1u << 25, CR4_OSXMMEXCPT},
		{1, 0, 1u << 17, 0, CR4_PCIDE},
		{1, 0, 1u << 26, 0, CR4_OSXSAVE},
		{7, 1u << 0, 0, 0, CR4_FSGSBASE},
		{7, 1u << 7, 0, 0, CR4_SMEP},
		{7, 1u << 20, 0, 0, CR4_SMAP},
		{7, 0, 1u << 2, 0, CR4_UMIP},
		{7, 0, 1u << 3, 0, CR4_PKE},
		{7, 0, 1u << 16, 0, CR4_LA57},
	};

	(void)state;
	/* VMX, SMX, KL, CET, PKS, UINTR and what has no name: never. */
	assert_int_equal(cpuid_cr4_mask(vm) & (CR4_VMXE | CR4_SMXE | CR4_KL | CR4_CET | CR4_PKS |
					       CR4_UINTR | ~0x1ffffffull | BIT(15)),
			 0);
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		fake_set_leaf(features[i].leaf, 0, 0x50654, ~features[i].ebx, ~features[i].ecx,
			      ~features[i].edx);
		cpuid_fini(vm);
		assert_int_equal(cpuid_init(vm), 0);
		be(PROT, 0, 0, CODE_32);
		for (uint64_t bit = 1; bit < BIT(32); bit <<= 1)
			if (features[i].bits & bit)
				assert_int_equal(cr4_write(v, bit), GP);
		fake_cpuid_intel();
	}
}

static void test_cr4_in_long_mode(void **state)
{
	(void)state;
	be(PAGED, CR4_PAE, LONG, CODE_64);
	assert_int_equal(cr4_write(v, 0), GP);
	assert_int_equal(cr4_write(v, CR4_PAE | CR4_LA57), GP);
	assert_int_equal(cr4_write(v, CR4_PAE | CR4_VMXE), GP);
	assert_int_equal(cr4_write(v, CR4_PAE | BIT(40)), GP);
	assert_int_equal(cr4_write(v, CR4_PAE | CR4_PGE | CR4_OSXSAVE | CR4_PKE), 0);
	assert_true(v->osxsave && v->ospke);
	assert_int_equal(cr4_write(v, CR4_PAE), 0);
	assert_false(v->osxsave || v->ospke);
	be(PROT, CR4_PAE, EFER_LME, CODE_32);
	assert_int_equal(cr4_write(v, CR4_PAE | CR4_LA57), 0);
}

static void test_pcide(void **state)
{
	(void)state;
	be(PAGED, CR4_PAE, LONG, CODE_64);
	assert_int_equal(cr4_write(v, CR4_PAE | CR4_PCIDE), 0);
	be(PAGED, CR4_PAE, LONG, CODE_64);
	fake_guest(v)->cr3 = 0x10001;
	assert_int_equal(cr4_write(v, CR4_PAE | CR4_PCIDE), GP);
	be(PROT, CR4_PAE, 0, CODE_32);
	assert_int_equal(cr4_write(v, CR4_PAE | CR4_PCIDE), GP);
	/* Where it is on already CR3 may have a PCID. */
	be(PAGED, CR4_PAE | CR4_PCIDE, LONG, CODE_64);
	fake_guest(v)->cr3 = 0x10001;
	assert_int_equal(cr4_write(v, CR4_PAE | CR4_PCIDE | CR4_PGE), 0);
}

/* ---- EFER ---- */

static void test_efer(void **state)
{
	(void)state;
	be(PROT, CR4_PAE, 0, CODE_32);
	assert_int_equal(efer_write(v, EFER_LME | EFER_NXE | EFER_SCE), 0);
	assert_int_equal(efer_write(v, EFER_SVME), GP);
	assert_int_equal(efer_write(v, BIT(1)), GP);
	assert_int_equal(efer_write(v, BIT(63)), GP);
	/* LMA is not the guest's to set. */
	assert_int_equal(efer_write(v, LONG), 0);
	assert_int_equal(fake_guest(v)->efer, EFER_LME);
	/* LME cannot change while paging is on. */
	be(PAGED, CR4_PAE, LONG, CODE_64);
	assert_int_equal(efer_write(v, 0), GP);
	assert_int_equal(efer_write(v, EFER_LME), 0);
	assert_int_equal(fake_guest(v)->efer, LONG);
	be(PAGED, CR4_PAE, 0, CODE_32);
	assert_int_equal(efer_write(v, EFER_LME), GP);
}

static void test_efer_needs_cpuid(void **state)
{
	(void)state;
	fake_set_leaf(0x80000001, 0, 0, 0, 0, 0);
	cpuid_fini(vm);
	assert_int_equal(cpuid_init(vm), 0);
	be(PROT, CR4_PAE, 0, CODE_32);
	assert_int_equal(efer_write(v, EFER_SCE), GP);
	assert_int_equal(efer_write(v, EFER_NXE), GP);
	assert_int_equal(efer_write(v, EFER_LME), GP);
	assert_int_equal(efer_write(v, 0), 0);
}

/* ---- XCR0: SDM vol. 1 13.3 ---- */

static void test_xcr0(void **state)
{
	static const struct {
		uint32_t index;
		uint64_t value;
		int err;
	} cases[] = {
		{0, 1, 0},
		{0, 3, 0},
		{0, 7, 0},
		{0, 0xe7, 0},
		{0, 0x2e7, 0},
		{0, 0x203, 0},
		{0, 0, GP},
		{0, 2, GP},
		{0, 6, GP},
		{0, 5, GP},
		{0, 0x27, GP},
		{0, 0x67, GP},
		{0, 0xe3, GP},
		{0, 0xe5, GP},
		{0, 0x18 | 3, GP},
		{0, BIT(8) | 3, GP},
		{0, BIT(17) | BIT(18) | 3, GP},
		{0, BIT(63) | 1, GP},
		{1, 3, GP},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		v->xcr0 = 1;
		assert_int_equal(xcr0_write(v, cases[i].index, cases[i].value), cases[i].err);
		assert_int_equal(v->xcr0, cases[i].err ? 1 : cases[i].value);
		/* The guest's instructions find it in the register at once. */
		if (!cases[i].err)
			assert_int_equal(fake_here()->xcr0, cases[i].value);
	}
}

#define T(name)                                           \
	{                                                 \
#name, test_##name, setup, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(cr0_bits),	     T(paging_on), T(paging_off),
		T(pdptes),	     T(cr3),	   T(cr4_needs_cpuid),
		T(cr4_in_long_mode), T(pcide),	   T(efer),
		T(efer_needs_cpuid), T(xcr0),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
