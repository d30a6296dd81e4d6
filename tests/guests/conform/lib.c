/* The console, exceptions, and what else every case needs. */
#include "conform.h"

#include <stdarg.h>

#define LSR_EMPTY 0x20

struct frame caught;
word caught_cr2;
struct trap traps[TRAPS];
unsigned int trap_count;
uint32_t returning[8];
void (*on_trap)(struct frame *f);

static void put(char c)
{
	while (!(inb(COM1 + 5) & LSR_EMPTY))
		;
	outb(COM1, (uint8_t)c);
}

static void puts(const char *s)
{
	while (*s)
		put(*s++);
}

static void put_number(uint64_t value, unsigned int base)
{
	char text[24];
	unsigned int n = 0;

	do {
		/* 64-bit division would want libgcc in 32-bit mode. */
		unsigned int digit =
			base == 16 ? (unsigned int)value & 15 : (unsigned int)value % 10;

		text[n++] = "0123456789abcdef"[digit];
		value = base == 16 ? value >> 4 : (uint32_t)value / 10;
	} while (value);
	while (n)
		put(text[--n]);
}

void say(const char *name, const char *format, ...)
{
	va_list args;

	puts(name);
	puts(": ");
	va_start(args, format);
	for (; *format; format++) {
		if (*format != '%') {
			put(*format);
			continue;
		}
		format++;
		if (*format == 's')
			puts(va_arg(args, const char *));
		else if (*format == 'l')
			put_number(va_arg(args, word), 16), format++;
		else
			put_number(va_arg(args, unsigned int), *format == 'x' ? 16 : 10);
	}
	va_end(args);
	puts("\r\n");
}

void say_caught(const char *name)
{
	if (caught.vector == NONE)
		say(name, "no exception");
	else if (caught.vector == PF)
		say(name, "exception %lx error %lx at %lx", caught.vector, caught.error,
		    caught_cr2);
	else
		say(name, "exception %lx error %lx", caught.vector, caught.error);
}

int on_event(struct frame *f)
{
	word v = f->vector & 0xff;
	struct trap *t;

	if (!(returning[v / 32] >> v % 32 & 1)) {
		caught = *f;
		caught.vector = v;
		caught_cr2 = read_cr2();
		return 0;
	}
	t = &traps[trap_count++ % TRAPS];
	*t = (struct trap){v, f->error, f->ip, read_dr6(), f->flags};
	if (on_trap)
		on_trap(f);
	return 1;
}

void trap_begin(unsigned int vector)
{
	trap_count = 0;
	returning[vector / 32] |= 1u << vector % 32;
	write_dr6(0xffff0ff0);
}

void trap_end(const char *name, word base)
{
	for (unsigned int i = 0; i < trap_count && i < TRAPS; i++)
		say(name, "trap %lx at +%lx dr6 %lx", traps[i].vector, traps[i].ip - base,
		    traps[i].dr6 & 0xe00f);
	say(name, "%u traps", trap_count);
	for (unsigned int i = 0; i < COUNT(returning); i++)
		returning[i] = 0;
	on_trap = NULL;
}

struct regs cpuid(uint32_t leaf, uint32_t sub)
{
	struct regs r;

	asm volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(sub));
	return r;
}

unsigned int rdmsr(uint32_t index, uint64_t *value)
{
	uint32_t low = 0, high = 0;

	caught.vector = NONE;
	asm volatile(CATCH_BEGIN "rdmsr\n9: nop"
		     : "+a"(low), "+d"(high)
		     : "c"(index)
		     : CATCH_CLOBBERS);
	*value = low | (uint64_t)high << 32;
	return caught.vector;
}

unsigned int wrmsr(uint32_t index, uint64_t value)
{
	CATCH("wrmsr", "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(index));
	return caught.vector;
}

/* Socle's platform, QEMU's and Bochs' each have a way of their own. */
static void power_off(void)
{
	const char *s = "Shutdown";

	outw(0x604, 1 << 13);
	while (*s)
		outb(0x8900, *s++);
}

int main(void)
{
	outb(COM1 + 3, 3); /* 8 bits: not every BIOS has set it */
	say("conform", "begin");
	cases();
	say("conform", "end");
	power_off();
	return 0;
}
