/* links: tests/unit/support/fake_core.c */
/* A core's VMX operation, switched on and off, with registers of the test's own. */
#include "arch/x86/cpu.h"
#include "arch/x86/cpuid.h"
#include "tests/unit/support/fake_core.h"

#include <string.h>

#include "arch/x86/msr.h"
#include "lib/err.h"
#include "arch/x86/pages.h"
#include "lib/log.h"
#include "vmx/internal.h"

static struct {
	uint64_t cr0, cr4, feature_control;
	bool smx, on, refuses;
	unsigned int all_eptps, all_vpids, pages;
	const char *said;
} core;

static uint64_t read_msr(uint32_t index)
{
	assert_int_equal(index, MSR_IA32_FEATURE_CONTROL);
	return core.feature_control;
}

static void write_msr(uint32_t index, uint64_t value)
{
	assert_int_equal(index, MSR_IA32_FEATURE_CONTROL);
	assert_false(core.feature_control & FEATURE_CONTROL_LOCK);
	core.feature_control = value;
}

static struct cpuid_regs leaf(uint32_t leaf)
{
	assert_int_equal(leaf, 1);
	return (struct cpuid_regs){.ecx = core.smx ? CPUID_1_ECX_SMX : 0};
}

static void set_cr4(uint64_t value)
{
	/* In VMX operation clearing it is #GP (24.8). */
	if (core.on)
		assert_true(value & CR4_VMXE);
	core.cr4 = value;
}

/* What VMXON wants (24.7, 24.8, 31.3). */
static enum vm_result enter_vmx(uint64_t pa)
{
	assert_true(core.cr4 & CR4_VMXE);
	assert_int_equal(core.cr0 & vmx_controls.cr0_fixed0, vmx_controls.cr0_fixed0);
	assert_int_equal(core.cr4 & ~vmx_controls.cr4_fixed1, 0);
	assert_int_equal(pa & 0xfff, 0);
	assert_int_equal(*(uint32_t *)(uintptr_t)pa, vmx_controls.revision);
	core.on = !core.refuses;
	return core.refuses ? VM_FAIL_INVALID : VM_SUCCEED;
}

static void leave_vmx(void)
{
	assert_true(core.on);
	core.on = false;
}

static enum vm_result drop(uint64_t type, unsigned int *count)
{
	assert_true(core.on);
	assert_int_equal(type, 2);
	++*count;
	return VM_SUCCEED;
}

static void *take_page(size_t count)
{
	core.pages++;
	return pages_alloc(count);
}

static void give_page(void *page, size_t count)
{
	core.pages--;
	pages_free(page, count);
}

/* Included, not linked: the privileged instructions are the test's. */
#define rdmsr(index)	     read_msr(index)
#define wrmsr(index, value)  write_msr(index, value)
#define cpuid(number, sub)   leaf(number)
#define read_cr0()	     core.cr0
#define write_cr0(value)     (core.cr0 = (value))
#define read_cr4()	     core.cr4
#define write_cr4(value)     set_cr4(value)
#define vmxon(pa)	     enter_vmx(pa)
#define vmxoff()	     leave_vmx()
#define invept(type, eptp)   drop(type, &core.all_eptps)
#define invvpid(type, vpid)  drop(type, &core.all_vpids)
#define pages_alloc(count)   take_page(count)
#define pages_free(p, count) give_page(p, count)
#undef log_error
#define log_error(text, ...) (core.said = (text))
#include "vmx/cpu.c"

struct vmx_controls vmx_controls;
static struct pcpu cpu;

static int setup(void **state)
{
	(void)state;
	memset(&core, 0, sizeof(core));
	memset(&cpu, 0, sizeof(cpu));
	core.cr0 = 0x80000011;
	core.cr4 = 0x620;
	core.feature_control = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX;
	vmx_controls = (struct vmx_controls){.revision = 0x12,
					     .cr0_fixed0 = 0x80000021,
					     .cr0_fixed1 = 0xffffffff,
					     .cr4_fixed0 = CR4_VMXE,
					     .cr4_fixed1 = 0x3727ff};
	return 0;
}

static void test_on_and_off(void **state)
{
	(void)state;
	assert_int_equal(vmx_cpu_on(&cpu), 0);
	assert_true(core.on);
	assert_int_equal(core.cr0, 0x80000031);
	/* What a hypervisor before it left behind is dropped. */
	assert_int_equal(core.all_eptps, 1);
	assert_int_equal(core.all_vpids, 1);
	vmx_cpu_off(&cpu);
	assert_false(core.on);
	assert_int_equal(core.cr4, 0x620);
	assert_null(cpu.hv_private);
	assert_int_equal(core.pages, 0);
	/* Twice is once. */
	vmx_cpu_off(&cpu);
}

/* 24.7: after reset neither on nor locked. */
static void test_not_locked(void **state)
{
	(void)state;
	core.feature_control = 0;
	assert_int_equal(vmx_cpu_on(&cpu), 0);
	assert_int_equal(core.feature_control,
			 FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX_OUTSIDE_SMX);
	vmx_cpu_off(&cpu);
}

static void test_not_locked_with_smx(void **state)
{
	(void)state;
	core.feature_control = 0;
	core.smx = true;
	assert_int_equal(vmx_cpu_on(&cpu), 0);
	assert_int_equal(core.feature_control, FEATURE_CONTROL_LOCK |
						       FEATURE_CONTROL_VMX_OUTSIDE_SMX |
						       FEATURE_CONTROL_VMX_IN_SMX);
	vmx_cpu_off(&cpu);
}

static void test_locked_off(void **state)
{
	(void)state;
	core.feature_control = FEATURE_CONTROL_LOCK;
	assert_int_equal(vmx_cpu_on(&cpu), -EPERM);
	assert_non_null(strstr(core.said, "VT-x is locked off in IA32_FEATURE_CONTROL"));
	assert_int_equal(core.cr4, 0x620);
	assert_null(cpu.hv_private);
}

static void test_vmxon_fails(void **state)
{
	(void)state;
	core.refuses = true;
	assert_int_equal(vmx_cpu_on(&cpu), -EIO);
	assert_non_null(strstr(core.said, "VMXON failed"));
	assert_int_equal(core.pages, 0);
	assert_null(cpu.hv_private);
}

#define T(name) cmocka_unit_test_setup(test_##name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(on_and_off), T(not_locked), T(not_locked_with_smx), T(locked_off), T(vmxon_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
