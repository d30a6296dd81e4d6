#include "tests/guests/fuzz/fuzz.h"

#define MSR_APIC_BASE	 0x1b
#define MSR_TSC_ADJUST	 0x3b
#define MSR_SYSENTER_ESP 0x175
#define MSR_SYSENTER_EIP 0x176
#define MSR_EFER	 0xc0000080
#define MSR_STAR	 0xc0000081
#define MSR_LSTAR	 0xc0000082
#define APIC_X2		 BIT(10)
#define APIC_ON		 BIT(11)

/* Where nothing is: between memory and the I/O APIC; and the last bytes of memory and of devices.
 */
#define HOLE	0xc0000000u
#define RAM_END 0x1000000u
#define NO_PORT 0xed

static uint64_t phys_width(void)
{
	static uint64_t width;

	if (!width)
		width = cpuid(0x80000008, 0).eax & 0xff;
	return width;
}

uint64_t pick(struct stream *s)
{
	static const uint64_t edges[] = {
		0,
		1,
		~0ull,
		0x7f,
		0x80,
		0xff,
		0x7fff,
		0xffff,
		0x10000,
		0x7fffffff,
		0x80000000,
		0xffffffff,
		0x100000000,
		0x7fffffffffff,
		0x800000000000,
		0xffff7fffffffffff,
		0xffff800000000000,
		0x7fffffffffffffff,
		0x8000000000000000,
		APIC,
		IOAPIC,
		HOLE,
		0xa0000,
		0xe0000,
	};
	uint64_t value = next64(s);

	switch (below(s, 8)) {
	case 0:
		return value;
	case 1:
		return (uint32_t)value;
	case 2:
		return value & 0xff;
	case 3:
		return BIT(value & 63);
	case 4:
		return ~BIT(value & 63);
	case 5:
		return BIT(value & 63) | BIT(value >> 6 & 63);
	case 6:
		return scratch() + (value & 0xfff);
	default:
		return edges[value % ARRAY_SIZE(edges)];
	}
}

/* ---- MSRs ---- */

/* Those that Socle knows, and their neighbours. */
static const uint32_t known_msrs[] = {
	0,	    0x10,	0x11,	    0x12,	0x17,	    0x1b,	0x3a,
	0x3b,	    0x48,	0x49,	    0x79,	0x8b,	    0xc1,	0xfe,
	0x10a,	    0x10b,	0x122,	    0x174,	0x175,	    0x176,	0x179,
	0x17a,	    0x17b,	0x186,	    0x1a0,	0x1d9,	    0x1db,	0x200,
	0x201,	    0x20e,	0x20f,	    0x250,	0x258,	    0x259,	0x268,
	0x26f,	    0x277,	0x2ff,	    0x38f,	0x400,	    0x401,	0x480,
	0x48b,	    0x491,	0x560,	    0x6a0,	0x6a2,	    0x6e0,	0x808,
	0x80b,	    0x80f,	0x828,	    0x82f,	0x830,	    0x832,	0x835,
	0x838,	    0x839,	0x83e,	    0x83f,	0xbff,	    0xda0,	0x40000000,
	0x40000001, 0x4b564d00, 0x4b564d01, 0x4b564d02, 0xc0000080, 0xc0000081, 0xc0000082,
	0xc0000083, 0xc0000084, 0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103, 0xc0000104,
	0xc0010000, 0xc0010010, 0xc0010015, 0xc001001a, 0xc001001f, 0xc0010055, 0xc0010058,
	0xc0010063, 0xc0010114, 0xc0010115, 0xc0010117, 0xc0010140, 0xc0011020, 0xc0011022,
	0xc0011029,
};

static uint32_t draw_msr(struct stream *s)
{
	static const uint32_t bases[] = {0,	     0x800,	 0x40000000, 0x4b564d00,
					 0xc0000000, 0xc0010000, 0xc0011000};

	switch (below(s, 4)) {
	case 0:
		return (uint32_t)next64(s);
	case 1:
		return bases[below(s, ARRAY_SIZE(bases))] + below(s, 0x400);
	default:
		return known_msrs[below(s, ARRAY_SIZE(known_msrs))];
	}
}

uint32_t safe_delivery(uint32_t value)
{
	uint32_t vector = value & 0xff;

	if ((value >> 8 & 7) == 4 || (value >> 8 & 7) == 5)
		value &= ~0x700u; /* op_ipi() has NMI and INIT */
	if (vector >= 16 && vector < 32)
		value |= 0x20;
	return value;
}

