/* Control registers, what they turn on, and the instructions that are for CPL 0. */
#include "conform64.h"

#define SMEP  (1ul << 20)
#define SMAP  (1ul << 21)
#define UMIP  (1ul << 11)
#define PKE   (1ul << 22)
#define PCIDE (1ul << 17)

static bool amd(void)
{
	return cpuid(0, 0).b == 0x68747541; /* "Auth" */
}

static void try_cr0(const char *name, word value)
{
	word before = read_cr0();

	CATCH("mov %0, %%cr0", "r"(value));
	say(name, "exception %lx, reads %lx", caught.vector, read_cr0() & ~6ul);
	write_cr0(before);
}

static void try_cr4(const char *name, word value)
{
	word before = read_cr4();

	CATCH("mov %0, %%cr4", "r"(value));
	say(name, "exception %lx, changed %u", caught.vector, read_cr4() != before);
	write_cr4(before);
}

static void control(void)
{
	word cr0 = read_cr0(), cr3 = read_cr3(), cr4 = read_cr4();

	try_cr0("CR0 as it is", cr0);
	/* QEMU's TCG does not check these, and is lost. */
	if (!amd()) {
		try_cr0("CR0 without PE", cr0 & ~1ul);
		try_cr0("CR0 without PG", cr0 & ~(1ul << 31));
		try_cr4("CR4 without PAE", cr4 & ~(1ul << 5));
		try_cr4("CR4 LA57", cr4 ^ 1ul << 12);
		try_cr4("CR4 reserved", cr4 | 1ul << 31);
		try_cr4("CR4 upper half", cr4 | 1ul << 63);
		try_cr4("CR4 bit 15", cr4 | 1ul << 15);
		CATCH("mov %0, %%cr3", "r"(cr3 | 1ul << 63));
		say_caught("CR3 bit 63");
		CATCH("mov %0, %%cr3", "r"(cr3 | 1ul << 52));
		say_caught("CR3 beyond the width");
	}
	try_cr0("CR0 NW alone", cr0 | 1ul << 29);
	try_cr0("CR0 CD", cr0 | 1ul << 30);
	try_cr0("CR0 CD and NW", cr0 | 3ul << 29);
	try_cr0("CR0 upper half", cr0 | 1ul << 32);
	try_cr0("CR0 reserved bits", cr0 | 1ul << 7 | 1ul << 17 | 1ul << 28);
	try_cr0("CR0 WP, AM, TS, NE", (cr0 ^ (1ul << 16)) | 1ul << 18 | 1ul << 3);
	try_cr4("CR4 PGE", cr4 | 1ul << 7);
	try_cr4("CR4 TSD, DE, PCE", cr4 | 1ul << 2 | 1ul << 3 | 1ul << 8);
	CATCH("mov %0, %%cr3", "r"(cr3 | 0x18));
	say("CR3 PWT, PCD", "exception %lx, reads %lx", caught.vector, read_cr3() & 0xfff);
	write_cr3(cr3);
	CATCH("mov %0, %%cr8", "r"(16ul));
	say_caught("CR8 beyond");
	CATCH(".byte 0x0f, 0x20, 0xc8", "a"(0ul));
	say_caught("CR1 read");
	CATCH(".byte 0x0f, 0x22, 0xe8", "a"(0ul));
	say_caught("CR5 write");
	CATCH(".byte 0x44, 0x0f, 0x22, 0xf8", "a"(0ul));
	say_caught("CR15 write");
	CATCH("lmsw %w0", "r"(read_cr0() & 0xfffe));
	say("LMSW cannot clear PE", "exception %lx, PE %lx", caught.vector, read_cr0() & 1);
}

