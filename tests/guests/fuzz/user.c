/* Drawn bytes as code, in user mode, with registers that point to devices. */
#include "tests/guests/fuzz/fuzz.h"

#define CODE_BYTES   64
#define PREFIXES_MAX 8
#define RFLAGS_TF    BIT(8)
#define RFLAGS_AC    BIT(18)

static uint8_t draw_opcode(struct stream *s, bool *two)
{
	/* What may touch memory: moves, arithmetic, string instructions, bit tests, exchanges. */
	static const uint8_t one_byte[] = {0x00, 0x01, 0x02, 0x03, 0x08, 0x20, 0x28, 0x29, 0x31,
					   0x38, 0x39, 0x3a, 0x3b, 0x50, 0x58, 0x63, 0x69, 0x6b,
					   0x6c, 0x6d, 0x6e, 0x6f, 0x80, 0x81, 0x83, 0x84, 0x85,
					   0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8e, 0x8f,
					   0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae,
					   0xaf, 0xc0, 0xc1, 0xc6, 0xc7, 0xd1, 0xd3, 0xe4, 0xec,
					   0xed, 0xee, 0xf6, 0xf7, 0xfe, 0xff};
	static const uint8_t two_bytes[] = {0x00, 0x01, 0x05, 0x06, 0x09, 0x10, 0x11, 0x20,
					    0x22, 0x28, 0x29, 0x30, 0x31, 0x32, 0x33, 0x34,
					    0x6f, 0x7f, 0xa2, 0xa3, 0xab, 0xae, 0xaf, 0xb0,
					    0xb1, 0xb3, 0xb6, 0xb7, 0xba, 0xbb, 0xbc, 0xbe,
					    0xbf, 0xc0, 0xc1, 0xc3, 0xc7, 0xd6, 0xe7};

	*two = below(s, 3) == 0;
	if (!below(s, 8))
		return (uint8_t)next64(s);
	return *two ? two_bytes[below(s, ARRAY_SIZE(two_bytes))]
		    : one_byte[below(s, ARRAY_SIZE(one_byte))];
}

/* POPF, IRET and HLT in user mode could end the single step that ends the code. */
static uint8_t safe_byte(uint8_t byte)
{
	return byte == 0x9d || byte == 0xcf ? 0x90 : byte;
}

static unsigned int draw_code(struct stream *s, uint8_t *at)
{
	static const uint8_t prefixes[] = {0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x64, 0x65, 0x2e};
	unsigned int n = 0;
	bool two;
	uint8_t opcode = draw_opcode(s, &two);

	while (n < PREFIXES_MAX && below(s, 3) == 0)
		at[n++] = prefixes[below(s, ARRAY_SIZE(prefixes))];
	if (below(s, 2))
		at[n++] = (uint8_t)(0x40 | below(s, 16));
	if (two)
		at[n++] = 0x0f;
	at[n++] = safe_byte(opcode);
	/* Mostly a register as the address, without a displacement. */
	at[n++] = safe_byte((uint8_t)(below(s, 4) ? next64(s) & 0x3f : next64(s)));
	for (unsigned int i = 0; i < 8; i++)
		at[n++] = safe_byte((uint8_t)next64(s));
	return n;
}

/* Bit tests of registers, whatever is before them; of memory instead. */
static void spare_qemu(uint8_t *at)
{
	for (unsigned int i = 0; i + 2 < CODE_BYTES; i++) {
		uint8_t second = at[i + 1];
		bool bit_test = (second & 0xe7) == 0xa3 || second == 0xba;

		if (at[i] == 0x0f && bit_test && at[i + 2] >= 0xc0)
			at[i + 2] &= 0x3f;
	}
}

static void write_code(struct stream *s, uint8_t *at)
{
	uint8_t code[CODE_BYTES];
	unsigned int n = 0;

	memset(code, 0x90, sizeof(code));
	while (n + 32 < CODE_BYTES)
		n += draw_code(s, code + n);
	code[n] = 0xcc;
	if (is_qemu())
		spare_qemu(code);
	memcpy(at, code, sizeof(code));
}

void run_user_code(struct stream *s)
{
	static const uint64_t places[] = {APIC,	   IOAPIC,	 IOAPIC + 0x10, 0xc0000000,
					  0xa0000, APIC + 0xffd, IOAPIC - 2,	IOAPIC + 0xffc};
	struct rt_cpu *cpu = rt_self();
	/* Both processors run and write the same page. */
	uint8_t *at = (uint8_t *)(uintptr_t)(USER_MEMORY + CODE_BYTES * below(s, 4));
	uint64_t r[8];

	if (below(s, 4))
		write_code(s, at);
	for (unsigned int i = 0; i < 8; i++) {
		r[i] = USER_WINDOW + places[below(s, ARRAY_SIZE(places))] +
		       (below(s, 2) ? 0 : below(s, 0x400));
		if (!below(s, 3))
			r[i] = pick(s);
		if (!below(s, 4))
			r[i] = USER_WINDOW + USER_SCRATCH + below(s, 4000);
	}
	if (below(s, 2))
		r[1] = below(s, 64);
	cpu->steps = 16;
	cpu->land_after_steps = true;
	rt_try_user(at, r, RFLAGS_TF | (below(s, 2) ? RFLAGS_AC : 0));
	cpu->land_after_steps = false;
	cpu->steps = 0;
}
