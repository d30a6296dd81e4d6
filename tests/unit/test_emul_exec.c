/* links: emul/exec.c emul/string.c emul/alu.c emul/decode.c emul/tables.c emul/walk.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "emul/alu.h"
#include "emul/emul.h"
#include "lib/err.h"
#include "lib/util.h"

/* Results against a real processor are test_emul_native.c's; here is what that cannot show. */

enum { CODE = 0x8000, MEMORY = 0x10000, NO_FAULT = 0xfffffff };

/* Access rights (SDM vol. 3C table 25-2): present, S=1, type. */
enum {
	DATA = 0x4093,
	DATA_16 = 0x93,
	DATA_READ_ONLY = 0x4091,
	DATA_DOWN = 0x4097,
	CODE_READ = 0x409b,
	CODE_ONLY = 0x4099,
	UNUSABLE = 0x10000,
	TSS_32 = 0x8b,
	TSS_16 = 0x83,
};

/*
 * Memory is 64 KiB that repeats for ever, so that any address may be a device. Accesses are logged:
 * r: read, m: read to modify, s: for the system, w: write, p: write probed, i, o: port in and out.
 */
struct machine {
	struct emul_cpu cpu;
	uint8_t memory[MEMORY + 16];
	char log[1024];
	unsigned int accesses, fail_at; /* the access with this number (from 1) fails */
	uint64_t bad_page;		/* the page whose bytes cannot be fetched */
};

static int count_access(struct machine *m)
{
	return ++m->accesses == m->fail_at ? -EFAULT : 0;
}

__attribute__((format(printf, 2, 3))) static void note(struct machine *m, const char *format, ...)
{
	size_t len = strlen(m->log);
	va_list args;

	if (len)
		m->log[len++] = ' ';
	va_start(args, format);
	vsnprintf(m->log + len, sizeof(m->log) - len, format, args);
	va_end(args);
}

static int fetch(void *ctx, uint64_t linear, void *buf, unsigned int size)
{
	struct machine *m = ctx;

	assert_true(size >= 1 && linear / PAGE_SIZE == (linear + size - 1) / PAGE_SIZE);
	if (linear / PAGE_SIZE == m->bad_page / PAGE_SIZE)
		return -EFAULT;
	memcpy(buf, m->memory + linear % MEMORY, size);
	return 0;
}

static int read_memory(void *ctx, uint64_t linear, void *buf, unsigned int size,
		       enum emul_access access)
{
	struct machine *m = ctx;

	note(m, "%c%u %llx", "rms"[access], size, (unsigned long long)linear);
	memcpy(buf, m->memory + linear % MEMORY, size);
	return count_access(m);
}

static int write_memory(void *ctx, uint64_t linear, const void *buf, unsigned int size)
{
	struct machine *m = ctx;
	unsigned long long value = 0;

	memcpy(&value, buf, MIN(size, 8u));
	note(m, "w%u %llx=%llx", size, (unsigned long long)linear, value);
	if (count_access(m))
		return -EFAULT;
	memcpy(m->memory + linear % MEMORY, buf, size);
	return 0;
}

static int probe_write(void *ctx, uint64_t linear, unsigned int size)
{
	struct machine *m = ctx;

	note(m, "p%u %llx", size, (unsigned long long)linear);
	return count_access(m);
}

static int pio_in(void *ctx, uint16_t port, uint32_t *value, unsigned int size)
{
	struct machine *m = ctx;

	note(m, "i%u %x", size, port);
	*value = 0xa1b2c3d4;
	return count_access(m);
}

static int pio_out(void *ctx, uint16_t port, uint32_t value, unsigned int size)
{
	struct machine *m = ctx;

	note(m, "o%u %x=%x", size, port, value);
	return count_access(m);
}

static uint8_t xmm_registers[16][32], mmx_registers[8][8], refuse_vector;

static uint8_t vector(void *ctx, enum insn_vector kind, unsigned int number, uint8_t buf[32],
		      bool write)
{
	uint8_t *reg = kind == INSN_MMX ? mmx_registers[number & 7] : xmm_registers[number & 15];

	(void)ctx;
	assert_true(number < (kind == INSN_MMX ? 8 : 16));
	if (!refuse_vector)
		memcpy(write ? reg : buf, write ? buf : reg, 8u << kind);
	return refuse_vector;
}

static const struct emul_ops ops = {.fetch = fetch,
				    .read = read_memory,
				    .write = write_memory,
				    .probe_write = probe_write,
				    .vector = vector,
				    .pio_in = pio_in,
				    .pio_out = pio_out};

static struct machine m;

/* Registers that tell from each other; every segment flat, or 64 KiB long at 0 in 16-bit mode. */
static void start(enum emul_mode mode)
{
	memset(&m, 0, sizeof(m));
	for (unsigned int i = 0; i < 16; i++)
		for (unsigned int k = 0; k < 32; k++)
			xmm_registers[i][k] = (uint8_t)(16 * i + k);
	m.bad_page = NO_FAULT;
	m.cpu.mode = mode;
	m.cpu.rip = CODE;
	m.cpu.rflags = 2;
	m.cpu.cr0 = mode == EMUL_MODE_16 ? 0 : 0x80000001;
	m.cpu.rep_max = 100;
	for (unsigned int i = 0; i < 16; i++)
		m.cpu.gpr[i] = 0x1111111111111111ULL * i;
	for (unsigned int i = 0; i < EMUL_SEG_COUNT; i++) {
		m.cpu.seg[i].limit = mode == EMUL_MODE_16 ? 0xffff : 0xffffffff;
		m.cpu.seg[i].attr = i == EMUL_CS	   ? CODE_READ
				    : mode == EMUL_MODE_16 ? DATA_16
							   : DATA;
	}
}