/* The paravirtual clock and word of EOI are written where this says: not into code. */
static uint64_t safe_clock(uint64_t value)
{
	if (value < BIT(32))
		return SCRATCH | (value & 0xfff);
	return value;
}

/*
 * Code in user mode may execute SYSENTER and SYSCALL: they lead to no code, and to a stack that is
 * memory, or to no address at all.
 */
static uint64_t safe_entry(uint32_t msr, uint64_t value)
{
	if (value >= BIT(47))
		return value;
	return msr == MSR_SYSENTER_ESP ? scratch() | (value & 0xff0) : value | BIT(46);
}

static uint64_t safe_msr_value(uint32_t msr, uint64_t value)
{
	if (msr == MSR_SYSENTER_ESP || msr == MSR_SYSENTER_EIP || msr == MSR_LSTAR)
		return safe_entry(msr, value);
	if (msr == 0x4b564d00 || msr == 0x4b564d01 || msr == 0x4b564d04 || msr == 0x11 ||
	    msr == 0x12)
		return safe_clock(value);
	if ((msr >= 0x82f && msr <= 0x837) || msr == 0x83f)
		return (value & ~0xffffffffull) | safe_delivery((uint32_t)value);
	return value;
}

static void op_rdmsr(struct stream *s)
{
	rdmsr(draw_msr(s));
}

static void op_wrmsr(struct stream *s)
{
	uint32_t msr = draw_msr(s);

	wrmsr(msr, safe_msr_value(msr, pick(s)));
}

static void op_flip_msr(struct stream *s)
{
	uint32_t msr = draw_msr(s);
	uint64_t value = rdmsr(msr) ^ BIT(below(s, 64));

	wrmsr(msr, safe_msr_value(msr, value));
}

/* ---- ports ---- */

static uint16_t draw_port(struct stream *s)
{
	static const uint16_t known[] = {0x20,	0x21,  0xa0,  0xa1,  0x40,  0x41,  0x42,  0x43,
					 0x61,	0x60,  0x64,  0x70,  0x71,  0x72,  0x80,  0x92,
					 0xb2,	0xb3,  0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd,
					 0x3fe, 0x3ff, 0x2f8, 0x4d0, 0x4d1, 0x600, 0x602, 0x604,
					 0x608, 0xcf8, 0xcf9, 0xcfa, 0xcfc, 0xcff, 0xf0,  0xfff};

	if (!below(s, 4))
		return (uint16_t)next64(s);
	return (uint16_t)(known[below(s, ARRAY_SIZE(known))] + (below(s, 8) ? 0 : below(s, 4)) - 1 +
			  (below(s, 8) ? 1 : 0));
}

uint64_t safe_port_value(uint16_t port, uint64_t value, unsigned int size)
{
	for (unsigned int i = 0; i < size; i++) {
		uint16_t p = (uint16_t)(port + i);
		uint8_t byte = (uint8_t)(value >> 8 * i), safe = byte;

		if (p == 0x92)
			safe = byte & 0xfe;
		else if (p == 0x64)
			safe = byte >= 0xf0 || byte == 0xd1 ? 0x20 : byte;
		else if (p == 0xcf9)
			safe = byte & 0xfb;
		else if (p == 0x604 || p == 0x605)
			safe = byte & 0xdf;
		value ^= (uint64_t)(byte ^ safe) << 8 * i;
	}
	return value;
}

/* The debug ports end the guest, and print. */
static bool is_debug_port(uint16_t port, unsigned int size)
{
	return (port <= 0xf7 && port + size > 0xf4) || (port <= 0xe9 && port + size > 0xe9);
}

static void op_in(struct stream *s)
{
	uint16_t port = draw_port(s);

	switch (below(s, 3)) {
	case 0:
		inb(port);
		break;
	case 1:
		inw(port);
		break;
	default:
		inl(port);
	}
}

static void op_out(struct stream *s)
{
	uint16_t port = draw_port(s);
	unsigned int size = 1u << below(s, 3);
	uint64_t value = safe_port_value(port, pick(s), size);

	if (is_debug_port(port, size))
		return;
	if (size == 1)
		outb(port, (uint8_t)value);
	else if (size == 2)
		outw(port, (uint16_t)value);
	else
		outl(port, (uint32_t)value);
}

