#include "boot/panic.h"

#include <stdarg.h>

#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/desc.h"
#include "arch/x86/msr.h"
#include "boot/backtrace.h"
#include "boot/handover.h"
#include "boot/physical_console.h"
#include "core/sched.h"
#include "core/vm.h"
#include "lib/assert.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/strbuf.h"
#include "lib/util.h"

#define RECENT_LINES   64
#define BACKTRACE_MAX  24
#define NMI_WAIT_SPINS 1000000u
#define NOBODY	       UINT32_MAX

extern char _image_start[] __attribute__((visibility("hidden"))),
	_text_start[] __attribute__((visibility("hidden"))),
	_text_end[] __attribute__((visibility("hidden")));

static bool reboot_on_panic;
static uint32_t panicking = NOBODY; /* the APIC ID of the first core to get here has the floor */
static uint32_t stopped;	    /* cores that have seen its NMI */

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

static _Noreturn void end(void)
{
	if (reboot_on_panic)
		reset();
	stop();
}

static bool on_nmi(struct int_frame *frame)
{
	(void)frame;
	__atomic_add_fetch(&stopped, 1, __ATOMIC_RELEASE);
	stop();
}

/* NULL while there is none of Socle's own behind GS yet. */
static struct pcpu *own_pcpu(void)
{
	uint64_t gs = rdmsr(MSR_IA32_GS_BASE);

	for (unsigned int i = 0; i < cpu_count; i++)
		if ((uint64_t)(uintptr_t)pcpus[i] == gs)
			return pcpus[i];
	return NULL;
}

/* ---- what is said ---- */