static enum emul_result run(const void *bytes, size_t n)
{
	memcpy(m.memory + m.cpu.rip % MEMORY, bytes, n);
	m.log[0] = 0;
	m.accesses = 0;
	return emul_exec(&m.cpu, &ops, &m, NULL, 0);
}

#define RUN(...) run((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

#define assert_done(r) assert_int_equal(r, EMUL_DONE)

/* Asserts an exception; ERROR -1: without an error code. */
static void assert_raised(enum emul_result r, unsigned int vector, int error)
{
	assert_int_equal(r, EMUL_EXCEPTION);
	assert_int_equal(m.cpu.exc.vector, vector);
	assert_int_equal(m.cpu.exc.has_error, error >= 0);
	if (error >= 0)
		assert_int_equal(m.cpu.exc.error, error);
	assert_int_equal(m.cpu.rip, CODE);
}

static void put(uint64_t address, uint64_t value)
{
	memcpy(m.memory + address % MEMORY, &value, 8);
}

static uint64_t *gpr(unsigned int number)
{
	return &m.cpu.gpr[number];
}

/* ---- how often and how wide a device is touched ---- */

static const struct {
	uint8_t bytes[10];
	const char *log;
} accesses[] = {
	{{0x8a, 0x07}, "r1 fee00300"},
	{{0x66, 0x8b, 0x07}, "r2 fee00300"},
	{{0x8b, 0x07}, "r4 fee00300"},
	{{0x48, 0x8b, 0x07}, "r8 fee00300"},
	{{0x88, 0x0f}, "w1 fee00300=11"},
	{{0x66, 0x89, 0x0f}, "w2 fee00300=1111"},
	{{0x89, 0x0f}, "w4 fee00300=11111111"},
	{{0x48, 0x89, 0x0f}, "w8 fee00300=1111111111111111"},
	{{0xc6, 0x07, 0x80}, "w1 fee00300=80"},
	{{0xc7, 0x07, 0, 0, 0, 0x80}, "w4 fee00300=80000000"},
	{{0x48, 0xc7, 0x07, 0, 0, 0, 0x80}, "w8 fee00300=ffffffff80000000"},
	{{0x48, 0x0f, 0xb6, 0x07}, "r1 fee00300"},
	{{0x0f, 0xbf, 0x07}, "r2 fee00300"},
	{{0x48, 0x63, 0x07}, "r4 fee00300"},
	{{0x0f, 0xc3, 0x0f}, "w4 fee00300=11111111"},
	{{0x0f, 0x38, 0xf0, 0x07}, "r4 fee00300"},
	{{0x8c, 0x1f}, "w2 fee00300=0"},
	{{0x48, 0x8c, 0x1f}, "w2 fee00300=0"},
	{{0x09, 0x0f}, "m4 fee00300 w4 fee00300=fdbbfdbb"},
	{{0xf0, 0x0f, 0xba, 0x2f, 0x02}, "m4 fee00300 w4 fee00300=ecaaecae"},
	{{0x3b, 0x07}, "r4 fee00300"},
	{{0x39, 0x07}, "r4 fee00300"},
	{{0x83, 0x3f, 0x00}, "r4 fee00300"},
	{{0xf7, 0x07, 1, 0, 0, 0}, "r4 fee00300"},
	{{0x0f, 0xba, 0x27, 0x02}, "r4 fee00300"},
	{{0x66, 0xff, 0x07}, "m2 fee00300 w2 fee00300=ecab"},
	{{0xd1, 0x27}, "m4 fee00300 w4 fee00300=d955d954"},
	{{0x87, 0x0f}, "m4 fee00300 w4 fee00300=11111111"},
	{{0xf0, 0x0f, 0xc1, 0x0f}, "m4 fee00300 w4 fee00300=fdbbfdbb"},
	{{0x0f, 0xb1, 0x0f}, "m4 fee00300 w4 fee00300=ecaaecaa"},
	{{0x0f, 0xc7, 0x0f}, "m8 fee00300 w8 fee00300=ecaaecaa"},
	{{0x48, 0x0f, 0xc7, 0x0f}, "m16 fee00300 w16 fee00300=ecaaecaa"},
	{{0x0f, 0x44, 0x07}, "r4 fee00300"},
	{{0x0f, 0x94, 0x07}, "w1 fee00300=0"},
	{{0xa4}, "p1 fee00300 r1 1000 w1 fee00300=0"},
	{{0xab}, "w4 fee00300=0"},
	{{0x48, 0xad}, "r8 1000"},
	{{0xa6}, "r1 1000 r1 fee00300"},
	{{0x66, 0xaf}, "r2 fee00300"},
	{{0x6c}, "p1 fee00300 i1 2222 w1 fee00300=d4"},
	{{0x66, 0x6d}, "p2 fee00300 i2 2222 w2 fee00300=c3d4"},
	{{0x48, 0x6d}, "p4 fee00300 i4 2222 w4 fee00300=a1b2c3d4"},
	{{0x6f}, "r4 1000 o4 2222=0"},
	{{0xff, 0x37}, "p8 1ff8 r8 fee00300 w8 1ff8=ecaaecaa"},
	{{0x66, 0xff, 0x37}, "p2 1ffe r2 fee00300 w2 1ffe=ecaa"},
	{{0x8f, 0x07}, "p8 fee00300 r8 2000 w8 fee00300=0"},
	{{0xf7, 0x27}, "r4 fee00300"},
	{{0x66, 0xf7, 0x2f}, "r2 fee00300"},
	{{0x48, 0xf7, 0x27}, "r8 fee00300"},
	{{0x69, 0x0f, 1, 0, 0, 0}, "r4 fee00300"},
	{{0x0f, 0xaf, 0x0f}, "r4 fee00300"},
	{{0x0f, 0xa4, 0x0f, 4}, "m4 fee00300 w4 fee00300=caaecaa1"},
	{{0x0f, 0xbc, 0x0f}, "r4 fee00300"},
	{{0xf3, 0x48, 0x0f, 0xbd, 0x0f}, "r8 fee00300"},
	{{0x0f, 0x01, 0x27}, "w2 fee00300=1"}, /* smsw */
	{{0x66, 0x0f, 0x6f, 0x0f}, "r16 fee00300"},
	{{0xf3, 0x0f, 0x7f, 0x0f}, "w16 fee00300=1716151413121110"},
	{{0x0f, 0x10, 0x0f}, "r16 fee00300"},
	{{0x66, 0x0f, 0xe7, 0x0f}, "w16 fee00300=1716151413121110"},
	{{0xf3, 0x0f, 0x11, 0x0f}, "w4 fee00300=13121110"},
	{{0x66, 0x0f, 0xd6, 0x0f}, "w8 fee00300=1716151413121110"},
	{{0x66, 0x48, 0x0f, 0x6e, 0x0f}, "r8 fee00300"},
	{{0x66, 0x0f, 0x7e, 0x0f}, "w4 fee00300=13121110"},
};

