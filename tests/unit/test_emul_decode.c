/* links: emul/decode.c emul/tables.c -lZydis */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <Zydis/Zydis.h>

#include "emul/insn.h"
#include "lib/err.h"
#include "lib/util.h"

/* ---- by hand: what AMD-V without next-RIP asks for, with prefixes, and the limits ---- */

static const struct {
	const char *name;
	enum emul_mode mode;
	int want;
	uint8_t bytes[16];
} lengths[] = {
	{"cpuid", 64, 2, {0x0f, 0xa2}},
	{"rex.w cpuid", 64, 3, {0x48, 0x0f, 0xa2}},
	{"66 cpuid", 16, 3, {0x66, 0x0f, 0xa2}},
	{"rdmsr", 64, 2, {0x0f, 0x32}},
	{"repne wrmsr", 32, 3, {0xf2, 0x0f, 0x30}},
	{"vmmcall", 64, 3, {0x0f, 0x01, 0xd9}},
	{"fs vmmcall", 64, 4, {0x64, 0x0f, 0x01, 0xd9}},
	{"xsetbv", 64, 3, {0x0f, 0x01, 0xd1}},
	{"hlt", 64, 1, {0xf4}},
	{"rep hlt", 16, 2, {0xf3, 0xf4}},
	{"in al, 80h", 16, 2, {0xe4, 0x80}},
	{"66 in ax, 80h", 64, 3, {0x66, 0xe5, 0x80}},
	{"out dx, al", 32, 1, {0xee}},
	{"mov rax, cr0", 64, 3, {0x0f, 0x20, 0xc0}},
	{"mov r15, cr8", 64, 4, {0x45, 0x0f, 0x20, 0xc7}},
	{"lock mov eax, cr0", 32, 4, {0xf0, 0x0f, 0x20, 0xc0}},
	{"mov cr3, with mod 0 and rm 5", 64, 3, {0x0f, 0x22, 0x1d}},
	{"mov dr7, rax", 64, 3, {0x0f, 0x23, 0xf8}},
	{"clts", 64, 2, {0x0f, 0x06}},
	{"lmsw [bx+1234h]", 16, 5, {0x0f, 0x01, 0xb7, 0x34, 0x12}},
	{"invlpg [rip+x]", 64, 7, {0x0f, 0x01, 0x3d, 1, 2, 3, 4}},
	{"invlpg [rax+r12*8+disp32]", 64, 9, {0x42, 0x0f, 0x01, 0xbc, 0xe0, 1, 2, 3, 4}},
	{"pause", 64, 2, {0xf3, 0x90}},
	{"rdtscp", 64, 3, {0x0f, 0x01, 0xf9}},
	{"int 80h", 64, 2, {0xcd, 0x80}},
	{"icebp", 64, 1, {0xf1}},
	{"iretq", 64, 2, {0x48, 0xcf}},
	{"wbinvd", 64, 2, {0x0f, 0x09}},
	{"mov [moffs64], eax", 64, 9, {0xa3, 1, 2, 3, 4, 5, 6, 7, 8}},
	{"67 mov [moffs32], eax", 64, 6, {0x67, 0xa3, 1, 2, 3, 4}},
	{"mov r10, imm64", 64, 10, {0x49, 0xba, 1, 2, 3, 4, 5, 6, 7, 8}},
	{"jmp far 1234:5678", 16, 5, {0xea, 0x78, 0x56, 0x34, 0x12}},
	{"jmp far in 64-bit mode", 64, -EINVAL, {0xea, 0x78, 0x56, 0x34, 0x12}},
	{"enter", 64, 4, {0xc8, 0x10, 0x00, 0x01}},
	{"dec eax; not a REX prefix", 32, 1, {0x48, 0x0f, 0xa2}},
	{"a REX prefix that does not count", 64, 4, {0x48, 0x66, 0x0f, 0x32}},
	{"lock on a register", 64, -EINVAL, {0xf0, 0x01, 0xc0}},
	{"lock on a load", 64, -EINVAL, {0xf0, 0x03, 0x00}},
	{"lock add [rax], eax", 64, 3, {0xf0, 0x01, 0x00}},
	{"lock mov [rax], eax", 64, -EINVAL, {0xf0, 0x89, 0x00}},
	{"0f 04", 64, -EINVAL, {0x0f, 0x04}},
	{"15 bytes",
	 64,
	 15,
	 {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
	  0x90}},
	{"16 bytes",
	 64,
	 -E2BIG,
	 {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
	  0x90}},
	{"16 bytes with its displacement",
	 64,
	 -E2BIG,
	 {0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x8b, 0x80, 1, 2, 3, 4}},
	{"vex with a lock", 64, -EINVAL, {0xf0, 0xc5, 0xf8, 0x77}},
	{"vzeroupper", 64, 3, {0xc5, 0xf8, 0x77}},
	{"les in 32-bit mode", 32, 2, {0xc4, 0x00}},
};

