#include "tests/guests/attack/attack.h"

#define EFER 0xc0000080

static const struct {
	uint32_t first, last;
} ranges[] = {{0, 0x1fff},
	      {0x40000000, 0x400000ff},
	      {0x4b564d00, 0x4b564dff},
	      {0xc0000000, 0xc0001fff},
	      {0xc0010000, 0xc0011fff}};

static bool is_in_ranges(uint32_t msr)
{
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (msr >= ranges[i].first && msr <= ranges[i].last)
			return true;
	return false;
}

/* Every 262,139th of all 2^32; outside of the ranges that hold MSRs all are unknown. */
static void index_space(void)
{
	uint64_t value;

	for (uint64_t msr = 0x2000; msr < BIT(32); msr += 262139) {
		if (is_in_ranges((uint32_t)msr))
			continue;
		EXPECT(try_rdmsr((uint32_t)msr, &value) == GP, "RDMSR %lx without #GP", msr, 0, 0);
		EXPECT(try_wrmsr((uint32_t)msr, 0) == GP, "WRMSR %lx without #GP", msr, 0, 0);
	}
}

/* IA32_APIC_BASE and EFER have cases of their own; the TSC and its deadline do not stand still. */
static bool is_left_alone(uint32_t msr)
{
	return msr == 0x1b || msr == 0x10 || msr == TSC_DEADLINE || msr == EFER;
}

static void flip_bits(uint32_t msr, uint64_t old)
{
	for (unsigned int bit = 0; bit < 64; bit++) {
		uint64_t now;
		int vector = try_wrmsr(msr, old ^ BIT(bit));

		EXPECT(vector == GP || vector == NO_FAULT, "vector %lu at bit %lu of MSR %lx",
		       vector, bit, msr);
		EXPECT(try_rdmsr(msr, &now) == NO_FAULT, "no RDMSR of %lx after bit %lu", msr, bit,
		       0);
		if (vector == GP)
			EXPECT(now == old, "MSR %lx changed by a refused bit %lu: %lx", msr, bit,
			       now);
		if (now != old)
			EXPECT(try_wrmsr(msr, old) == NO_FAULT,
			       "MSR %lx cannot get its value back, bit %lu", msr, bit, 0);
	}
}

/* It takes each bit, and counts on from there. In the end it is the machine's again, as where the
 * deadline is the core's own register. */
static void flip_tsc(void)
{
	uint64_t old = rdmsr(0x10), value;

	for (unsigned int bit = 0; bit < 64; bit++) {
		value = old ^ BIT(bit);
		EXPECT(try_wrmsr(0x10, value) == NO_FAULT, "bit %lu of the TSC refused", bit, 0, 0);
		EXPECT(rdtsc() - value < BIT(40), "TSC %lx behind the write of bit %lu", rdtsc(),
		       bit, 0);
	}
	wrmsr(TSC_ADJUST, 0);
	EXPECT(rdmsr(TSC_ADJUST) == 0, "TSC_ADJUST %lx", rdmsr(TSC_ADJUST), 0, 0);
}

/*
 * It is written in TSC-deadline mode alone; there, one that is past is 0 again (SDM vol. 3A
 * 11.5.4.1), and one that is far ahead stays. Without the feature there is none.
 */
static void flip_deadline(uint32_t mode)
{
	bool is_there = cpuid(1, 0).ecx & BIT(24);

	mmio_write(APIC + 0x320, BIT(16) | mode << 17 | V_TIMER);
	for (unsigned int bit = 0; bit < 64; bit++) {
		uint64_t value;

		EXPECT(try_wrmsr(TSC_DEADLINE, BIT(bit)) == (is_there ? NO_FAULT : GP),
		       "bit %lu of the deadline", bit, 0, 0);
		try_rdmsr(TSC_DEADLINE, &value);
		if (is_there && (mode != MODE_DEADLINE || BIT(bit) > rdtsc() + BIT(42)))
			EXPECT(value == (mode == MODE_DEADLINE ? BIT(bit) : 0),
			       "deadline %lx behind bit %lu in mode %lu", value, bit, mode);
	}
	if (is_there)
		wrmsr(TSC_DEADLINE, 0);
	mmio_write(APIC + 0x320, BIT(16));
}

static void every_bit(void)
{
	flip_tsc();
	flip_deadline(0);
	flip_deadline(MODE_DEADLINE);
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		for (uint32_t msr = ranges[i].first; msr <= ranges[i].last; msr++) {
			uint64_t old;
			int vector = try_rdmsr(msr, &old);

			EXPECT(vector == GP || vector == NO_FAULT, "vector %lu at RDMSR %lx",
			       vector, msr, 0);
			if (vector == NO_FAULT && !is_left_alone(msr))
				flip_bits(msr, old);
		}
	}
}

static void read_only(void)
{
	static const uint32_t msrs[] = {0xfe, 0x179, 0x40000000, 0x3a, 0x480, 0x48b, 0xc0010117};

	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++)
		EXPECT(try_wrmsr(msrs[i], 1) == GP, "WRMSR %lx without #GP", msrs[i], 0, 0);
}

static void non_canonical(void)
{
	static const uint64_t bad[] = {0x800000000000, 0xffff7fffffffffff, 0x8000000000000000,
				       0x1000000000000};
	static const struct {
		uint32_t msr;
		bool intel_only; /* AMD-V's processors do it too, QEMU's does not */
	} msrs[] = {{0xc0000082, false}, {0xc0000083, false}, {0x175, true},	 {0x176, true},
		    {0xc0000100, true},	 {0xc0000101, true},  {0xc0000102, true}};

	for (size_t i = 0; i < ARRAY_SIZE(msrs); i++) {
		uint64_t old;

		try_rdmsr(msrs[i].msr, &old);
		for (size_t j = 0; j < ARRAY_SIZE(bad); j++) {
			int vector = try_wrmsr(msrs[i].msr, bad[j]);

			cpuid(0x8000001f, 0);
			EXPECT(vector == GP || (msrs[i].intel_only && is_amd),
			       "no #GP: MSR %lx = %lx (vector %lu)", msrs[i].msr, bad[j], vector);
		}
		EXPECT(try_wrmsr(msrs[i].msr, old) == NO_FAULT, "MSR %lx refuses %lx", msrs[i].msr,
		       old, 0);
	}
}

