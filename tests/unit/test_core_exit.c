/* links: core/run.c core/devtimer.c core/event.c core/cr.c core/share.c core/vcpu.c tests/unit/support/core_mmio.c core/task.c core/debug.c core/bus.c core/gmem.c core/pvclock.c core/lapic.c core/lapic_irq.c core/lapic_timer.c core/clock.c tests/unit/support/core_exit.c tests/unit/support/core_sched.c tests/unit/support/core_lifecycle.c tests/unit/support/core_msr.c tests/unit/support/core_cpuid.c emul/alu.c emul/decode.c emul/exec.c emul/string.c emul/tables.c emul/walk.c arch/x86/paging.c lib/log.c lib/fmt.c lib/strbuf.c tests/unit/support/fake_core.c tests/unit/support/fake_machine.c tests/unit/support/fake_hv.c */
/* Exits that execute something in the guest's place: device memory through the guest's page tables,
 * ports, hypercalls, control registers, and guest memory's bounds. */
#include "tests/unit/support/fake_hv.h"

#include <string.h>

#include "arch/x86/msr.h"
#include "core/bus.h"
#include "core/exit.h"
#include "core/exits.h"
#include "core/gmem.h"
#include "core/lapic.h"
#include "core/mmio.h"
#include "core/run.h"
#include "lib/err.h"

#define DEVICE	0xd0000000ull /* guest-physical */
#define CODE	0x1000ull
#define PML4	0x10000ull
#define PTE_PW	3ull
#define PTE_U	4ull
#define LINEAR	0x400000ull /* pages from here: see map() */
#define CR_EXIT EXIT_CR

static struct vm *vm;
static struct vcpu *v;

static struct {
	unsigned int count;
	uint64_t offset[8], value[8];
	uint8_t size[8];
	bool write[8];
	uint64_t answer;
	uint64_t takes; /* ticks */
} device;

static void on_device(void *dev, struct vcpu *c, uint64_t offset, bool write, uint8_t size,
		      uint64_t *value)
{
	unsigned int n = device.count++;

	(void)dev;
	(void)c;
	assert_true(n < 8);
	device.offset[n] = offset;
	device.size[n] = size;
	device.write[n] = write;
	device.value[n] = *value;
	fake.tsc += device.takes;
	if (!write)
		*value = device.answer;
}

static void write_ram(uint64_t gpa, const void *bytes, size_t n)
{
	memcpy(vm->ram[0].hva + gpa, bytes, n);
}

static void put64(uint64_t gpa, uint64_t value)
{
	write_ram(gpa, &value, sizeof(value));
}

static uint64_t get64(uint64_t gpa)
{
	uint64_t value;

	memcpy(&value, vm->ram[0].hva + gpa, sizeof(value));
	return value;
}

/* The entry of page LINEAR + N * 4 KiB. */
static void map(unsigned int n, uint64_t entry)
{
	put64(0x14000 + 8 * n, entry);
}

/* 0 to 2 MiB stands for itself; the 4 KiB pages from LINEAR on are the test's. */
static void make_tables(void)
{
	put64(PML4, 0x11000 | PTE_PW | PTE_U);
	put64(0x11000, 0x12000 | PTE_PW | PTE_U);
	put64(0x12000, 0 | PTE_PW | PTE_U | 0x80);
	put64(0x12000 + 8 * (LINEAR >> 21), 0x14000 | PTE_PW | PTE_U);
	fake_guest(v)->cr3 = PML4;
	fake_guest(v)->cr0 |= CR0_WP;
}

