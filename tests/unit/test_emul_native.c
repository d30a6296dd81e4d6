/* links: emul/exec.c emul/string.c emul/alu.c emul/decode.c emul/tables.c emul/walk.c */
#include <asm/prctl.h>
#include <cpuid.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "emul/alu.h"
#include "emul/emul.h"
#include "lib/err.h"
#include "lib/util.h"

/*
 * The oracle is the processor that the test runs on: each generated instruction runs here in this
 * process, and in emul/ on a copy of the same registers and memory.
 */

enum { ARENA = 2048, MIDDLE = ARENA / 2, GS_BASE = 0x12340 };

struct native {
	uint64_t gpr[16];
	uint64_t rflags;
};

/* All registers of N are loaded, RSP too, the code is run, and all are stored. */
void native_run(struct native *n, const void *code);
extern const char native_return[];

__asm__(".text\n"
	"native_run:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov %rdi, native_regs(%rip)\n"
	"	mov %rsp, native_rsp(%rip)\n"
	"	mov %rsi, native_code(%rip)\n"
	"	push 128(%rdi); popfq\n"
	"	mov (%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx\n"
	"	mov 32(%rdi), %rsp; mov 40(%rdi), %rbp; mov 48(%rdi), %rsi\n"
	"	mov 64(%rdi), %r8; mov 72(%rdi), %r9; mov 80(%rdi), %r10; mov 88(%rdi), %r11\n"
	"	mov 96(%rdi), %r12; mov 104(%rdi), %r13; mov 112(%rdi), %r14; mov 120(%rdi), %r15\n"
	"	mov 56(%rdi), %rdi\n"
	"	jmp *native_code(%rip)\n"
	"native_return:\n"
	"	mov %rdi, native_rdi(%rip)\n"
	"	mov native_regs(%rip), %rdi\n"
	"	mov %rax, (%rdi); mov %rcx, 8(%rdi); mov %rdx, 16(%rdi); mov %rbx, 24(%rdi)\n"
	"	mov %rsp, 32(%rdi); mov %rbp, 40(%rdi); mov %rsi, 48(%rdi)\n"
	"	mov %r8, 64(%rdi); mov %r9, 72(%rdi); mov %r10, 80(%rdi); mov %r11, 88(%rdi)\n"
	"	mov %r12, 96(%rdi); mov %r13, 104(%rdi); mov %r14, 112(%rdi); mov %r15, 120(%rdi)\n"
	"	mov native_rdi(%rip), %rax; mov %rax, 56(%rdi)\n"
	"	mov native_rsp(%rip), %rsp\n"
	"	pushfq; pop 128(%rdi); cld\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n"
	".bss\n"
	"native_regs: .quad 0\n"
	"native_rsp: .quad 0\n"
	"native_code: .quad 0\n"
	"native_rdi: .quad 0\n"
	".text\n");

static uint64_t random_state = 1;

/* xorshift64*: the same numbers on every machine. */
static uint64_t random_bits(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1dULL;
}

static unsigned int pick(unsigned int n)
{
	return (random_bits() >> 32) % n;
}

/* ---- memory: `arena` for the processor, `shadow` for emul/, at the arena's addresses ---- */

static uint8_t *code, *arena, shadow[ARENA], before[ARENA];

static uint8_t *shadow_at(uint64_t linear, unsigned int size)
{
	uint64_t offset = linear - (uintptr_t)arena;

	if (offset >= ARENA || size > ARENA - offset)
		fail_msg("an access to %#llx", (unsigned long long)linear);
	return shadow + offset;
}

static int fetch(void *ctx, uint64_t linear, void *buf, unsigned int size)
{
	(void)ctx;
	memcpy(buf, (const void *)linear, size);
	return 0;
}

static int read_memory(void *ctx, uint64_t linear, void *buf, unsigned int size,
		       enum emul_access access)
{
	(void)ctx;
	(void)access;
	memcpy(buf, shadow_at(linear, size), size);
	return 0;
}

static int write_memory(void *ctx, uint64_t linear, const void *buf, unsigned int size)
{
	(void)ctx;
	memcpy(shadow_at(linear, size), buf, size);
	return 0;
}

static int probe_write(void *ctx, uint64_t linear, unsigned int size)
{
	(void)ctx;
	shadow_at(linear, size);
	return 0;
}

static const struct emul_ops ops = {.fetch = fetch,
				    .read = read_memory,
				    .write = write_memory,
				    .probe_write = probe_write};