static void put(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void put(const char *format, ...)
{
	char text[256];
	struct strbuf sb;
	va_list args;

	sb_init(&sb, text, sizeof(text));
	va_start(args, format);
	sb_vprintf(&sb, format, args);
	va_end(args);
	physical_console_panic(sb.text, sb.len);
}

static void put_address(uint64_t address)
{
	const struct symbols all = symbols_own();
	uint64_t offset = address - (uint64_t)(uintptr_t)_image_start;
	int number = -ENOENT;
	char name[64];
	struct strbuf sb;
	uint32_t into;

	if (address >= (uint64_t)(uintptr_t)_text_start && address < (uint64_t)(uintptr_t)_text_end)
		number = symbols_find(&all, (uint32_t)offset, &into);
	if (number < 0) {
		put("%llx, which is no code of Socle's", (unsigned long long)address);
		return;
	}
	sb_init(&sb, name, sizeof(name));
	symbols_name(&all, (unsigned int)number, &sb);
	put("socle.efi+%llx %s+%#x", (unsigned long long)offset, sb.text, into);
}

static void put_caller(void *ctx, uint64_t address, bool sure)
{
	(void)ctx;
	put("  from ");
	put_address(address);
	put(sure ? "\r\n" : " ?\r\n");
}

/*
 * The upper end of CPU's stack that RSP is on, and its SIZE; a stack that has run over counts. 0:
 * none.
 */
static uint64_t stack_end(const struct pcpu *cpu, uint64_t rsp, uint64_t *size)
{
	uint64_t top = cpu->stack_top;

	*size = percpu_stack_size(cpu);
	if (rsp <= top && top - rsp <= *size + PAGE_SIZE)
		return top;
	*size = IST_STACK_SIZE;
	for (unsigned int i = 0; i < IST_COUNT - 1; i++) {
		top = cpu->tss.ist[i];
		if (rsp <= top && top - rsp <= *size + PAGE_SIZE)
			return top;
	}
	return 0;
}

static void put_backtrace(const struct pcpu *cpu, uint64_t rip, uint64_t rsp)
{
	const struct backtrace_code code = {
		.image = (uint64_t)(uintptr_t)_image_start,
		.start = (uint64_t)(uintptr_t)_text_start,
		.end = (uint64_t)(uintptr_t)_text_end,
		.text = (const uint8_t *)_text_start,
		.symbols = symbols_own(),
	};
	uint64_t size, top = cpu ? stack_end(cpu, rsp, &size) : 0;

	put("  at ");
	put_address(rip);
	put("\r\n");
	if (!top)
		return;
	/* Below it is the guard page. */
	if (top - rsp > size)
		rsp = top - size;
	rsp = ALIGN_UP(rsp, 8);
	backtrace(&code, rip, (const uint64_t *)(uintptr_t)rsp, (top - rsp) / 8, BACKTRACE_MAX,
		  put_caller, NULL);
}

static void put_registers(const struct int_frame *f)
{
	const struct {
		const char *name;
		uint64_t value;
	} regs[] = {
		{"rax", f->rax},     {"rbx", f->rbx},	   {"rcx", f->rcx},	{"rdx", f->rdx},
		{"rsi", f->rsi},     {"rdi", f->rdi},	   {"rbp", f->rbp},	{"rsp", f->rsp},
		{"r8", f->r8},	     {"r9", f->r9},	   {"r10", f->r10},	{"r11", f->r11},
		{"r12", f->r12},     {"r13", f->r13},	   {"r14", f->r14},	{"r15", f->r15},
		{"rip", f->rip},     {"flags", f->rflags}, {"cr0", read_cr0()}, {"cr2", read_cr2()},
		{"cr3", read_cr3()}, {"cr4", read_cr4()},
	};

	for (size_t i = 0; i < ARRAY_SIZE(regs); i++)
		put("%6s %016llx%s", regs[i].name, (unsigned long long)regs[i].value,
		    i % 3 == 2 || i + 1 == ARRAY_SIZE(regs) ? "\r\n" : "");
}

static void put_vcpu(const struct pcpu *cpu)
{
	const struct vcpu *v = cpu && cpu->core_private ? sched_current(cpu) : NULL;

	if (!cpu)
		return;
	if (v)
		put("cpu %u has vm %s vcpu %u loaded\r\n", cpu->id, v->vm->name, v->id);
	else
		put("cpu %u has no vcpu loaded\r\n", cpu->id);
}

/* ---- one core speaks, the others stop where they are ---- */

static void wait_for_others(void)
{
	unsigned int online = 0;

	for (unsigned int i = 0; i < cpu_count; i++)
		online += pcpus[i]->state == CPU_ONLINE;
	for (unsigned int i = 0; i < NMI_WAIT_SPINS; i++) {
		if (__atomic_load_n(&stopped, __ATOMIC_ACQUIRE) + 1 >= online)
			break;
		cpu_pause();
	}
	put("%u of %u other cpus have stopped\r\n", stopped, online ? online - 1 : 0);
}

/*
 * Those alone that have Socle's interrupt table: one that is still the firmware's, or on its way
 * here, would be lost with an NMI, and take the machine and what panic() says with it.
 */
static void stop_others(uint32_t self)
{
	for (unsigned int i = 0; i < cpu_count; i++)
		if (pcpus[i]->state == CPU_ONLINE && pcpus[i]->apic_id != self)
			apic_send_nmi(pcpus[i]->apic_id);
}

/* A fault on the way ends the matter: what has been said must do. */
static void take_floor(void)
{
	uint32_t self = apic_id(), nobody = NOBODY;

	cpu_cli();
	if (!__atomic_compare_exchange_n(&panicking, &nobody, self, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE)) {
		if (nobody != self)
			stop();
		boot_serial_write("\r\nsocle: panic: and once more\r\n", 31);
		end();
	}
	log_set_panicking();
	nmi_set_hook(on_nmi);
	stop_others(self);
}

/* The screen has the last messages above this: it shows no more of them. */
static _Noreturn void finish(const struct int_frame *f)
{
	const struct pcpu *cpu = own_pcpu();

	put_registers(f);
	put_backtrace(cpu, f->rip, f->rsp);
	put_vcpu(cpu);
	wait_for_others();
	physical_console_redraw();
	boot_serial_write("socle: the last messages:\r\n", 27);
	log_replay(RECENT_LINES, write_line, NULL);
	put("socle: panic: %s\r\n", reboot_on_panic ? "rebooting" : "halted");
	end();
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

/* From panic() in boot/panic_entry.asm, which has made the frame of its caller. */
_Noreturn void panic_at(struct int_frame *frame, const char *format, va_list args);

void panic_at(struct int_frame *frame, const char *format, va_list args)
{
	take_floor();
	say(format, args);
	finish(frame);
}

void panic_in(struct int_frame *frame, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	panic_at(frame, format, args);
}

static void say_f(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
}

void exception_panic(struct int_frame *f)
{
	const struct pcpu *cpu;

	take_floor();
	cpu = own_pcpu();
	say_f("cpu %u: exception %s (error %llx) at socle.efi+%llx", cpu ? cpu->id : 0,
	      exception_name((unsigned int)f->vector), (unsigned long long)f->error,
	      (unsigned long long)(f->rip - (uint64_t)(uintptr_t)_image_start));
	finish(f);
}

void assert_failed(const char *file, int line, const char *what)
{
	panic("%s:%d: %s", file, line, what);
}
