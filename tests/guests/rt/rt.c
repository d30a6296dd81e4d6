#include "tests/guests/rt/rt.h"

#include <stdarg.h>

#define STACK_BYTES   0x10000
#define TRAMPOLINE    0x8000u
#define TSS_FIRST     0x40
#define TSS_BYTES     104
#define PM_TMR	      0x608
#define PM_TMR_HZ     3579545u
#define GATE_BYTES    32
#define APIC_BASE_MSR 0x1b
#define RFLAGS_TF     BIT(8)

struct rt_cpu rt_cpus[2];
const char *rt_cmdline = "";
uint64_t rt_idt[256 * 2];
static uint8_t tss[2][TSS_BYTES + 8];
static uint8_t nmi_stacks[2][2][4096] __attribute__((aligned(16)));
static volatile uint32_t second_up;

extern char rt_gates[], rt_landing[], rt_trampoline[], rt_trampoline_end[];
extern struct {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed)) rt_gdt_pointer;
int rt_try_asm(void (*fn)(uint64_t), uint64_t argument, struct rt_cpu *cpu);
_Noreturn void rt_user_asm(uint64_t rip, uint64_t rsp, const uint64_t *registers, uint64_t rflags);
void rt_main(uint32_t info);
void rt_ap_main(void);
void rt_interrupt(struct rt_frame *f);

void *memcpy(void *to, const void *from, size_t n)
{
	void *start = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n)::"memory");
	return start;
}

void *memset(void *to, int c, size_t n)
{
	void *start = to;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(c) : "memory");
	return start;
}

/* ---- output ---- */

/* A line of each processor. It goes out in one exit: what others print does not come in between. */
static struct line {
	char text[256];
	uint64_t n;
} lines[2];

static void put_line(struct line *line)
{
	const char *from = line->text;
	uint64_t n = line->n;

	__asm__ volatile("rep outsb" : "+S"(from), "+c"(n) : "d"(0xe9) : "memory");
	line->n = n;
}

void rt_putc(char c)
{
	struct line *line = &lines[rt_cpu_id()];

	line->text[line->n++] = c;
	if (c == '\n' || line->n == sizeof(line->text))
		put_line(line);
}