static int setup(void **state)
{
	(void)state;
	memset(&device, 0, sizeof(device));
	vm = fake_hv_vm(1, 1);
	fake_hv_start(vm);
	v = vm->vcpu[0];
	v->st_valid = 0;
	make_tables();
	assert_int_equal(bus_add_mmio(vm, DEVICE, 0x1000, on_device, NULL), 0);
	assert_int_equal(bus_add_pio(vm, 0x500, 4, on_device, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_hv_end();
	return 0;
}

static void set_cpl(unsigned int cpl)
{
	fake_guest(v)->seg[SEG_SS].attr = 0xc093 | cpl << 5;
	fake_guest(v)->seg[SEG_CS].attr = 0xa09b | cpl << 5;
	v->st_valid = 0;
}

/* The instruction at CODE has exited: what becomes of it. */
static void execute(const char *bytes, size_t n, struct hv_exit *x)
{
	write_ram(CODE, bytes, n);
	fake_guest(v)->rip = CODE;
	v->st_valid = 0;
	exit_dispatch(v, x);
}

#define EXECUTE(bytes, ...)                             \
	do {                                            \
		struct hv_exit x_ = {__VA_ARGS__};      \
		execute(bytes, sizeof(bytes) - 1, &x_); \
	} while (0)
#define NPF(bytes) EXECUTE(bytes, .reason = EXIT_NPF)

static void assert_done(unsigned int length)
{
	assert_int_equal(fake_guest(v)->rip, CODE + length);
	assert_false(v->pending.valid);
	assert_int_equal(vm->end, VM_END_NONE);
}

static void assert_page_fault(uint64_t cr2, uint32_t error)
{
	assert_int_equal(fake_guest(v)->rip, CODE);
	assert_true(v->pending.valid);
	assert_int_equal(v->pending.vector, EXC_PF);
	assert_int_equal(v->pending.error, error);
	assert_int_equal(fake_guest(v)->cr2, cr2);
	v->pending.valid = false;
}

static void assert_gp(void)
{
	assert_int_equal(fake_guest(v)->rip, CODE);
	assert_true(v->pending.valid);
	assert_int_equal(v->pending.vector, EXC_GP);
	assert_true(v->pending.has_error);
	assert_int_equal(v->pending.error, 0);
	v->pending.valid = false;
}

/* ---- device memory ---- */

static void test_read_and_write(void **state)
{
	(void)state;
	map(0, DEVICE | PTE_PW);
	v->gpr[RBX] = LINEAR + 0x10;
	v->gpr[RAX] = ~0ull;
	device.answer = 0x12345678;
	NPF("\x8b\x03"); /* mov eax, [rbx] */
	assert_done(2);
	assert_int_equal(v->gpr[RAX], 0x12345678);
	assert_int_equal(device.offset[0], 0x10);
	assert_int_equal(device.size[0], 4);
	v->gpr[RAX] = 0xabcd;
	NPF("\x66\x89\x43\x02"); /* mov [rbx + 2], ax */
	assert_done(4);
	assert_true(device.write[1]);
	assert_int_equal(device.offset[1], 0x12);
	assert_int_equal(device.size[1], 2);
	assert_int_equal(device.value[1], 0xabcd);
}

/* The device is given its largest pieces, the guest all 16 bytes. */
static void test_xmm(void **state)
{
	(void)state;
	map(0, DEVICE | PTE_PW);
	v->gpr[RBX] = LINEAR + 0x10;
	device.answer = 0x1122334455667788;
	NPF("\x66\x0f\x6f\x13"); /* movdqa xmm2, [rbx] */
	assert_done(4);
	assert_int_equal(device.count, 2);
	assert_int_equal(device.offset[1], 0x18);
	assert_int_equal(fake_xmm[2][0], 0x88);
	assert_int_equal(fake_xmm[2][15], 0x11);
	fake_xmm[2][9] = 0x99;
	NPF("\x66\x0f\xe7\x13"); /* movntdq [rbx], xmm2 */
	assert_done(4);
	assert_int_equal(device.value[2], 0x1122334455667788);
	assert_int_equal(device.value[3], 0x1122334455669988);
}

/* What cannot be had raises what says so, and the device hears nothing. */
static void test_wide_and_mmx(void **state)
{
	(void)state;
	map(0, DEVICE | PTE_PW);
	v->gpr[RBX] = LINEAR + 0x10;
	device.answer = 0x1122334455667788;
	NPF("\xc5\xfe\x6f\x13"); /* vmovdqu ymm2, [rbx] */
	assert_done(4);
	assert_int_equal(device.count, 4);
	assert_int_equal(fake_ymm[2][31], 0x11);
	NPF("\x0f\x7f\x0b"); /* movq [rbx], mm1 */
	assert_done(3);
	assert_int_equal(device.count, 5);
	fake_avx_off = fake_x87_waits = true;
	NPF("\xc5\xfe\x6f\x13");
	assert_int_equal(v->pending.vector, EXC_UD);
	v->pending.valid = false;
	NPF("\x0f\x7f\x0b");
	assert_int_equal(v->pending.vector, EXC_MF);
	v->pending.valid = false;
	fake_avx_off = fake_x87_waits = false;
	assert_int_equal(device.count, 5);
}

/* The tables' accessed and dirty bits, as the processor sets them (4.8). */
static void test_accessed_and_dirty(void **state)
{
	(void)state;
	map(0, DEVICE | PTE_PW);
	v->gpr[RBX] = LINEAR;
	NPF("\x8b\x03");
	assert_int_equal(get64(0x14000), DEVICE | PTE_PW | 0x20);
	NPF("\x89\x03");
	assert_int_equal(get64(0x14000), DEVICE | PTE_PW | 0x60);
}

static void test_faults_of_the_operand(void **state)
{
	static const struct {
		uint64_t entry;
		unsigned int cpl;
		bool write;
		uint32_t error;
	} cases[] = {
		{0, 0, false, 0},
		{0, 0, true, PF_W},
		{0, 3, true, PF_W | PF_U},
		{DEVICE | 1, 0, true, PF_P | PF_W},
		{DEVICE | PTE_PW, 3, false, PF_P | PF_U},
		{DEVICE | 1 | PTE_U, 3, true, PF_P | PF_W | PF_U},
		{DEVICE | PTE_PW | BIT(45), 0, false, PF_P | PF_RSVD},
		{DEVICE | PTE_PW | BIT(63), 0, false, PF_P | PF_RSVD}, /* no NXE */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		map(0, cases[i].entry);
		set_cpl(cases[i].cpl);
		v->gpr[RBX] = LINEAR + 0x123;
		if (cases[i].write)
			NPF("\x89\x03");
		else
			NPF("\x8b\x03");
		assert_page_fault(LINEAR + 0x123, cases[i].error);
		assert_int_equal(device.count, 0);
	}
}

/* SDM vol. 3A 4.6.2. The register changes without an exit: no translation outlives it. */
static void test_protection_keys(void **state)
{
	const uint64_t user = DEVICE | PTE_PW | PTE_U;
	static const struct {
		uint64_t key;
		uint32_t pkru;
		unsigned int cpl;
		bool write, user_page;
		uint32_t error; /* 0: the access is made */
	} cases[] = {
		{1, 0, 3, true, true, 0},
		{1, 1 << 2, 3, false, true, PF_P | PF_U | PF_PK},
		{1, 1 << 2, 3, true, true, PF_P | PF_W | PF_U | PF_PK},
		{1, 2 << 2, 3, false, true, 0},
		{1, 2 << 2, 3, true, true, PF_P | PF_W | PF_U | PF_PK},
		{1, 1 << 2, 0, false, true, PF_P | PF_PK},
		{1, 2 << 2, 0, true, true, PF_P | PF_W | PF_PK},
		{1, 3 << 2, 0, true, false, 0},
		{15, 1u << 30, 3, false, true, PF_P | PF_U | PF_PK},
		{15, ~(3u << 30), 3, true, true, 0},
	};

	(void)state;
	fake_guest(v)->cr4 |= CR4_PKE;
	v->gpr[RBX] = LINEAR + 8;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const uint32_t values[] = {0, 0, cases[i].pkru};

		map(0, (cases[i].user_page ? user : user & ~PTE_U) | cases[i].key << 59);
		set_cpl(cases[i].cpl);
		for (size_t n = 0; n < ARRAY_SIZE(values); n++) {
			device.count = 0;
			machine.pkru = values[n];
			if (cases[i].write)
				NPF("\x89\x03");
			else
				NPF("\x8b\x03");
		}
		if (cases[i].error)
			assert_page_fault(LINEAR + 8, cases[i].error);
		else
			assert_done(2);
		assert_int_equal(device.count, !cases[i].error);
	}
}

/* From RAM into the device: the parts go where they belong. */
static void test_across_a_page(void **state)
{
	(void)state;
	map(0, 0x20000 | PTE_PW);
	map(1, DEVICE | PTE_PW);
	v->gpr[RBX] = LINEAR + 0xffd;
	v->gpr[RAX] = 0x1122334455667788;
	NPF("\x48\x89\x03"); /* mov [rbx], rax */
	assert_done(3);
	assert_int_equal(get64(0x20ff8) >> 40, 0x667788);
	/* The other five bytes: 4 and 1. */
	assert_int_equal(device.count, 2);
	assert_int_equal(device.offset[0], 0);
	assert_int_equal(device.size[0], 4);
	assert_int_equal(device.value[0], 0x22334455);
	assert_int_equal(device.offset[1], 4);
	assert_int_equal(device.size[1], 1);
	assert_int_equal(device.value[1], 0x11);
}

/* The second page's fault comes before the first byte moves; CR2 is that page. */
static void test_across_a_page_that_is_not_there(void **state)
{
	(void)state;
	map(0, DEVICE | PTE_PW);
	map(1, 0);
	v->gpr[RBX] = LINEAR + 0xffe;
	NPF("\x89\x03");
	assert_page_fault(LINEAR + 0x1000, PF_W);
	assert_int_equal(device.count, 0);
}

/* Tables outside RAM read as all ones: reserved bits. */
static void test_tables_outside_ram(void **state)
{
	(void)state;
	put64(0x12000 + 8 * (LINEAR >> 21), 0x7000000000 | PTE_PW | PTE_U);
	v->gpr[RBX] = LINEAR;
	NPF("\x89\x03");
	assert_page_fault(LINEAR, PF_P | PF_RSVD | PF_W);
	/* As the processor reports it, before there is an operand. */
	EXECUTE("\x90", .reason = EXIT_NPF,
		.npf = {.gpa = 0x7000000000,
			.gla = LINEAR + 5,
			.gla_valid = true,
			.table_walk = true});
	assert_page_fault(LINEAR + 5, PF_P | PF_RSVD);
}

/* Nothing there: reads are ones, writes go nowhere. */
static void test_nobody_home(void **state)
{
	(void)state;
	map(0, 0x30000000ull << 4 | PTE_PW);
	v->gpr[RBX] = LINEAR;
	NPF("\x48\x8b\x03");
	assert_done(3);
	assert_int_equal(v->gpr[RAX], ~0ull);
}

static void test_local_apic(void **state)
{
	(void)state;
	map(0, 0xfee00000 | PTE_PW);
	v->gpr[RBX] = LINEAR + APIC_VERSION;
	NPF("\x8b\x03");
	assert_int_equal(v->gpr[RAX] & 0xff, 0x14);
	/* In x2APIC mode nothing is there. */
	assert_int_equal(lapic_set_base(v, 0xfee00d00), 0);
	NPF("\x8b\x03");
	assert_int_equal(v->gpr[RAX], 0xffffffff);
}

/* Ones, FFh /7, are no instruction (SDM vol. 2D table A-6, group 5). */
static void test_fetch_from_nowhere(void **state)
{
	(void)state;
	for (uint8_t cpl = 0; cpl <= 3; cpl += 3) {
		set_cpl(cpl);
		v->pending.valid = false;
		EXECUTE("\x90", .reason = EXIT_NPF, .npf = {.gpa = DEVICE, .fetch = true});
		assert_int_equal(vm->end, VM_END_NONE);
		assert_true(v->pending.valid);
		assert_int_equal(v->pending.vector, EXC_UD);
		assert_int_equal(fake_guest(v)->rip, CODE);
	}
}

/* Another vCPU may have rewritten it: it has a few tries, and a VM that means it ends. */
static void test_instruction_that_cannot_be_executed(void **state)
{
	(void)state;
	v->gpr[RBX] = LINEAR;
	map(0, DEVICE | PTE_PW);
	for (unsigned int i = 0; i < 15; i++)
		NPF("\x0f\xae\x03"); /* fxsave [rbx] */
	assert_int_equal(vm->end, VM_END_NONE);
	assert_false(v->pending.valid);
	assert_int_equal(fake_guest(v)->rip, CODE);
	NPF("\x8b\x03"); /* mov eax, [rbx] */
	assert_done(2);
	NPF("\x0f\xae\x03");
	assert_int_equal(vm->end, VM_END_NONE);
	for (unsigned int i = 0; i < 15; i++)
		NPF("\x0f\xae\x03");
	assert_int_equal(vm->end, VM_END_CRASH);
}

/* ---- ports ---- */

static void test_port_sizes(void **state)
{
	(void)state;
	device.answer = 0xa1b2c3d4;
	v->gpr[RAX] = ~0ull;
	exit_pio(v, 0x500, true, 1);
	assert_int_equal(v->gpr[RAX], 0xffffffffffffffd4);
	exit_pio(v, 0x500, true, 2);
	assert_int_equal(v->gpr[RAX], 0xffffffffffffc3d4);
	exit_pio(v, 0x500, true, 4);
	assert_int_equal(v->gpr[RAX], 0xa1b2c3d4);
	v->gpr[RAX] = 0x1122334455667788;
	exit_pio(v, 0x500, false, 2);
	assert_int_equal(device.value[3], 0x7788);
	v->gpr[RAX] = 0;
	exit_pio(v, 0x600, true, 4);
	assert_int_equal(v->gpr[RAX], 0xffffffff);
}

static void test_string_ports(void **state)
{
	(void)state;
	v->gpr[RDX] = 0x500;
	v->gpr[RCX] = 3;
	v->gpr[RDI] = 0x20000;
	device.answer = 0x5a;
	EXECUTE("\xf3\x6c", .reason = EXIT_PIO,
		.pio = {.port = 0x500,
			.size = 1,
			.in = true,
			.string = true,
			.rep = true,
			.decode = true}); /* rep insb */
	assert_done(2);
	assert_int_equal(device.count, 3);
	assert_int_equal(get64(0x20000), 0x5a5a5a);
	assert_int_equal(v->gpr[RCX], 0);
	assert_int_equal(v->gpr[RDI], 0x20003);
}

/* A device that takes its time holds nobody else up for more than one access of many. */
static void test_string_ports_take_turns(void **state)
{
	(void)state;
	v->gpr[RDX] = 0x500;
	v->gpr[RCX] = 5;
	v->gpr[RSI] = 0x20000;
	device.takes = fake.hz / 1000;
	for (unsigned int i = 1; i <= 5; i++) {
		EXECUTE("\xf3\x6e", .reason = EXIT_PIO,
			.pio = {.port = 0x500,
				.size = 1,
				.string = true,
				.rep = true,
				.decode = true}); /* rep outsb */
		assert_done(i == 5 ? 2 : 0);
		assert_int_equal(device.count, i);
		assert_int_equal(v->gpr[RCX], 5 - i);
	}
}

/* What has been read by then counts; the element that faults is not read from the port. */
static void test_string_ports_fault(void **state)
{
	(void)state;
	map(0, 0x20000 | PTE_PW);
	map(1, 0);
	v->gpr[RDX] = 0x500;
	v->gpr[RCX] = 3;
	v->gpr[RDI] = LINEAR + 0xffe;
	EXECUTE("\xf3\x6c", .reason = EXIT_PIO,
		.pio = {.port = 0x500,
			.size = 1,
			.in = true,
			.string = true,
			.rep = true,
			.decode = true});
	assert_page_fault(LINEAR + 0x1000, PF_W);
	assert_int_equal(device.count, 2);
	assert_int_equal(v->gpr[RCX], 1);
	assert_int_equal(v->gpr[RDI], LINEAR + 0x1000);
}

/* ---- privilege ---- */

/* The list of names is found by counting. */
static void test_names_of_exits(void **state)
{
	(void)state;
	assert_string_equal(exit_name(EXIT_NONE), "request");
	assert_string_equal(exit_name(EXIT_NPF), "nested page fault");
	assert_string_equal(exit_name(EXIT_COUNT - 1), "unknown");
}

static void test_hypercall(void **state)
{
	(void)state;
	v->gpr[RAX] = 5;
	EXECUTE("\x0f\x01\xc1", .reason = EXIT_HYPERCALL, .insn_len = 3);
	assert_done(3);
	assert_int_equal(v->gpr[RAX], -1000); /* KVM_ENOSYS */
	set_cpl(3);
	EXECUTE("\x0f\x01\xc1", .reason = EXIT_HYPERCALL, .insn_len = 3);
	assert_int_equal(v->gpr[RAX], -EPERM);
	assert_int_equal(EPERM, 1);
}

static void test_privileged_instructions(void **state)
{
	static const enum hv_reason reasons[] = {EXIT_XSETBV, EXIT_INVD, EXIT_WBINVD};

	(void)state;
	v->gpr[RCX] = v->gpr[RDX] = 0;
	v->gpr[RAX] = 7;
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		set_cpl(0);
		EXECUTE("\x90", .reason = reasons[i], .insn_len = 1);
		assert_done(1);
		set_cpl(3);
		EXECUTE("\x90", .reason = reasons[i], .insn_len = 1);
		assert_gp();
	}
	assert_int_equal(v->xcr0, 7);
	EXECUTE("\x0f\x33", .reason = EXIT_RDPMC, .insn_len = 2);
	assert_gp();
}

