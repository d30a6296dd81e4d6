/* links: tests/unit/support/vmx_decode.c */
/* Exit qualifications, from a table of fields, as the structs that core/ understands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/host_handler.h"
#include "tests/unit/support/unprivileged_vmx.h"

#include "arch/x86/desc.h"
#include "core/exits.h"
#include "vmx/internal.h"

#define FIELDS 0x8000

static uint64_t fields[FIELDS];
static struct vmx_vcpu back_end;
static struct vcpu vcpu;
static struct hv_exit x;
static uint8_t code[3];

uint64_t vmread(enum vmcs_field field)
{
	return fields[field];
}

void vmwrite(enum vmcs_field field, uint64_t value)
{
	fields[field] = value;
}

unsigned int exit_fetch(struct vcpu *v, uint8_t buf[15])
{
	(void)v;
	memcpy(buf, code, sizeof(code));
	return sizeof(code);
}

void vmx_get_state(struct vcpu *v, unsigned int groups)
{
	(void)v;
	assert_int_equal(groups, ST_DRS);
}

void vmx_set_state(struct vcpu *v, unsigned int groups)
{
	(void)v;
	assert_int_equal(groups, ST_DRS);
}

static int setup(void **state)
{
	(void)state;
	memset(fields, 0, sizeof(fields));
	memset(&back_end, 0, sizeof(back_end));
	memset(&vcpu, 0, sizeof(vcpu));
	memset(&x, 0, sizeof(x));
	memset(code, 0, sizeof(code));
	vcpu.hv = &back_end;
	return 0;
}

static enum hv_reason decode(uint32_t reason, uint64_t qualification)
{
	memset(&x, 0, sizeof(x));
	fields[VMCS_EXIT_QUALIFICATION] = qualification;
	fields[VMCS_EXIT_INSN_LEN] = 3;
	vmx_decode_exit(&vcpu, reason, &x);
	return x.reason;
}

/* Table 28-3. */
static void test_control_registers(void **state)
{
	(void)state;
	/* MOV CR4, R9; MOV RBX, CR8; CLTS; LMSW of 000eh. */
	assert_int_equal(decode(VMX_CR, 4 | 9 << 8), EXIT_CR);
	assert_int_equal(x.insn_len, 3);
	assert_true(x.cr.reg == 4 && x.cr.gpr == R9 && x.cr.write);
	assert_false(x.cr.clts || x.cr.lmsw || x.cr.decode);
	decode(VMX_CR, 8 | 1 << 4 | 3 << 8);
	assert_true(x.cr.reg == 8 && x.cr.gpr == RBX && !x.cr.write);
	decode(VMX_CR, 2 << 4);
	assert_true(x.cr.reg == 0 && x.cr.write && x.cr.clts && !x.cr.lmsw);
	decode(VMX_CR, 3 << 4 | 0xe << 16);
	assert_true(x.cr.write && x.cr.lmsw && !x.cr.clts);
	assert_int_equal(x.cr.source, 0xe);
}

/* Table 28-4. */
static void test_debug_registers(void **state)
{
	(void)state;
	assert_int_equal(decode(VMX_DR, 7 | 12 << 8), EXIT_DR);
	assert_true(x.dr.reg == 7 && x.dr.gpr == R12 && x.dr.write);
	decode(VMX_DR, 6 | BIT(4) | 2 << 8);
	assert_true(x.dr.reg == 6 && x.dr.gpr == RDX && !x.dr.write);
}

/* Table 28-5. */
static void test_ports(void **state)
{
	(void)state;
	assert_int_equal(decode(VMX_IO, 0 | BIT(3) | 0x3f8 << 16), EXIT_PIO);
	assert_int_equal(x.pio.port, 0x3f8);
	assert_int_equal(x.pio.size, 1);
	assert_true(x.pio.in && !x.pio.string && !x.pio.rep);
	decode(VMX_IO, 3 | BIT(4) | BIT(5) | 0xcfcull << 16);
	assert_int_equal(x.pio.port, 0xcfc);
	assert_int_equal(x.pio.size, 4);
	assert_true(!x.pio.in && x.pio.string && x.pio.rep && x.pio.decode);
}

