#include "tests/guests/attack/attack.h"

#define CODE_AT (USER_MEMORY + 0x1000)

bool is_amd;
void (*volatile second_job)(void);
volatile uint64_t second_count;
/* What the first expectation that failed says. */
static struct {
	const char *format;
	uint64_t a, b, c;
} first;

void got(const char *format, uint64_t a, uint64_t b, uint64_t c)
{
	if (!first.format) {
		first.format = format;
		first.a = a;
		first.b = b;
		first.c = c;
	}
}

static uint64_t msr_value;

static void do_wrmsr(uint64_t msr)
{
	wrmsr((uint32_t)msr, msr_value);
}

static void do_rdmsr(uint64_t msr)
{
	msr_value = rdmsr((uint32_t)msr);
}

int try_wrmsr(uint32_t msr, uint64_t value)
{
	msr_value = value;
	return rt_try(do_wrmsr, msr);
}

int try_rdmsr(uint32_t msr, uint64_t *value)
{
	int vector = rt_try(do_rdmsr, msr);

	*value = msr_value;
	return vector;
}

void try_pairs(void (*set)(uint64_t), uint64_t old, uint64_t refused, const char *name)
{
	for (unsigned int a = 0; a < 64; a++) {
		for (unsigned int b = a + 1; b < 64; b++) {
			uint64_t flipped = BIT(a) | BIT(b);

			if (refused & flipped)
				EXPECT(rt_try(set, old ^ flipped) == GP,
				       "no #GP: bits %lu and %lu of %s", a, b, name);
		}
	}
}

void try_combinations(void (*set)(uint64_t), uint64_t old, uint64_t refused, const uint8_t *bits,
		      unsigned int count, const char *name)
{
	for (unsigned int chosen = 0; chosen < 1u << count; chosen++) {
		uint64_t flipped = 0;
		int vector;

		for (unsigned int i = 0; i < count; i++)
			flipped |= chosen >> i & 1 ? BIT(bits[i]) : 0;
		vector = rt_try(set, old ^ flipped);
		EXPECT(vector == (flipped & refused ? GP : NO_FAULT),
		       "vector %lu: %s with bits %lx flipped", vector, (uint64_t)name, flipped);
		set(old);
	}
}

static uint8_t *put_code(const uint8_t *bytes, size_t n, uint8_t last)
{
	uint8_t *code = (uint8_t *)(uintptr_t)CODE_AT;

	memcpy(code, bytes, n);
	code[n] = last;
	return code;
}

int try_code(const uint8_t *bytes, size_t n, uint64_t argument)
{
	return rt_try((void (*)(uint64_t))(uintptr_t)put_code(bytes, n, 0xc3), argument);
}

int try_user_code(const uint8_t *bytes, size_t n, uint64_t argument)
{
	const uint64_t registers[8] = {[6] = argument};

	return rt_try_user(put_code(bytes, n, 0xcc), registers, 0);
}

#define NAP 1000000u /* ticks of the APIC timer */

/*
 * It sleeps between its jobs: on Bochs a processor that spins takes turns from the others. Its
 * timer wakes it again and again, since QEMU may deliver an interrupt between STI and HLT.
 */
void rt_second(void)
{
	mmio_write(APIC + 0x3e0, 0xb);
	mmio_write(APIC + 0x320, 0x20000 | V_TIMER);
	mmio_write(APIC + 0x380, NAP);
	for (;;) {
		void (*job)(void) = second_job;

		rt_self()->burst = 0;
		if (job)
			job();
		else
			__asm__ volatile("sti; hlt; cli");
	}
}

bool restart_second(void)
{
	second_job = NULL;
	second_count = 0;
	return rt_start_second();
}

/* For a look at a few: only=MS runs those whose names begin so; an underscore is a space too. */
static bool begins_with(const char *name, const char *text)
{
	for (; *text && *text != ' '; text++, name++)
		if (*name != *text && !(*name == ' ' && *text == '_'))
			return false;
	return true;
}

static void run_table(const struct attack_table *table)
{
	const char *only = rt_option_text("only");

	for (size_t i = 0; i < table->count; i++) {
		const struct attack_case *c = &table->cases[i];

		if (only && !begins_with(c->name, only))
			continue;
		first.format = NULL;
		c->run();
		rt_reset_apic();
		rt_printf("case %s: %s", c->name, first.format ? "got " : "ok");
		if (first.format)
			rt_printf(first.format, first.a, first.b, first.c);
		rt_printf(".\n");
	}
}

void rt_guest(void)
{
	static const struct attack_table *const tables[] = {
		&msr_table,    &cpu_table,    &insn_table,   &apic_table,
		&memory_table, &device_table, &second_table, &flood_table,
	};

	is_amd = cpuid(0, 0).ebx == 0x68747541;
	/* A guest of one processor is for only=. */
	if ((cpuid(1, 0).ebx >> 16 & 0xff) > 1 && !restart_second())
		rt_printf("case second processor: got none.\n");
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		run_table(tables[i]);
	rt_printf("attack: the end.\n");
	rt_exit(33);
}
