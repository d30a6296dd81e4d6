/*
 * The other side of the benchmark: the first process of a Linux with KVM. Loads Debian's own
 * modules, runs the same guest image under the same contract as Socle's kind flat64, with KVM's own
 * interrupt controllers, and passes on what the guest says. Its COM1 and its PM timer are served
 * here.
 *
 * With bench_vcpus=N on the kernel's command line the guest has N processors.
 */
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

#define MEMORY	    (32u << 20)
#define IMAGE	    0x200000u
#define GDT	    0x1000u
#define PAGE_TABLES 0x10000u
#define STACK_TOP   0x90000u
#define VCPUS_MAX   4

#define COM1	    0x3f8
#define COM1_LSR    0x3fd
#define LSR_EMPTY   0x60
#define PM1_CNT	    0x604
#define SLP_EN	    0x2000
#define PM_TIMER    0x608
#define PM_TIMER_HZ 3579545ull

struct processor {
	int fd;
	unsigned int id;
	struct kvm_run *run;
};

static int vm;
static uint8_t *memory;

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

static void load_image(void)
{
	int fd = checked(open("/guest.bin", O_RDONLY), "/guest.bin");
	ssize_t n, done = 0;

	while ((n = read(fd, memory + IMAGE + done, MEMORY - IMAGE - (size_t)done)) > 0)
		done += n;
	checked((int)n, "/guest.bin");
	close(fd);
}

/* As Socle's kind flat64 finds it: 4 GiB mapped by 2 MiB pages, flat segments. */
static void make_tables(void)
{
	const uint32_t pdpt = PAGE_TABLES + 0x1000, pd = PAGE_TABLES + 0x2000;

	put64(GDT + 8, 0x00209b0000000000);
	put64(GDT + 16, 0x00cf93000000ffff);
	put64(PAGE_TABLES, pdpt | 3);
	for (uint32_t i = 0; i < 4; i++)
		put64(pdpt + 8 * i, (pd + 0x1000 * i) | 3);
	for (uint32_t i = 0; i < 4 * 512; i++)
		put64(pd + 8 * i, ((uint64_t)i << 21) | 0x83);
}

static void make_vm(int kvm)
{
	uint64_t identity = 0xfffbc000;
	struct kvm_userspace_memory_region region = {.memory_size = MEMORY};

	vm = checked(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	checked(ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity), "KVM_SET_IDENTITY_MAP_ADDR");
	checked(ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000), "KVM_SET_TSS_ADDR");
	checked(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE,
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

static void set_entry_state(const struct processor *p)
{
	struct kvm_regs regs = {.rip = IMAGE, .rsp = STACK_TOP, .rdi = MEMORY, .rflags = 2};
	struct kvm_segment code = {
		.selector = 8, .limit = ~0u, .type = 0xb, .present = 1, .s = 1, .l = 1, .g = 1};
	struct kvm_segment data = {
		.selector = 16, .limit = ~0u, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
	struct kvm_sregs s;

	checked(ioctl(p->fd, KVM_GET_SREGS, &s), "KVM_GET_SREGS");
	s.cs = code;
	s.ds = s.es = s.fs = s.gs = s.ss = data;
	s.gdt.base = GDT;
	s.gdt.limit = 23;
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
	if (id == 0)
		set_entry_state(p);
}

/* ---- exits ---- */

static uint32_t pm_timer(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint32_t)((uint64_t)t.tv_sec * PM_TIMER_HZ +
			  (uint64_t)t.tv_nsec * PM_TIMER_HZ / 1000000000);
}

static void port_in(uint16_t port, void *data, unsigned int size)
{
	uint32_t value = UINT32_MAX;

	if (port == COM1_LSR)
		value = LSR_EMPTY;
	else if (port == PM_TIMER)
		value = pm_timer();
	memcpy(data, &value, size);
}

static void port_out(uint16_t port, const void *data, unsigned int size)
{
	uint32_t value = 0;

	memcpy(&value, data, size);
	if (port == COM1 && value != '\r')
		putchar((int)value);
	if (port == PM1_CNT && value & SLP_EN)
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
	const char *wanted = getenv("bench_vcpus");
	unsigned int count = wanted ? (unsigned int)atoi(wanted) : 1;
	int kvm;

	setlinebuf(stdout);
	if (count < 1 || count > VCPUS_MAX)
		count = 1;
	set_up_host();
	kvm = checked(open("/dev/kvm", O_RDWR), "/dev/kvm");
	make_vm(kvm);
	make_tables();
	load_image();
	for (unsigned int i = 0; i < count; i++)
		make_processor(kvm, &processors[i], i, count);
	for (unsigned int i = 1; i < count; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, run, &processors[i]))
			fail("no thread");
	}
	run(&processors[0]);
	return 0;
}