static void test_known_lengths(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		int got = emul_length(lengths[i].bytes, 16, lengths[i].mode);

		if (got != lengths[i].want)
			fail_msg("%s: %d, wanted %d", lengths[i].name, got, lengths[i].want);
	}
}

/* ---- against Zydis ---- */

static uint64_t random_state = 1;

/* xorshift64*: the same numbers on every machine. */
static uint64_t random_bits(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1dULL;
}

struct oracle {
	ZydisDecoder decoder;
	enum emul_mode mode;
};

static struct oracle oracles[3];

static int set_up(void **state)
{
	static const struct {
		enum emul_mode mode;
		ZydisMachineMode machine;
		ZydisStackWidth stack;
	} modes[] = {
		{EMUL_MODE_16, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
		{EMUL_MODE_32, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
		{EMUL_MODE_64, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		oracles[i].mode = modes[i].mode;
		ZydisDecoderInit(&oracles[i].decoder, modes[i].machine, modes[i].stack);
	}
	return 0;
}

/* How Zydis calls what emul/exec.c executes; the whole name, or with '*' how it begins. */
static const char *const names[OP_COUNT] = {
	[OP_ADD] = "add",
	[OP_OR] = "or",
	[OP_ADC] = "adc",
	[OP_SBB] = "sbb",
	[OP_AND] = "and",
	[OP_SUB] = "sub",
	[OP_XOR] = "xor",
	[OP_CMP] = "cmp",
	[OP_TEST] = "test",
	[OP_NOT] = "not",
	[OP_NEG] = "neg",
	[OP_INC] = "inc",
	[OP_DEC] = "dec",
	[OP_ROL] = "rol",
	[OP_ROR] = "ror",
	[OP_RCL] = "rcl",
	[OP_RCR] = "rcr",
	[OP_SHL] = "shl",
	[OP_SHR] = "shr",
	[OP_SAL] = "shl",
	[OP_SAR] = "sar",
	[OP_BT] = "bt",
	[OP_BTS] = "bts",
	[OP_BTR] = "btr",
	[OP_BTC] = "btc",
	[OP_MOV] = "mov",
	[OP_MOVZX] = "movzx",
	[OP_MOVSX] = "movsx*",
	[OP_MOVBE] = "movbe",
	[OP_MOVNTI] = "movnti",
	[OP_CMOV] = "cmov*",
	[OP_SETCC] = "set*",
	[OP_XCHG] = "xchg",
	[OP_XADD] = "xadd",
	[OP_CMPXCHG] = "cmpxchg",
	[OP_PUSH] = "push",
	[OP_POP] = "pop",
	[OP_MOVS] = "movs*",
	[OP_CMPS] = "cmps*",
	[OP_STOS] = "stos*",
	[OP_LODS] = "lods*",
	[OP_SCAS] = "scas*",
	[OP_INS] = "ins*",
	[OP_OUTS] = "outs*",
	[OP_CMPXCHG8B] = "cmpxchg*",
	[OP_SHLD] = "shld",
	[OP_SHRD] = "shrd",
	[OP_MUL] = "mul",
	[OP_IMUL] = "imul",
	[OP_DIV] = "div",
	[OP_IDIV] = "idiv",
	[OP_IMUL_REG] = "imul",
	[OP_IMUL_IMM] = "imul",
	[OP_MOV_XMM] = "*", /* more than one mnemonic: sizes, direction and register tell */
};

static bool called(const char *pattern, const char *name)
{
	size_t len = strlen(pattern);

	if (pattern[len - 1] == '*')
		return strncmp(pattern, name, len - 1) == 0;
	return strcmp(pattern, name) == 0;
}

struct sample {
	uint8_t bytes[16];
	const struct oracle *oracle;
	struct insn insn;
	ZydisDecodedInstruction z;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

static void complain(const struct sample *s, const char *what, long long got, long long want)
{
	char bytes[64] = "";

	for (unsigned int i = 0; i < 15; i++)
		sprintf(bytes + 3 * i, "%02x ", s->bytes[i]);
	fail_msg("%s(%d-bit) %s: %s is %lld, wanted %lld", bytes, s->oracle->mode,
		 ZydisMnemonicGetString(s->z.mnemonic), what, got, want);
}

#define SAME(s, what, got, want)                                                \
	do {                                                                    \
		if ((long long)(got) != (long long)(want))                      \
			complain(s, what, (long long)(got), (long long)(want)); \
	} while (0)

static int register_number(ZydisRegister r)
{
	if (r == ZYDIS_REGISTER_NONE)
		return EMUL_NO_REG;
	if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP)
		return EMUL_RIP;
	return ZydisRegisterGetId(r);
}

static bool is_string(const struct insn *i)
{
	return i->op >= OP_MOVS && i->op <= OP_OUTS;
}

static const ZydisDecodedOperand *visible_memory(const struct sample *s)
{
	for (unsigned int i = 0; i < s->z.operand_count_visible; i++)
		if (s->operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			return &s->operands[i];
	return NULL;
}

static void compare_memory(const struct sample *s)
{
	const ZydisDecodedOperand *m = visible_memory(s);
	const struct insn *i = &s->insn;
	bool is_source = i->src == OPND_RM;

	SAME(s, "a memory operand", i->mem, m != NULL);
	if (!m)
		return;
	SAME(s, "address size", i->addr_size * 8, s->z.address_width);
	SAME(s, "segment", i->seg, m->mem.segment - ZYDIS_REGISTER_ES);
	/*
	 * Zydis 4.0 sees R13D and no displacement here; a processor does not (SDM vol. 2 table
	 * 2-5).
	 */
	if (i->addr_size == 4 && s->z.raw.modrm.mod == 0 && m->mem.base == ZYDIS_REGISTER_R13D)
		return;
	SAME(s, "base", i->base, register_number(m->mem.base));
	SAME(s, "index", i->index, register_number(m->mem.index));
	if (i->index != EMUL_NO_REG)
		SAME(s, "scale", i->scale, MAX(m->mem.scale, 1));
	if (i->has_modrm)
		SAME(s, "displacement", i->disp,
		     m->mem.disp.has_displacement ? m->mem.disp.value : 0);
	else /* MOV's offsets have no sign */
		SAME(s, "offset", i->disp, m->mem.disp.value & (~0ULL >> (64 - 8 * i->addr_size)));
	SAME(s, "operand size", (is_source ? i->src_size : i->op_size) * 8, m->size);
}

/* The other operands, by the number of the register or the value. */
static void compare_operand(const struct sample *s, const ZydisDecodedOperand *o, unsigned int kind)
{
	const struct insn *i = &s->insn;
	unsigned int number = kind == OPND_RM ? i->rm : i->reg;
	/* A count is a byte; other immediates are as wide as the operand. */
	bool count = (i->op >= OP_ROL && i->op <= OP_BTC) || i->op == OP_SHLD || i->op == OP_SHRD;
	uint64_t mask = ~0ULL >> (count ? 56 : 64 - 8 * MIN(i->op_size, 8));

	if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		SAME(s, "operand kind", kind == OPND_IMM || kind == OPND_ONE, true);
		if (kind == OPND_IMM)
			SAME(s, "immediate", i->imm & mask, o->imm.value.u & mask);
	} else if (o->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		   (kind == OPND_RM || kind == OPND_REG)) {
		ZydisRegister r = o->reg.value;

		if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
			SAME(s, "REX prefix", i->rex, 0);
		if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_DIL)
			SAME(s, "no REX prefix", i->rex == 0, false);
		/* Zydis counts AH to BH apart from SPL to DIL; their numbers are the same. */
		SAME(s, "register", number,
		     ZydisRegisterGetId(r) -
			     (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B ? 4 : 0));
		/*
		 * Of MOVSXD with a word destination a processor reads all 32 bits from memory
		 * alone.
		 */
		if (i->opcode == 0x63 && kind == i->src)
			return;
		SAME(s, "register's size", (kind == i->src ? i->src_size : i->op_size) * 8,
		     ZydisRegisterGetWidth(s->oracle->decoder.machine_mode, r));
	} else if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && kind == OPND_XMM) {
		SAME(s, "XMM register", i->reg, o->reg.value - ZYDIS_REGISTER_XMM0);
	} else if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && kind == OPND_SREG) {
		SAME(s, "segment register", i->reg & 7, o->reg.value - ZYDIS_REGISTER_ES);
	}
}

