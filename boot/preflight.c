/*
 * Is this machine, and is this guest, one that Socle can run? Nothing is changed here, and all that
 * is missing is said at once.
 */
#include "boot/handover.h"

#include "arch/x86/cpuid.h"
#include "arch/x86/percpu.h"
#include "boot/firmware.h"
#include "boot/image.h"
#include "boot/screen.h"
#include "core/console.h"
#include "core/vm.h"
#include "devices/pc_ports.h"
#include "guest/guest.h"
#include "lib/err.h"
#include "lib/string.h"
#include "lib/util.h"
#include "svm/svm.h"
#include "vmx/vmx.h"

#define KIND_ATOM 0x20
#define KIND_CORE 0x40

static const struct hv_ops *const back_ends[] = {&vmx_ops, &svm_ops};

/* Of core/vm.h. */
const struct hv_ops *hv;
struct hv_caps hv_caps;

/* ---- one processor, on itself -------------------------------------------------------------- */

static uint32_t apic_id_here(void)
{
	struct cpuid_regs leaf = cpuid_or_zero(0xb, 0);

	return leaf.ebx ? leaf.edx : CPUID_1_EBX_APIC_ID(cpuid(1, 0).ebx);
}

/* Bits that hold numbers below COUNT. */
static unsigned int bits_for(uint32_t count)
{
	return count > 1 ? 32u - (unsigned int)__builtin_clz(count - 1) : 0;
}

/* SDM vol. 3A 9.9.1: which bits of the APIC ID number a core's threads, and a package's threads. */
static void topology_shifts(unsigned int *thread_bits, unsigned int *package_bits)
{
	uint32_t leaf = cpuid_or_zero(0x1f, 0).ebx ? 0x1f : 0xb;
	uint32_t logical, cores;

	*thread_bits = *package_bits = 0;
	if (cpuid_or_zero(leaf, 0).ebx) {
		for (uint32_t level = 0; level < 8; level++) {
			struct cpuid_regs r = cpuid(leaf, level);

			if ((r.ecx >> 8 & 0xff) == 0)
				break;
			if ((r.ecx >> 8 & 0xff) == 1)
				*thread_bits = r.eax & 0x1f;
			*package_bits = r.eax & 0x1f;
		}
		return;
	}
	logical = cpuid(1, 0).edx & CPUID_1_EDX_HTT ? CPUID_1_EBX_LOGICAL(cpuid(1, 0).ebx) : 1;
	cores = (cpuid_or_zero(4, 0).eax >> 26) + 1;
	/* APM vol. 3 E.4.8: the number of cores where leaf 4 does not have it. */
	cores = MAX(cores, (cpuid_or_zero(0x80000008, 0).ecx & 0xff) + 1);
	*package_bits = bits_for(logical);
	*thread_bits = *package_bits - MIN(*package_bits, bits_for(cores));
}

static void probe_topology(struct boot_cpu *cpu)
{
	unsigned int thread_bits, package_bits;
	uint64_t id = apic_id_here();

	topology_shifts(&thread_bits, &package_bits);
	cpu->thread = (uint32_t)(id & (BIT(thread_bits) - 1));
	cpu->core = (uint32_t)((id & (BIT(package_bits) - 1)) >> thread_bits);
	cpu->package = (uint32_t)(id >> package_bits);
}

void boot_probe_cpu(struct boot_cpu *cpu)
{
	struct cpuid_regs r = cpuid(0, 0);

	cpu->vendor_regs[0] = r.eax;
	cpu->vendor_regs[1] = r.ebx;
	cpu->vendor_regs[2] = r.ecx;
	cpu->vendor_regs[3] = r.edx;
	probe_topology(cpu);
	if (cpuid_or_zero(7, 0).edx & CPUID_7_EDX_HYBRID)
		cpu->kind = (uint8_t)(cpuid_or_zero(0x1a, 0).eax >> 24);
	for (size_t i = 0; i < ARRAY_SIZE(back_ends) && !cpu->ops; i++) {
		if (back_ends[i]->present())
			cpu->ops = back_ends[i];
	}
	if (cpu->ops)
		cpu->ops->probe(&cpu->caps);
	cpu->probed = true;
}

size_t boot_list_cpus(uint64_t rsdp, uint32_t *ids, size_t max)
{
	const struct acpi_info *info = firmware_tables(rsdp);
	uint32_t self = apic_id_here();
	size_t count = 1;

	if (max > 0)
		ids[0] = self;
	for (unsigned int i = 0; info && i < info->cpu_count; i++) {
		if (info->cpus[i].apic_id == self)
			continue;
		if (count < max)
			ids[count] = info->cpus[i].apic_id;
		count++;
	}
	return count;
}

