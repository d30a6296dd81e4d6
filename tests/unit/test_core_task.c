/* links: core/run.c core/devtimer.c core/event.c core/cr.c core/share.c core/vcpu.c core/mmio.c core/task.c core/debug.c core/bus.c core/gmem.c core/pvclock.c core/lapic.c core/lapic_irq.c core/lapic_timer.c core/clock.c tests/unit/support/core_exit.c tests/unit/support/core_sched.c tests/unit/support/core_lifecycle.c tests/unit/support/core_msr.c tests/unit/support/core_cpuid.c emul/alu.c emul/decode.c emul/exec.c emul/string.c emul/tables.c emul/walk.c arch/x86/paging.c lib/log.c lib/fmt.c lib/strbuf.c tests/unit/support/fake_core.c tests/unit/support/fake_machine.c tests/unit/support/fake_hv.c */
/* Hardware task switches: what goes into the old TSS and comes out of the new one, which descriptor
 * is busy, and which exception stops it, in which task. */
#include "tests/unit/support/fake_hv.h"

#include <string.h>

#include "core/exit.h"
#include "core/task.h"

#define GDT   0x2000ull
#define LDT   0x2800ull
#define OLD   0x3000ull
#define NEW   0x3100ull
#define NEW16 0x3200ull
#define CODE  0x1000ull
#define STACK 0x8000ull

enum {
	SEL_CODE0 = 8,
	SEL_DATA0 = 16,
	SEL_OLD = 24,
	SEL_NEW = 32,
	SEL_NEW_16 = 40,
	SEL_LDT = 48,
	SEL_CODE3 = 56,
	SEL_DATA3 = 64,
	SEL_CONFORMING = 72,
	SEL_GATE = 80,
	SEL_END = 88
};

static struct vm *vm;
static struct vcpu *v;

static uint8_t *ram(uint64_t gpa)
{
	return vm->ram[0].hva + gpa;
}

static uint64_t get(uint64_t gpa, unsigned int size)
{
	uint64_t value = 0;

	memcpy(&value, ram(gpa), size);
	return value;
}

static void put(uint64_t gpa, uint64_t value, unsigned int size)
{
	memcpy(ram(gpa), &value, size);
}

static void describe(uint16_t selector, uint32_t base, uint32_t limit, uint32_t access)
{
	put(GDT + selector,
	    (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)(access & 0xff) << 40 |
		    (uint64_t)(limit >> 16 & 0xf) << 48 | (uint64_t)(access >> 12) << 52 |
		    (uint64_t)(base >> 24) << 56,
	    8);
}

static uint8_t access_of(uint16_t selector)
{
	return (uint8_t)get(GDT + selector + 5, 1);
}

static struct vcpu_seg flat(uint16_t selector, uint32_t attr)
{
	return (struct vcpu_seg){.selector = selector, .attr = attr, .limit = UINT32_MAX};
}

static void make_gdt(void)
{
	describe(SEL_CODE0, 0, 0xfffff, 0xc09a);
	describe(SEL_DATA0, 0, 0xfffff, 0xc092);
	describe(SEL_OLD, OLD, 0x67, 0x8b);
	describe(SEL_NEW, NEW, 0x67, 0x89);
	describe(SEL_NEW_16, NEW16, 0x2b, 0x81);
	describe(SEL_LDT, LDT, 0xf, 0x82);
	describe(SEL_CODE3, 0, 0xfffff, 0xc0fa);
	describe(SEL_DATA3, 0, 0xfffff, 0xc0f2);
	describe(SEL_CONFORMING, 0, 0xfffff, 0xc09e);
}