static uint16_t selectors[EMUL_SEG_COUNT];

static int set_up(void **state)
{
	const int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT;

	(void)state;
	code = mmap(NULL, 4096, prot | PROT_EXEC, flags, -1, 0);
	arena = mmap(NULL, ARENA, prot, flags, -1, 0);
	assert_true(code != MAP_FAILED && arena != MAP_FAILED);
	assert_int_equal(syscall(SYS_arch_prctl, ARCH_SET_GS, GS_BASE), 0);
	__asm__("mov %%es, %0; mov %%cs, %1; mov %%ss, %2; mov %%ds, %3; mov %%fs, %4; mov %%gs, %5"
		: "=m"(selectors[0]), "=m"(selectors[1]), "=m"(selectors[2]), "=m"(selectors[3]),
		  "=m"(selectors[4]), "=m"(selectors[5]));
	return 0;
}

/* ---- making one instruction and registers that suit it ---- */

struct trial {
	uint8_t bytes[INSN_MAX];
	struct insn insn;
	struct native regs;
};

static const uint8_t one_byte[] = {0x00, 0x01, 0x02, 0x03, 0x08, 0x09, 0x0a, 0x0b, 0x10, 0x11,
				   0x12, 0x13, 0x18, 0x19, 0x1a, 0x1b, 0x20, 0x21, 0x22, 0x23,
				   0x28, 0x29, 0x2a, 0x2b, 0x30, 0x31, 0x32, 0x33, 0x38, 0x39,
				   0x3a, 0x3b, 0x63, 0x80, 0x81, 0x83, 0x84, 0x85, 0x86, 0x87,
				   0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8f, 0xa0, 0xa1, 0xa2, 0xa3,
				   0xc0, 0xc1, 0xc6, 0xc7, 0xd0, 0xd1, 0xd2, 0xd3, 0xf6, 0xf7,
				   0xf6, 0xf7, 0xfe, 0xff, 0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab,
				   0xac, 0xad, 0xae, 0xaf, 0x69, 0x6b, 0xf6, 0xf7};
static const uint8_t two_bytes[] = {0x40, 0x44, 0x4c, 0x97, 0x9a, 0x9e, 0xa3, 0xab,
				    0xb3, 0xbb, 0xba, 0xba, 0xb0, 0xb1, 0xb6, 0xb7,
				    0xbe, 0xbf, 0xc0, 0xc1, 0xc3, 0xc7, 0xc7, 0xa4,
				    0xa5, 0xac, 0xad, 0xaf, 0xbc, 0xbd, 0xb8};

static bool have_movbe(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_MOVBE);
}

/* Where they are not there, their encodings are BSF's and BSR's. */
static bool have_bit_counts(void)
{
	unsigned int a, b, c, d;
	bool bmi = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_BMI);

	return bmi && __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & bit_LZCNT);
}

static bool is_bit_count(unsigned int op)
{
	return op == OP_TZCNT || op == OP_LZCNT || op == OP_POPCNT;
}

static void generate_bytes(struct trial *t)
{
	static const uint8_t prefixes[] = {0x66, 0x66, 0x67, 0x65, 0xf2, 0xf3, 0xf0};
	static int movbe = -1;
	unsigned int n = 0, map = pick(16);

	if (movbe < 0)
		movbe = have_movbe();
	for (unsigned int i = 0; i < sizeof(t->bytes); i++)
		t->bytes[i] = random_bits() >> 24;
	for (unsigned int i = pick(3); i; i--)
		t->bytes[n++] = prefixes[pick(ARRAY_SIZE(prefixes))];
	if (pick(2))
		t->bytes[n++] = 0x40 | pick(16);
	if (map > 9) {
		t->bytes[n++] = 0x0f;
		t->bytes[n++] = two_bytes[pick(ARRAY_SIZE(two_bytes))];
	} else if (map == 9 && movbe) {
		t->bytes[n++] = 0x0f;
		t->bytes[n++] = 0x38;
		t->bytes[n++] = 0xf0 | pick(2);
	} else {
		t->bytes[n++] = one_byte[pick(ARRAY_SIZE(one_byte))];
	}
}

static bool is_string(const struct insn *i)
{
	return i->op >= OP_MOVS && i->op <= OP_SCAS;
}

static bool is_bit_in_register(const struct insn *i)
{
	return i->mem && i->op >= OP_BT && i->op <= OP_BTC && i->src == OPND_REG;
}

