/* CPUID against itself, MSRs, the TSC. */
#include "conform64.h"

#define MSR_APIC_BASE  0x1b
#define MSR_EFER       0xc0000080
#define MSR_TSC	       0x10
#define MSR_TSC_ADJUST 0x3b
#define MSR_TSC_AUX    0xc0000103
#define NON_CANONICAL  0x8000000000000000ull

static bool same(struct regs a, struct regs b)
{
	return a.a == b.a && a.b == b.b && a.c == b.c && a.d == b.d;
}

static bool nothing(struct regs r)
{
	return !(r.a | r.b | r.c | r.d);
}

static void set_xcr0(uint64_t value)
{
	asm volatile("xsetbv" : : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(0));
}

/* Leaf 0Dh: EBX by XCR0, ECX by all that may be set, each component where it says. */
static void xsave_sizes(void)
{
	struct regs all = cpuid(0xd, 0);
	uint64_t mask = all.a | (uint64_t)all.d << 32;
	uint32_t largest = 576, wrong = 0;

	if (!(cpuid(1, 0).c & 1u << 26))
		return;
	write_cr4(read_cr4() | 1 << 18);
	say("cpuid OSXSAVE", "%u", cpuid(1, 0).c >> 27 & 1);
	for (unsigned int i = 2; i < 63; i++) {
		struct regs r = cpuid(0xd, i);

		if (!(mask >> i & 1))
			continue;
		if (r.b + r.a > largest)
			largest = r.b + r.a;
		wrong += !r.a || r.b < 576;
	}
	say("cpuid 0xd", "ecx is what its parts add up to %u, parts wrong %u", all.c == largest,
	    wrong);
	set_xcr0(1);
	say("cpuid 0xd", "ebx with x87 %u", cpuid(0xd, 0).b);
	set_xcr0(3);
	say("cpuid 0xd", "ebx with SSE %u", cpuid(0xd, 0).b);
	if (mask & 4) {
		set_xcr0(7);
		say("cpuid 0xd", "ebx with AVX is its end %u",
		    cpuid(0xd, 0).b == cpuid(0xd, 2).a + cpuid(0xd, 2).b);
	}
	set_xcr0(mask & 0x2e7);
	say("cpuid 0xd", "ebx with all is ecx %u", cpuid(0xd, 0).b == all.c);
	set_xcr0(3);
	write_cr4(read_cr4() & ~(word)(1 << 18));
	say("cpuid OSXSAVE", "%u", cpuid(1, 0).c >> 27 & 1);
}

static void leaves(void)
{
	uint32_t last = cpuid(0, 0).a, last_ext = cpuid(0x80000000, 0).a;
	struct regs one = cpuid(1, 0), eight = cpuid(0x80000008, 0);

	say("cpuid",
	    "leaves of one processor: long mode %u, NX %u, fxsr %u, apic %u, msr %u, tsc %u",
	    cpuid(0x80000001, 0).d >> 29 & 1, cpuid(0x80000001, 0).d >> 20 & 1, one.d >> 24 & 1,
	    one.d >> 9 & 1, one.d >> 5 & 1, one.d >> 4 & 1);
	say("cpuid", "at least leaf 7 %u, 80000008 %u, widths %u", last >= 7,
	    last_ext >= 0x80000008, (eight.a & 0xff) >= 36 && (eight.a >> 8 & 0xff) >= 48);
	say("cpuid 1", "APIC ID %u", one.b >> 24);
	say("cpuid 7", "subleaf beyond is empty %u", nothing(cpuid(7, cpuid(7, 0).a + 1)));
	if (last >= 0xb) {
		say("cpuid 0xb", "types %x %x %x, subleaves told %u, id %u",
		    cpuid(0xb, 0).c >> 8 & 0xff, cpuid(0xb, 1).c >> 8 & 0xff,
		    cpuid(0xb, 2).c >> 8 & 0xff,
		    (cpuid(0xb, 0).c & 0xff) == 0 && (cpuid(0xb, 5).c & 0xff) == 5,
		    cpuid(0xb, 0).d);
	}
	if (last >= 0x1f)
		say("cpuid 0x1f", "as 0xb %u", cpuid(0x1f, 0).d == cpuid(0xb, 0).d);
	if (cpuid(0, 0).b == 0x68747541) /* AMD: nothing, Intel: the last basic leaf */
		say("cpuid beyond the last", "%u", nothing(cpuid(last + 0x100, 0)));
	else
		say("cpuid beyond the last", "%u", same(cpuid(last + 0x100, 0), cpuid(last, 0)));
	for (uint32_t i = 0, type; last >= 4 && (type = cpuid(4, i).a & 0x1f) && i < 8; i++)
		if (type > 3 || !(cpuid(4, i).a >> 5 & 7))
			say("cpuid 4", "subleaf %u is no cache", i);
}