static void test_hidden_instructions(void **state)
{
	static const enum hv_reason reasons[] = {EXIT_MONITOR, EXIT_MWAIT, EXIT_UD};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		EXECUTE("\x0f\x01\xc8", .reason = reasons[i], .insn_len = 3);
		assert_int_equal(fake_guest(v)->rip, CODE);
		assert_true(v->pending.valid);
		assert_int_equal(v->pending.vector, EXC_UD);
		assert_false(v->pending.has_error);
		v->pending.valid = false;
	}
}

/* Where the guest has switched them on; a line of its memory can be watched, no other. */
static void test_monitor_and_mwait(void **state)
{
	static const enum hv_reason reasons[] = {EXIT_MONITOR, EXIT_MWAIT};

	(void)state;
	v->misc_enable |= MISC_ENABLE_MWAIT;
	map(0, PTE_PW);
	v->gpr[RAX] = LINEAR;
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		v->gpr[RCX] = 0;
		EXECUTE("\x0f\x01\xc8", .reason = reasons[i], .insn_len = 3);
		assert_done(3);
		assert_int_equal(v->activity, VCPU_ACTIVE);
		v->gpr[RCX] = 2;
		EXECUTE("\x0f\x01\xc8", .reason = reasons[i], .insn_len = 3);
		assert_gp();
	}
	v->gpr[RCX] = 0;
	v->gpr[RAX] = LINEAR + PAGE_SIZE;
	EXECUTE("\x0f\x01\xc8", .reason = EXIT_MONITOR, .insn_len = 3);
	assert_page_fault(LINEAR + PAGE_SIZE, 0);
	v->gpr[RAX] = 1ull << 63;
	EXECUTE("\x0f\x01\xc8", .reason = EXIT_MONITOR, .insn_len = 3);
	assert_gp();
	v->misc_enable = 0;
}