/* Rewrites the displacement. False when the instruction has none of WIDTH bytes. */
static bool patch(struct trial *t, uint64_t disp, unsigned int width)
{
	for (unsigned int at = 1; at + width <= t->insn.length; at++) {
		uint8_t bytes[INSN_MAX];
		struct insn again;

		memcpy(bytes, t->bytes, sizeof(bytes));
		memcpy(bytes + at, &disp, width);
		if (insn_decode(&again, bytes, sizeof(bytes), EMUL_MODE_64) ||
		    (uint64_t)again.disp != disp || again.length != t->insn.length ||
		    again.opcode != t->insn.opcode || again.op != t->insn.op ||
		    again.base != t->insn.base || again.index != t->insn.index)
			continue;
		memcpy(t->bytes, bytes, sizeof(bytes));
		t->insn = again;
		return true;
	}
	return false;
}

/* Makes the memory operand lie in the arena, by its base or by its displacement. */
static bool place_operand(struct trial *t)
{
	struct insn *i = &t->insn;
	uint64_t target = (uintptr_t)arena + MIDDLE / 2 + pick(MIDDLE);
	uint64_t index = 0;

	/* 64-bit mode takes the base of FS and GS alone; FS is the C library's. */
	if (i->seg == EMUL_FS)
		return false;
	if (i->seg == EMUL_GS)
		target -= GS_BASE;
	if (i->op == OP_CMPXCHG8B && i->op_size == 16)
		target &= ~15ULL;
	if (!i->has_modrm)
		return patch(t, target, i->addr_size);
	if (i->index != EMUL_NO_REG) {
		if (i->index == i->base)
			return false;
		t->regs.gpr[i->index] = (int64_t)(random_bits()) >> 40;
		index = t->regs.gpr[i->index] * i->scale;
	}
	if (i->base == EMUL_NO_REG)
		return patch(t, target - index, 4);
	if (i->base == EMUL_RIP)
		return patch(t, target - (uintptr_t)code - i->length, 4);
	t->regs.gpr[i->base] = target - index - i->disp;
	if (i->addr_size == 4)
		t->regs.gpr[i->base] = (uint32_t)t->regs.gpr[i->base] | random_bits() << 32;
	return true;
}

/* Half of all comparisons shall find what they look for. */
static void make_equal(struct trial *t)
{
	const struct insn *i = &t->insn;
	uint64_t address, value = 0;

	if (!i->mem || i->base >= 16 || i->base == EMUL_RAX || i->base == EMUL_RDX || pick(2))
		return;
	address = t->regs.gpr[i->base] + i->disp;
	if (i->index != EMUL_NO_REG)
		address += t->regs.gpr[i->index] * i->scale;
	if (i->addr_size == 4)
		address = (uint32_t)address;
	if (i->seg == EMUL_GS)
		address += GS_BASE;
	if (i->op == OP_CMPXCHG && i->index != EMUL_RAX) {
		memcpy(&value, shadow_at(address, i->op_size), i->op_size);
		t->regs.gpr[EMUL_RAX] = value;
	} else if (i->index != EMUL_RAX && i->index != EMUL_RDX) {
		memcpy(&t->regs.gpr[EMUL_RAX], shadow_at(address, 8), i->op_size / 2);
		memcpy(&t->regs.gpr[EMUL_RDX], shadow_at(address + i->op_size / 2, 8),
		       i->op_size / 2);
	}
}

static bool place_string(struct trial *t)
{
	uint64_t *gpr = t->regs.gpr;
	uint64_t high = t->insn.addr_size == 4 ? random_bits() << 32 : 0;

	if (t->insn.seg == EMUL_FS)
		return false;
	gpr[EMUL_RSI] = ((uintptr_t)arena + MIDDLE - 200 + pick(400)) | high;
	if (t->insn.seg == EMUL_GS)
		gpr[EMUL_RSI] -= GS_BASE;
	gpr[EMUL_RDI] = ((uintptr_t)arena + MIDDLE - 200 + pick(400)) | high;
	gpr[EMUL_RCX] = pick(40) | high;
	/* Without iterations, processors differ in what becomes of the upper halves. */
	return t->insn.addr_size == 8 || !t->insn.rep || (gpr[EMUL_RCX] & 0xff);
}

static bool stack_is_in_arena(const struct trial *t)
{
	uint64_t offset = t->regs.gpr[EMUL_RSP] - (uintptr_t)arena;

	return (t->insn.op != OP_PUSH && t->insn.op != OP_POP) ||
	       (offset >= 8 && offset < ARENA - 8);
}