static void start_access(void)
{
	start(EMUL_MODE_64);
	*gpr(EMUL_RSI) = 0x1000;
	*gpr(EMUL_RSP) = 0x2000;
	*gpr(EMUL_RDI) = 0xfee00300;
	put(0xfee00300, 0xecaaecaa);
}

static void test_accesses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(accesses); i++) {
		start_access();
		if (run(accesses[i].bytes, 10) != EMUL_DONE || strcmp(m.log, accesses[i].log))
			fail_msg("%02x %02x: \"%s\", wanted \"%s\"", accesses[i].bytes[0],
				 accesses[i].bytes[1], m.log, accesses[i].log);
		assert_int_equal(m.cpu.rip, CODE + m.cpu.length);
	}
}

/* Whichever access fails, no register has changed. */
static void test_faults_change_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(accesses); i++) {
		struct emul_cpu before;
		unsigned int n;

		start_access();
		run(accesses[i].bytes, 10);
		n = m.accesses;
		for (unsigned int k = 1; k <= n; k++) {
			start_access();
			before = m.cpu;
			m.fail_at = k;
			assert_int_equal(run(accesses[i].bytes, 10), EMUL_FAULT);
			assert_int_equal(m.accesses, k);
			before.length = m.cpu.length;
			assert_memory_equal(&before, &m.cpu, sizeof(before));
		}
	}
}

/* ---- 16-bit mode ---- */

static void test_real_mode(void **state)
{
	(void)state;
	start(EMUL_MODE_16);
	m.cpu.seg[EMUL_DS].base = 0xb8000;
	m.cpu.seg[EMUL_SS].base = 0x20000;
	m.cpu.seg[EMUL_ES].base = 0xa0000;
	*gpr(EMUL_RBX) = 0x99991234;
	*gpr(EMUL_RSI) = 0x99990100;
	*gpr(EMUL_RBP) = 0x9999fff0;
	put(0xb8000 + 0x1344, 0x5577);
	assert_done(RUN(0x8b, 0x40, 0x10)); /* mov ax, [bx+si+10h] */
	assert_string_equal(m.log, "r2 b9344");
	assert_int_equal(*gpr(EMUL_RAX), 0x5577);
	assert_done(RUN(0x8b, 0x46, 0x20)); /* mov ax, [bp+20h]: wraps at 64 KiB, in SS */
	assert_string_equal(m.log, "r2 20010");
	assert_done(RUN(0x26, 0x8a, 0x07)); /* mov al, es:[bx] */
	assert_string_equal(m.log, "r1 a1234");
}

static void test_real_mode_wide(void **state)
{
	(void)state;
	start(EMUL_MODE_16);
	*gpr(EMUL_RBX) = 0x1000;
	*gpr(EMUL_RSI) = 0x0200;
	assert_done(RUN(0x66, 0x67, 0x89, 0x4c, 0x1e, 0x04)); /* mov [esi+ebx+4], ecx */
	assert_string_equal(m.log, "w4 1204=11111111");
	assert_done(RUN(0x67, 0x66, 0xa1, 0x78, 0x56, 0x00, 0x00)); /* mov eax, [5678h] */
	assert_string_equal(m.log, "r4 5678");
	assert_done(RUN(0xa3, 0x34, 0x12)); /* mov [1234h], ax */
	assert_string_equal(m.log, "w2 1234=0");
}