static void counters(void)
{
	uint32_t version = cpuid(0, 0).a >= 0xa ? cpuid(0xa, 0).a & 0xff : 0;

	say("cpuid 0xa", "architectural counters %u", version != 0);
	CATCH("rdpmc", "c"(0x7fff), "a"(0), "d"(0));
	say_caught("rdpmc of none");
	USER("rdpmc", "c"(0), "a"(0), "d"(0));
	say_caught("rdpmc at CPL 3");
}

static void write_and_back(const char *name, uint32_t index, uint64_t value)
{
	uint64_t before = 0, after = 0;
	unsigned int read = rdmsr(index, &before), write = wrmsr(index, value);

	rdmsr(index, &after);
	if (read != NONE || write != NONE)
		say(name, "write %lx: read %x write %x, unchanged %u", (word)value, read, write,
		    after == before);
	else
		say(name, "write %lx: reads %lx", (word)value, (word)after);
	if (read == NONE)
		wrmsr(index, before);
}

static void msrs(void)
{
	static const struct {
		const char *name;
		uint32_t index;
		uint64_t value;
	} writes[] = {
		{"EFER reserved", MSR_EFER, 0x502},
		{"EFER without LME", MSR_EFER, 0x401},
		{"EFER without LMA", MSR_EFER, 0x101},
		{"EFER NXE", MSR_EFER, 0xd01},
		{"STAR", 0xc0000081, 0x1b000800000000},
		{"LSTAR", 0xc0000082, 0xffff800000001234},
		{"LSTAR", 0xc0000082, NON_CANONICAL},
		{"CSTAR", 0xc0000083, NON_CANONICAL},
		{"FMASK", 0xc0000084, 0x47700},
		{"FS_BASE", 0xc0000100, 0x7fff00001234},
		{"FS_BASE", 0xc0000100, NON_CANONICAL},
		{"GS_BASE", 0xc0000101, NON_CANONICAL},
		{"KERNEL_GS_BASE", 0xc0000102, 0xffff800000000000},
		{"KERNEL_GS_BASE", 0xc0000102, 0x0000800000000000},
		{"SYSENTER_CS", 0x174, 0x10},
		{"SYSENTER_ESP", 0x175, 0x12345678},
		{"SYSENTER_EIP", 0x176, 0x12345678},
		{"PAT", 0x277, 0x0007040600070406},
		{"PAT reserved type", 0x277, 0x0007040600070402},
		{"PAT reserved type", 0x277, 0x0807040600070406},
		{"MTRRCAP", 0xfe, 0x508},
		{"MTRR default", 0x2ff, 0xc06},
		{"MTRR default, reserved type", 0x2ff, 0xc02},
		{"MTRR default, reserved bit", 0x2ff, 0x1c06},
		{"MTRR base", 0x200, 0x80000006},
		{"MTRR base, reserved type", 0x200, 0x80000003},
		{"MTRR base, reserved bit", 0x200, 0x80000106},
		{"MTRR base, beyond the width", 0x200, NON_CANONICAL | 6},
		{"MTRR mask, reserved bit", 0x201, 0x80000001},
		{"MTRR fixed", 0x250, 0x0606060606060606},
		{"MTRR fixed, reserved type", 0x250, 0x0606060606060206},
		{"APIC_BASE reserved", 0x1b, 0xfee00901},
		{"APIC_BASE beyond the width", 0x1b, NON_CANONICAL | 0xfee00900},
		{"TSC_AUX", MSR_TSC_AUX, 0x12345678},
		{"TSC_AUX, upper half", MSR_TSC_AUX, 0x112345678},
		{"MCG_CAP", 0x179, 0x1234},
		{"x2APIC in xAPIC mode", 0x802, 1},
		{"XSS reserved", 0xda0, NON_CANONICAL},
		{"no MSR", 0x12345, 0},
		{"no MSR", 0xc0011234, 0},
		{"no MSR", 0xffffffff, 0},
	};

	for (unsigned int i = 0; i < COUNT(writes); i++)
		write_and_back(writes[i].name, writes[i].index, writes[i].value);
	USER("rdmsr", "c"(0x10), "a"(0), "d"(0));
	say_caught("rdmsr at CPL 3");
	USER("wrmsr", "c"(0x10), "a"(0), "d"(0));
	say_caught("wrmsr at CPL 3");
}

