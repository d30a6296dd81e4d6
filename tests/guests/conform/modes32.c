/* Virtual-8086 mode, 16-bit code, and segments in front of devices. */
#include "conform32.h"

#define SEL_TSS	   0x80
#define SEL_CODE16 0x88
#define SEL_DEVICE 0x90
#define SEL_READ   0x98

#define V86_SEGMENT 0x7000
#define V86_FLAGS   0x20002
#define IOPL_3	    0x3000

static struct tss32 tss;
static uint8_t ring0[4096] __attribute__((aligned(16)));
static uint8_t code16[64];

static void load_tss(void)
{
	tss.esp0 = (uint32_t)ring0 + sizeof(ring0);
	tss.ss0 = 16;
	tss.iomap = (uint16_t)((uint32_t)tss.map - (uint32_t)&tss);
	for (unsigned int i = 0; i < sizeof(tss.map) + 1; i++)
		tss.map[i] = 0xff;
	describe(SEL_TSS, (uint32_t)&tss, sizeof(tss) - 1, 0x89);
	asm volatile("ltr %w0" : : "r"(SEL_TSS));
}

/* Runs code that ends in HLT, which is #GP(0) in virtual-8086 mode. */
static void v86(const char *name, const char *code, unsigned int length, uint32_t flags)
{
	uint8_t *to = (uint8_t *)(V86_SEGMENT << 4);

	for (unsigned int i = 0; i < length; i++)
		to[i] = (uint8_t)code[i];
	to[length] = 0xf4;
	caught.vector = NONE;
	asm volatile(CATCH_BEGIN "pushl %0\n pushl %0\n pushl %0\n pushl %0\n pushl %0\n"
				 "pushl $0x1000\n pushl %1\n pushl %0\n pushl $0\n iretl\n9: nop"
		     :
		     : "r"(V86_SEGMENT), "r"(flags | V86_FLAGS)
		     : CATCH_CLOBBERS, "eax", "ecx", "edx", "ebx");
	say(name, "exception %lx error %lx at +%lx%s, eax %lx cx %lx, vm %lx", caught.vector,
	    caught.error, caught.ip, caught.ip == length ? " (end)" : "", caught.regs[7] & 0xffff,
	    caught.regs[6] & 0xffff, caught.flags & 0x20000);
}

#define V86(name, code, flags) v86(name, code, sizeof(code) - 1, flags)

static void virtual_8086(void)
{
	V86("v86 MOV", "\xb8\x34\x12", 0);
	V86("v86 CPUID", "\x66\x31\xc0\x31\xc9\x0f\xa2\x31\xc0\x31\xc9", 0);
	V86("v86 CLI", "\xfa", 0);
	V86("v86 CLI, IOPL 3", "\xfa", IOPL_3);
	V86("v86 PUSHF", "\x9c", 0);
	V86("v86 INT 50h", "\xcd\x50", 0);
	V86("v86 INT 50h, IOPL 3", "\xcd\x50", IOPL_3);
	V86("v86 INT3", "\xcc", 0);
	V86("v86 MOV from CR0", "\x0f\x20\xc0", 0);
	V86("v86 SMSW", "\x31\xc0\x0f\x01\xe0\x83\xe0\x01", 0);
	V86("v86 LMSW", "\x0f\x01\xf0", 0);
	V86("v86 RDMSR", "\x0f\x32", 0);
	V86("v86 SLDT", "\x0f\x00\xc0", 0);
	V86("v86 WBINVD", "\x0f\x09", 0);
	V86("v86 beyond the segment", "\xa1\xff\xff", 0);
	V86("v86 IN, denied", "\xba\xff\x03\xec", 0);
	V86("v86 IN, denied at IOPL 3", "\xba\xff\x03\xec", IOPL_3);
	V86("v86 REP OUTSB, denied", "\xba\xff\x03\xb9\x02\x00\xf3\x6e", 0);
	for (unsigned int i = 0; i < sizeof(tss.map); i++)
		tss.map[i] = 0;
	V86("v86 IN, allowed", "\xba\x40\x00\x31\xc0\xe4\x61\x31\xc0", 0);
	V86("v86 REP OUTSB, allowed", "\xba\x80\x00\xb9\x02\x00\xf3\x6e", 0);
	V86("v86 REP INSB over the segment's end",
	    "\xba\x80\x00\xb9\x04\x00\xbf\xfe\xff\xf3\x66\x6d", 0);
	V86("v86 beyond the bitmap", "\xba\xff\x03\xec", 0);
}