/* ---- all processors ------------------------------------------------------------------------- */

struct check {
	struct boot_cpu *cpus;
	size_t count;
	boot_report *report;
	void *ctx;
	unsigned int errors;
};

static void add_table(const struct check *c, struct strbuf *table)
{
	sb_puts(table, "cpu  APIC ID  package  core  thread  kind\n");
	for (size_t i = 0; i < c->count; i++) {
		const struct boot_cpu *cpu = &c->cpus[i];

		sb_printf(table, "%3zu  %7u  ", i, cpu->apic_id);
		if (!cpu->probed) {
			sb_puts(table, "not asked before it starts\n");
			continue;
		}
		sb_printf(table, "%7u  %4u  %6u  %s\n", cpu->package, cpu->core, cpu->thread,
			  cpu->kind == KIND_CORE   ? "P"
			  : cpu->kind == KIND_ATOM ? "E"
						   : "-");
	}
}

/* Processors that cannot be told apart get the same messages: they are printed once. */
static bool alike(const struct boot_cpu *a, const struct boot_cpu *b)
{
	return a->probed == b->probed && a->ops == b->ops &&
	       !memcmp(a->caps.raw, b->caps.raw, sizeof(a->caps.raw));
}

static bool first_of_its_kind(const struct check *c, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (alike(&c->cpus[k], &c->cpus[i]))
			return false;
	}
	return true;
}

/* "cpus 0-3,6: " for all that are like processor FIRST. */
static void print_cpus(const struct check *c, size_t first, struct strbuf *sb)
{
	const struct boot_cpu *like = &c->cpus[first];
	size_t start = sb->len, groups = 0, last = 0;

	sb_puts(sb, "cpus ");
	for (size_t i = first; i < c->count; i++) {
		if (!alike(like, &c->cpus[i]))
			continue;
		for (last = i; last + 1 < c->count && alike(like, &c->cpus[last + 1]); last++)
			;
		sb_printf(sb, groups++ ? ",%zu" : "%zu", i);
		if (last > i)
			sb_printf(sb, "-%zu", last);
		i = last;
	}
	if (last == first) {
		sb->len = start;
		sb_printf(sb, "cpu %zu", first);
	}
	sb_puts(sb, ": ");
}

/* Reports each line of TEXT for the processors like number FIRST. */
static void report_lines(struct check *c, size_t first, const char *text)
{
	char line[600];
	struct strbuf sb;

	while (*text) {
		const char *end = strchr(text, '\n');
		size_t len = end ? (size_t)(end - text) : strlen(text);

		sb_init(&sb, line, sizeof(line));
		print_cpus(c, first, &sb);
		sb_write(&sb, text, len);
		c->report(c->ctx, NULL, line);
		c->errors++;
		text += len + (end != NULL);
	}
}

/* SDM vol. 2A, CPUID leaf 0 and leaves 80000002h to 80000004h: text in registers. */
static void print_name(const struct boot_cpu *cpu, struct strbuf *sb)
{
	uint32_t vendor[3] = {(uint32_t)cpu->vendor_regs[1], (uint32_t)cpu->vendor_regs[3],
			      (uint32_t)cpu->vendor_regs[2]};
	struct cpuid_regs brand[4] = {0};
	const char *text = (const char *)brand;

	for (uint32_t i = 0; i < 3; i++)
		brand[i] = cpuid_or_zero(0x80000002 + i, 0);
	while (*text == ' ')
		text++;
	sb_write(sb, (const char *)vendor, strnlen((const char *)vendor, sizeof(vendor)));
	sb_printf(sb, ", %s", *text ? text : "no brand");
}

static void report_neither(struct check *c, size_t first)
{
	char text[500];
	struct strbuf sb;

	sb_init(&sb, text, sizeof(text));
	sb_puts(&sb,
		"neither VT-x (VMX, CPUID 1 ECX bit 5) nor AMD-V (SVM, CPUID 80000001h ECX bit "
		"2) on ");
	print_name(&c->cpus[first], &sb);
	if (cpuid(1, 0).ecx & CPUID_1_ECX_HYPERVISOR)
		sb_puts(&sb, ": this is a virtual machine; its host must pass on VT-x or AMD-V "
			     "(nested virtualization)");
	else
		sb_puts(&sb, ": turn on \"Intel Virtualization Technology\" (VT-x) or \"SVM Mode\" "
			     "(AMD-V) in firmware setup, which hides them on some machines; a "
			     "processor that has neither cannot run Socle");
	report_lines(c, first, text);
}

