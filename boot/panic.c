#include "boot/panic.h"

#include <stdarg.h>

#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/desc.h"
#include "boot/handover.h"
#include "boot/physical_console.h"
#include "lib/assert.h"
#include "lib/log.h"
#include "lib/strbuf.h"
#include "lib/util.h"

#define RECENT_LINES 64

static bool reboot_on_panic;
static uint32_t panicking; /* the first core to get here has the floor */

void panic_set_reboot(bool reboot)
{
	reboot_on_panic = reboot;
}

static void write_line(void *ctx, const char *line, size_t len)
{
	(void)ctx;
	boot_serial_write(line, len);
	boot_serial_write("\r\n", 2);
}

static _Noreturn void stop(void)
{
	for (;;) {
		cpu_cli();
		cpu_hlt();
	}
}

/* The keyboard controller's reset line, then PCI's reset register, then a triple fault. */
static _Noreturn void reset(void)
{
	const struct desc_ptr nothing = {0, 0};

	outb(0x64, 0xfe);
	outb(0xcf9, 0x06);
	lidt(&nothing);
	__asm__ volatile("int3");
	stop();
}

static bool on_nmi(struct int_frame *frame)
{
	(void)frame;
	stop();
}

/* Only one core speaks; the others stop where they are. */
static void take_floor(void)
{
	cpu_cli();
	if (__atomic_exchange_n(&panicking, 1, __ATOMIC_ACQ_REL))
		stop();
	log_set_panicking();
	nmi_set_hook(on_nmi);
	apic_send_nmi_others();
}

/* The screen has the last messages above this: it shows no more of them. */
static _Noreturn void finish(void)
{
	physical_console_redraw();
	boot_serial_write("socle: the last messages:\r\n", 27);
	log_replay(RECENT_LINES, write_line, NULL);
	if (reboot_on_panic)
		reset();
	stop();
}

static void say(const char *format, va_list args)
{
	char text[512];
	struct strbuf sb;

	sb_init(&sb, text, sizeof(text));
	sb_puts(&sb, "\r\nsocle: panic: ");
	sb_vprintf(&sb, format, args);
	sb_puts(&sb, "\r\n");
	physical_console_panic(sb.text, sb.len);
}

void panic(const char *format, ...)
{
	va_list args;

	take_floor();
	va_start(args, format);
	say(format, args);
	va_end(args);
	finish();
}

static void say_f(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
}

static void say_registers(const struct int_frame *f)
{
	const struct {
		const char *name;
		uint64_t value;
	} regs[] = {
		{"rax", f->rax},     {"rbx", f->rbx},	  {"rcx", f->rcx}, {"rdx", f->rdx},
		{"rsi", f->rsi},     {"rdi", f->rdi},	  {"rbp", f->rbp}, {"rsp", f->rsp},
		{"r8", f->r8},	     {"r9", f->r9},	  {"r10", f->r10}, {"r11", f->r11},
		{"r12", f->r12},     {"r13", f->r13},	  {"r14", f->r14}, {"r15", f->r15},
		{"cr2", read_cr2()}, {"cr3", read_cr3()},
	};
	char text[80];
	struct strbuf sb;

	for (size_t i = 0; i < ARRAY_SIZE(regs); i++) {
		sb_init(&sb, text, sizeof(text));
		sb_printf(&sb, "%4s %016llx%s", regs[i].name, (unsigned long long)regs[i].value,
			  i % 3 == 2 ? "\r\n" : "");
		physical_console_panic(sb.text, sb.len);
	}
}

extern char _image_start[] __attribute__((visibility("hidden")));

void exception_panic(struct int_frame *f)
{
	take_floor();
	say_f("cpu %u: exception %s (error %llx) at socle.efi+%llx", this_cpu()->id,
	      exception_name((unsigned int)f->vector), (unsigned long long)f->error,
	      (unsigned long long)(f->rip - (uint64_t)(uintptr_t)_image_start));
	say_registers(f);
	finish();
}

void assert_failed(const char *file, int line, const char *what)
{
	panic("%s:%d: %s", file, line, what);
}