/* A task that begins at 0x5000 with a register of each kind that can be told apart. */
static void make_new(void)
{
	put(NEW + 0x20, 0x5000, 4);
	put(NEW + 0x24, 0x2, 4);
	for (unsigned int i = 0; i < 8; i++)
		put(NEW + 0x28 + 4 * i, 0x11110000 + i, 4);
	put(NEW + 0x38, STACK, 4);
	for (unsigned int i = 0; i < 6; i++)
		put(NEW + 0x48 + 4 * i, i == SEG_CS ? SEL_CODE0 : SEL_DATA0, 4);
	put(NEW16 + 0x0e, 0x5000, 2);
	put(NEW16 + 0x10, 0x2, 2);
	for (unsigned int i = 0; i < 8; i++)
		put(NEW16 + 0x12 + 2 * i, 0x2220 + i, 2);
	for (unsigned int i = 0; i < 4; i++)
		put(NEW16 + 0x22 + 2 * i, i == SEG_CS ? SEL_CODE0 : SEL_DATA0, 2);
}

static int setup(void **state)
{
	struct vcpu_state *g;

	(void)state;
	vm = fake_hv_vm(1, 1);
	fake_hv_start(vm);
	v = vm->vcpu[0];
	v->st_valid = 0;
	g = fake_guest(v);
	memset(ram(0), 0, 0x10000);
	make_gdt();
	make_new();
	g->cr0 = 0x31;
	g->cr4 = 0;
	g->efer = 0;
	g->gdtr = (struct vcpu_table){.base = GDT, .limit = SEL_END - 1};
	for (unsigned int i = SEG_ES; i <= SEG_GS; i++)
		g->seg[i] = flat(SEL_DATA0, 0xc093);
	g->seg[SEG_CS] = flat(SEL_CODE0, 0xc09b);
	g->seg[SEG_TR] = (struct vcpu_seg){SEL_OLD, 0x8b, 0x67, OLD};
	g->seg[SEG_LDTR] = (struct vcpu_seg){.attr = SEG_ATTR_UNUSABLE};
	g->rip = CODE;
	g->rflags = 2;
	g->dr7 = 0x7ff;
	v->gpr[RBX] = 0xb0b;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_hv_end();
	return 0;
}

static void again(void **state)
{
	teardown(state);
	setup(state);
}

static void run(struct hv_exit x)
{
	x.reason = EXIT_TASK_SWITCH;
	exit_dispatch(v, &x);
}

#define SWITCH(why, to, ...)                                             \
	run((struct hv_exit){.insn_len = 7,                              \
			     .task = {.cause = (why), .selector = (to)}, \
			     __VA_ARGS__})

static void assert_in_new_task(void)
{
	assert_false(v->pending.valid);
	assert_int_equal(fake_guest(v)->rip, 0x5000);
	assert_int_equal(v->gpr[RBX], 0x11110003);
	assert_int_equal(fake_guest(v)->seg[SEG_TR].selector, SEL_NEW);
	assert_int_equal(fake_guest(v)->seg[SEG_TR].base, NEW);
	assert_int_equal(fake_guest(v)->seg[SEG_TR].attr, 0x8b);
	assert_true(fake_guest(v)->cr0 & CR0_TS);
}

/* The exception that is queued; RIP tells whose it is. */
static void assert_fault(uint8_t vector, uint32_t error, uint64_t rip)
{
	assert_true(v->pending.valid);
	assert_int_equal(v->pending.vector, vector);
	assert_true(v->pending.has_error);
	assert_int_equal(v->pending.error, error);
	assert_int_equal(fake_guest(v)->rip, rip);
	v->pending.valid = false;
}

/* ---- ways from one task to another ---- */