static void put_number(uint64_t value, unsigned int base, unsigned int width, char pad)
{
	char text[24];
	unsigned int n = 0;

	do {
		text[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (width > n) {
		rt_putc(pad);
		width--;
	}
	while (n)
		rt_putc(text[--n]);
}

static void put_text(const char *s)
{
	while (*s)
		rt_putc(*s++);
}

/* %s %d %u %x %lu %lx %llx, with a width that may begin with 0. */
void rt_printf(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	for (; *format; format++) {
		unsigned int width = 0, longs = 0;
		char pad = ' ';
		uint64_t value;

		if (*format != '%') {
			rt_putc(*format);
			continue;
		}
		if (*++format == '0')
			pad = '0';
		while (*format >= '0' && *format <= '9')
			width = width * 10 + (unsigned int)(*format++ - '0');
		while (*format == 'l') {
			longs++;
			format++;
		}
		if (*format == 's') {
			put_text(va_arg(ap, const char *));
			continue;
		}
		value = longs ? va_arg(ap, uint64_t) : va_arg(ap, uint32_t);
		if (*format == 'd' && (int32_t)value < 0) {
			rt_putc('-');
			value = (uint64_t) - (int32_t)value;
		}
		put_number(value, *format == 'x' ? 16 : 10, width, pad);
	}
	va_end(ap);
}

_Noreturn void rt_exit(uint32_t status)
{
	for (;;) {
		outl(0xf4, status);
		__asm__ volatile("cli; hlt");
	}
}

/* ---- the command line ---- */

const char *rt_option_text(const char *name)
{
	for (const char *s = rt_cmdline; *s; s++) {
		size_t n = 0;

		while (name[n] && s[n] == name[n])
			n++;
		if (!name[n] && s[n] == '=' && (s == rt_cmdline || s[-1] == ' '))
			return s + n + 1;
	}
	return NULL;
}

uint64_t rt_option(const char *name, uint64_t otherwise)
{
	const char *s = rt_option_text(name);
	uint64_t value = 0;
	unsigned int base = 10;

	if (!s)
		return otherwise;
	if (s[0] == '0' && s[1] == 'x') {
		base = 16;
		s += 2;
	}
	for (;; s++) {
		if (*s >= '0' && *s <= '9')
			value = value * base + (uint64_t)(*s - '0');
		else if (base == 16 && *s >= 'a' && *s <= 'f')
			value = value * base + (uint64_t)(*s - 'a' + 10);
		else
			return value;
	}
}

void rt_wait_us(uint32_t us)
{
	uint32_t start = inl(PM_TMR), ticks = (uint32_t)((uint64_t)us * PM_TMR_HZ / 1000000);

	while (((inl(PM_TMR) - start) & 0xffffff) < ticks)
		__asm__ volatile("pause");
}

/* ---- processors ---- */

/* The task register alone says which processor it is: cases change everything else. */
unsigned int rt_cpu_id(void)
{
	uint32_t tr;

	__asm__ volatile("str %0" : "=r"(tr));
	return tr >= TSS_FIRST + 16;
}

static void set_gate(unsigned int vector)
{
	uint64_t address = (uint64_t)rt_gates + vector * GATE_BYTES;
	bool own_stack = vector == NMI || vector == DF;
	/* Interrupt gates; INT3, INTO and one more may be called from user mode. */
	uint64_t type = vector == BP || vector == OF || vector == 0x80 ? 0xee : 0x8e;

	rt_idt[2 * vector] = (address & 0xffff) | KERNEL_CS << 16 |
			     (uint64_t)(own_stack ? (vector == NMI ? 1 : 2) : 0) << 32 |
			     type << 40 | (address >> 16 & 0xffff) << 48;
	rt_idt[2 * vector + 1] = address >> 32;
}

static void load_idt(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = {sizeof(rt_idt) - 1, (uint64_t)rt_idt};

	__asm__ volatile("lidt %0" ::"m"(pointer));
}

void rt_init_cpu(unsigned int id)
{
	uint8_t *t = tss[id];
	uint64_t base = (uint64_t)t;
	uint16_t selector = (uint16_t)(TSS_FIRST + 16 * id);

	memset(t, 0, sizeof(tss[id]));
	/* User mode's exceptions come on a part of this processor's own stack. */
	*(uint64_t *)(t + 4) = (uint64_t)rt_stacks + STACK_BYTES * id + STACK_BYTES / 2;
	*(uint64_t *)(t + 36) = (uint64_t)nmi_stacks[id][1];
	*(uint64_t *)(t + 44) = (uint64_t)nmi_stacks[id][1] + 4096;
	*(uint16_t *)(t + 102) = TSS_BYTES;
	rt_gdt[selector / 8] = (TSS_BYTES - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 |
			       (base >> 24 & 0xff) << 56;
	rt_gdt[selector / 8 + 1] = base >> 32;
	__asm__ volatile("lgdt %0" ::"m"(rt_gdt_pointer));
	__asm__ volatile("ltr %0" ::"r"(selector));
	load_idt();
}

uint8_t *rt_tss(unsigned int id)
{
	return tss[id];
}

void rt_reset_apic(void)
{
	uint64_t base = APIC | (rt_cpu_id() ? 0 : BIT(8));

	wrmsr(APIC_BASE_MSR, base);
	wrmsr(APIC_BASE_MSR, base | BIT(11));
	mmio_write(APIC + 0xf0, 0x1ff);
}

bool rt_second_is_up(void)
{
	return second_up;
}

void rt_second_is_down(void)
{
	second_up = 0;
}

bool rt_start_second(void)
{
	memcpy((void *)(uintptr_t)TRAMPOLINE, rt_trampoline,
	       (size_t)(rt_trampoline_end - rt_trampoline));
	second_up = 0;
	mmio_write(APIC + 0x310, 1u << 24);
	mmio_write(APIC + 0x300, 0x4500);
	mmio_write(APIC + 0x310, 1u << 24);
	mmio_write(APIC + 0x300, 0x4600 | TRAMPOLINE >> 12);
	for (unsigned int i = 0; i < 10000 && !second_up; i++)
		rt_wait_us(1000);
	return second_up;
}

void rt_ap_main(void)
{
	rt_init_cpu(1);
	memset(&rt_cpus[1], 0, sizeof(rt_cpus[1]));
	rt_reset_apic();
	second_up = 1;
	rt_second();
}

void rt_main(uint32_t info)
{
	const uint32_t *mb = (const uint32_t *)(uintptr_t)info;

	if (mb[0] & 4)
		rt_cmdline = (const char *)(uintptr_t)mb[4];
	for (unsigned int i = 0; i < 256; i++)
		set_gate(i);
	rt_init_cpu(0);
	rt_reset_apic();
	rt_guest();
	rt_exit(0);
}

/* ---- exceptions ---- */

/* A line that stays asserted, or a timer that is faster than its handler, would leave no time for
 * anything else. */
#define BURST_MAX 32
#define RFLAGS_IF BIT(9)

static void end_of_interrupt(struct rt_cpu *cpu, struct rt_frame *f)
{
	uint64_t base = rdmsr(APIC_BASE_MSR);

	cpu->ints[f->vector]++;
	if (++cpu->burst > BURST_MAX)
		f->rflags &= ~RFLAGS_IF;
	if (cpu->no_eoi || f->vector == 0xff || !(base & BIT(11)))
		return;
	if (base & BIT(10))
		wrmsr(0x80b, 0);
	else
		mmio_write(APIC + 0xb0, 0);
}

static void land(struct rt_cpu *cpu, struct rt_frame *f)
{
	f->rip = cpu->resume_rip;
	f->rsp = cpu->resume_rsp;
	f->cs = KERNEL_CS;
	f->ss = KERNEL_DS;
	f->rflags = 2;
	f->rax = f->vector;
}

static void debug_trap(struct rt_cpu *cpu, struct rt_frame *f)
{
	cpu->dr6 = read_dr6();
	cpu->debugs++;
	write_dr6(0xffff0ff0);
	if (f->rflags & RFLAGS_TF) {
		cpu->stepped++;
		if (!cpu->steps || !--cpu->steps) {
			f->rflags &= ~RFLAGS_TF;
			if (cpu->land_after_steps)
				land(cpu, f);
		}
	}
	f->rflags |= BIT(16);
}

void rt_interrupt(struct rt_frame *f)
{
	struct rt_cpu *cpu = rt_self();

	if (f->vector >= 32) {
		end_of_interrupt(cpu, f);
		return;
	}
	if (f->vector == NMI) {
		cpu->ints[NMI]++;
		if (cpu->bad_iret && cpu->resume_rip)
			f->cs = NO_SEGMENT;
		return;
	}
	if (f->vector == DB && (cpu->steps || !cpu->resume_rip)) {
		debug_trap(cpu, f);
		return;
	}
	cpu->frame = *f;
	cpu->error = f->error;
	cpu->rip = f->rip;
	cpu->cr2 = read_cr2();
	cpu->dr6 = read_dr6();
	if (f->vector == DB) {
		cpu->debugs++;
		write_dr6(0xffff0ff0);
		write_dr7(0x400);
	}
	if (cpu->resume_rip) {
		land(cpu, f);
		return;
	}
	rt_printf("rt: cpu %u: exception %lu, error %lx at %lx, CR2 %lx\n", rt_cpu_id(), f->vector,
		  f->error, f->rip, cpu->cr2);
	rt_exit(99);
}

int rt_try(void (*fn)(uint64_t), uint64_t argument)
{
	struct rt_cpu *cpu = rt_self();

	cpu->error = 0;
	cpu->burst = 0;
	return rt_try_asm(fn, argument, cpu);
}

struct user_call {
	const void *code;
	const uint64_t *registers;
	uint64_t rflags;
};

static void enter_user(uint64_t argument)
{
	const struct user_call *call = (const struct user_call *)argument;

	rt_user_asm(USER_WINDOW + (uint64_t)call->code,
		    USER_WINDOW + USER_STACK + 0x1000 * rt_cpu_id(), call->registers, call->rflags);
}

int rt_try_user(const void *code, const uint64_t registers[8], uint64_t rflags)
{
	struct user_call call = {code, registers, rflags | 2};

	return rt_try(enter_user, (uint64_t)&call);
}