static void set_efer(uint64_t value)
{
	wrmsr(EFER, value);
}

static void efer(void)
{
	static const uint8_t defined[] = {0, 8, 10, 11, 12, 13, 14, 15};
	uint64_t old = rdmsr(EFER), refused = 0;

	for (unsigned int bit = 0; bit < 64; bit++) {
		int vector = try_wrmsr(EFER, old ^ BIT(bit));
		bool allowed = bit == 0 || bit == 10 || bit == 11 || (bit == 14 && is_amd) ||
			       (bit == 13 && is_amd);

		if (!allowed)
			EXPECT(vector == GP, "bit %lu of EFER without #GP", bit, 0, 0);
		EXPECT((rdmsr(EFER) & 0x500) == 0x500, "EFER %lx after bit %lu", rdmsr(EFER), bit,
		       0);
		if (vector == GP)
			refused |= BIT(bit);
		wrmsr(EFER, old);
	}
	try_pairs(set_efer, old, refused, "EFER");
	try_combinations(set_efer, old, refused, defined, ARRAY_SIZE(defined), "EFER");
	EXPECT(rdmsr(EFER) == old, "EFER %lx, was %lx", rdmsr(EFER), old, 0);
}

static void pat(void)
{
	uint64_t old = rdmsr(0x277);

	for (unsigned int i = 0; i < 8; i++) {
		for (uint64_t type = 0; type < 256; type++) {
			uint64_t value = (old & ~(0xffull << 8 * i)) | type << 8 * i;
			bool valid = type < 8 && type != 2 && type != 3;

			EXPECT((try_wrmsr(0x277, value) == NO_FAULT) == valid,
			       "type %lx of PAT entry %lu: valid is %lu", type, i, valid);
		}
	}
	wrmsr(0x277, old);
}

static void debugctl(void)
{
	for (unsigned int bit = 2; bit < 64; bit++) {
		int vector = try_wrmsr(0x1d9, BIT(bit));

		if (bit >= 16)
			EXPECT(vector == GP, "bit %lu of DEBUGCTL without #GP", bit, 0, 0);
	}
	EXPECT(try_wrmsr(0x1d9, 0) == NO_FAULT, "0 refused", 0, 0, 0);
}

/* Performance monitoring is not there (bits 11 and 12 say so), and cannot be made to be. */
static void misc_enable(void)
{
	uint64_t old, now;
	int vector;

	if (try_rdmsr(0x1a0, &old) == GP) {
		EXPECT(is_amd, "no IA32_MISC_ENABLE", 0, 0, 0);
		return;
	}
	vector = try_wrmsr(0x1a0, old & ~(BIT(11) | BIT(12)));
	EXPECT(vector == NO_FAULT || vector == GP, "vector %lu", vector, 0, 0);
	try_rdmsr(0x1a0, &now);
	EXPECT((now & (BIT(11) | BIT(12))) == (old & (BIT(11) | BIT(12))),
	       "IA32_MISC_ENABLE %lx, was %lx", now, old, 0);
	wrmsr(0x1a0, old);
}

static void mtrrs(void)
{
	static const struct {
		uint32_t msr;
		uint64_t value;
	} bad[] = {{0x2ff, 0xc02},   {0x2ff, 0x1006},
		   {0x2ff, BIT(63)}, {0x200, 2},
		   {0x200, 0x106},   {0x200, BIT(62)},
		   {0x201, 0x400},   {0x201, BIT(63) | 0x800},
		   {0x250, 2},	     {0x26f, 0x0707070707070707},
		   {0x258, 0x0300},  {0xfe, 0}};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT(try_wrmsr(bad[i].msr, bad[i].value) == GP, "no #GP: MTRR %lx = %lx",
		       bad[i].msr, bad[i].value, 0);
}

/* No banks, no control; what there is takes no garbage. */
static void machine_check(void)
{
	uint64_t value;

	EXPECT(try_rdmsr(0x179, &value) == NO_FAULT && (value & 0xff) == 0, "IA32_MCG_CAP %lx",
	       value, 0, 0);
	for (uint32_t msr = 0x400; msr < 0x480; msr++) {
		EXPECT(try_rdmsr(msr, &value) == GP, "RDMSR %lx of a bank that is not there", msr,
		       0, 0);
		EXPECT(try_wrmsr(msr, ~0ull) == GP, "WRMSR %lx of a bank that is not there", msr, 0,
		       0);
	}
	EXPECT(try_wrmsr(0x17a, ~0ull) == GP, "IA32_MCG_STATUS takes all bits", 0, 0, 0);
	EXPECT(try_wrmsr(0x17b, ~0ull) == GP, "IA32_MCG_CTL is there", 0, 0, 0);
}

static const struct attack_case msr_table_cases[] = {
	{"MSR index space", index_space},
	{"every bit of every MSR", every_bit},
	{"read-only MSRs", read_only},
	{"non-canonical bases", non_canonical},
	{"EFER", efer},
	{"PAT", pat},
	{"DEBUGCTL", debugctl},
	{"MISC_ENABLE", misc_enable},
	{"MTRRs", mtrrs},
	{"machine-check MSRs", machine_check},
};
CASES(msr_table);