static void test_jump(void **state)
{
	(void)state;
	put(OLD + 0x48, 0xdead0000, 4);
	SWITCH(TASK_JMP, SEL_NEW);
	assert_in_new_task();
	assert_int_equal(get(OLD + 0x20, 4), CODE + 7);
	assert_int_equal(get(OLD + 0x24, 4), 2);
	assert_int_equal(get(OLD + 0x34, 4), 0xb0b);
	/* A selector is 16 bits. */
	assert_int_equal(get(OLD + 0x48, 4), 0xdead0000 | SEL_DATA0);
	assert_int_equal(get(OLD + 0x4c, 4), SEL_CODE0);
	assert_int_equal(access_of(SEL_OLD), 0x89);
	assert_int_equal(access_of(SEL_NEW), 0x8b);
	assert_int_equal(get(NEW, 2), 0);
	assert_false(fake_guest(v)->rflags & RFLAGS_NT);
	assert_int_equal(v->gpr[RSP], STACK);
	/* Segments are marked as accessed. */
	assert_int_equal(access_of(SEL_CODE0), 0x9b);
	assert_int_equal(access_of(SEL_DATA0), 0x93);
	assert_int_equal(fake_guest(v)->seg[SEG_GS].attr, 0xc093);
	/* Local breakpoints are the old task's. */
	assert_int_equal(fake_guest(v)->dr7, 0x6aa);
}

static void test_call_and_return(void **state)
{
	(void)state;
	SWITCH(TASK_CALL, SEL_NEW);
	assert_in_new_task();
	assert_int_equal(get(NEW, 2), SEL_OLD);
	assert_true(fake_guest(v)->rflags & RFLAGS_NT);
	assert_int_equal(access_of(SEL_OLD), 0x8b);
	assert_int_equal(access_of(SEL_NEW), 0x8b);
	v->gpr[RBX] = 0x77;
	SWITCH(TASK_IRET, SEL_OLD);
	assert_false(v->pending.valid);
	assert_int_equal(fake_guest(v)->rip, CODE + 7);
	assert_int_equal(v->gpr[RBX], 0xb0b);
	assert_int_equal(access_of(SEL_OLD), 0x8b);
	assert_int_equal(access_of(SEL_NEW), 0x89);
	/* The task goes on behind its IRET the next time, without NT. */
	assert_int_equal(get(NEW + 0x20, 4), 0x5007);
	assert_int_equal(get(NEW + 0x24, 4), 2);
	assert_int_equal(get(NEW + 0x34, 4), 0x77);
}

static void test_16_bit_task(void **state)
{
	(void)state;
	SWITCH(TASK_CALL, SEL_NEW_16);
	assert_false(v->pending.valid);
	assert_int_equal(fake_guest(v)->rip, 0x5000);
	assert_int_equal(v->gpr[RBX], 0xffff2223);
	assert_int_equal(fake_guest(v)->seg[SEG_TR].attr, 0x83);
	/* It has no FS and GS. */
	assert_true(fake_guest(v)->seg[SEG_FS].attr & SEG_ATTR_UNUSABLE);
	assert_int_equal(fake_guest(v)->seg[SEG_FS].selector, 0);
	assert_int_equal(get(NEW16, 2), SEL_OLD);
	v->gpr[RCX] = 0x12345678;
	SWITCH(TASK_JMP, SEL_NEW);
	assert_in_new_task();
	assert_int_equal(get(NEW16 + 0x14, 2), 0x5678);
	assert_int_equal(get(NEW16 + 0x0e, 2), 0x5007);
	/* What is behind the LDT's field belongs to nobody. */
	assert_int_equal(get(NEW16 + 0x2c, 4), 0);
}

static struct hv_event event(uint8_t type, uint8_t vector, bool has_error, uint32_t error)
{
	return (struct hv_event){true, has_error, vector, type, 0, error};
}

static void test_task_gate(void **state)
{
	(void)state;
	SWITCH(TASK_GATE, SEL_NEW, .vectoring = event(EVENT_EXCEPTION, EXC_GP, true, 0x1234));
	assert_in_new_task();
	/* A fault is to be made again: the instruction is not skipped. */
	assert_int_equal(get(OLD + 0x20, 4), CODE);
	assert_int_equal(get(OLD + 0x24, 4), RFLAGS_RF | 2);
	assert_int_equal(v->gpr[RSP], STACK - 4);
	assert_int_equal(get(STACK - 4, 4), 0x1234);
	assert_true(fake_guest(v)->rflags & RFLAGS_NT);
	assert_int_equal(get(NEW, 2), SEL_OLD);
}