/* Table 28-7. */
static void test_ept_violations(void **state)
{
	(void)state;
	fields[VMCS_GUEST_PHYS_ADDR] = 0xfec00010;
	fields[VMCS_GUEST_LINEAR_ADDR] = 0x123456;
	assert_int_equal(decode(VMX_EPT_VIOLATION, BIT(1) | BIT(7) | BIT(8)), EXIT_NPF);
	assert_true(x.npf.write && !x.npf.fetch && x.npf.gla_valid && !x.npf.table_walk);
	assert_int_equal(x.npf.gpa, 0xfec00010);
	assert_int_equal(x.npf.gla, 0x123456);
	/* The length is not defined for it. */
	assert_int_equal(x.insn_len, 0);
	decode(VMX_EPT_VIOLATION, BIT(2) | BIT(7));
	assert_true(!x.npf.write && x.npf.fetch && x.npf.table_walk);
	decode(VMX_EPT_VIOLATION, BIT(0));
	assert_true(!x.npf.gla_valid && !x.npf.table_walk);
	assert_int_equal(x.npf.gla, 0);
}

/* 28.2.3: what had ended NMI blocking and is executed again. */
static void test_iret_that_exits_blocks_nmis_again(void **state)
{
	(void)state;
	decode(VMX_EPT_VIOLATION, BIT(0));
	assert_int_equal(fields[VMCS_GUEST_INTERRUPTIBILITY], 0);
	decode(VMX_EPT_VIOLATION, BIT(0) | BIT(12));
	assert_int_equal(fields[VMCS_GUEST_INTERRUPTIBILITY], INTR_NMI_BLOCKED);
	/* Bit 12 is not defined where an event was being delivered. */
	fields[VMCS_GUEST_INTERRUPTIBILITY] = 0;
	fields[VMCS_IDT_VECTORING_INFO] = INTR_INFO_VALID | 0x41;
	decode(VMX_EPT_VIOLATION, BIT(0) | BIT(12));
	assert_int_equal(fields[VMCS_GUEST_INTERRUPTIBILITY], 0);
	assert_true(x.vectoring.valid);
	assert_int_equal(x.vectoring.vector, 0x41);
}

/* Table 28-6; and an APIC write, which is over when it exits. */
static void test_the_apic_page(void **state)
{
	(void)state;
	assert_int_equal(decode(VMX_APIC_ACCESS, 0x310 | 1 << 12), EXIT_APIC);
	assert_true(x.apic.offset == 0x310 && x.apic.write && !x.apic.completed);
	assert_int_equal(x.insn_len, 0);
	decode(VMX_APIC_ACCESS, 0x20);
	assert_true(x.apic.offset == 0x20 && !x.apic.write);
	assert_int_equal(decode(VMX_APIC_WRITE, 0x300), EXIT_APIC);
	assert_true(x.apic.offset == 0x300 && x.apic.write && x.apic.completed);
	assert_int_equal(decode(VMX_VIRTUALIZED_EOI, 0xd1), EXIT_EOI);
	assert_int_equal(x.eoi.vector, 0xd1);
}

/* Table 28-2: the selector, and CALL, IRET, JMP or a task gate. */
static void test_task_switches(void **state)
{
	(void)state;
	for (uint64_t cause = 0; cause < 4; cause++) {
		assert_int_equal(decode(VMX_TASK_SWITCH, 0x28 | cause << 30), EXIT_TASK_SWITCH);
		assert_int_equal(x.task.selector, 0x28);
		assert_int_equal(x.task.cause, cause);
		assert_int_equal(x.insn_len, 3);
	}
}

static enum hv_reason exception(uint64_t info, uint64_t qualification)
{
	fields[VMCS_EXIT_INTR_INFO] = INTR_INFO_VALID | info;
	return decode(VMX_EXCEPTION_OR_NMI, qualification);
}