static void check_one(struct check *c, size_t i)
{
	const struct hv_caps *first = &c->cpus[0].caps;
	struct boot_cpu *cpu = &c->cpus[i];
	char text[4096];
	struct strbuf sb;

	sb_init(&sb, text, sizeof(text));
	if (!cpu->ops) {
		report_neither(c, i);
		return;
	}
	if (cpu->ops->check(&cpu->caps, &sb) == 0 && i > 0) {
		if (cpu->ops == c->cpus[0].ops)
			cpu->ops->compare(first, &cpu->caps, &sb);
		else if (c->cpus[0].ops)
			sb_printf(&sb, "is of the kind %s, and cpu 0 of %s\n", cpu->ops->name,
				  c->cpus[0].ops->name);
	}
	report_lines(c, i, text);
}

/* Processors of one kind have one result: only the first was judged. */
static void copy_results(struct check *c)
{
	for (size_t i = 0; i < c->count; i++) {
		size_t k = 0;

		while (!alike(&c->cpus[k], &c->cpus[i]))
			k++;
		c->cpus[i].caps = c->cpus[k].caps;
	}
}

static void add_features(const struct check *c, struct strbuf *table)
{
	for (size_t i = 0; i < c->count; i++) {
		char text[1024];
		struct strbuf sb;
		const char *line = text, *end;

		if (!c->cpus[i].probed || !first_of_its_kind(c, i))
			continue;
		sb_init(&sb, text, sizeof(text));
		c->cpus[i].ops->describe(&c->cpus[i].caps, &sb);
		for (; (end = strchr(line, '\n')); line = end + 1) {
			print_cpus(c, i, table);
			sb_write(table, line, (size_t)(end - line) + 1);
		}
	}
}

unsigned int boot_check_cpus(struct boot_cpu *cpus, size_t count, struct strbuf *table,
			     boot_report *report, void *ctx)
{
	struct check c = {.cpus = cpus, .count = count, .report = report, .ctx = ctx};
	char text[100];
	struct strbuf sb;

	add_table(&c, table);
	if (count > CPU_MAX) {
		sb_init(&sb, text, sizeof(text));
		sb_printf(&sb, "%zu processors; Socle can use %u", count, CPU_MAX);
		report(ctx, NULL, text);
		c.errors++;
	}
	/* The first comes last: what a back end negotiates when it checks is to be the first's. */
	for (size_t i = count; i-- > 0;) {
		if (cpus[i].probed && first_of_its_kind(&c, i))
			check_one(&c, i);
	}
	if (c.errors == 0) {
		copy_results(&c);
		add_features(&c, table);
		hv = cpus[0].ops;
		hv_caps = cpus[0].caps;
	}
	return c.errors;
}

/* ---- a VM's files --------------------------------------------------------------------------- */

/* Which key of the file is to blame for what guest_check() says. */
static enum config_vm_key blame(const struct boot_vm *vm, int err)
{
	switch (err) {
	case -EOPNOTSUPP:
		return vm->config->pos[CONFIG_VM_KIND].line ? CONFIG_VM_KIND : CONFIG_VM_KERNEL;
	case -EINVAL:
		return vm->initrd.path ? CONFIG_VM_INITRD : CONFIG_VM_CMDLINE;
	case -ENODEV:
		return CONFIG_VM_MODULE;
	case -E2BIG:
		return vm->config->pos[CONFIG_VM_CMDLINE].line ? CONFIG_VM_CMDLINE
							       : CONFIG_VM_MODULE;
	case -ENOSPC:
		return CONFIG_VM_MEMORY;
	default:
		return CONFIG_VM_KERNEL;
	}
}

/* A key that gives a VM a port, which must not be another device's. */
struct port_key {
	enum config_vm_key key;
	const char *name;
	uint16_t port; /* 0: none */
	uint32_t count;
};

static const char *owner_of(const struct port_key *k, const struct port_key *other, bool com2)
{
	if (other->port && k->port < other->port + other->count && other->port < k->port + k->count)
		return other->name;
	return pc_port_owner(k->port, k->count, com2);
}