/* Where a string instruction or an access may go: scratch memory, devices, nowhere. */
static uint64_t draw_target(struct stream *s)
{
	uint64_t scratch_page = scratch();

	switch (below(s, 6)) {
	case 0:
		return scratch_page + below(s, 4096 - 64);
	case 1:
		return APIC + below(s, 0x400) * 4;
	case 2:
		return IOAPIC + below(s, 0x20) * 4;
	case 3:
		return HOLE + below(s, 0x10000);
	case 4: {
		static const uint64_t edges[] = {IOAPIC,	IOAPIC + 0x1000, APIC,
						 APIC + 0x1000, 0xa0000,	 0xc0000000};

		return edges[below(s, ARRAY_SIZE(edges))] - below(s, 16);
	}
	default:
		return RAM_END + below(s, 64) - 32;
	}
}

#define STRING_INSN(text)                                               \
	__asm__ volatile(text                                           \
			 : "+D"(rdi), "+S"(rsi), "+c"(count), "+a"(rax) \
			 : "d"((uint32_t)port)                          \
			 : "memory", "cc")

/* Only reads of ports, and of what is in scratch memory: what is written to ports is not known
 * here. */
static void op_string(struct stream *s)
{
	uint64_t rdi = draw_target(s), rsi = draw_target(s), rax = pick(s);
	uint64_t count = below(s, 256) ? below(s, 8) : below(s, 2000);
	uint16_t port = draw_port(s);
	bool down = below(s, 8) == 0;

	if (rdi >= APIC - 0x10000 && rdi < APIC + 0x2000 && below(s, 4))
		count &= 7;
	/* ICR, the vector table and redirection entries get values that were looked at only: those
	 * of ports and memory where nothing is. */
	if ((rdi >= APIC - 0x8000 && rdi < APIC + 0x1000) ||
	    (rdi >= IOAPIC - 0x8000 && rdi < IOAPIC + 0x1000))
		rax = safe_delivery((uint32_t)rax), rsi = HOLE, port = NO_PORT, count &= 15,
		down = false;
	if (down)
		__asm__ volatile("std");
	switch (below(s, 10)) {
	case 0:
		STRING_INSN("rep insb");
		break;
	case 1:
		STRING_INSN("rep insw");
		break;
	case 2:
		STRING_INSN("rep insl");
		break;
	case 3:
		STRING_INSN("rep movsb");
		break;
	case 4:
		STRING_INSN("rep movsl");
		break;
	case 5:
		STRING_INSN("rep stosb");
		break;
	case 6:
		STRING_INSN("rep stosl");
		break;
	case 7:
		STRING_INSN("rep lodsl");
		break;
	case 8:
		STRING_INSN("repe cmpsb");
		break;
	default:
		STRING_INSN("repne scasl");
	}
	__asm__ volatile("cld");
}

/* OUTS to a port where any byte does no harm. */
static void op_outs(struct stream *s)
{
	static const uint16_t ports[] = {0x80, 0x70, 0x43, 0x42,  0x3ff,
					 0xb2, 0x21, 0xa1, 0xcfc, 0x4d0};
	uint64_t rsi = draw_target(s), rdi = 0, rax = 0, count = below(s, 12);
	uint16_t port = ports[below(s, ARRAY_SIZE(ports))];

	if (below(s, 2))
		STRING_INSN("rep outsb");
	else
		STRING_INSN("rep outsw");
}

/* ---- memory-mapped registers ---- */

static void op_mmio_read(struct stream *s)
{
	uint64_t at = draw_target(s), value = 0;

	switch (below(s, 6)) {
	case 0:
		__asm__ volatile("movb (%1), %b0" : "+q"(value) : "r"(at) : "memory");
		break;
	case 1:
		__asm__ volatile("movw (%1), %w0" : "+r"(value) : "r"(at) : "memory");
		break;
	case 2:
		__asm__ volatile("movl (%1), %k0" : "+r"(value) : "r"(at) : "memory");
		break;
	case 3:
		__asm__ volatile("movq (%1), %0" : "+r"(value) : "r"(at) : "memory");
		break;
	case 4:
		__asm__ volatile("movsbq (%1), %0" : "+r"(value) : "r"(at) : "memory");
		break;
	default:
		__asm__ volatile("testl %k0, (%1)" : "+r"(value) : "r"(at) : "memory", "cc");
	}
}

