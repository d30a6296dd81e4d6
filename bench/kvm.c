/*
 * The other side of the benchmark: the first process of a Linux with KVM. Loads Debian's own
 * modules, runs the same guest image under the same contract as Socle's kind flat64, with KVM's own
 * interrupt controllers, and passes on what the guest says. Its COM1 and its PM timer are served
 * here.
 *
 * With bench_vcpus=N on the kernel's command line the guest has N processors. With bench_idle=N it
 * is Linux instead, by its 64-bit entry, whose first process (bench/init.c) sleeps N seconds: the
 * guest has KVM's 8254 and no ACPI tables, and its exits to there and during the sleep are said.
 */
#include <asm/bootparam.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define GDT	    0x1000u
#define ZERO_PAGE   0x2000u
#define CMDLINE	    0x3000u
#define PAGE_TABLES 0x10000u
#define STACK_TOP   0x90000u
#define LOW_END	    0x9fc00u
#define HIGH_START  0x100000u
#define VCPUS_MAX   4

/* What is loaded, and how it is entered. */
#define FLAT_MEMORY  (32u << 20)
#define FLAT_IMAGE   0x200000u
#define LINUX_MEMORY (192u << 20)
#define LINUX_IMAGE  0x1000000u
#define LINUX_INITRD 0xa000000u
#define ENTRY_64     0x200u
#define GUEST_LINE   "console=ttyS0 quiet nokaslr bench_idle="

#define COM1	    0x3f8
#define CMOS_INDEX  0x70
#define CMOS_DATA   0x71
#define CMOS_D	    0x0d
#define CMOS_VALID  0x80
#define PM1_CNT	    0x604
#define SLP_EN	    0x2000
#define PM_TIMER    0x608
#define PM_TIMER_HZ 3579545ull

struct processor {
	int fd;
	unsigned int id;
	struct kvm_run *run;
};

/* How the first processor enters. */
struct entry {
	uint64_t rip, rsi, rdi;
	uint16_t code; /* selector; data is the next one */
};

static int vm;
static uint8_t *memory;
static uint32_t memory_size = FLAT_MEMORY;

static _Noreturn void stop(void)
{
	fflush(stdout);
	/* Whoever runs the machine sees the last line and ends it. */
	for (;;)
		pause();
}