/* Runs 16-bit code; FS is the device, 32 bytes long. */
static void run16(const char *name, const char *code, unsigned int length)
{
	uint32_t a = 0, b = 0x11, c = 1, d = SCRATCH, t = 0;

	for (unsigned int i = 0; i < length; i++)
		code16[i] = (uint8_t)code[i];
	code16[length] = 0x66;
	code16[length + 1] = 0xcb;
	*(volatile uint32_t *)0xfec00000 = 0x10;
	*(volatile uint32_t *)0xfec00010 = 0x10042;
	caught.vector = NONE;
	asm volatile(CATCH_BEGIN "movw $0x90, %%si\n movw %%si, %%fs\n movw $0x98, %%si\n"
				 "movw %%si, %%gs\n xorl %%esi, %%esi\n lcall $0x88, $0\n9: nop"
		     : "+a"(a), "+b"(b), "+c"(c), "+d"(d), "+D"(t)
		     :
		     : CATCH_CLOBBERS, "esi");
	if (caught.vector != NONE)
		say(name, "exception %lx error %lx at +%lx", caught.vector, caught.error,
		    caught.ip);
	else
		say(name, "eax %x ebx %x ecx %x edi %x, register %x", a, b, c, t,
		    *(volatile uint32_t *)0xfec00010 & 0x1ffff);
	asm volatile("movw %w0, %%fs\n movw %w0, %%gs" : : "r"(16));
}

#define RUN16(name, code) run16(name, code, sizeof(code) - 1)

static void sixteen_bits(void)
{
	describe(SEL_CODE16, (uint32_t)code16, sizeof(code16) - 1, 0x9a);
	describe(SEL_DEVICE, 0xfec00000, 0x1f, 0x4092);
	describe(SEL_READ, 0xfec00000, 0x1f, 0x4090);
	RUN16("16 bits, MOV from a device", "\x64\x66\xa1\x10\x00");
	RUN16("16 bits, MOV to a device", "\x64\x66\xc7\x06\x10\x00\x77\x00\x01\x00");
	RUN16("16 bits, OR, ModRM of 16 bits", "\xbf\x08\x00\x64\x66\x09\x5d\x08");
	RUN16("16 bits, OR, ModRM of 32 bits", "\xbf\x08\x00\x64\x66\x67\x09\x5f\x08");
	RUN16("16 bits, PUSH of a device", "\x64\x66\xff\x36\x10\x00\x66\x58");
	RUN16("16 bits, POP to a device", "\x66\x6a\x55\x64\x66\x8f\x06\x10\x00");
	RUN16("16 bits, LODS from a device", "\xbe\x10\x00\x64\x66\xad");
	RUN16("16 bits, beyond the limit", "\x64\x66\xa1\x1d\x00");
	RUN16("16 bits, write beyond the limit", "\x64\x66\xa3\x20\x00");
	RUN16("16 bits, write to what is read-only", "\x65\x66\xa3\x10\x00");
	RUN16("16 bits, read of what is read-only", "\x65\x66\xa1\x10\x00");
	RUN16("16 bits, REP OUTSB", "\x64\xf3\x6e");
	RUN16("16 bits, OUTSB beyond the limit", "\xbe\x20\x00\x64\x6e");
	RUN16("16 bits, INSB", "\xbf\x00\x08\x67\x6c");
}

static void thirty_two_bits(void)
{
	CATCH("movw $0x90, %%ax\n movw %%ax, %%fs\n movl %%fs:0x1d, %%eax", "a"(0));
	say_caught("32 bits, beyond the limit");
	CATCH("movw $0x98, %%ax\n movw %%ax, %%fs\n orl $1, %%fs:0x10", "a"(0));
	say_caught("32 bits, OR on what is read-only");
	CATCH("xorl %%eax, %%eax\n movw %%ax, %%fs\n movl %%fs:0x10, %%eax", "a"(0));
	say_caught("32 bits, null selector");
	asm volatile("movw %w0, %%fs" : : "r"(16));
	CATCH("into", "a"(0));
	say_caught("32 bits, INTO");
	CATCH("movb $0x7f, %%al\n addb $1, %%al\n into", "a"(0));
	say_caught("32 bits, INTO with OF");
	CATCH("movl $1, -8(%%esp)\n movl $2, -4(%%esp)\n movl $5, %%eax\n bound %%eax, -8(%%esp)",
	      "a"(0));
	say_caught("32 bits, BOUND");
	CATCH("int3", "a"(0));
	say_caught("32 bits, INT3");
	CATCH(".byte 0xf1", "a"(0));
	say_caught("32 bits, INT1");
	CATCH("syscall", "a"(0), "c"(0));
	say_caught("32 bits, SYSCALL without SCE");
}

void mode_cases(void)
{
	load_tss();
	virtual_8086();
	sixteen_bits();
	thirty_two_bits();
}