static void xcr0(void)
{
	static const struct {
		const char *name;
		uint32_t index, low, high;
	} writes[] = {
		{"XCR0 0", 0, 0, 0},
		{"XCR0 without x87", 0, 2, 0},
		{"XCR0 AVX without SSE", 0, 5, 0},
		{"XCR0 x87", 0, 1, 0},
		{"XCR0 SSE", 0, 3, 0},
		{"XCR0 bit 63", 0, 3, 1u << 31},
		{"XCR0 reserved", 0, 3 | 1u << 8, 0},
		{"XCR0 some of AVX-512", 0, 7 | 1u << 5, 0},
		{"XCR1", 1, 3, 0},
	};

	CATCH("xsetbv", "a"(3), "d"(0), "c"(0));
	say_caught("XSETBV without OSXSAVE");
	CATCH("xgetbv", "a"(3), "d"(0), "c"(0));
	say_caught("XGETBV without OSXSAVE");
	if (!(cpuid(1, 0).c & 1u << 26))
		return;
	write_cr4(read_cr4() | 1ul << 18);
	for (unsigned int i = 0; i < COUNT(writes); i++) {
		uint32_t low, high;

		CATCH("xsetbv", "a"(writes[i].low), "d"(writes[i].high), "c"(writes[i].index));
		asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
		say(writes[i].name, "exception %lx, reads %x", caught.vector, low);
		asm volatile("xsetbv" : : "a"(1), "d"(0), "c"(0));
	}
	USER("xsetbv", "a"(3), "d"(0), "c"(0));
	say_caught("XSETBV at CPL 3");
	write_cr4(read_cr4() & ~(1ul << 18));
}

asm("just_return: ret");
void just_return(void);

static void protections(void)
{
	struct regs seven = cpuid(7, 0);
	volatile uint32_t *user = (volatile uint32_t *)((word)&trap_count + USER_ALIAS);

	if (seven.b & 1u << 7) {
		write_cr4(read_cr4() | SMEP);
		CATCH("call *%0", "r"((word)just_return + USER_ALIAS));
		say("SMEP", "exception %lx error %lx", caught.vector, caught.error);
		write_cr4(read_cr4() & ~SMEP);
	}
	CATCH("call *%0", "r"((word)just_return + USER_ALIAS));
	say_caught("without SMEP");
	if (seven.b & 1u << 20) {
		CATCH("stac", "a"(0));
		say_caught("STAC");
		write_cr4(read_cr4() | SMAP);
		CATCH("clac\n movl (%0), %%eax", "r"(user), "a"(0));
		say("SMAP", "exception %lx error %lx", caught.vector, caught.error);
		CATCH("stac\n movl (%0), %%eax\n clac", "r"(user), "a"(0));
		say_caught("SMAP with AC");
		write_cr4(read_cr4() & ~SMAP);
	}
	if (seven.c & 4) {
		write_cr4(read_cr4() | UMIP);
		USER("sgdt -64(%%rsp)", "a"(0));
		say_caught("UMIP SGDT");
		USER("sidt -64(%%rsp)", "a"(0));
		say_caught("UMIP SIDT");
		USER("sldt %%eax", "a"(0));
		say_caught("UMIP SLDT");
		USER("str %%eax", "a"(0));
		say_caught("UMIP STR");
		USER("smsw %%eax", "a"(0));
		say_caught("UMIP SMSW");
		write_cr4(read_cr4() & ~UMIP);
	}
	USER("smsw %%eax", "a"(0));
	say_caught("SMSW at CPL 3");
	if (seven.c & 8) {
		CATCH(".byte 0x0f, 0x01, 0xee", "c"(0), "a"(0), "d"(0));
		say_caught("RDPKRU without PKE");
		write_cr4(read_cr4() | PKE);
		say("cpuid OSPKE", "%u", cpuid(7, 0).c >> 4 & 1);
		CATCH(".byte 0x0f, 0x01, 0xef", "c"(1), "a"(0), "d"(0));
		say_caught("WRPKRU, ECX not 0");
		CATCH(".byte 0x0f, 0x01, 0xef\n movl (%0), %%eax", "r"(user), "c"(0), "a"(1),
		      "d"(0));
		say("PKRU denies", "exception %lx error %lx", caught.vector, caught.error);
		CATCH(".byte 0x0f, 0x01, 0xef\n movl %%eax, (%0)", "r"(user), "c"(0), "a"(2),
		      "d"(0));
		say("PKRU denies writing", "exception %lx", caught.vector);
		CATCH(".byte 0x0f, 0x01, 0xef", "c"(0), "a"(0), "d"(0));
		write_cr4(read_cr4() & ~PKE);
	}
}