/* What ends one guest: each with its dump, and the VM alone. */
static void test_what_crashes(void **state)
{
	static const enum hv_reason reasons[] = {EXIT_TRIPLE, EXIT_NPT_MISCONFIG, EXIT_ENTRY_FAILED,
						 EXIT_UNKNOWN, EXIT_INVLPG};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		vm->end = VM_END_NONE;
		vm->state = VM_RUNNING;
		EXECUTE("\x90", .reason = reasons[i], .insn_len = 1);
		assert_int_equal(vm->end, VM_END_CRASH);
		assert_int_equal(fake_hv.dumps, i + 1);
		assert_int_equal(fake_guest(v)->rip, CODE);
	}
}

/* A guest that kept interrupts out goes on, unless the processor has lost it. */
static void test_notify_exit(void **state)
{
	(void)state;
	EXECUTE("\x90", .reason = EXIT_NOTIFY);
	assert_int_equal(vm->end, VM_END_NONE);
	assert_int_equal(fake_guest(v)->rip, CODE);
	EXECUTE("\x90", .reason = EXIT_NOTIFY, .notify = {.invalid = true});
	assert_int_equal(vm->end, VM_END_CRASH);
}

/* ---- control and debug registers ---- */

static void test_moves_of_cr0(void **state)
{
	(void)state;
	fake_guest(v)->cr0 |= CR0_TS;
	EXECUTE("\x0f\x06", .reason = CR_EXIT, .insn_len = 2, .cr = {.write = true, .clts = true});
	assert_done(2);
	assert_false(fake_guest(v)->cr0 & CR0_TS);
	/* LMSW sets PE, MP, EM and TS, and cannot clear PE. */
	EXECUTE("\x0f\x01\xf0", .reason = CR_EXIT, .insn_len = 3,
		.cr = {.write = true, .lmsw = true, .source = 0xfff2});
	assert_int_equal(fake_guest(v)->cr0 & 0xf, CR0_PE | CR0_MP);
	v->gpr[RSI] = BIT(40);
	EXECUTE("\x0f\x22\xc6", .reason = CR_EXIT, .insn_len = 3,
		.cr = {.write = true, .gpr = RSI});
	assert_gp();
	/* RSP is in the VMCS. */
	EXECUTE("\x0f\x20\xc4", .reason = CR_EXIT, .insn_len = 3, .cr = {.gpr = RSP});
	assert_int_equal(fake_of(v)->rsp, fake_guest(v)->cr0);
}

