/* A second of each kind of exit (flood_ms= on the command line: another time). */
#include "tests/guests/attack/attack.h"

#define PM_TMR	  0x608
#define PM_TMR_HZ 3579545u
#define EFER	  0xc0000080

static void f_cpuid(uint64_t n)
{
	cpuid((uint32_t)n, 0);
}

static void f_rdmsr(uint64_t n)
{
	(void)n;
	rdmsr(0x1b);
}

static void f_bad_msr(uint64_t n)
{
	rdmsr(0x12340000 | (uint32_t)n);
}

static void f_wrmsr(uint64_t n)
{
	wrmsr(0x277, rdmsr(0x277));
	(void)n;
}

static void f_out(uint64_t n)
{
	outb(0x80, (uint8_t)n);
}

static void f_port(uint64_t n)
{
	inl((uint16_t)(0x8000 + n));
}

static void f_uart(uint64_t n)
{
	outb(0x3ff, (uint8_t)n);
	inb(0x3fd);
}

static void f_vmcall(uint64_t n)
{
	__asm__ volatile("vmcall" : "+a"(n)::"memory");
}

static void f_mmio(uint64_t n)
{
	mmio_read(IOAPIC + (n & 0xff0));
}

static void f_hole(uint64_t n)
{
	mmio_read(0xc0000000 + (n & 0xfff) * 4096);
}

static void f_apic(uint64_t n)
{
	mmio_write(APIC + 0x80, (uint32_t)n & 0xf);
	mmio_write(APIC + 0x80, 0);
}

static void f_ipi(uint64_t n)
{
	(void)n;
	mmio_write(APIC + 0x300, 0x44041);
	__asm__ volatile("sti; nop; cli");
}

static void f_ipi_other(uint64_t n)
{
	mmio_write(APIC + 0x310, 1u << 24);
	mmio_write(APIC + 0x300, n & 1 ? 0x4400 : 0x4041);
}

static void f_timer(uint64_t n)
{
	(void)n;
	mmio_write(APIC + 0x3e0, 0xb);
	mmio_write(APIC + 0x320, V_TIMER | 0x20000);
	mmio_write(APIC + 0x380, 1);
	__asm__ volatile("sti; hlt; cli");
	mmio_write(APIC + 0x320, 0x10000);
}

/* Each is past. */
static void f_deadline(uint64_t n)
{
	mmio_write(APIC + 0x320, V_TIMER | MODE_DEADLINE << 17);
	wrmsr(TSC_DEADLINE, n + 1);
	__asm__ volatile("sti; nop; nop; cli");
}

static void f_cr(uint64_t n)
{
	write_cr4(read_cr4() ^ (n & 1 ? BIT(7) : 0));
	write_cr0(read_cr0() ^ BIT(30));
}

static void f_cr3(uint64_t n)
{
	(void)n;
	write_cr3(read_cr3());
}

static void f_dr(uint64_t n)
{
	write_dr0(n);
	write_dr7(read_dr7());
}

static void f_ud(uint64_t n)
{
	(void)n;
	__asm__ volatile("ud2");
}

static void f_wbinvd(uint64_t n)
{
	(void)n;
	__asm__ volatile("wbinvd; invd");
}

static void f_pause(uint64_t n)
{
	(void)n;
	__asm__ volatile("pause");
}

static void f_int1(uint64_t n)
{
	(void)n;
	__asm__ volatile(".byte 0xf1");
}

/* Long exits: each is up to a thousand accesses. */
static void f_string(uint64_t n)
{
	uint64_t rdi = 0xc0000000 + (n & 0xff) * 4096, rcx = 4096;

	__asm__ volatile("rep stosl" : "+D"(rdi), "+c"(rcx) : "a"(0) : "memory");
}

static void f_vmrun(uint64_t n)
{
	(void)n;
	__asm__ volatile(".byte 0x0f, 0x01, 0xd8");
}

static void f_efer(uint64_t n)
{
	wrmsr(EFER, rdmsr(EFER) ^ (n & 1 ? BIT(11) : 1));
}

static void f_tsc(uint64_t n)
{
	wrmsr(TSC_ADJUST, n);
}

static void f_tsc_itself(uint64_t n)
{
	wrmsr(0x10, n << 20);
}

static void f_cr8(uint64_t n)
{
	write_cr8(n & 0xf);
	read_cr8();
	write_cr8(0);
}

static void f_xsetbv(uint64_t n)
{
	write_cr4(read_cr4() | BIT(18));
	__asm__ volatile("xsetbv" ::"c"(0), "a"((uint32_t)n & 7), "d"(0));
}