static void test_exceptions(void **state)
{
	(void)state;
	fields[VMCS_EXIT_INTR_ERROR] = 0x18;
	assert_int_equal(exception(EVENT_EXCEPTION << 8 | INTR_INFO_ERROR | EXC_GP, 0),
			 EXIT_EXCEPTION);
	assert_true(x.event.valid && x.event.vector == EXC_GP && x.event.has_error);
	assert_int_equal(x.event.error, 0x18);
	assert_int_equal(x.event.insn_len, 0);
	exception(EVENT_SOFT_EXC << 8 | EXC_BP, 0);
	assert_false(x.event.has_error);
	assert_int_equal(x.event.error, 0);
	assert_int_equal(x.event.insn_len, 3);
	host_handlers_count();
	assert_int_equal(exception(EVENT_NMI << 8 | EXC_NMI, 0), EXIT_NMI);
	assert_int_equal(host_vector, EXC_NMI);
	assert_int_equal(exception(EVENT_EXCEPTION << 8 | EXC_MC, 0), EXIT_MACHINE_CHECK);
	assert_int_equal(host_vector, EXC_MC);
	assert_int_equal(host_handlers, 2);
}

/* The bits of the qualification come into DR6, and general detection is off (28.2.1). */
static void test_debug_exceptions(void **state)
{
	(void)state;
	vcpu.st.dr6 = 0xffff0ff3;
	vcpu.st.dr7 = 0x2400;
	exception(EVENT_EXCEPTION << 8 | EXC_DB, 0x4004);
	assert_int_equal(vcpu.st.dr6, 0xffff4ff4);
	assert_int_equal(vcpu.st.dr7, 0x400);
	/* INT1's leave it. */
	exception(EVENT_PRIV_SOFT_EXC << 8 | EXC_DB, 0x4000);
	assert_int_equal(vcpu.st.dr6, 0xffff4ff4);
}

/* 0F 01 D9 is #UD on this vendor's processors, and a hypercall. */
static void test_vmmcall(void **state)
{
	static const uint8_t vmmcall[] = {0x0f, 0x01, 0xd9};

	(void)state;
	memcpy(code, vmmcall, sizeof(code));
	assert_int_equal(exception(EVENT_EXCEPTION << 8 | EXC_UD, 0), EXIT_HYPERCALL);
	assert_int_equal(x.insn_len, 3);
	code[2] = 0xd8;
	assert_int_equal(exception(EVENT_EXCEPTION << 8 | EXC_UD, 0), EXIT_EXCEPTION);
	assert_int_equal(x.event.vector, EXC_UD);
}

/* It ran out, so that the next deadline must be written, parked or not. */
static void test_timer(void **state)
{
	(void)state;
	back_end.timer_parked = true;
	assert_int_equal(decode(VMX_PREEMPTION_TIMER, 0), EXIT_DEADLINE);
	assert_false(back_end.timer_parked);
}

/* Appendix C: nested VT-x is not offered, and what has no number is not known. */
static void test_reasons(void **state)
{
	static const uint32_t undefined[] = {VMX_GETSEC, VMX_RSM,     VMX_VMLAUNCH, VMX_VMXON,
					     VMX_INVEPT, VMX_INVVPID, VMX_VMFUNC,   VMX_ENCLS};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(undefined); i++)
		assert_int_equal(decode(undefined[i], 0), EXIT_UD);
	assert_int_equal(decode(11, 0), EXIT_UD);
	assert_int_equal(decode(35, 0), EXIT_UNKNOWN);
	assert_int_equal(decode(VMX_REASON_COUNT, 0), EXIT_UNKNOWN);
	assert_int_equal(decode(0xffff, 0), EXIT_UNKNOWN);
}

#define T(name) cmocka_unit_test_setup(test_##name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(control_registers),
		T(debug_registers),
		T(ports),
		T(ept_violations),
		T(iret_that_exits_blocks_nmis_again),
		T(the_apic_page),
		T(task_switches),
		T(exceptions),
		T(debug_exceptions),
		T(vmmcall),
		T(timer),
		T(reasons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