/* Outside 64-bit mode MOV takes 32 bits, whatever an earlier 64-bit mode left above them. */
static void test_moves_have_32_bits(void **state)
{
	(void)state;
	fake_guest(v)->seg[SEG_CS].attr &= ~SEG_ATTR_L;
	v->gpr[RSI] = BIT(40) | fake_guest(v)->cr4 | CR4_PGE;
	EXECUTE("\x0f\x22\xe6", .reason = CR_EXIT, .insn_len = 3,
		.cr = {.reg = 4, .write = true, .gpr = RSI});
	assert_done(3);
	assert_true(fake_guest(v)->cr4 & CR4_PGE);
	v->gpr[RSI] = BIT(40) | 0x401;
	EXECUTE("\x90", .reason = EXIT_DR, .insn_len = 3,
		.dr = {.reg = 7, .write = true, .gpr = RSI});
	assert_done(3);
	assert_int_equal(fake_guest(v)->dr7, 0x401);
}

/* Without decode assists the operand is found in the instruction. */
static void test_decoded_moves(void **state)
{
	(void)state;
	v->gpr[R9] = fake_guest(v)->cr4 | CR4_PGE;
	EXECUTE("\x41\x0f\x22\xe1", .reason = CR_EXIT,
		.cr = {.reg = 4, .write = true, .decode = true}); /* mov cr4, r9 */
	assert_done(4);
	assert_true(fake_guest(v)->cr4 & CR4_PGE);
	write_ram(0x20000, "\x0b\x00", 2);
	v->gpr[RBX] = 0x20000;
	EXECUTE("\x0f\x01\x33", .reason = CR_EXIT, .cr = {.write = true, .decode = true});
	assert_done(3); /* lmsw [rbx] */
	assert_int_equal(fake_guest(v)->cr0 & 0xf, 0xb);
}