static void op_mmio_write(struct stream *s)
{
	uint64_t at = draw_target(s);
	uint64_t value = pick(s);

	value = (value & ~0xffffffffull) | safe_delivery((uint32_t)value);
	switch (below(s, 7)) {
	case 0:
		__asm__ volatile("movb %b0, (%1)" : "+q"(value) : "r"(at) : "memory");
		break;
	case 1:
		__asm__ volatile("movw %w0, (%1)" : "+r"(value) : "r"(at) : "memory");
		break;
	case 2:
	case 3:
		__asm__ volatile("movl %k0, (%1)" : "+r"(value) : "r"(at) : "memory");
		break;
	case 4:
		__asm__ volatile("movq %0, (%1)" : "+r"(value) : "r"(at) : "memory");
		break;
	case 5:
		value &= 0xff;
		__asm__ volatile("orb %b0, (%1)" : "+q"(value) : "r"(at) : "memory", "cc");
		break;
	default:
		__asm__ volatile("xchgl %k0, (%1)" : "+r"(value) : "r"(at) : "memory");
	}
}

static void op_ioapic(struct stream *s)
{
	uint32_t index = below(s, 4) ? below(s, 0x40) : (uint32_t)pick(s);

	mmio_write(IOAPIC, index);
	if (below(s, 3))
		mmio_write(IOAPIC + 0x10, safe_delivery((uint32_t)pick(s)));
	else
		mmio_read(IOAPIC + 0x10);
}

static void op_apic(struct stream *s)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);
	uint32_t reg = below(s, 4) ? below(s, 0x40) : below(s, 0x100);
	uint32_t value = safe_delivery((uint32_t)pick(s));

	if (base & APIC_X2)
		wrmsr(0x800 + reg, value | (below(s, 2) ? 0 : pick(s) << 32));
	else
		mmio_write(APIC + reg * 16, value);
}

/*
 * To itself, to the other, to nobody, to all; INIT and start-up to the other alone. An NMI would be
 * the end of one that is starting, as it is on a PC: it has no handler yet.
 */
static void op_ipi(struct stream *s)
{
	uint32_t low = (uint32_t)next64(s) & 0xcffff, dest = (uint32_t)pick(s);
	uint64_t base = rdmsr(MSR_APIC_BASE);

	if ((low >> 8 & 7) == 4 && !rt_second_is_up())
		return;
	if ((low >> 8 & 7) >= 5) {
		low &= ~0xc0800u;
		low |= below(s, 16) ? 0 : BIT(14);
		dest = 1;
		if (rt_cpu_id() != 0)
			return;
		rt_second_is_down();
		/* It begins again where the guest says. */
		if ((low >> 8 & 7) == 6)
			low = 0x4600 | 0x8;
	} else if ((low >> 8 & 7) != 4) {
		low = safe_delivery(low);
	}
	if (base & APIC_X2) {
		wrmsr(0x830, (uint64_t)dest << 32 | low);
	} else {
		mmio_write(APIC + 0x310, dest << 24);
		mmio_write(APIC + 0x300, low);
	}
}

static void op_second(struct stream *s)
{
	if (rt_cpu_id() != 0)
		return;
	rt_reset_apic();
	rt_second_is_down();
	mmio_write(APIC + 0x310, 1u << 24);
	mmio_write(APIC + 0x300, 0x4500);
	if (below(s, 2))
		mmio_write(APIC + 0x300, 0x4500);
	mmio_write(APIC + 0x300, 0x4608);
	if (below(s, 2))
		mmio_write(APIC + 0x300, 0x4608);
}

static void op_apic_mode(struct stream *s)
{
	uint64_t base = APIC | (rt_cpu_id() ? 0 : BIT(8));

	switch (below(s, 4)) {
	case 0:
		wrmsr(MSR_APIC_BASE, base | APIC_ON | APIC_X2);
		break;
	case 1:
		wrmsr(MSR_APIC_BASE, base);
		break;
	case 2:
		wrmsr(MSR_APIC_BASE, pick(s));
		break;
	default:
		rt_reset_apic();
	}
}

/* ---- control registers ---- */

static void op_cr0(struct stream *s)
{
	uint64_t value = read_cr0();

	value ^= below(s, 4) ? BIT(below(s, 64)) : BIT(below(s, 32)) | BIT(below(s, 32));
	write_cr0(value);
}

static void op_cr3(struct stream *s)
{
	uint64_t value = (uint64_t)rt_pml4 | below(s, 4096);
	unsigned int bit = below(s, 64);

	/* Any bit above the width of addresses; below it there would be no tables. */
	if (bit >= phys_width())
		value |= BIT(bit);
	write_cr3(value);
}

static void op_cr4(struct stream *s)
{
	uint64_t value = read_cr4();

	value ^= below(s, 4) ? BIT(below(s, 32)) : BIT(below(s, 64)) | BIT(below(s, 24));
	write_cr4(value);
}

static void op_cr8(struct stream *s)
{
	write_cr8(below(s, 2) ? below(s, 16) : pick(s));
	read_cr8();
}