static void test_real_mode_limit(void **state)
{
	(void)state;
	start(EMUL_MODE_16);
	*gpr(EMUL_RBX) = 0xffff;
	assert_raised(RUN(0x8b, 0x07), 13, -1); /* a word at 0ffffh; no error code in real mode */
	assert_done(RUN(0x8a, 0x07));
	m.cpu.rip = CODE;
	*gpr(EMUL_RBP) = 0xffff;
	assert_raised(RUN(0x8b, 0x46, 0x00), 12, -1);
	*gpr(EMUL_RDI) = 0;
	assert_raised(RUN(0x67, 0x8b, 0x87, 0, 0, 1, 0), 13, -1); /* mov ax, [edi+10000h] */
}

static void test_v86(void **state)
{
	(void)state;
	start(EMUL_MODE_16);
	m.cpu.cr0 = 0x80000001;
	m.cpu.rflags |= RFLAGS_VM;
	m.cpu.cpl = 3;
	*gpr(EMUL_RBX) = 0xffff;
	assert_raised(RUN(0x8b, 0x07), 13, 0);	  /* with an error code: protected mode is on */
	assert_done(RUN(0x2e, 0xc6, 0x07, 0x01)); /* writes by CS are allowed here */
}

/* ---- segments of protected mode ---- */