static void f_rdpmc(uint64_t n)
{
	__asm__ volatile("rdpmc" ::"c"((uint32_t)n) : "eax", "edx");
}

static void f_invlpg(uint64_t n)
{
	__asm__ volatile("invlpg (%0)" ::"r"(n << 12) : "memory");
}

static void f_monitor(uint64_t n)
{
	__asm__ volatile("monitor" ::"a"(&f_cpuid), "c"(0), "d"(0));
	__asm__ volatile("mwait" ::"a"((uint32_t)n), "c"(0));
}

static void f_port_strings(uint64_t n)
{
	static char text[512];
	char *rdi = text, *rsi = text;
	uint64_t rcx = sizeof(text);

	__asm__ volatile("rep outsb; mov %3, %%ecx; rep insb"
			 : "+D"(rdi), "+S"(rsi), "+c"(rcx)
			 : "i"(sizeof(text)), "d"((uint16_t)(0x80 + (n & 0xf)))
			 : "memory");
}

/* By TF, and by a load in user mode that is not aligned; QEMU's TCG checks no alignment. */
static void f_db(uint64_t n)
{
	(void)n;
	__asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq; nop" ::: "memory", "cc");
}

static void f_ac(uint64_t n)
{
	static const uint8_t code[] = {0x8b, 0x47, 0x01, 0xcc}; /* MOV EAX, [RDI + 1]; INT3 */
	const uint64_t registers[8] = {[6] = USER_WINDOW + USER_STACK - 0x800 + (n & 0x3f0)};
	uint8_t *at = (uint8_t *)(uintptr_t)(USER_MEMORY + 0x2000 + 0x100 * rt_cpu_id());
	int vector;

	memcpy(at, code, sizeof(code));
	write_cr0(read_cr0() | BIT(18));
	vector = rt_try_user(at, registers, BIT(18));
	EXPECT(vector == AC || (is_amd && vector == BP), "vector %lu, not #AC", vector, 0, 0);
}

/* Again and again, whatever the other one is at. */
static void f_init(uint64_t n)
{
	(void)n;
	mmio_write(APIC + 0x310, 1u << 24);
	mmio_write(APIC + 0x300, 0x4500);
}

static void flood_by(void (*kind)(uint64_t))
{
	uint32_t ticks = (uint32_t)(rt_option("flood_ms", 1000) * PM_TMR_HZ / 1000);
	uint32_t start = inl(PM_TMR);
	uint64_t efer = rdmsr(EFER);

	for (uint64_t n = 0; ((inl(PM_TMR) - start) & 0xffffff) < ticks; n++)
		rt_try(kind, n);
	write_cr0(0x80000031);
	write_cr4(0x620);
	wrmsr(EFER, efer);
	rt_reset_apic();
}

/* Each processor has every other kind, so that two go on at a time. */
static void flood_half(unsigned int first)
{
	static void (*const kinds[])(uint64_t) = {
		f_cpuid,  f_rdmsr,  f_bad_msr, f_wrmsr,	       f_out,	     f_port,  f_uart,
		f_vmcall, f_mmio,   f_hole,    f_apic,	       f_ipi,	     f_timer, f_deadline,
		f_cr,	  f_cr3,    f_dr,      f_ud,	       f_wbinvd,     f_pause, f_int1,
		f_string, f_vmrun,  f_efer,    f_tsc,	       f_tsc_itself, f_cr8,   f_xsetbv,
		f_rdpmc,  f_invlpg, f_monitor, f_port_strings, f_db,	     f_ac,
	};

	for (size_t i = first; i < ARRAY_SIZE(kinds); i += 2)
		flood_by(kinds[i]);
	wrmsr(TSC_ADJUST, 0);
}

static void second_half(void)
{
	flood_half(1);
	second_job = NULL;
	second_count = 1;
}

static void flood(void)
{
	EXPECT(rt_try(f_db, 0) == DB, "no #DB of a single step", 0, 0, 0);
	second_count = 0;
	second_job = second_half;
	flood_half(0);
	for (unsigned int i = 0; i < 60000 && !second_count; i++)
		rt_wait_us(1000);
	EXPECT(second_count, "the second processor does not get through", 0, 0, 0);
	flood_by(f_ipi_other);
	flood_by(f_init);
	EXPECT(restart_second(), "the second processor does not come back", 0, 0, 0);
}

static const struct attack_case flood_table_cases[] = {
	{"flood of exits", flood},
};
CASES(flood_table);