static _Noreturn __attribute__((format(printf, 1, 2))) void fail(const char *format, ...)
{
	int err = errno;
	va_list args;

	printf("bench: failed: ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf(" (%s)\n", strerror(err));
	stop();
}

static int checked(int result, const char *what)
{
	if (result < 0)
		fail("%s", what);
	return result;
}

/* ---- the host ---- */

/* False: this processor is not the module's. */
static bool load_module(const char *name)
{
	char path[64];
	int fd, err;

	snprintf(path, sizeof(path), "/modules/%s.ko", name);
	fd = checked(open(path, O_RDONLY), path);
	err = (int)syscall(SYS_finit_module, fd, "", 0);
	close(fd);
	return err == 0;
}

static void print_file(const char *what, const char *path)
{
	char text[256];
	FILE *f = fopen(path, "r");

	if (!f)
		return;
	if (fgets(text, sizeof(text), f))
		printf("bench: host %s: %s", what, text);
	fclose(f);
}

/* What the host does against the processor's flaws, which is a part of an exit's cost. */
static void print_host(void)
{
	static const char *const flaws[] = {
		"itlb_multihit",
		"l1tf",
		"mds",
		"meltdown",
		"mmio_stale_data",
		"retbleed",
		"spec_store_bypass",
		"spectre_v1",
		"spectre_v2",
	};
	char path[96];

	printf("bench: host processors: %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
	print_file("kernel", "/proc/version");
	for (size_t i = 0; i < sizeof(flaws) / sizeof(flaws[0]); i++) {
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/vulnerabilities/%s",
			 flaws[i]);
		print_file(flaws[i], path);
	}
}

static void set_up_host(void)
{
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sys", "/sys", "sysfs", 0, NULL);
	mount("debug", "/sys/kernel/debug", "debugfs", 0, NULL);
	if (!load_module("irqbypass") || !load_module("kvm"))
		fail("kvm.ko cannot be loaded");
	if (!load_module("kvm-intel") && !load_module("kvm-amd"))
		fail("neither kvm-intel.ko nor kvm-amd.ko can be loaded");
	print_host();
}

/* ---- the guest's machine ---- */

static void put64(uint32_t address, uint64_t value)
{
	memcpy(memory + address, &value, sizeof(value));
}

/* Its size. */
static uint32_t load_file(const char *path, uint32_t at)
{
	int fd = checked(open(path, O_RDONLY), path);
	size_t done = 0;
	ssize_t n;

	while ((n = read(fd, memory + at + done, memory_size - at - done)) > 0)
		done += (size_t)n;
	checked((int)n, path);
	close(fd);
	return (uint32_t)done;
}

static struct entry load_flat(void)
{
	load_file("/guest.bin", FLAT_IMAGE);
	return (struct entry){.rip = FLAT_IMAGE, .rdi = memory_size, .code = 8};
}

static void load_kernel(struct boot_params *params)
{
	uint32_t size = load_file("/vmlinuz", LINUX_IMAGE), setup;
	uint8_t *file = memory + LINUX_IMAGE;

	memcpy(&params->hdr, file + 0x1f1, file[0x201] + 0x202u - 0x1f1u);
	setup = (params->hdr.setup_sects + 1u) * 512;
	memmove(file, file + setup, size - setup);
}

static struct entry load_linux(const char *idle)
{
	struct boot_params *params = (struct boot_params *)(memory + ZERO_PAGE);

	load_kernel(params);
	snprintf((char *)memory + CMDLINE, 0x1000, GUEST_LINE "%s", idle);
	params->hdr.type_of_loader = 0xff;
	params->hdr.cmd_line_ptr = CMDLINE;
	params->hdr.ramdisk_image = LINUX_INITRD;
	params->hdr.ramdisk_size = load_file("/initrd.gz", LINUX_INITRD);
	params->e820_table[0] = (struct boot_e820_entry){0, LOW_END, 1};
	params->e820_table[1] =
		(struct boot_e820_entry){HIGH_START, memory_size - HIGH_START, 1};
	params->e820_entries = 2;
	return (struct entry){.rip = LINUX_IMAGE + ENTRY_64, .rsi = ZERO_PAGE, .code = 16};
}

/* 4 GiB mapped by 2 MiB pages, flat segments from the selector CODE on. */
static void make_tables(uint16_t code)
{
	const uint32_t pdpt = PAGE_TABLES + 0x1000, pd = PAGE_TABLES + 0x2000;

	put64(GDT + code, 0x00209b0000000000);
	put64(GDT + code + 8u, 0x00cf93000000ffff);
	put64(PAGE_TABLES, pdpt | 3);
	for (uint32_t i = 0; i < 4; i++)
		put64(pdpt + 8 * i, (pd + 0x1000 * i) | 3);
	for (uint32_t i = 0; i < 4 * 512; i++)
		put64(pd + 8 * i, ((uint64_t)i << 21) | 0x83);
}

static void make_vm(int kvm)
{
	uint64_t identity = 0xfffbc000;
	struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
	struct kvm_userspace_memory_region region = {.memory_size = memory_size};

	vm = checked(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	checked(ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity), "KVM_SET_IDENTITY_MAP_ADDR");
	checked(ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000), "KVM_SET_TSS_ADDR");
	checked(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
	if (memory_size == LINUX_MEMORY)
		checked(ioctl(vm, KVM_CREATE_PIT2, &pit), "KVM_CREATE_PIT2");
	memory = mmap(NULL, memory_size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (memory == MAP_FAILED)
		fail("no memory");
	region.userspace_addr = (uintptr_t)memory;
	checked(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
}

static void set_cpuid(int kvm, const struct processor *p, unsigned int count)
{
	static struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entry[200];
	} c;

	c.head.nent = sizeof(c.entry) / sizeof(c.entry[0]);
	checked(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &c), "KVM_GET_SUPPORTED_CPUID");
	for (unsigned int i = 0; i < c.head.nent; i++) {
		struct kvm_cpuid_entry2 *e = &c.entry[i];

		if (e->function == 1) {
			e->ebx = (e->ebx & 0xff00) | count << 16 | p->id << 24;
			e->ecx |= 1u << 21 | 1u << 24; /* x2APIC, TSC deadline */
		}
		if (e->function == 0xb)
			e->edx = p->id;
	}
	checked(ioctl(p->fd, KVM_SET_CPUID2, &c), "KVM_SET_CPUID2");
}

static void set_entry_state(const struct processor *p, const struct entry *e)
{
	struct kvm_regs regs = {
		.rip = e->rip, .rsp = STACK_TOP, .rsi = e->rsi, .rdi = e->rdi, .rflags = 2};
	struct kvm_segment code = {.selector = e->code,
				   .limit = ~0u,
				   .type = 0xb,
				   .present = 1,
				   .s = 1,
				   .l = 1,
				   .g = 1};
	struct kvm_segment data = {.selector = (uint16_t)(e->code + 8),
				   .limit = ~0u,
				   .type = 3,
				   .present = 1,
				   .s = 1,
				   .db = 1,
				   .g = 1};
	struct kvm_sregs s;

	checked(ioctl(p->fd, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.gdt.base = GDT;
	s.gdt.limit = (uint16_t)(e->code + 15);
	s.idt.limit = 0;
	s.cr0 = 0x80000031;
	s.cr3 = PAGE_TABLES;
	s.cr4 = 0x20;
	s.efer = 0x500;
	checked(ioctl(p->fd, KVM_SET_SREGS, &s), "KVM_SET_SREGS");
	checked(ioctl(p->fd, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

static void make_processor(int kvm, struct processor *p, unsigned int id, unsigned int count)
{
	int size = checked(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");

	p->id = id;
	p->fd = checked(ioctl(vm, KVM_CREATE_VCPU, id), "KVM_CREATE_VCPU");
	p->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
	if (p->run == MAP_FAILED)
		fail("kvm_run");
	set_cpuid(kvm, p, count);
}

/* ---- exits ---- */

static uint32_t pm_timer(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint32_t)((uint64_t)t.tv_sec * PM_TIMER_HZ +
			  (uint64_t)t.tv_nsec * PM_TIMER_HZ / 1000000000);
}

/* ---- what the guest's processors took, as KVM counts it ---- */

/* KVM's names. Socle's own stand beside them in bench.py. */
static const char *const exit_names[] = {"exits",	"io_exits",	    "pf_taken", "halt_exits",
					 "irq_exits",	"irq_window_exits", "mmio_exits"};
#define EXIT_NAMES (sizeof(exit_names) / sizeof(exit_names[0]))

static long long exit_count(const char *name)
{
	char path[96];
	long long count = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/debug/kvm/%s", name);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%lld", &count) != 1)
		fail("%s", path);
	fclose(f);
	return count;
}

/* At a line of bench/init.c's: what came since the last one. */
static void print_exits(const char *phase)
{
	static long long before[EXIT_NAMES];

	for (size_t i = 0; i < EXIT_NAMES; i++) {
		long long now = exit_count(exit_names[i]);

		printf("bench: exits %s %s %lld\n", phase, exit_names[i], now - before[i]);
		before[i] = now;
	}
}

static void follow(char c)
{
	static char line[256];
	static size_t length;

	if (c != '\n') {
		if (length < sizeof(line) - 1)
			line[length++] = c;
		return;
	}
	line[length] = '\0';
	length = 0;
	if (strstr(line, "bench: metric boot-ticks"))
		print_exits("boot");
	if (strstr(line, "bench: metric after-boot")) {
		print_exits("idle");
		printf("bench: end\n");
		stop();
	}
}

/* ---- a 16550 whose transmitter is always empty: registers by their offset ---- */

enum { THR, IER, FCR, LCR, MCR, LSR, MSR, SCR, UART_REGS };
#define LCR_DLAB   0x80
#define MCR_LOOP   0x10
#define LSR_EMPTY  0x60
#define IER_THRI   0x02
#define IIR_NONE   0xc1
#define IIR_THRI   0xc2
#define IRQ	   4
#define MSR_ANSWER 0xb0

static uint8_t uart[UART_REGS], divisor[2];
static bool emptied; /* and nobody has been told */

static void update_irq(void)
{
	static bool raised;
	bool wanted = emptied && uart[IER] & IER_THRI;
	struct kvm_irq_level line = {.irq = IRQ, .level = wanted};

	if (wanted != raised)
		checked(ioctl(vm, KVM_IRQ_LINE, &line), "KVM_IRQ_LINE");
	raised = wanted;
}

static uint8_t take_reason(void)
{
	if (!emptied || !(uart[IER] & IER_THRI))
		return IIR_NONE;
	emptied = false;
	update_irq();
	return IIR_THRI;
}

static uint8_t uart_in(unsigned int reg)
{
	if (reg <= IER && uart[LCR] & LCR_DLAB)
		return divisor[reg];
	switch (reg) {
	case THR:
		return 0;
	case FCR:
		return take_reason();
	case LSR:
		return LSR_EMPTY;
	case MSR:
		if (!(uart[MCR] & MCR_LOOP))
			return MSR_ANSWER;
		return (uint8_t)((uart[MCR] & 0xc) << 4 | (uart[MCR] & 2) << 3 |
				 (uart[MCR] & 1) << 5);
	default:
		return uart[reg];
	}
}

static void uart_out(unsigned int reg, uint8_t value)
{
	if (reg <= IER && uart[LCR] & LCR_DLAB) {
		divisor[reg] = value;
		return;
	}
	if (reg == THR || (reg == IER && value & ~uart[IER] & IER_THRI))
		emptied = true;
	uart[reg] = reg == IER ? value & 0xf : value;
	update_irq();
	if (reg == THR && value != '\r') {
		putchar(value);
		follow((char)value);
	}
}

static uint8_t cmos_index;

static void port_in(uint16_t port, void *data, unsigned int size)
{
	uint32_t value = UINT32_MAX;

	if (port >= COM1 && port < COM1 + UART_REGS)
		value = uart_in(port - COM1);
	else if (port == CMOS_DATA)
		value = cmos_index == CMOS_D ? CMOS_VALID : 1;
	else if (port == PM_TIMER)
		value = pm_timer();
	memcpy(data, &value, size);
}

static void port_out(uint16_t port, const void *data, unsigned int size)
{
	uint32_t value = 0;

	memcpy(&value, data, size);
	if (port >= COM1 && port < COM1 + UART_REGS)
		uart_out(port - COM1, (uint8_t)value);
	else if (port == CMOS_INDEX)
		cmos_index = value & 0x7f;
	else if (port == PM1_CNT && value & SLP_EN)
		stop();
}

static void on_io(struct kvm_run *run)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_IN)
			port_in(run->io.port, data, run->io.size);
		else
			port_out(run->io.port, data, run->io.size);
	}
}

static void *run(void *processor)
{
	struct processor *p = processor;

	for (;;) {
		if (ioctl(p->fd, KVM_RUN, 0) < 0) {
			if (errno == EINTR || errno == EAGAIN) /* a signal; an INIT */
				continue;
			fail("KVM_RUN");
		}
		switch (p->run->exit_reason) {
		case KVM_EXIT_IO:
			on_io(p->run);
			break;
		case KVM_EXIT_MMIO:
			memset(p->run->mmio.data, 0xff, sizeof(p->run->mmio.data));
			break;
		default:
			fail("vcpu %u: exit reason %u", p->id, p->run->exit_reason);
		}
	}
	return NULL;
}

int main(void)
{
	static struct processor processors[VCPUS_MAX];
	const char *wanted = getenv("bench_vcpus"), *idle = getenv("bench_idle");
	unsigned int count = wanted ? (unsigned int)atoi(wanted) : 1;
	struct entry entry;
	int kvm;

	setlinebuf(stdout);
	if (count < 1 || count > VCPUS_MAX)
		count = 1;
	if (idle)
		memory_size = LINUX_MEMORY;
	set_up_host();
	kvm = checked(open("/dev/kvm", O_RDWR), "/dev/kvm");
	make_vm(kvm);
	entry = idle ? load_linux(idle) : load_flat();
	make_tables(entry.code);
	for (unsigned int i = 0; i < count; i++)
		make_processor(kvm, &processors[i], i, count);
	set_entry_state(&processors[0], &entry);
	for (unsigned int i = 1; i < count; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, run, &processors[i]))
			fail("no thread");
	}
	run(&processors[0]);
	return 0;
}