static void op_efer(struct stream *s)
{
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) ^ BIT(below(s, 2) ? below(s, 16) : below(s, 64)));
}

static void op_xsetbv(struct stream *s)
{
	uint64_t value = below(s, 2) ? next64(s) & 0xff : pick(s);
	uint32_t index = below(s, 4) ? 0 : (uint32_t)pick(s);

	write_cr4(read_cr4() | BIT(18));
	__asm__ volatile("xsetbv" ::"c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

/* All break on writes. */
static uint64_t safe_dr7(uint64_t value)
{
	value = (value & ~0x22220000ull) | 0x11110000;
	return is_qemu() ? value & ~0xffull : value;
}

/* Not on code: a breakpoint on the handler of breakpoints has no end. */
static void op_dr(struct stream *s)
{
	uint64_t address = below(s, 2) ? draw_target(s) : next64(s) | BIT(62);
	uint64_t value = pick(s);

	switch (below(s, 8)) {
	case 0:
		write_dr0(address);
		break;
	case 1:
		write_dr1(address);
		break;
	case 2:
		write_dr2(address);
		break;
	case 3:
		write_dr3(address);
		break;
	case 4:
		write_dr6(value);
		break;
	case 5:
		write_dr7(safe_dr7(value));
		break;
	case 6:
		write_dr7(safe_dr7((uint32_t)next64(s)));
		break;
	default:
		read_dr6();
		read_dr7();
	}
}

/* ---- instructions ---- */

/* A load of random registers and one instruction; RSP and RBP stay. */
#define WITH_REGISTERS(name, text)                                                             \
	static void name(uint64_t *r)                                                          \
	{                                                                                      \
		__asm__ volatile(                                                              \
			"push %%rbp; mov 8(%0), %%rbx; mov 16(%0), %%rcx; mov 24(%0), %%rdx\n" \
			"mov 32(%0), %%rsi; mov 40(%0), %%rdi; mov 48(%0), %%r8\n"             \
			"mov (%0), %%rax\n" text "\npop %%rbp"                                 \
			: "+r"(r)                                                              \
			:                                                                      \
			: "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "rax", "memory", "cc");     \
	}

WITH_REGISTERS(i_vmcall, "vmcall")
WITH_REGISTERS(i_vmmcall, "vmmcall")
WITH_REGISTERS(i_cpuid, "cpuid")
WITH_REGISTERS(i_pause, "pause")
WITH_REGISTERS(i_monitor, ".byte 0x0f, 0x01, 0xc8")
WITH_REGISTERS(i_mwait, ".byte 0x0f, 0x01, 0xc9")
WITH_REGISTERS(i_rdpmc, "rdpmc")
WITH_REGISTERS(i_invd, "invd")
WITH_REGISTERS(i_wbinvd, "wbinvd")
WITH_REGISTERS(i_rsm, "rsm")
WITH_REGISTERS(i_vmxoff, ".byte 0x0f, 0x01, 0xc4")
WITH_REGISTERS(i_vmlaunch, ".byte 0x0f, 0x01, 0xc2")
WITH_REGISTERS(i_vmresume, ".byte 0x0f, 0x01, 0xc3")
WITH_REGISTERS(i_vmfunc, ".byte 0x0f, 0x01, 0xd4")
WITH_REGISTERS(i_vmread, ".byte 0x0f, 0x78, 0xc3")
WITH_REGISTERS(i_vmwrite, ".byte 0x0f, 0x79, 0xc3")
WITH_REGISTERS(i_vmptrld, ".byte 0x0f, 0xc7, 0x37")
WITH_REGISTERS(i_vmxon, ".byte 0xf3, 0x0f, 0xc7, 0x37")
WITH_REGISTERS(i_invept, ".byte 0x66, 0x0f, 0x38, 0x80, 0x07")
WITH_REGISTERS(i_invvpid, ".byte 0x66, 0x0f, 0x38, 0x81, 0x07")
WITH_REGISTERS(i_invpcid, ".byte 0x66, 0x0f, 0x38, 0x82, 0x07")
WITH_REGISTERS(i_vmrun, ".byte 0x0f, 0x01, 0xd8")
WITH_REGISTERS(i_vmload, ".byte 0x0f, 0x01, 0xda")
WITH_REGISTERS(i_vmsave, ".byte 0x0f, 0x01, 0xdb")
WITH_REGISTERS(i_stgi, ".byte 0x0f, 0x01, 0xdc")
WITH_REGISTERS(i_clgi, ".byte 0x0f, 0x01, 0xdd")
WITH_REGISTERS(i_skinit, ".byte 0x0f, 0x01, 0xde")
WITH_REGISTERS(i_invlpga, ".byte 0x0f, 0x01, 0xdf")
WITH_REGISTERS(i_getsec, ".byte 0x0f, 0x37")
WITH_REGISTERS(i_encls, ".byte 0x0f, 0x01, 0xcf")
WITH_REGISTERS(i_rdpru, ".byte 0x0f, 0x01, 0xfd")
WITH_REGISTERS(i_mcommit, ".byte 0xf3, 0x0f, 0x01, 0xfa")
WITH_REGISTERS(i_invlpgb, ".byte 0x0f, 0x01, 0xfe")
WITH_REGISTERS(i_tlbsync, ".byte 0x0f, 0x01, 0xff")
WITH_REGISTERS(i_rdtscp, "rdtscp")
WITH_REGISTERS(i_xgetbv, "xgetbv")
WITH_REGISTERS(i_clts, "clts")
WITH_REGISTERS(i_lmsw, "and $0xe, %%eax; or $1, %%eax; lmsw %%ax")
WITH_REGISTERS(i_smsw, "smsw %%rax; smsw -64(%%rsp)")
WITH_REGISTERS(i_invlpg, "invlpg (%%rdi)")
WITH_REGISTERS(i_int3, "int3")
WITH_REGISTERS(i_int80, "int $0x80")
WITH_REGISTERS(i_int1, ".byte 0xf1")
WITH_REGISTERS(i_ud2, "ud2")
WITH_REGISTERS(i_sti, "sti; nop; nop; cli")
WITH_REGISTERS(i_sti_cpuid, "sti; cpuid; cpuid; cli")
WITH_REGISTERS(i_mov_ss_cpuid, "mov %%ss, %%ecx; mov %%ecx, %%ss; cpuid")
WITH_REGISTERS(i_mov_ss_int3, "mov %%ss, %%ecx; mov %%ecx, %%ss; int3")
WITH_REGISTERS(i_mov_ss_vmcall, "mov %%ss, %%edi; mov %%edi, %%ss; vmcall")
WITH_REGISTERS(i_mov_ss_ud, "mov %%ss, %%edi; mov %%edi, %%ss; ud2")
WITH_REGISTERS(i_rdtsc, "rdtsc")
WITH_REGISTERS(i_sgdt, "sgdt -64(%%rsp); sidt -64(%%rsp); sldt %%rax; str %%rax")
WITH_REGISTERS(i_swapgs, "swapgs")
WITH_REGISTERS(i_fsgsbase, ".byte 0xf3, 0x48, 0x0f, 0xae, 0xd0")
WITH_REGISTERS(i_xsaves, ".byte 0x48, 0x0f, 0xc7, 0x2f")
WITH_REGISTERS(i_rdrand, ".byte 0x48, 0x0f, 0xc7, 0xf0")
WITH_REGISTERS(i_lldt, "lldt %%ax")
WITH_REGISTERS(i_iret, "push %%rax; push %%rbx; push %%rcx; push %%rdx; push %%rsi; iretq")
WITH_REGISTERS(i_wrong_jump, "jmp *%%rax")

static void (*const instructions[])(uint64_t *) = {
	i_vmcall,	 i_vmmcall,   i_cpuid,	 i_pause,     i_monitor,      i_mwait,
	i_rdpmc,	 i_invd,      i_wbinvd,	 i_rsm,	      i_vmxoff,	      i_vmlaunch,
	i_vmresume,	 i_vmfunc,    i_vmread,	 i_vmwrite,   i_vmptrld,      i_vmxon,
	i_invept,	 i_invvpid,   i_invpcid, i_vmrun,     i_vmload,	      i_vmsave,
	i_stgi,		 i_clgi,      i_skinit,	 i_invlpga,   i_getsec,	      i_encls,
	i_rdpru,	 i_mcommit,   i_invlpgb, i_tlbsync,   i_rdtscp,	      i_xgetbv,
	i_clts,		 i_lmsw,      i_smsw,	 i_invlpg,    i_int3,	      i_int80,
	i_int1,		 i_ud2,	      i_sti,	 i_sti_cpuid, i_mov_ss_cpuid, i_mov_ss_int3,
	i_mov_ss_vmcall, i_mov_ss_ud, i_rdtsc,	 i_sgdt,      i_swapgs,	      i_fsgsbase,
	i_rdrand,	 i_lldt,      i_xsaves,
};

static void fill_registers(struct stream *s, uint64_t *r)
{
	for (unsigned int i = 0; i < 7; i++)
		r[i] = pick(s);
}

static void op_instruction(struct stream *s)
{
	uint64_t r[7];

	fill_registers(s, r);
	/* Descriptors in memory: on device memory Socle executes only what drivers use. */
	r[5] = scratch() + below(s, 256);
	instructions[below(s, ARRAY_SIZE(instructions))](r);
}

/* The same behind a single step, so that it ends in one. */
static void op_stepped(struct stream *s)
{
	struct rt_cpu *cpu = rt_self();
	uint64_t r[7];

	fill_registers(s, r);
	r[5] = scratch();
	cpu->steps = 1 + below(s, 24);
	__asm__ volatile("pushfq; orl $0x100, (%%rsp); popfq" ::: "memory", "cc");
	instructions[below(s, ARRAY_SIZE(instructions))](r);
	__asm__ volatile("pushfq; andl $0xfffffeff, (%%rsp); popfq" ::: "memory", "cc");
	cpu->steps = 0;
}

static void op_hypercall(struct stream *s)
{
	uint64_t r[7];

	fill_registers(s, r);
	if (below(s, 2))
		i_vmcall(r);
	else
		i_vmmcall(r);
}

/* To where no code can be. */
static void op_jump(struct stream *s)
{
	static const uint64_t places[] = {0x7ffffffffff0,     0x800000000000, 0xffff800000000000,
					  0xfffffffffffffff0, 0x30000000000,  0x4000000000000000};
	uint64_t r[7] = {places[below(s, ARRAY_SIZE(places))], 0, 0, 0, 0, 0, 0};

	i_wrong_jump(r);
}

static void op_syscall(struct stream *s)
{
	wrmsr(MSR_LSTAR, 0x7fffffff0000);
	wrmsr(MSR_STAR,
	      (uint64_t)(KERNEL_CS) << 32 | (uint64_t)(KERNEL_DS) << 48 | (uint32_t)next64(s));
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | 1);
	__asm__ volatile("syscall" ::: "rcx", "r11", "memory");
}

/* Any selector but those of 32-bit code, for which the address would be one without memory. */
static void op_iret(struct stream *s)
{
	uint64_t frame[7] = {pick(s), pick(s), next64(s) & ~0x4700ull, pick(s), 0x7ffffff00000};

	if ((frame[3] & 0xfff0) == 0x30)
		frame[3] = KERNEL_CS;
	/* The exception's frame goes to scratch memory, or nowhere at all. */
	if (frame[1] >= 0x200000 && frame[1] < BIT(32))
		frame[1] = scratch() + 2048;
	i_iret(frame);
}

/*
 * Woken by its own timer: whatever state the APIC was in. On QEMU not by a single interrupt, which
 * may come between STI and HLT there.
 */
static void op_halt(struct stream *s)
{
	bool periodic = below(s, 2) || is_qemu();

	rt_reset_apic();
	write_cr8(0);
	mmio_write(APIC + 0x3e0, 0xb);
	mmio_write(APIC + 0x320, V_TIMER | (periodic ? 0x20000 : 0));
	mmio_write(APIC + 0x380, 1000 + below(s, 100000));
	__asm__ volatile("sti; hlt; cli");
	mmio_write(APIC + 0x320, 0x10000);
}

static void op_timer(struct stream *s)
{
	mmio_write(APIC + 0x3e0, (uint32_t)next64(s) & 0xf);
	mmio_write(APIC + 0x320, (uint32_t)(next64(s) & 0x600ff) | 0x20);
	mmio_write(APIC + 0x380, (uint32_t)pick(s));
	wrmsr(0x6e0, below(s, 2) ? rdtsc() + below(s, 100000) : pick(s));
	__asm__ volatile("sti; nop; cpuid; nop; cli" ::: "rax", "rbx", "rcx", "rdx");
}

/* ---- page tables ---- */

static uint64_t odd_tables[3][512] __attribute__((aligned(4096)));

/* One page at 1 TiB through entries with drawn bits and addresses. */
static void op_page_tables(struct stream *s)
{
	unsigned int id = rt_cpu_id();
	uint64_t *pml4e = &rt_pml4[2 + id];
	uint64_t at = (2ull + id) << 39, value = 0;
	unsigned int level = below(s, 4);
	uint64_t odd = (pick(s) & ~0xfffull) | (next64(s) & 0xfff) | 1;

	/* Writes go to scratch memory or to no memory; and where a table is, the processor writes
	 * into it that it was used. */
	if (odd < (level == 3 ? BIT(32) : RAM_END))
		odd = scratch() | (odd & 0xfff);
	if (id)
		return;
	odd_tables[2][0] = level == 3 ? odd : scratch() | 0x67;
	odd_tables[1][0] = level == 2 ? odd | 0x80 : (uint64_t)odd_tables[2] | 0x67;
	odd_tables[0][0] = level == 1 ? odd : (uint64_t)odd_tables[1] | 0x67;
	*pml4e = level == 0 ? odd : (uint64_t)odd_tables[0] | 0x67;
	__asm__ volatile("invlpg (%0)" ::"r"(at) : "memory");
	__asm__ volatile("movl (%1), %k0" : "=r"(value) : "r"(at) : "memory");
}

static void op_page_tables_end(void)
{
	rt_pml4[2] = 0;
	__asm__ volatile("mov %%cr3, %%rax; mov %%rax, %%cr3" ::: "rax", "memory");
}

static void op_gdt(struct stream *s)
{
	/* A descriptor that nothing else uses, with any contents, into any segment register but CS
	 * and SS. */
	rt_gdt[7] = next64(s);
	switch (below(s, 5)) {
	case 0:
		__asm__ volatile("mov %0, %%ds" ::"r"(0x38));
		break;
	case 1:
		__asm__ volatile("mov %0, %%fs" ::"r"(0x38));
		break;
	case 2:
		__asm__ volatile("mov %0, %%gs" ::"r"(0x38));
		break;
	case 3:
		__asm__ volatile("mov %0, %%es" ::"r"((uint32_t)next64(s) & 0xffff));
		break;
	default:
		__asm__ volatile("mov %0, %%ss" ::"r"(0x38 | below(s, 4)));
	}
}

void heal(void)
{
	write_dr7(0x400);
	write_cr0(0x80000031);
	/* CR3's low bits must be 0 for PCIDE to go on, and off it goes here. */
	write_cr4(0x620);
	write_cr3((uint64_t)rt_pml4);
	wrmsr(MSR_EFER, 0x500);
	/* The TSC is the machine's: only then the deadline may be the core's own register. */
	wrmsr(MSR_TSC_ADJUST, 0);
	__asm__ volatile("xor %%eax, %%eax; mov %%ax, %%fs; mov %%ax, %%gs; mov $0x10, %%eax; mov "
			 "%%ax, %%ss\n"
			 "mov %%ax, %%ds; mov %%ax, %%es" ::
				 : "rax");
	op_page_tables_end();
}

const struct operation operations[] = {
	{"rdmsr", K_MSR, 24, op_rdmsr},
	{"wrmsr", K_MSR, 24, op_wrmsr},
	{"flip a bit of an MSR", K_MSR, 24, op_flip_msr},
	{"in", K_PORT, 20, op_in},
	{"out", K_PORT, 24, op_out},
	{"string", K_MMIO, 6, op_string},
	{"outs", K_PORT, 2, op_outs},
	{"read of memory-mapped registers", K_MMIO, 16, op_mmio_read},
	{"write of memory-mapped registers", K_MMIO, 20, op_mmio_write},
	{"I/O APIC", K_MMIO, 12, op_ioapic},
	{"APIC", K_APIC, 20, op_apic},
	{"IPI", K_APIC, 10, op_ipi},
	{"second processor", K_APIC, 1, op_second},
	{"APIC mode", K_APIC, 6, op_apic_mode},
	{"CR0", K_CR, 12, op_cr0},
	{"CR3", K_CR, 10, op_cr3},
	{"CR4", K_CR, 12, op_cr4},
	{"CR8", K_CR, 8, op_cr8},
	{"EFER", K_CR, 10, op_efer},
	{"XSETBV", K_CR, 8, op_xsetbv},
	{"debug registers", K_CR, 16, op_dr},
	{"instruction", K_INSTRUCTION, 40, op_instruction},
	{"stepped instruction", K_INSTRUCTION, 4, op_stepped},
	{"hypercall", K_HYPERCALL, 12, op_hypercall},
	{"jump", K_INSTRUCTION, 3, op_jump},
	{"SYSCALL", K_INSTRUCTION, 2, op_syscall},
	{"IRET", K_INSTRUCTION, 4, op_iret},
	{"HLT", K_INSTRUCTION, 1, op_halt},
	{"timer", K_APIC, 4, op_timer},
	{"page tables", K_MEMORY, 8, op_page_tables},
	{"segments", K_MEMORY, 6, op_gdt},
	{"user code", K_USER, 6, run_user_code},
};
const size_t operation_count = ARRAY_SIZE(operations);