static bool is_double_shift_undefined(const struct trial *t)
{
	uint64_t count = t->insn.opcode & 1 ? t->regs.gpr[EMUL_RCX] : (uint64_t)t->insn.imm;

	return (t->insn.op == OP_SHLD || t->insn.op == OP_SHRD) && t->insn.op_size == 2 &&
	       (count & 31) > 16;
}

static bool prepare(struct trial *t)
{
	generate_bytes(t);
	if (insn_decode(&t->insn, t->bytes, sizeof(t->bytes), EMUL_MODE_64) || !t->insn.op)
		return false;
	for (unsigned int i = 0; i < 16; i++)
		t->regs.gpr[i] = pick(4) ? random_bits() : (uint64_t)((int64_t)random_bits() >> 60);
	t->regs.gpr[EMUL_RSP] = (uintptr_t)arena + MIDDLE;
	t->regs.rflags = (random_bits() & (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF |
					   RFLAGS_SF | RFLAGS_OF | RFLAGS_DF)) |
			 0x202;
	if (is_string(&t->insn))
		return place_string(t);
	if (is_bit_count(t->insn.op) && !have_bit_counts())
		return false;
	/* Quotients that fit, more often than chance would have them. */
	if ((t->insn.op == OP_DIV || t->insn.op == OP_IDIV) && pick(8)) {
		t->regs.gpr[EMUL_RAX] &= t->insn.op_size == 1 ? 0x7f : 0x7fff;
		t->regs.gpr[EMUL_RDX] = 0;
	}
	/* The stack pointer must stay one; and makers differ in a failed CMPXCHG of registers. */
	if (!t->insn.mem)
		return t->insn.op != OP_PUSH && t->insn.op != OP_POP && t->insn.op != OP_CMPXCHG;
	if (is_bit_in_register(&t->insn)) {
		if (t->insn.reg == t->insn.base || t->insn.reg == t->insn.index)
			return false;
		t->regs.gpr[t->insn.reg] =
			alu_zero_extend((uint64_t)pick(3000) - 1500, t->insn.op_size) |
			(t->insn.op_size < 8 ? random_bits() << 32 : 0);
	}
	return place_operand(t) && stack_is_in_arena(t);
}

/* ---- running both and comparing ---- */

/* The flags that the manual leaves open after this instruction. */
static uint64_t undefined_flags(const struct trial *t)
{
	const struct insn *i = &t->insn;
	unsigned int count = i->src == OPND_ONE	 ? 1
			     : i->src == OPND_CL ? t->regs.gpr[EMUL_RCX]
						 : (unsigned int)i->imm;

	switch (i->op) {
	case OP_AND:
	case OP_OR:
	case OP_XOR:
	case OP_TEST:
		return RFLAGS_AF;
	case OP_BT:
	case OP_BTS:
	case OP_BTR:
	case OP_BTC:
		return RFLAGS_OF | RFLAGS_SF | RFLAGS_AF | RFLAGS_PF;
	case OP_ROL:
	case OP_ROR:
	case OP_RCL:
	case OP_RCR:
	case OP_SHL:
	case OP_SHR:
	case OP_SAL:
	case OP_SAR:
		count &= i->op_size == 8 ? 63 : 31;
		if (count == 0)
			return 0;
		return (count == 1 ? 0 : RFLAGS_OF) | (i->op >= OP_SHL ? RFLAGS_AF : 0) |
		       (i->op >= OP_SHL && i->op < OP_SAR && count >= 8u * i->op_size ? RFLAGS_CF
										      : 0);
	case OP_SHLD:
	case OP_SHRD:
		count = t->insn.opcode & 1 ? t->regs.gpr[EMUL_RCX] : (unsigned int)i->imm;
		count &= i->op_size == 8 ? 63 : 31;
		return count ? RFLAGS_AF | (count > 1 ? RFLAGS_OF : 0) : 0;
	case OP_BSF:
	case OP_BSR:
		return RFLAGS_CF | RFLAGS_OF | RFLAGS_SF | RFLAGS_AF | RFLAGS_PF;
	case OP_TZCNT:
	case OP_LZCNT:
		return RFLAGS_OF | RFLAGS_SF | RFLAGS_AF | RFLAGS_PF;
	case OP_MUL:
	case OP_IMUL:
	case OP_IMUL_REG:
	case OP_IMUL_IMM:
		return RFLAGS_SF | RFLAGS_ZF | RFLAGS_AF | RFLAGS_PF;
	case OP_DIV:
	case OP_IDIV:
		return RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF;
	default:
		return 0;
	}
}

