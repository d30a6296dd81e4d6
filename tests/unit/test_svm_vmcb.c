/* links: */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "svm/vmcb.h"

static struct vmcb b;

#define SETTER(name)                                            \
	static void set_##name(uint64_t value)                  \
	{                                                       \
		vmcb_set_##name(&b, (__typeof__(b.name))value); \
	}

SETTER(pause_filter_threshold)
SETTER(pause_filter_count)
SETTER(tsc_offset)
SETTER(iopm_base_pa)
SETTER(msrpm_base_pa)
SETTER(asid)
SETTER(int_ctl)
SETTER(np_enable)
SETTER(n_cr3)
SETTER(g_pat)
SETTER(cr0)
SETTER(cr3)
SETTER(cr4)
SETTER(efer)
SETTER(dr6)
SETTER(dr7)
SETTER(cpl)
SETTER(cr2)

/* The groups of APM vol. 2 15.15.3 by the numbers of their bits, the fields by their offsets. */
static const struct {
	const char *name;
	void (*set)(uint64_t value);
	uint16_t offset;
	uint8_t bit;
} setters[] = {
	{"PAUSE filter threshold", set_pause_filter_threshold, 0x03c, 0},
	{"PAUSE filter count", set_pause_filter_count, 0x03e, 0},
	{"TSC_OFFSET", set_tsc_offset, 0x050, 0},
	{"IOPM_BASE_PA", set_iopm_base_pa, 0x040, 1},
	{"MSRPM_BASE_PA", set_msrpm_base_pa, 0x048, 1},
	{"guest ASID", set_asid, 0x058, 2},
	{"V_TPR and V_IRQ", set_int_ctl, 0x060, 3},
	{"NP_ENABLE", set_np_enable, 0x090, 4},
	{"N_CR3", set_n_cr3, 0x0b0, 4},
	{"G_PAT", set_g_pat, 0x668, 4},
	{"CR0", set_cr0, 0x558, 5},
	{"CR3", set_cr3, 0x550, 5},
	{"CR4", set_cr4, 0x548, 5},
	{"EFER", set_efer, 0x4d0, 5},
	{"DR6", set_dr6, 0x568, 6},
	{"DR7", set_dr7, 0x560, 6},
	{"CPL", set_cpl, 0x4cb, 8},
	{"CR2", set_cr2, 0x640, 9},
};

static void test_setters(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(setters); i++) {
		print_message("%s\n", setters[i].name);
		memset(&b, 0, sizeof(b));
		b.clean = CLEAN_ALL;
		setters[i].set(0);
		assert_int_equal(b.clean, CLEAN_ALL);
		setters[i].set(3);
		assert_int_equal(((uint8_t *)&b)[setters[i].offset], 3);
		assert_int_equal(b.clean, CLEAN_ALL & ~(1u << setters[i].bit));
	}
}

static void test_intercepts(void **state)
{
	(void)state;
	memset(&b, 0, sizeof(b));
	b.clean = CLEAN_ALL;
	vmcb_set_intercepts(&b, WORD_4, INTERCEPT_VMRUN, INTERCEPT_VMRUN);
	assert_int_equal(((uint8_t *)&b)[0x010], 1);
	assert_int_equal(b.clean, CLEAN_ALL & ~1u);
	b.clean = CLEAN_ALL;
	vmcb_set_intercepts(&b, WORD_4, INTERCEPT_VMRUN | INTERCEPT_STGI, INTERCEPT_VMRUN);
	assert_int_equal(b.clean, CLEAN_ALL);
	vmcb_set_intercepts(&b, WORD_4, INTERCEPT_VMRUN, 0);
	assert_int_equal(b.intercept[WORD_4], 0);
}

static void test_int_ctl_bits(void **state)
{
	(void)state;
	memset(&b, 0, sizeof(b));
	b.int_ctl = INT_CTL_INTR_MASKING | 5;
	vmcb_set_int_ctl_bits(&b, INT_CTL_TPR, 9);
	assert_int_equal(b.int_ctl, INT_CTL_INTR_MASKING | 9);
	assert_int_equal(INT_CTL_INTR_MASKING, 1 << 24);
	assert_int_equal(INT_CTL_PRIO(15), 0xf0000);
}

static void test_segments(void **state)
{
	const struct vmcb_seg es = {.selector = 8}, gdtr = {.limit = 0x7f};

	(void)state;
	memset(&b, 0, sizeof(b));
	b.clean = CLEAN_ALL;
	vmcb_set_seg(&b, &b.es, &es, CLEAN_SEG);
	vmcb_set_seg(&b, &b.gdtr, &gdtr, CLEAN_DT);
	assert_int_equal(b.clean, CLEAN_ALL & ~(1u << 8) & ~(1u << 7));
	b.clean = CLEAN_ALL;
	vmcb_set_seg(&b, &b.es, &es, CLEAN_SEG);
	assert_int_equal(b.clean, CLEAN_ALL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_setters),
		cmocka_unit_test(test_intercepts),
		cmocka_unit_test(test_int_ctl_bits),
		cmocka_unit_test(test_segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