static void test_cr8(void **state)
{
	(void)state;
	v->gpr[RAX] = 0xa;
	EXECUTE("\x90", .reason = CR_EXIT, .insn_len = 4, .cr = {.reg = 8, .write = true});
	assert_int_equal(lapic_tpr(v), 0xa0);
	EXECUTE("\x90", .reason = CR_EXIT, .insn_len = 4, .cr = {.reg = 8, .gpr = RDX});
	assert_int_equal(v->gpr[RDX], 0xa);
	v->gpr[RAX] = 0x10;
	EXECUTE("\x90", .reason = CR_EXIT, .insn_len = 4, .cr = {.reg = 8, .write = true});
	assert_gp();
}

static void test_debug_registers(void **state)
{
	(void)state;
	v->gpr[RAX] = 0x401;
	EXECUTE("\x90", .reason = EXIT_DR, .insn_len = 3, .dr = {.reg = 7, .write = true});
	assert_done(3);
	assert_int_equal(fake_guest(v)->dr7, 0x401);
	v->gpr[RAX] = 0;
	EXECUTE("\x90", .reason = EXIT_DR, .insn_len = 3, .dr = {.reg = 6, .write = true});
	assert_int_equal(fake_guest(v)->dr6, 0xffff0ff0);
	v->gpr[RAX] = BIT(32);
	EXECUTE("\x90", .reason = EXIT_DR, .insn_len = 3, .dr = {.reg = 7, .write = true});
	assert_gp();
	v->gpr[RAX] = 0xffff880000000000;
	EXECUTE("\x90", .reason = EXIT_DR, .insn_len = 3, .dr = {.reg = 3, .write = true});
	assert_int_equal(fake_guest(v)->dr[3], 0xffff880000000000);
}