static void compare_string(const struct sample *s)
{
	const struct insn *i = &s->insn;

	SAME(s, "address size", i->addr_size * 8, s->z.address_width);
	for (unsigned int n = 0; n < s->z.operand_count; n++) {
		const ZydisDecodedOperand *o = &s->operands[n];

		if (o->type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		SAME(s, "element size", i->op_size * 8, o->size);
		if (ZydisRegisterGetId(o->mem.base) == EMUL_RSI)
			SAME(s, "segment", i->seg, o->mem.segment - ZYDIS_REGISTER_ES);
	}
}

static void compare_meaning(const struct sample *s)
{
	const struct insn *i = &s->insn;
	const char *name = ZydisMnemonicGetString(s->z.mnemonic);

	SAME(s, "instruction", called(names[i->op], name), true);
	SAME(s, "lock", i->lock, (s->z.attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0);
	if (is_string(i)) {
		compare_string(s);
		return;
	}
	compare_memory(s);
	if (i->dst != OPND_NONE)
		compare_operand(s, &s->operands[0], i->dst);
	if (i->src != OPND_NONE)
		compare_operand(s, &s->operands[i->dst != OPND_NONE], i->src);
	if ((i->op == OP_SHLD || i->op == OP_SHRD || i->op == OP_IMUL_IMM) &&
	    s->operands[2].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		compare_operand(s, &s->operands[2], OPND_IMM);
}

/*
 * All of Zydis' ADD to OUTS with a memory operand must be known; loading a segment register is not.
 */
static void compare_unknown(const struct sample *s)
{
	const char *name = ZydisMnemonicGetString(s->z.mnemonic);

	if (!visible_memory(s) || s->z.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
	    s->insn.opcode == 0x8e)
		return;
	for (unsigned int op = OP_NONE + 1; op < OP_COUNT; op++)
		if (!strchr(names[op], '*') && called(names[op], name))
			complain(s, "executable", 0, 1);
}

static void compare(struct sample *s, bool *valid)
{
	bool z_ok = ZYAN_SUCCESS(
		ZydisDecoderDecodeFull(&s->oracle->decoder, s->bytes, 15, &s->z, s->operands));
	int err = insn_decode(&s->insn, s->bytes, 15, s->oracle->mode);

	/* Instructions of the Knights Corner coprocessors, which reused encodings. */
	if (z_ok && strncmp(ZydisISAExtGetString(s->z.meta.isa_ext), "KNC", 3) == 0)
		return;
	*valid = z_ok;
	if (!z_ok) {
		/*
		 * We need not know every hole of the opcode maps, but those around what we execute.
		 */
		if (!err && s->insn.op != OP_NONE)
			complain(s, "an invalid instruction's length", s->insn.length, -EINVAL);
		return;
	}
	if (err)
		complain(s, "error", err, 0);
	SAME(s, "length", s->insn.length, s->z.length);
	if (s->insn.op != OP_NONE)
		compare_meaning(s);
	else
		compare_unknown(s);
}

static const uint8_t prefixes[] = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66,
				   0x66, 0x67, 0x67, 0xf0, 0xf2, 0xf3};

/* Random bytes, steered so that each map is met often enough. */
static void generate(struct sample *s)
{
	static const uint8_t escapes[][3] = {{1, 0x0f}, {1, 0x0f}, {2, 0x0f, 0x38}, {2, 0x0f, 0x3a},
					     {1, 0x62}, {1, 0xc4}, {1, 0xc5},	    {0}};
	uint64_t r = random_bits();
	unsigned int n = 0;

	for (unsigned int i = 0; i < 2; i++) {
		uint64_t fresh = random_bits();

		memcpy(s->bytes + 8 * i, &fresh, 8);
	}
	s->oracle = &oracles[r % 3];
	r >>= 8;
	for (unsigned int i = r & 3; i > 1; i--, r >>= 8)
		s->bytes[n++] = prefixes[(r >> 8 & 0xff) % ARRAY_SIZE(prefixes)];
	r >>= 8;
	if (s->oracle->mode == EMUL_MODE_64 && (r & 1))
		s->bytes[n++] = 0x40 | (r >> 1 & 15);
	r >>= 8;
	if (r & 1) {
		const uint8_t *escape = escapes[r >> 1 & 7];

		memcpy(s->bytes + n, escape + 1, escape[0]);
	}
}

static void test_against_zydis(void **state)
{
	const char *wish = getenv("EMUL_DECODE_COUNT");
	unsigned long count = wish ? strtoul(wish, NULL, 0) : 10000000;
	unsigned long valid = 0, executed = 0;

	(void)state;
	random_state = 0x50c1e;
	for (unsigned long i = 0; i < count; i++) {
		struct sample s;
		bool ok = false;

		generate(&s);
		compare(&s, &ok);
		valid += ok;
		executed += ok && s.insn.op != OP_NONE;
	}
	print_message("%lu instructions, %lu valid, %lu of them executable\n", count, valid,
		      executed);
	assert_true(valid > count / 4);
	assert_true(executed > count / 20);
}

/* Every executable opcode in every mode, with each ModRM byte and with the usual prefixes. */
static void test_every_modrm(void **state)
{
	static const uint8_t starts[][3] = {{0},       {1, 0x66}, {1, 0x67}, {2, 0x66, 0x67},
					    {1, 0xf3}, {1, 0xf2}};
	struct sample s = {.bytes = {0}};
	bool ok;

	(void)state;
	for (unsigned int n = 0; n < ARRAY_SIZE(oracles) * 2 * ARRAY_SIZE(starts) * 65536; n++) {
		const uint8_t *start = starts[n / 0x20000 % ARRAY_SIZE(starts)];
		unsigned int at = start[0];
		uint64_t r = random_bits();

		s.oracle = &oracles[n / 0x20000 / ARRAY_SIZE(starts)];
		memcpy(s.bytes, &r, 8);
		memcpy(s.bytes + 7, &r, 8);
		memcpy(s.bytes, start + 1, at);
		if (n & 0x10000)
			s.bytes[at++] = 0x0f;
		s.bytes[at] = n >> 8;
		s.bytes[at + 1] = n;
		compare(&s, &ok);
	}
}

/* What is cut short asks for more, and never reads it. */
static void test_cut_short(void **state)
{
	(void)state;
	random_state = 0xc07;
	for (unsigned int i = 0; i < 100000; i++) {
		struct sample s;
		int length;

		generate(&s);
		length = emul_length(s.bytes, 15, s.oracle->mode);
		for (int n = 0; n < length; n++) {
			uint8_t *exact = malloc(n ? n : 1);

			memcpy(exact, s.bytes, n);
			assert_int_equal(emul_length(exact, n, s.oracle->mode), -EAGAIN);
			free(exact);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_lengths),
		cmocka_unit_test(test_every_modrm),
		cmocka_unit_test(test_against_zydis),
		cmocka_unit_test(test_cut_short),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