static void test_task_gate_to_16_bits(void **state)
{
	(void)state;
	describe(SEL_DATA0, 0, 0xffff, 0x92);
	put(NEW16 + 0x1a, 0x7000, 2);
	put(0x6ffc, 0xcccccccc, 4);
	SWITCH(TASK_GATE, SEL_NEW_16, .vectoring = event(EVENT_EXCEPTION, EXC_GP, true, 0x1234));
	assert_int_equal(get(0x6ffc, 4), 0x1234cccc);
	assert_int_equal(v->gpr[RSP], 0xffff6ffe);
}

static void test_software_interrupt(void **state)
{
	(void)state;
	SWITCH(TASK_GATE, SEL_NEW, .vectoring = event(EVENT_SOFT_INTR, 0x50, false, 0));
	assert_in_new_task();
	assert_int_equal(get(OLD + 0x20, 4), CODE + 7);
	assert_int_equal(v->gpr[RSP], STACK);
}

static void test_nmi_blocks(void **state)
{
	(void)state;
	SWITCH(TASK_GATE, SEL_NEW, .vectoring = event(EVENT_NMI, EXC_NMI, false, 0));
	assert_in_new_task();
	assert_int_equal(fake_guest(v)->interruptibility, INTR_NMI_BLOCKED);
	SWITCH(TASK_IRET, SEL_OLD);
	assert_int_equal(fake_guest(v)->interruptibility, 0);
}

static void test_nmi_iret_faults(void **state)
{
	(void)state;
	fake_guest(v)->interruptibility = INTR_NMI_BLOCKED;
	SWITCH(TASK_IRET, SEL_NEW); /* not busy */
	assert_fault(EXC_TS, SEL_NEW, CODE);
	assert_int_equal(fake_guest(v)->interruptibility, 0);
}

static void test_shadow_ends(void **state)
{
	(void)state;
	fake_guest(v)->interruptibility = INTR_STI;
	SWITCH(TASK_JMP, SEL_NEW);
	assert_int_equal(fake_guest(v)->interruptibility, 0);
}

static void test_virtual_8086(void **state)
{
	(void)state;
	put(NEW + 0x24, RFLAGS_VM | 2, 4);
	put(NEW + 0x4c, 0x100, 4);
	SWITCH(TASK_JMP, SEL_NEW);
	assert_false(v->pending.valid);
	assert_int_equal(fake_guest(v)->seg[SEG_CS].base, 0x1000);
	assert_int_equal(fake_guest(v)->seg[SEG_CS].attr, 0xf3);
	assert_int_equal(fake_guest(v)->seg[SEG_SS].attr, 0xf3);
	assert_int_equal(fake_guest(v)->seg[SEG_DS].limit, 0xffff);
}

static void test_to_user_with_ldt(void **state)
{
	(void)state;
	put(NEW + 0x4c, SEL_CODE3 | 3, 4);
	put(NEW + 0x50, SEL_DATA3 | 3, 4);
	put(NEW + 0x54, 4 | 3, 4); /* the first of the LDT */
	put(NEW + 0x48, 0, 4);
	put(NEW + 0x58, 0, 4);
	put(NEW + 0x5c, 0, 4);
	put(NEW + 0x60, SEL_LDT, 4);
	put(LDT, 0x0000f20000001000 | 0x9abull << 16, 8);
	SWITCH(TASK_JMP, SEL_NEW);
	assert_false(v->pending.valid);
	assert_int_equal(fake_guest(v)->seg[SEG_LDTR].base, LDT);
	assert_int_equal(fake_guest(v)->seg[SEG_LDTR].attr, 0x82);
	assert_int_equal(fake_guest(v)->seg[SEG_DS].base, 0x9ab);
	assert_int_equal(fake_guest(v)->seg[SEG_DS].limit, 0x1000);
	assert_int_equal(fake_guest(v)->seg[SEG_DS].attr, 0xf3);
	assert_int_equal(get(LDT + 5, 1), 0xf3);
	assert_true(fake_guest(v)->seg[SEG_ES].attr & SEG_ATTR_UNUSABLE);
	assert_int_equal(SEG_ATTR_DPL(fake_guest(v)->seg[SEG_SS].attr), 3);
}