/* ---- breakpoints on what the processor does not see ---- */

/* Breakpoint 2, enabled globally: R/W and LEN as in DR7. */
static void set_breakpoint(uint64_t address, unsigned int rw, unsigned int len)
{
	fake_guest(v)->dr[2] = address;
	fake_guest(v)->dr7 = 0x400 | BIT(5) | (uint64_t)rw << 24 | (uint64_t)len << 26;
	fake_guest(v)->dr6 = DR6_INIT;
	fake_of(v)->pending_db = false;
	v->st_valid = 0;
}

static void assert_trap(uint64_t dr6)
{
	assert_int_equal(fake_guest(v)->dr6, DR6_INIT | dr6);
	assert_int_equal(fake_of(v)->pending_db, dr6 != 0);
	assert_false(v->pending.valid);
}

static void test_breakpoints_on_device_memory(void **state)
{
	(void)state;
	map(0, DEVICE | PTE_PW);
	v->gpr[RBX] = LINEAR + 0x10;
	set_breakpoint(LINEAR + 0x13, 1, 0); /* the last byte; writes */
	NPF("\x8b\x03");
	assert_trap(0);
	NPF("\x89\x03");
	assert_trap(BIT(2));
	assert_int_equal(fake_guest(v)->rip, CODE + 2);
	set_breakpoint(LINEAR + 0x13, 3, 0); /* reads as well */
	NPF("\x8b\x03");
	assert_trap(BIT(2));
	set_breakpoint(LINEAR + 0x14, 3, 0);
	NPF("\x8b\x03");
	assert_trap(0);
	set_breakpoint(LINEAR + 0x16, 3, 2); /* 8 bytes, from 10h on */
	NPF("\x8b\x03");
	assert_trap(BIT(2));
	/* Not enabled. */
	fake_guest(v)->dr7 &= ~DR7_ENABLED;
	fake_guest(v)->dr6 = DR6_INIT;
	NPF("\x8b\x03");
	assert_int_equal(fake_guest(v)->dr6, DR6_INIT);
	/* What faults has met nothing yet. */
	set_breakpoint(LINEAR + 0xffe, 3, 0);
	v->gpr[RBX] = LINEAR + 0xffe;
	NPF("\x8b\x03");
	assert_int_equal(fake_guest(v)->dr6, DR6_INIT);
	assert_page_fault(LINEAR + 0x1000, 0);
}

static void test_breakpoints_on_ports(void **state)
{
	const struct hv_exit out = {.reason = EXIT_PIO, .insn_len = 1, .pio = {0x501, .size = 1}};
	struct hv_exit x = out;

	(void)state;
	set_breakpoint(0x501, 2, 0);
	execute("\xee", 1, &x);
	assert_trap(0); /* CR4.DE is clear */
	fake_guest(v)->cr4 |= CR4_DE;
	x = out;
	execute("\xee", 1, &x);
	assert_trap(BIT(2));
	assert_int_equal(fake_guest(v)->rip, CODE + 1);
}