static void test_segment_types(void **state)
{
	static const struct {
		uint32_t attr, limit;
		uint8_t modrm_store; /* 0x89 store or 0x8b load */
		uint32_t offset;
		bool ok;
	} cases[] = {
		{DATA, 0xffff, 0x8b, 0xfffc, true},
		{DATA, 0xffff, 0x8b, 0xfffd, false},
		{DATA, 0xffff, 0x89, 0xffffffff, false},
		{DATA_READ_ONLY, 0xffff, 0x8b, 0, true},
		{DATA_READ_ONLY, 0xffff, 0x89, 0, false},
		{DATA_DOWN, 0xfff, 0x8b, 0x1000, true},
		{DATA_DOWN, 0xfff, 0x8b, 0xfff, false},
		{DATA_DOWN, 0xfff, 0x89, 0xfffffffc, true},
		{DATA_DOWN, 0xfff, 0x89, 0xfffffffd, false},
		{DATA_DOWN & ~0x4000, 0xfff, 0x8b, 0xfffc, true},
		{DATA_DOWN & ~0x4000, 0xfff, 0x8b, 0xfffd, false},
		{CODE_READ, 0xffff, 0x8b, 0, true},
		{CODE_READ, 0xffff, 0x89, 0, false},
		{CODE_ONLY, 0xffff, 0x8b, 0, false},
		{UNUSABLE | DATA, 0xffff, 0x8b, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		enum emul_result r;

		start(EMUL_MODE_32);
		m.cpu.seg[EMUL_GS] = (struct emul_seg){.base = 0xfee00000,
						       .limit = cases[i].limit,
						       .attr = cases[i].attr};
		*gpr(EMUL_RBX) = cases[i].offset;
		r = RUN(0x65, cases[i].modrm_store, 0x03);
		if (!cases[i].ok)
			assert_raised(r, 13, 0);
		else
			assert_done(r);
	}
}

static void test_stack_segment(void **state)
{
	(void)state;
	start(EMUL_MODE_32);
	m.cpu.seg[EMUL_SS].limit = 0xfff;
	*gpr(EMUL_RBP) = 0x1000;
	*gpr(EMUL_RSP) = 0x1000;
	assert_raised(RUN(0x8b, 0x45, 0x00), 12, 0); /* mov eax, [ebp] */
	assert_raised(RUN(0x8b, 0x04, 0x24), 12, 0); /* mov eax, [esp] */
	assert_done(RUN(0x3e, 0x8b, 0x45, 0x00));    /* mov eax, ds:[ebp] */
	assert_string_equal(m.log, "r4 1000");
	m.cpu.rip = CODE;
	assert_done(RUN(0x8b, 0x04, 0x2d, 0, 0, 0, 0)); /* mov eax, [ebp*1]: an index is DS's */
}

static void test_linear_wraps_at_4_gib(void **state)
{
	(void)state;
	start(EMUL_MODE_32);
	m.cpu.seg[EMUL_DS].base = 0xfffff000;
	*gpr(EMUL_RBX) = 0x2000;
	assert_done(RUN(0x8b, 0x03));
	assert_string_equal(m.log, "r4 1000");
	*gpr(EMUL_RBX) = 0xfffffffe; /* and so does the offset */
	assert_done(RUN(0x8b, 0x43, 0x04));
	assert_string_equal(m.log, "r4 fffff002");
}

static void test_canonical(void **state)
{
	(void)state;
	start(EMUL_MODE_64);
	*gpr(EMUL_RBX) = *gpr(EMUL_RBP) = 0x800000000000;
	assert_raised(RUN(0x8b, 0x03), 13, 0);
	assert_raised(RUN(0x8b, 0x45, 0x00), 12, 0);
	*gpr(EMUL_RBX) = 0x7ffffffffffd; /* the last byte counts too */
	assert_raised(RUN(0x8b, 0x03), 13, 0);
	*gpr(EMUL_RBX) = 0x800000000000;
	m.cpu.cr4 = BIT(12); /* LA57 */
	assert_done(RUN(0x8b, 0x03));
	/* Limits and types mean nothing in 64-bit mode, bases of FS and GS do. */
	m.cpu.seg[EMUL_DS] = (struct emul_seg){.base = 0x1000, .attr = UNUSABLE};
	m.cpu.seg[EMUL_GS] = (struct emul_seg){.base = 0x2000, .attr = UNUSABLE};
	assert_done(RUN(0x65, 0x89, 0x03));
	assert_string_equal(m.log, "w4 800000002000=0");
	assert_done(RUN(0x3e, 0x89, 0x03));
	assert_string_equal(m.log, "w4 800000000000=0");
}

static void test_cmpxchg16b_alignment(void **state)
{
	(void)state;
	start(EMUL_MODE_64);
	*gpr(EMUL_RBX) = 0x1008;
	assert_raised(RUN(0x48, 0x0f, 0xc7, 0x0b), 13, 0);
	assert_done(RUN(0x0f, 0xc7, 0x0b));
}

static void test_division_by_zero(void **state)
{
	(void)state;
	start(EMUL_MODE_64);
	*gpr(EMUL_RBX) = 0x1000;
	put(0x1000, 0);
	assert_raised(RUN(0xf7, 0x33), 0, -1);
}

/* A load fills the register with zeros; MOVDQA and its like want 16-byte alignment. */
static void test_xmm(void **state)
{
	static const uint8_t loaded[16] = {1, 2, 3, 4, 5, 6, 7, 8};

	(void)state;
	start(EMUL_MODE_64);
	*gpr(EMUL_RBX) = 0x1008;
	put(0x1008, 0x0807060504030201);
	assert_done(RUN(0xf3, 0x44, 0x0f, 0x7e, 0x0b)); /* movq xmm9, [rbx] */
	assert_memory_equal(xmm_registers[9], loaded, 16);
	start(EMUL_MODE_64);
	*gpr(EMUL_RBX) = 0x1008;
	assert_raised(RUN(0x66, 0x0f, 0x6f, 0x0b), 13, 0);
	assert_raised(RUN(0x0f, 0x29, 0x0b), 13, 0);
	assert_done(RUN(0xf3, 0x0f, 0x6f, 0x0b));
	/* Between registers there is nothing to execute. */
	assert_int_equal(RUN(0x66, 0x0f, 0x6f, 0xcb), EMUL_UNSUPPORTED);
}

static void test_mmx(void **state)
{
	static const uint8_t loaded[8] = {0x21, 0x43, 0x65, 0x87};

	(void)state;
	start(EMUL_MODE_64);
	*gpr(EMUL_RBX) = 0x1008;
	put(0x1008, 0xffffffff87654321);
	assert_done(RUN(0x44, 0x0f, 0x6e, 0x0b)); /* movd mm1, [rbx], REX.R ignored */
	assert_memory_equal(mmx_registers[1], loaded, 8);
	assert_done(RUN(0x0f, 0x6f, 0x13)); /* movq mm2, [rbx] */
	assert_int_equal(mmx_registers[2][7], 0xff);
	m.log[0] = 0;
	assert_done(RUN(0x0f, 0xe7, 0x0b)); /* movntq [rbx], mm1 */
	assert_string_equal(m.log, "w8 1008=87654321");
	/* An x87 exception that waits is raised, and nothing is read. */
	start(EMUL_MODE_64);
	*gpr(EMUL_RBX) = 0x1008;
	refuse_vector = 16;
	assert_raised(RUN(0x0f, 0x6f, 0x13), 16, -1);
	refuse_vector = 0;
	assert_string_equal(m.log, "");
}

/* VEX clears what is above; VEX.L has 32 bytes; vvvv must name no register. */
static void test_vex(void **state)
{
	static const uint8_t loaded[32] = {1, 2, 3, 4};

	(void)state;
	start(EMUL_MODE_64);
	*gpr(EMUL_RBX) = 0x1008;
	*gpr(EMUL_R8 + 3) = 0x1000;
	put(0x1008, 0x0807060504030201);
	assert_done(RUN(0xc5, 0x79, 0x6e, 0x0b)); /* vmovd xmm9, [rbx] */
	assert_memory_equal(xmm_registers[9], loaded, 32);
	assert_done(RUN(0xc4, 0xc1, 0x7e, 0x6f, 0x53, 0x08)); /* vmovdqu ymm2, [r11 + 8] */
	assert_int_equal(xmm_registers[2][0], 1);
	m.log[0] = 0;
	assert_done(RUN(0xc4, 0x61, 0xf9, 0x7e, 0x0b)); /* vmovq [rbx], xmm9 */
	assert_string_equal(m.log, "w8 1008=4030201");
	start(EMUL_MODE_64);
	*gpr(EMUL_RBX) = 0x1008;
	assert_raised(RUN(0xc5, 0xfd, 0x6f, 0x13), 13, 0); /* vmovdqa ymm2, [rbx] */
	*gpr(EMUL_RBX) = 0x1010;
	assert_raised(RUN(0xc5, 0xfd, 0x6f, 0x13), 13, 0);
	assert_done(RUN(0xc5, 0xf9, 0x6f, 0x13)); /* vmovdqa xmm2, [rbx] */
	assert_memory_equal(xmm_registers[2] + 16, loaded + 16, 16);
	start(EMUL_MODE_64);
	assert_int_equal(RUN(0xc5, 0xf1, 0x6f, 0x13), EMUL_UNSUPPORTED); /* vvvv is XMM1 */
	assert_int_equal(RUN(0xc5, 0xfd, 0x6e, 0x13), EMUL_UNSUPPORTED); /* vmovd, VEX.L */
	assert_int_equal(RUN(0xc5, 0xf8, 0x6f, 0x13), EMUL_UNSUPPORTED); /* no MMX with VEX */
	*gpr(EMUL_RBX) = 0x1008;
	refuse_vector = 6;
	assert_raised(RUN(0xc5, 0xfa, 0x6f, 0x13), 6, -1);
	refuse_vector = 0;
}

static void test_clflush(void **state)
{
	(void)state;
	start(EMUL_MODE_64);
	*gpr(EMUL_RBX) = 0x1001;
	assert_done(RUN(0x0f, 0xae, 0x3b));
	assert_done(RUN(0x66, 0x0f, 0xae, 0x3b)); /* CLFLUSHOPT */
	assert_done(RUN(0x66, 0x0f, 0xae, 0x33)); /* CLWB */
	assert_string_equal(m.log, "");
	assert_int_equal(RUN(0x0f, 0xae, 0x33), EMUL_UNSUPPORTED); /* XSAVEOPT */
	assert_int_equal(RUN(0x0f, 0xae, 0xf8), EMUL_UNSUPPORTED); /* SFENCE */
	start(EMUL_MODE_64);
	*gpr(EMUL_RBX) = 0x800000000000;
	assert_raised(RUN(0x0f, 0xae, 0x3b), 13, 0);
}

/* ---- stack ---- */

static void test_stack_width(void **state)
{
	(void)state;
	start(EMUL_MODE_32);
	m.cpu.seg[EMUL_SS].attr = DATA_16;
	m.cpu.seg[EMUL_SS].base = 0x3000;
	*gpr(EMUL_RSP) = 0x77770002;
	put(0x3000, 0x44332211);
	assert_done(RUN(0x66, 0xff, 0x33)); /* push word [ebx]: SP alone moves */
	assert_int_equal(*gpr(EMUL_RSP), 0x77770000);
	*gpr(EMUL_RSP) = 0x77770000;
	put(0x3000, 0x44332211);
	*gpr(EMUL_RBX) = 0x5000;
	assert_done(RUN(0x8f, 0x03)); /* pop dword [ebx] */
	assert_string_equal(m.log, "p4 5000 r4 3000 w4 5000=44332211");
	assert_int_equal(*gpr(EMUL_RSP), 0x77770004);
}

/* ---- repetition ---- */

static void test_rep_in_parts(void **state)
{
	(void)state;
	start(EMUL_MODE_64);
	m.cpu.rep_max = 2;
	m.cpu.rflags |= RFLAGS_RF;
	*gpr(EMUL_RCX) = 5;
	*gpr(EMUL_RDI) = 0x1000;
	*gpr(EMUL_RAX) = 7;
	assert_int_equal(RUN(0xf3, 0xab), EMUL_REP);
	assert_string_equal(m.log, "w4 1000=7 w4 1004=7");
	assert_int_equal(*gpr(EMUL_RCX), 3);
	assert_int_equal(*gpr(EMUL_RDI), 0x1008);
	assert_int_equal(m.cpu.rip, CODE);
	assert_int_equal(RUN(0xf3, 0xab), EMUL_REP);
	assert_done(RUN(0xf3, 0xab));
	assert_string_equal(m.log, "w4 1010=7");
	assert_int_equal(*gpr(EMUL_RCX), 0);
	assert_int_equal(m.cpu.rip, CODE + 2);
	assert_int_equal(m.cpu.rflags & RFLAGS_RF, 0);
}

static void test_rep_single_step(void **state)
{
	(void)state;
	start(EMUL_MODE_64);
	m.cpu.rflags |= RFLAGS_TF;
	*gpr(EMUL_RCX) = 2;
	*gpr(EMUL_RDI) = 0x1000;
	assert_int_equal(RUN(0xf3, 0xaa), EMUL_REP);
	assert_int_equal(m.accesses, 1);
	assert_done(RUN(0xf3, 0xaa));
}

static void test_rep_fault(void **state)
{
	(void)state;
	start(EMUL_MODE_64);
	*gpr(EMUL_RCX) = 5;
	*gpr(EMUL_RSI) = 0x1000;
	*gpr(EMUL_RDI) = 0x2000;
	m.fail_at = 8; /* the third iteration's read */
	assert_int_equal(RUN(0xf3, 0xa5), EMUL_FAULT);
	assert_int_equal(*gpr(EMUL_RCX), 3);
	assert_int_equal(*gpr(EMUL_RSI), 0x1008);
	assert_int_equal(*gpr(EMUL_RDI), 0x2008);
	assert_int_equal(m.cpu.rip, CODE);
}

static void test_rep_counts(void **state)
{
	(void)state;
	start(EMUL_MODE_64);
	*gpr(EMUL_RCX) = 0;
	assert_done(RUN(0xf3, 0xa4));
	assert_int_equal(m.accesses, 0);
	/* 16-bit: CX, SI and DI wrap by themselves. */
	start(EMUL_MODE_16);
	*gpr(EMUL_RCX) = 0x77770002;
	*gpr(EMUL_RDI) = 0x6666ffff;
	assert_done(RUN(0xf3, 0xaa));
	assert_string_equal(m.log, "w1 ffff=0 w1 0=0");
	assert_int_equal(*gpr(EMUL_RCX), 0x77770000);
	assert_int_equal(*gpr(EMUL_RDI), 0x66660001);
	/* Downwards. */
	m.cpu.rflags |= RFLAGS_DF;
	assert_done(RUN(0xab));
	assert_int_equal(*gpr(EMUL_RDI), 0x6666ffff);
}

static void test_rep_comparison(void **state)
{
	(void)state;
	start(EMUL_MODE_32);
	memcpy(m.memory + 0x1000, "abcx", 4);
	memcpy(m.memory + 0x2000, "abcy", 4);
	*gpr(EMUL_RSI) = 0x1000;
	*gpr(EMUL_RDI) = 0x2000;
	*gpr(EMUL_RCX) = 100;
	assert_done(RUN(0xf3, 0xa6)); /* repe cmpsb */
	assert_int_equal(*gpr(EMUL_RCX), 96);
	assert_int_equal(m.cpu.rflags & (RFLAGS_ZF | RFLAGS_CF), RFLAGS_CF); /* x is below y */
	*gpr(EMUL_RDI) = 0x2000;
	*gpr(EMUL_RAX) = 'c';
	assert_done(RUN(0xf2, 0xae)); /* repne scasb */
	assert_int_equal(*gpr(EMUL_RDI), 0x2003);
	assert_int_equal(m.cpu.rflags & RFLAGS_ZF, RFLAGS_ZF);
}

static void test_string_segments(void **state)
{
	(void)state;
	start(EMUL_MODE_32);
	m.cpu.seg[EMUL_ES].base = 0x10000;
	m.cpu.seg[EMUL_FS].base = 0x20000;
	*gpr(EMUL_RSI) = 0x100;
	*gpr(EMUL_RDI) = 0x200;
	assert_done(RUN(0x64, 0xa4)); /* the source alone can be overridden */
	assert_string_equal(m.log, "p1 10200 r1 20100 w1 10200=0");
}

/* ---- ports ---- */

static void start_port(uint8_t denied_bit)
{
	start(EMUL_MODE_32);
	m.cpu.cpl = 3;
	m.cpu.tr = (struct emul_seg){.base = 0x4000, .limit = 0x267, .attr = TSS_32};
	put(0x4066, 0x68);
	put(0x4068 + 0x3f8 / 8, denied_bit);
	*gpr(EMUL_RDX) = 0x3f8;
	*gpr(EMUL_RDI) = 0x1000;
}

static void test_io_permission(void **state)
{
	(void)state;
	start_port(0xf0);
	assert_done(RUN(0x6d)); /* ports 3f8 to 3fb */
	assert_string_equal(m.log, "s2 4066 s2 40e7 p4 1000 i4 3f8 w4 1000=a1b2c3d4");
	start_port(0x08);
	assert_raised(RUN(0x6d), 13, 0);
	assert_done(RUN(0x66, 0x6d));
	start_port(0xff);
	m.cpu.rflags |= RFLAGS_IOPL;
	assert_done(RUN(0x6d));
	assert_int_equal(m.accesses, 3);
	start_port(0xff);
	m.cpu.cpl = 0;
	assert_done(RUN(0x6e));
	/* Virtual-8086 mode always asks the bitmap. */
	start_port(0xff);
	m.cpu.rflags |= RFLAGS_IOPL | RFLAGS_VM;
	assert_raised(RUN(0x6e), 13, 0);
	/* Both bytes of the bitmap must lie in the segment. */
	start_port(0);
	m.cpu.tr.limit = 0xe7;
	assert_raised(RUN(0x6e), 13, 0);
	m.cpu.tr.limit = 0xe8;
	assert_done(RUN(0x6e));
	start_port(0);
	m.cpu.tr.attr = TSS_16;
	assert_raised(RUN(0x6e), 13, 0);
	start_port(0);
	m.fail_at = 1;
	assert_int_equal(RUN(0x6e), EMUL_FAULT);
}

static void test_port_not_read_in_vain(void **state)
{
	(void)state;
	start(EMUL_MODE_32);
	m.cpu.seg[EMUL_ES].limit = 0xfff;
	*gpr(EMUL_RDI) = 0x1000;
	assert_raised(RUN(0x6c), 13, 0);
	assert_string_equal(m.log, "");
}

static void test_rep_outs(void **state)
{
	(void)state;
	start(EMUL_MODE_16);
	memcpy(m.memory + 0x100, "ok", 2);
	*gpr(EMUL_RCX) = 2;
	*gpr(EMUL_RSI) = 0x100;
	*gpr(EMUL_RDX) = 0xe9;
	assert_done(RUN(0xf3, 0x6e));
	assert_string_equal(m.log, "r1 100 o1 e9=6f r1 101 o1 e9=6b");
	assert_int_equal(*gpr(EMUL_RSI), 0x102);
}

/* ---- fetching ---- */

static void test_fetch_across_pages(void **state)
{
	const uint8_t insn[] = {0xc7, 0x07, 0x78, 0x56, 0x34, 0x12};

	(void)state;
	start(EMUL_MODE_64);
	*gpr(EMUL_RDI) = 0x3000;
	m.cpu.rip = 0x9000 - 3;
	assert_done(run(insn, 6));
	assert_string_equal(m.log, "w4 3000=12345678");
	assert_int_equal(m.cpu.rip, 0x9003);
	/* The second page is looked at only when it is needed. */
	m.bad_page = 0x9000;
	m.cpu.rip = 0x9000 - 3;
	assert_int_equal(run(insn, 6), EMUL_FAULT);
	assert_string_equal(m.log, "");
	assert_int_equal(m.cpu.length, 0);
	m.cpu.rip = 0x9000 - 6;
	assert_done(run(insn, 6));
	/* Bytes that the processor captured are not fetched again. */
	m.bad_page = 0x8000;
	m.cpu.rip = 0x9000 - 6;
	assert_done(emul_exec(&m.cpu, &ops, &m, insn, 6));
}

static void test_fetch_limits(void **state)
{
	const uint8_t insn[] = {0x8b, 0x03};

	(void)state;
	start(EMUL_MODE_32);
	m.cpu.seg[EMUL_CS].limit = CODE;
	assert_raised(RUN(0x8b, 0x03), 13, 0);
	m.cpu.seg[EMUL_CS].limit = CODE + 1;
	assert_done(RUN(0x8b, 0x03));
	start(EMUL_MODE_32);
	m.cpu.seg[EMUL_CS].base = 0x1000;
	m.cpu.rip = CODE - 0x1000;
	memcpy(m.memory + CODE, insn, 2);
	assert_done(emul_exec(&m.cpu, &ops, &m, NULL, 0));
	assert_int_equal(m.cpu.rip, CODE - 0x1000 + 2);
	start(EMUL_MODE_32);
	m.cpu.rip = 0xfffffffe;
	assert_done(emul_exec(&m.cpu, &ops, &m, insn, 2));
	assert_int_equal(m.cpu.rip, 0);
}

static void test_bad_instructions(void **state)
{
	struct emul_cpu before;

	(void)state;
	start(EMUL_MODE_64);
	assert_raised(RUN(0xf0, 0x8b, 0x03), 6, -1); /* lock mov */
	assert_raised(RUN(0x06), 6, -1);
	assert_raised(RUN(0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
			  0x66, 0x66, 0x66, 0x66),
		      13, 0);
	before = m.cpu;
	assert_int_equal(RUN(0xf3, 0x0f, 0x5b, 0x07), EMUL_UNSUPPORTED); /* cvttps2dq */
	before.length = 4;
	assert_memory_equal(&before, &m.cpu, sizeof(before));
	assert_int_equal(RUN(0x8e, 0x1f), EMUL_UNSUPPORTED); /* mov ds, [rdi] */
	assert_int_equal(RUN(0xd9, 0x07), EMUL_UNSUPPORTED); /* fld */
	assert_int_equal(m.accesses, 0);
}

/* The address alone, for instructions that are executed elsewhere. */
static void test_operand_address(void **state)
{
	const uint8_t lmsw[] = {0x65, 0x0f, 0x01, 0x75, 0x02}; /* lmsw gs:[ebp+2] */
	uint64_t linear;
	struct insn insn;

	(void)state;
	start(EMUL_MODE_32);
	m.cpu.seg[EMUL_GS] = (struct emul_seg){.base = 0x10000, .limit = 0xfff, .attr = DATA};
	assert_int_equal(insn_decode(&insn, lmsw, sizeof(lmsw), EMUL_MODE_32), 0);
	*gpr(EMUL_RBP) = 0xffc;
	assert_done(emul_operand_address(&m.cpu, &insn, 2, &linear));
	assert_int_equal(linear, 0x10ffe);
	assert_raised(emul_operand_address(&m.cpu, &insn, 4, &linear), 13, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accesses),
		cmocka_unit_test(test_faults_change_nothing),
		cmocka_unit_test(test_real_mode),
		cmocka_unit_test(test_real_mode_wide),
		cmocka_unit_test(test_real_mode_limit),
		cmocka_unit_test(test_v86),
		cmocka_unit_test(test_segment_types),
		cmocka_unit_test(test_stack_segment),
		cmocka_unit_test(test_linear_wraps_at_4_gib),
		cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_cmpxchg16b_alignment),
		cmocka_unit_test(test_division_by_zero),
		cmocka_unit_test(test_xmm),
		cmocka_unit_test(test_mmx),
		cmocka_unit_test(test_vex),
		cmocka_unit_test(test_clflush),
		cmocka_unit_test(test_stack_width),
		cmocka_unit_test(test_rep_in_parts),
		cmocka_unit_test(test_rep_single_step),
		cmocka_unit_test(test_rep_fault),
		cmocka_unit_test(test_rep_counts),
		cmocka_unit_test(test_rep_comparison),
		cmocka_unit_test(test_string_segments),
		cmocka_unit_test(test_io_permission),
		cmocka_unit_test(test_port_not_read_in_vain),
		cmocka_unit_test(test_rep_outs),
		cmocka_unit_test(test_fetch_across_pages),
		cmocka_unit_test(test_fetch_limits),
		cmocka_unit_test(test_bad_instructions),
		cmocka_unit_test(test_operand_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