static unsigned int check_ports(const struct config_vm *c, boot_report *report, void *ctx)
{
	const struct port_key none = {0}, keys[] = {
						  {CONFIG_VM_DEBUG_EXIT, "debug_exit",
						   c->debug_exit, DEBUG_EXIT_PORTS},
						  {CONFIG_VM_DEBUG_CONSOLE, "debug_console",
						   c->debug_console, 1},
					  };
	unsigned int errors = 0;
	char text[200];
	struct strbuf sb;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const struct port_key *k = &keys[i];
		const char *owner = k->port ? owner_of(k, i ? &keys[i - 1] : &none, c->com2) : NULL;

		if (!owner)
			continue;
		sb_init(&sb, text, sizeof(text));
		sb_printf(&sb, "vm %s: %s = %#x to %#x: %s has a port there", c->name, k->name,
			  k->port, k->port + k->count - 1, owner);
		report(ctx, &c->pos[k->key], text);
		errors++;
	}
	return errors;
}

static unsigned int check_files(const struct boot_vm *vm, boot_report *report, void *ctx)
{
	const struct config_vm *config = vm->config;
	struct guest_image image = boot_image(vm);
	char text[600];
	struct strbuf sb;
	int err;

	sb_init(&sb, text, sizeof(text));
	sb_printf(&sb, "vm %s: ", config->name);
	err = guest_check(&image, config->memory, &sb);
	if (err == 0)
		return 0;
	report(ctx, &config->pos[blame(vm, err)], text);
	return 1;
}

unsigned int boot_check_vm(const struct boot_vm *vm, boot_report *report, void *ctx)
{
	return check_ports(vm->config, report, ctx) + check_files(vm, report, ctx);
}

/* ---- Socle's own memory --------------------------------------------------------------------- */

/*
 * What is the same on all machines (the monitor's text, MTRR tables and the like), and for each
 * core (stacks, struct pcpu, what VMXON or VMRUN want), each VM (its structures and bitmaps) and
 * each vCPU (its VMCS or VMCB, APIC page, MSR bitmap and XSAVE area), beside console rings and page
 * tables. A core and its vCPU together stay below 128 KiB.
 */
#define POOL_FIXED    KIB(512)
#define POOL_PER_CPU  (PERCPU_BYTES + HV_CPU_PAGES * PAGE_SIZE)
#define POOL_PER_VM   KIB(64)
#define POOL_PER_VCPU KIB(40)

_Static_assert(POOL_PER_CPU + POOL_PER_VCPU <= KIB(128), "");

/* The pieces of RAM that a VM may be made of; each can begin and end in the middle of a table. */
#define RAM_PIECES 64

/* Tables for Socle's own memory, which is mapped in pages of 4 KiB. */
#define OWN_TABLES 32

static uint64_t tables_for(uint64_t bytes, uint64_t pieces)
{
	return bytes / GIB(1) + bytes / GIB(512) + 2 * pieces + 4;
}

/* Nested tables, and the host's while the VM's exits are handled, with OWN tables for Socle itself;
   in pages. */
static uint64_t vm_tables(uint64_t memory, uint64_t own)
{
	uint64_t nested = tables_for(memory, 2) + 16;
	uint64_t host = tables_for(memory, MIN(memory / MIB(2), RAM_PIECES)) + own;

	/* Pages of 4 KiB take 512 times as many tables as pages of 2 MiB. */
	if (hv_caps.features & HV_F_EXEC_4K)
		nested += memory / MIB(2);
	return nested + host;
}

uint64_t boot_pool_size(const struct config *config, size_t cpus, uint64_t top,
			const struct boot_framebuffer *screen)
{
	uint64_t size = POOL_FIXED + cpus * POOL_PER_CPU;
	uint64_t own =
		OWN_TABLES + size / MIB(2) + (screen ? tables_for(screen_bytes(screen), 1) : 0);
	uint64_t tables = tables_for(top, 1) + own;

	for (size_t i = 0; i < config->vm_count; i++) {
		const struct config_vm *vm = &config->vms[i];

		size += POOL_PER_VM + CONSOLE_RING + PAGE_SIZE + vm->vcpus * POOL_PER_VCPU;
		tables += vm_tables(vm->memory, own);
	}
	if (screen)
		size += ALIGN_UP(screen_memory(screen), PAGE_SIZE);
	return size + tables * PAGE_SIZE;
}

uint64_t boot_cpu_size(size_t cpus)
{
	return cpus * POOL_PER_CPU;
}