static uint64_t rdtsc(void)
{
	uint32_t low, high;

	asm volatile("lfence\n rdtsc" : "=a"(low), "=d"(high));
	return low | (uint64_t)high << 32;
}

static void tsc(void)
{
	uint64_t a, b, value, adjust = 0;
	unsigned int backwards = 0;

	for (unsigned int i = 0; i < 1000; i++) {
		a = rdtsc();
		cpuid(0, 0);
		backwards += rdtsc() <= a;
	}
	rdmsr(MSR_TSC, &value);
	b = rdtsc();
	say("tsc", "backwards %u, MSR between %u", backwards, a < value && value < b);
	if (cpuid(7, 0).b & 2) {
		wrmsr(MSR_TSC_ADJUST, 0);
		a = rdtsc();
		wrmsr(MSR_TSC_ADJUST, 1ull << 40);
		b = rdtsc();
		say("tsc_adjust", "moves it %u", b - a >= 1ull << 40 && b - a < 3ull << 39);
		wrmsr(MSR_TSC, 0);
		rdmsr(MSR_TSC_ADJUST, &adjust);
		say("tsc", "written, adjust follows %u",
		    (int64_t)adjust < (int64_t)(1ull << 40) && adjust != 0);
		wrmsr(MSR_TSC_ADJUST, 0);
		say("tsc_adjust", "back again %u", rdtsc() > a);
	}
	if (cpuid(0x80000001, 0).d & 1u << 27) {
		uint32_t low, high, aux;

		wrmsr(MSR_TSC_AUX, 0xabcd);
		asm volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(aux));
		say("rdtscp", "%x", aux);
	}
	write_cr4(read_cr4() | 4);
	USER("rdtsc", "a"(0), "d"(0));
	say_caught("rdtsc at CPL 3, CR4.TSD");
	write_cr4(read_cr4() & ~4ul);
	USER("rdtsc", "a"(0), "d"(0));
	say_caught("rdtsc at CPL 3");
}

/* Without its APIC there is none in CPUID, nothing at its address, and still a CR8 (11.4.3). */
void apic_cases(void)
{
	volatile uint32_t *tpr = (volatile uint32_t *)0xfee00080;
	uint64_t base;
	word cr8;

	rdmsr(MSR_APIC_BASE, &base);
	wrmsr(MSR_APIC_BASE, base & ~0xc00ull);
	asm volatile("mov %0, %%cr8" : : "r"(5ul));
	asm volatile("mov %%cr8, %0" : "=r"(cr8));
	say("APIC off", "cpuid %u, again %u, CR8 %lx, TPR %x", cpuid(1, 0).d >> 9 & 1,
	    cpuid(0x80000001, 0).d >> 9 & 1, cr8, *tpr);
	asm volatile("mov %0, %%cr8" : : "r"(0ul));
	wrmsr(MSR_APIC_BASE, base);
	say("APIC on again", "cpuid %u", cpuid(1, 0).d >> 9 & 1);
}

void identity_cases(void)
{
	leaves();
	xsave_sizes();
	counters();
	msrs();
	tsc();
}