/* ---- debug exceptions ---- */

static void assert_debug(uint64_t dr6)
{
	assert_true(v->pending.valid);
	assert_int_equal(v->pending.vector, EXC_DB);
	assert_int_equal(fake_guest(v)->rip, 0x5000);
	assert_int_equal(fake_guest(v)->dr6 & 0xe00f, dr6);
	v->pending.valid = false;
}

static void test_trap_bit(void **state)
{
	(void)state;
	fake_guest(v)->dr6 = DR6_INIT;
	put(NEW + 0x64, 1, 2);
	SWITCH(TASK_JMP, SEL_NEW);
	assert_debug(BIT(15));
}

/* Each task has TF of its own. */
static void test_single_step(void **state)
{
	(void)state;
	fake_guest(v)->rflags |= RFLAGS_TF;
	SWITCH(TASK_JMP, SEL_NEW);
	assert_in_new_task();
	assert_true(get(OLD + 0x24, 4) & RFLAGS_TF);
	assert_false(fake_guest(v)->rflags & RFLAGS_TF);
}

/* ---- before the old task is left ---- */

static void assert_still_in_old_task(void)
{
	assert_int_equal(fake_guest(v)->seg[SEG_TR].selector, SEL_OLD);
	assert_int_equal(v->gpr[RBX], 0xb0b);
	assert_int_equal(get(OLD + 0x20, 4), 0);
	assert_int_equal(access_of(SEL_OLD), 0x8b);
	assert_false(fake_guest(v)->cr0 & CR0_TS);
}

static void test_no_such_task(void **state)
{
	(void)state;
	SWITCH(TASK_JMP, SEL_END);
	assert_fault(EXC_GP, SEL_END, CODE);
	SWITCH(TASK_IRET, SEL_END);
	assert_fault(EXC_TS, SEL_END, CODE);
	SWITCH(TASK_JMP, SEL_NEW | 4);
	assert_fault(EXC_GP, SEL_NEW | 4, CODE);
	SWITCH(TASK_JMP, SEL_OLD); /* busy */
	assert_fault(EXC_GP, SEL_OLD, CODE);
	SWITCH(TASK_IRET, SEL_NEW); /* not busy */
	assert_fault(EXC_TS, SEL_NEW, CODE);
	SWITCH(TASK_CALL, SEL_CODE0);
	assert_fault(EXC_GP, SEL_CODE0, CODE);
	describe(SEL_NEW, NEW, 0x67, 0x09);
	SWITCH(TASK_CALL, SEL_NEW);
	assert_fault(EXC_NP, SEL_NEW, CODE);
	describe(SEL_NEW, NEW, 0x66, 0x89);
	SWITCH(TASK_CALL, SEL_NEW);
	assert_fault(EXC_TS, SEL_NEW, CODE);
	/* EXT: the event came from outside the program. */
	SWITCH(TASK_GATE, SEL_NEW, .vectoring = event(EVENT_INTR, 0x50, false, 0));
	assert_fault(EXC_TS, SEL_NEW | 1, CODE);
	SWITCH(TASK_GATE, SEL_NEW, .vectoring = event(EVENT_SOFT_INTR, 0x50, false, 0));
	assert_fault(EXC_TS, SEL_NEW, CODE);
	assert_still_in_old_task();
}

