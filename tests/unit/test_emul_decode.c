/* links: tests/unit/support/decode_oracle.c emul/decode.c emul/tables.c -lZydis */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "emul/insn.h"
#include "lib/err.h"
#include "lib/util.h"
#include "tests/unit/support/decode_oracle.h"

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
		bool ok;

		generate(&s);
		ok = decode_oracle_compare(&s);
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
		decode_oracle_compare(&s);
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

static int set_up(void **state)
{
	(void)state;
	decode_oracle_init();
	return 0;
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
