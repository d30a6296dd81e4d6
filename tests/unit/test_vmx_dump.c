/* links: lib/strbuf.c lib/fmt.c */
/* A VMCS for people, from a table of fields; and what is said when an access to one fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/unprivileged_vmx.h"

/* Included, not linked: the VMX instructions are the test's. */
#include "vmx/dump.c"

#define FIELDS 0x8000

static uint64_t fields[FIELDS];
static enum vmcs_field lacked;
static char text[32768], logged[512];
static jmp_buf asserted;
static struct vcpu vcpu;

uint64_t vmread(enum vmcs_field field)
{
	return fields[field];
}

bool vmread_try(enum vmcs_field field, uint64_t *value)
{
	if (field == lacked)
		return false;
	*value = fields[field];
	return true;
}

void vmx_get_state(struct vcpu *v, unsigned int groups)
{
	assert_ptr_equal(v, &vcpu);
	assert_true(groups & ST_RIP);
}

void log_write(enum log_level level, const char *format, ...)
{
	va_list ap;

	assert_int_equal(level, LOG_ERROR);
	va_start(ap, format);
	vsnprintf(logged, sizeof(logged), format, ap);
	va_end(ap);
}

_Noreturn void assert_failed(const char *file, int line, const char *what)
{
	(void)file;
	(void)line;
	(void)what;
	longjmp(asserted, 1);
}

static int setup(void **state)
{
	(void)state;
	memset(fields, 0, sizeof(fields));
	memset(&vcpu, 0, sizeof(vcpu));
	lacked = (enum vmcs_field)(FIELDS - 1);
	return 0;
}

static const char *dump(void)
{
	struct strbuf out;

	sb_init(&out, text, sizeof(text));
	vmx_dump(&vcpu, &out);
	assert_false(out.cut);
	return text;
}

#define assert_says(line) assert_non_null(strstr(dump(), line))

static void test_fields_by_name(void **state)
{
	(void)state;
	fields[VMCS_EXIT_REASON] = VMX_CPUID;
	fields[VMCS_GUEST_RIP] = 0xffffffff81000000;
	fields[VMCS_HOST_RIP] = 0x1234;
	vcpu.gpr[R15] = 0xabcdef;
	assert_says("  exit reason a: CPUID\n");
	assert_says("    GUEST_RIP              ffffffff81000000\n");
	assert_says("    HOST_RIP               1234\n");
	assert_says(" r15 0000000000abcdef\n");
	assert_null(strstr(text, "VM-instruction error"));
}

static void test_bits_by_name(void **state)
{
	(void)state;
	fields[VMCS_PIN_CONTROLS] = 0x29;
	fields[VMCS_PROC2_CONTROLS] = BIT(1) | BIT(5) | BIT(31);
	fields[VMCS_GUEST_INTERRUPTIBILITY] = 2;
	assert_says("PIN_CONTROLS           29 external-interrupt NMI virtual-NMIs\n");
	assert_says(" EPT VPID notify\n");
	assert_says(" 2 MOV-SS\n");
}

/* Table 31-1, and C for the basic reasons: bit 31 is an entry's failure, which keeps its reason. */
static void test_an_entry_that_failed(void **state)
{
	(void)state;
	fields[VMCS_EXIT_REASON] = 0x80000000u | VMX_ENTRY_GUEST_STATE;
	fields[VMCS_INSN_ERROR] = 7;
	assert_says("exit reason 80000021: VM-entry failure due to invalid guest state\n");
	assert_says("last VM-instruction error 7: VM entry with invalid control fields\n");
}

/* Lists of names are found by counting: these are the manual's numbers (appendix C, 31.4). */
static void test_names_by_number(void **state)
{
	(void)state;
	assert_string_equal(vmx_reason_name(0), "exception or NMI");
	assert_string_equal(vmx_reason_name(48), "EPT violation");
	assert_string_equal(vmx_error_name(28), "invalid operand to INVEPT or INVVPID");
	assert_string_equal(vmx_error_name(14), "an unknown error");
	assert_string_equal(vmx_error_name(29), "an unknown error");
	assert_string_equal(vmx_error_name(0xffffffff), "an unknown error");
	assert_string_equal(vmx_reason_name(11), "GETSEC");
	assert_string_equal(vmx_reason_name(VMX_XRSTORS), "XRSTORS");
	assert_string_equal(vmx_reason_name(VMX_NOTIFY), "notify window");
	assert_string_equal(vmx_reason_name(0xffff), "a VMX instruction or an unknown reason");
	assert_string_equal(vmx_reason_name(VMX_REASON_COUNT),
			    "a VMX instruction or an unknown reason");
}

/* A VMCS has the fields of its processor: the others fail and are left out. */
static void test_a_field_that_is_not_there(void **state)
{
	(void)state;
	assert_says("GUEST_PAT ");
	lacked = VMCS_GUEST_PAT;
	assert_null(strstr(dump(), "GUEST_PAT "));
	assert_says("GUEST_EFER ");
}

static void access_fails(enum vmcs_field field)
{
	if (!setjmp(asserted)) {
		vmx_access_failed("VMWRITE", field, 0x55, NULL);
		fail_msg("it came back");
	}
}

static void test_an_access_that_fails(void **state)
{
	(void)state;
	fields[VMCS_INSN_ERROR] = 12;
	access_fails(VMCS_GUEST_RIP);
	assert_non_null(strstr(logged, "VMWRITE of GUEST_RIP (681e, value 55) from "));
	assert_non_null(strstr(logged, "error 12: VMREAD or VMWRITE from or to an unsupported "));
	access_fails((enum vmcs_field)0x7ffe);
	assert_non_null(strstr(logged, "VMWRITE of a field without a name (7ffe"));
}

#define T(name) cmocka_unit_test_setup(test_##name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(fields_by_name),
		T(bits_by_name),
		T(an_entry_that_failed),
		T(names_by_number),
		T(a_field_that_is_not_there),
		T(an_access_that_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