/* 32-bit paging: 4 KiB pages from 0 on stand for themselves. */
static void page(void)
{
	put(0x20000, 0x21003, 4);
	for (unsigned int i = 0; i < 64; i++)
		put(0x21000 + 4 * i, i << 12 | 3, 4);
	fake_guest(v)->cr3 = 0x20000;
	fake_guest(v)->cr0 |= CR0_PG | CR0_WP;
	put(NEW + 0x1c, 0x20000, 4);
}

static void test_page_faults(void **state)
{
	(void)state;
	page();
	put(0x21000 + 4 * (NEW >> 12), 0, 4);
	SWITCH(TASK_JMP, SEL_NEW);
	assert_fault(EXC_PF, 2, CODE); /* the old TSS is in the same page */
	assert_int_equal(fake_guest(v)->cr2, OLD);
	describe(SEL_NEW, 0x30000, 0x67, 0x89);
	put(0x21000 + 4 * (NEW >> 12), OLD | 3, 4);
	put(0x21000 + 4 * 0x30, 0, 4);
	SWITCH(TASK_JMP, SEL_NEW);
	assert_fault(EXC_PF, 0, CODE);
	assert_int_equal(fake_guest(v)->cr2, 0x30000);
	/* The GDT is read-only: the busy bit cannot be set. */
	describe(SEL_NEW, NEW, 0x67, 0x89);
	put(0x21000 + 4 * (GDT >> 12), GDT | 1, 4);
	SWITCH(TASK_JMP, SEL_NEW);
	assert_fault(EXC_PF, 3, CODE);
	assert_still_in_old_task();
	put(0x21000 + 4 * (GDT >> 12), GDT | 3, 4);
	SWITCH(TASK_JMP, SEL_NEW);
	assert_in_new_task();
}

/* A supervisor's pages: a program at CPL 3 may switch all the same. */
static void test_tables_are_the_systems(void **state)
{
	(void)state;
	page();
	fake_guest(v)->seg[SEG_CS] = flat(SEL_CODE3 | 3, 0xc0fb);
	fake_guest(v)->seg[SEG_SS] = flat(SEL_DATA3 | 3, 0xc0f3);
	SWITCH(TASK_CALL, SEL_NEW);
	assert_in_new_task();
}

static void test_address_space(void **state)
{
	(void)state;
	page();
	memcpy(ram(0x22000), ram(0x20000), 4);
	put(NEW + 0x1c, 0x22000, 4);
	SWITCH(TASK_CALL, SEL_NEW);
	assert_in_new_task();
	assert_int_equal(fake_guest(v)->cr3, 0x22000);
	assert_int_equal(get(OLD + 0x1c, 4), 0); /* is not saved */
}

/* ---- in the new task ---- */

static void test_segments(void **state)
{
	static const struct {
		uint8_t offset;
		uint16_t selector;
		uint8_t vector;
		uint16_t error;
	} cases[] = {
		{0x60, SEL_DATA0, EXC_TS, SEL_DATA0},	  /* LDTR: not an LDT */
		{0x60, SEL_LDT | 4, EXC_TS, SEL_LDT | 4}, /* not in the GDT */
		{0x4c, 0, EXC_TS, 0},			  /* CS */
		{0x4c, SEL_DATA0, EXC_TS, SEL_DATA0},
		{0x4c, SEL_CODE0 | 3, EXC_TS, SEL_CODE0},
		{0x4c, SEL_END, EXC_TS, SEL_END},
		{0x4c, SEL_GATE, EXC_TS, SEL_GATE},
		{0x50, 0, EXC_TS, 0}, /* SS */
		{0x50, SEL_CODE0, EXC_TS, SEL_CODE0},
		{0x50, SEL_DATA3 | 3, EXC_TS, SEL_DATA3},
		{0x50, SEL_DATA0 | 3, EXC_TS, SEL_DATA0},
		{0x54, SEL_NEW, EXC_TS, SEL_NEW}, /* DS */
		{0x54, SEL_DATA0 | 3, EXC_TS, SEL_DATA0},
		{0x54, 4, EXC_TS, 4}, /* there is no LDT */
		{0x5c, SEL_END, EXC_TS, SEL_END},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		again(state);
		put(NEW + cases[i].offset, cases[i].selector, 4);
		SWITCH(TASK_JMP, SEL_NEW);
		assert_fault(cases[i].vector, cases[i].error, 0x5000);
		assert_int_equal(fake_guest(v)->seg[SEG_TR].selector, SEL_NEW);
		assert_int_equal(access_of(SEL_OLD), 0x89);
	}
}