/* Between two iterations, as after any instruction. */
static void test_string_traps(void **state)
{
	const struct hv_exit insb = {.reason = EXIT_PIO,
				     .pio = {.port = 0x500, .size = 1, .in = true, .string = true}};
	struct hv_exit x = insb;

	(void)state;
	fake_guest(v)->cr4 |= CR4_DE;
	v->gpr[RDX] = 0x500;
	v->gpr[RCX] = 3;
	v->gpr[RDI] = 0x20000;
	set_breakpoint(0x500, 2, 0);
	execute("\xf3\x6c", 2, &x);
	assert_trap(BIT(2));
	assert_int_equal(fake_guest(v)->rip, CODE);
	assert_int_equal(v->gpr[RCX], 2);
	set_breakpoint(0, 0, 0);
	fake_guest(v)->dr7 = 0x400;
	fake_guest(v)->rflags |= RFLAGS_TF;
	x = insb;
	execute("\xf3\x6c", 2, &x);
	assert_trap(DR6_BS);
	assert_int_equal(fake_guest(v)->rip, CODE);
	assert_int_equal(v->gpr[RCX], 1);
	fake_of(v)->pending_db = false;
	x = insb;
	execute("\xf3\x6c", 2, &x);
	assert_true(fake_of(v)->pending_db); /* the last one's comes with the instruction's end */
	assert_int_equal(fake_guest(v)->rip, CODE + 2);
}

/* ---- guest memory's bounds ---- */

static void test_memory_bounds(void **state)
{
	uint8_t buf[64];

	(void)state;
	assert_ptr_equal(gmem_ptr(vm, FAKE_RAM - 8, 8), vm->ram[0].hva + FAKE_RAM - 8);
	assert_null(gmem_ptr(vm, FAKE_RAM - 8, 9));
	assert_null(gmem_ptr(vm, FAKE_RAM, 1));
	assert_null(gmem_ptr(vm, ~0ull, 1));
	assert_null(gmem_ptr(vm, 0, ~0ull));
	assert_null(gmem_ptr(vm, 8, ~0ull - 4)); /* ends where it began */
	assert_int_equal(gmem_read(vm, FAKE_RAM - 32, buf, 64), -EFAULT);
	assert_int_equal(gmem_write(vm, ~0ull - 31, buf, 64), -EFAULT);
	assert_int_equal(gmem_set(vm, 8, 0, ~0ull - 4), -EFAULT);
	assert_int_equal(gmem_read(vm, ~0ull, buf, 0), 0);
}

/* Two extents that touch for the guest and not for the host. */
static void test_memory_across_extents(void **state)
{
	static uint8_t other[PAGE_SIZE];
	uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8}, back[8];

	(void)state;
	vm->ram[1] = (struct vm_ram){FAKE_RAM, sizeof(other), other};
	vm->ram_count = 2;
	assert_null(gmem_ptr(vm, FAKE_RAM - 4, 8));
	assert_int_equal(gmem_write(vm, FAKE_RAM - 3, bytes, 8), 0);
	assert_int_equal(other[4], 8);
	assert_int_equal(vm->ram[0].hva[FAKE_RAM - 1], 3);
	assert_int_equal(gmem_read(vm, FAKE_RAM - 3, back, 8), 0);
	assert_memory_equal(bytes, back, 8);
	assert_int_equal(gmem_set(vm, FAKE_RAM - 1, 9, 2), 0);
	assert_int_equal(other[0], 9);
	assert_int_equal(gmem_low_end(vm), FAKE_RAM + sizeof(other));
	assert_int_equal(gmem_high_end(vm), GIB(4));
}

#define T(name)                                           \
	{                                                 \
#name, test_##name, setup, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(read_and_write),
		T(accessed_and_dirty),
		T(faults_of_the_operand),
		T(protection_keys),
		T(across_a_page),
		T(across_a_page_that_is_not_there),
		T(tables_outside_ram),
		T(nobody_home),
		T(local_apic),
		T(fetch_from_nowhere),
		T(port_sizes),
		T(string_ports),
		T(string_ports_take_turns),
		T(string_ports_fault),
		T(names_of_exits),
		T(hypercall),
		T(privileged_instructions),
		T(hidden_instructions),
		T(monitor_and_mwait),
		T(what_crashes),
		T(notify_exit),
		T(moves_of_cr0),
		T(moves_have_32_bits),
		T(decoded_moves),
		T(cr8),
		T(debug_registers),
		T(memory_bounds),
		T(memory_across_extents),
		T(xmm),
		T(wide_and_mmx),
		T(instruction_that_cannot_be_executed),
		T(breakpoints_on_device_memory),
		T(breakpoints_on_ports),
		T(string_traps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