static void pcid(void)
{
	struct {
		uint64_t pcid, address;
	} d = {1, 0};
	word cr3 = read_cr3();

	if (cpuid(1, 0).c & 1u << 17) {
		write_cr3(cr3 | 0x18);
		CATCH("mov %0, %%cr4", "r"(read_cr4() | PCIDE));
		say_caught("PCIDE with CR3's low bits set");
		write_cr3(cr3);
		CATCH("mov %0, %%cr4", "r"(read_cr4() | PCIDE));
		say_caught("PCIDE");
		CATCH("mov %0, %%cr3", "r"(cr3 | 5 | 1ul << 63));
		say("CR3 with a PCID", "exception %lx, reads %lx", caught.vector, read_cr3() ^ cr3);
		write_cr3(cr3);
		write_cr4(read_cr4() & ~PCIDE);
	}
	if (cpuid(7, 0).b & 1u << 10) {
		CATCH("invpcid %1, %q0", "r"(0ul), "m"(d));
		say_caught("INVPCID of a PCID without PCIDE");
		CATCH("invpcid %1, %q0", "r"(4ul), "m"(d));
		say_caught("INVPCID type 4");
		CATCH("invpcid %1, %q0", "r"(2ul), "m"(d));
		say_caught("INVPCID all");
	}
}

/* Switched on where that is needed. MWAIT with nothing to watch does not wait. */
static void monitor(void)
{
	static uint64_t line;
	uint64_t before;

	if (amd() || rdmsr(0x1a0, &before) != NONE)
		return;
	wrmsr(0x1a0, before | 1u << 18);
	say("MONITOR switched on", "cpuid %u, line %u", cpuid(1, 0).c >> 3 & 1,
	    cpuid(5, 0).a & 0xffff);
	CATCH("mwait", "a"(0), "c"(0));
	say_caught("MWAIT without MONITOR");
	CATCH("monitor", "a"(&line), "c"(0), "d"(0));
	say_caught("MONITOR switched on");
	CATCH("monitor", "a"(&line), "c"(1), "d"(0));
	say_caught("MONITOR with an extension");
	CATCH("monitor", "a"(0x4000000000ul), "c"(0), "d"(0));
	say_caught("MONITOR of no page");
	CATCH("monitor", "a"(0x800000000000ul), "c"(0), "d"(0));
	say_caught("MONITOR of no canonical address");
	CATCH("mwait", "a"(0), "c"(2));
	say_caught("MWAIT with an extension");
	USER("monitor", "a"(&line), "c"(0), "d"(0));
	say_caught("MONITOR at CPL 3");
	wrmsr(0x1a0, before);
}

static void privileged(void)
{
	if (!(cpuid(1, 0).c & 8)) {
		CATCH("monitor", "a"(&trap_count), "c"(0), "d"(0));
		say_caught("MONITOR that CPUID has not");
		CATCH("mwait", "a"(0), "c"(0));
		say_caught("MWAIT that CPUID has not");
	}
	monitor();
	CATCH("wbinvd", "a"(0));
	say_caught("WBINVD");
	CATCH("invd", "a"(0));
	say_caught("INVD");
	USER("wbinvd", "a"(0));
	say_caught("WBINVD at CPL 3");
	USER("invd", "a"(0));
	say_caught("INVD at CPL 3");
	USER("hlt", "a"(0));
	say_caught("HLT at CPL 3");
	USER("mov %%cr0, %%rax", "a"(0));
	say_caught("CR0 at CPL 3");
	USER("mov %%rax, %%dr0", "a"(0));
	say_caught("DR0 at CPL 3");
	USER("clts", "a"(0));
	say_caught("CLTS at CPL 3");
	USER("lmsw %%ax", "a"(1));
	say_caught("LMSW at CPL 3");
	USER("invlpg (%%rax)", "a"(0));
	say_caught("INVLPG at CPL 3");
	USER("in $0x3ff - 0x380, %%al", "a"(0));
	say_caught("IN at CPL 3");
	USER("cli", "a"(0));
	say_caught("CLI at CPL 3");
	USER("cpuid", "a"(0), "b"(0), "c"(0), "d"(0));
	say_caught("CPUID at CPL 3");
}

void register_cases(void)
{
	control();
	xcr0();
	protections();
	pcid();
	privileged();
}