static void test_absent_segments(void **state)
{
	(void)state;
	put(GDT + SEL_CODE3 + 5, 0x1a, 1); /* ring 0 and absent from here on */
	put(GDT + SEL_DATA3 + 5, 0x12, 1);
	put(NEW + 0x4c, SEL_CODE3, 4);
	SWITCH(TASK_JMP, SEL_NEW);
	assert_fault(EXC_NP, SEL_CODE3, 0x5000);
	again(state);
	put(GDT + SEL_DATA3 + 5, 0x12, 1);
	put(NEW + 0x50, SEL_DATA3, 4);
	SWITCH(TASK_JMP, SEL_NEW);
	assert_fault(EXC_SS, SEL_DATA3, 0x5000);
	again(state);
	put(GDT + SEL_DATA3 + 5, 0x12, 1);
	put(NEW + 0x54, SEL_DATA3, 4);
	SWITCH(TASK_JMP, SEL_NEW);
	assert_fault(EXC_NP, SEL_DATA3, 0x5000);
}

static void test_conforming_code(void **state)
{
	(void)state;
	put(NEW + 0x4c, SEL_CONFORMING | 3, 4);
	put(NEW + 0x50, SEL_DATA3 | 3, 4);
	for (unsigned int offset = 0x48; offset <= 0x5c; offset += 4)
		if (offset != 0x4c && offset != 0x50)
			put(NEW + offset, SEL_CONFORMING | 3, 4); /* data, too, at any level */
	SWITCH(TASK_JMP, SEL_NEW);
	assert_false(v->pending.valid);
	assert_int_equal(SEG_ATTR_DPL(fake_guest(v)->seg[SEG_SS].attr), 3);
}

static void test_entry_beyond_the_segment(void **state)
{
	(void)state;
	describe(SEL_CODE0, 0, 0x4fff, 0x409a);
	SWITCH(TASK_JMP, SEL_NEW);
	assert_fault(EXC_GP, 0, 0x5000);
}

/* The error code has nowhere to go; and a fault on the way of a fault makes #DF. */
static void test_no_stack_for_the_error(void **state)
{
	(void)state;
	describe(SEL_DATA0, 0, 0x7000, 0x4092);
	SWITCH(TASK_GATE, SEL_NEW, .vectoring = event(EVENT_EXCEPTION, EXC_AC, true, 0));
	assert_fault(EXC_SS, 1, 0x5000);
	again(state);
	describe(SEL_DATA0, 0, 0x7000, 0x4092);
	SWITCH(TASK_GATE, SEL_NEW, .vectoring = event(EVENT_EXCEPTION, EXC_GP, true, 0));
	assert_fault(EXC_DF, 0, 0x5000);
}

#define T(name)                                           \
	{                                                 \
#name, test_##name, setup, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(jump),
		T(call_and_return),
		T(16_bit_task),
		T(task_gate),
		T(task_gate_to_16_bits),
		T(software_interrupt),
		T(nmi_blocks),
		T(nmi_iret_faults),
		T(shadow_ends),
		T(virtual_8086),
		T(to_user_with_ldt),
		T(trap_bit),
		T(single_step),
		T(no_such_task),
		T(page_faults),
		T(tables_are_the_systems),
		T(address_space),
		T(segments),
		T(absent_segments),
		T(conforming_code),
		T(entry_beyond_the_segment),
		T(no_stack_for_the_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