static void complain(const struct trial *t, const char *what, uint64_t got, uint64_t want)
{
	char bytes[64] = "";

	for (unsigned int i = 0; i < t->insn.length; i++)
		sprintf(bytes + 3 * i, "%02x ", t->bytes[i]);
	fail_msg("%s: %s is %#llx, the processor has %#llx", bytes, what, (unsigned long long)got,
		 (unsigned long long)want);
}

static void place_code(const struct trial *t)
{
	static const uint8_t jump[] = {0xff, 0x25, 0, 0, 0, 0};
	const void *target = native_return;

	memcpy(code, t->bytes, t->insn.length);
	memcpy(code + t->insn.length, jump, sizeof(jump));
	memcpy(code + t->insn.length + sizeof(jump), &target, sizeof(target));
}

static enum emul_result run_emul(const struct trial *t, struct emul_cpu *cpu)
{
	enum emul_result r;

	memset(cpu, 0, sizeof(*cpu));
	memcpy(cpu->gpr, t->regs.gpr, sizeof(cpu->gpr));
	cpu->rflags = t->regs.rflags;
	cpu->rip = (uintptr_t)code;
	cpu->cr0 = 0x80000001;
	cpu->mode = EMUL_MODE_64;
	cpu->cpl = 3;
	cpu->rep_max = 1 + pick(50);
	cpu->seg[EMUL_GS].base = GS_BASE;
	for (unsigned int i = 0; i < EMUL_SEG_COUNT; i++)
		cpu->seg[i].selector = selectors[i];
	/* Half of the bytes come from the processor, as with AMD-V's decode assists. */
	do {
		r = emul_exec(cpu, &ops, NULL, t->bytes, pick(2) * pick(t->insn.length + 1));
	} while (r == EMUL_REP);
	return r;
}

static void compare(const struct trial *t)
{
	static const char *const names[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					    "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
	uint64_t defined = ~undefined_flags(t);
	struct emul_cpu cpu;
	struct native n;

	enum emul_result r;

	place_code(t);
	r = run_emul(t, &cpu);

	/* The processor's own would be a signal: test_emul_exec knows what divides. */
	if (r == EMUL_EXCEPTION && cpu.exc.vector == 0 &&
	    (t->insn.op == OP_DIV || t->insn.op == OP_IDIV))
		return;
	n = t->regs;
	native_run(&n, code);
	if (r != EMUL_DONE)
		complain(t, "the result", cpu.exc.vector, EMUL_DONE);
	for (unsigned int i = 0; i < 16; i++)
		if (cpu.gpr[i] != n.gpr[i])
			complain(t, names[i], cpu.gpr[i], n.gpr[i]);
	if ((cpu.rflags ^ n.rflags) & defined)
		complain(t, "rflags", cpu.rflags & defined, n.rflags & defined);
	if (cpu.rip != (uintptr_t)code + t->insn.length)
		complain(t, "rip", cpu.rip, (uintptr_t)code + t->insn.length);
	for (unsigned int i = 0; i < ARENA; i++)
		if (shadow[i] != arena[i])
			complain(t, "memory", shadow[i], arena[i]);
}

static void test_against_processor(void **state)
{
	const char *wish = getenv("EMUL_NATIVE_COUNT");
	unsigned long count = wish ? strtoul(wish, NULL, 0) : 1000000;
	unsigned long met[OP_COUNT] = {0};

	(void)state;
	for (unsigned int i = 0; i < ARENA; i++)
		before[i] = random_bits() >> 24;
	for (unsigned long i = 0; i < count; i++) {
		struct trial t;

		memcpy(shadow, before, ARENA);
		memcpy(arena, before, ARENA);
		while (!prepare(&t) || is_double_shift_undefined(&t))
			;
		if (t.insn.op == OP_CMPXCHG || t.insn.op == OP_CMPXCHG8B)
			make_equal(&t);
		compare(&t);
		met[t.insn.op]++;
	}
	for (unsigned int op = OP_NONE + 1; op < OP_INS; op++)
		if (met[op] < (is_bit_count(op) ? 1 : count / 2000) &&
		    (op != OP_MOVBE || have_movbe()) && (!is_bit_count(op) || have_bit_counts()) &&
		    op != OP_MOV_VECTOR && op != OP_SMSW && op != OP_CLFLUSH)
			fail_msg("only %lu of instruction %u", met[op], op);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_processor)};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
