/*
 * The way from the firmware to the guests, on the boot core: own memory, own tables, own
 * interrupts, the other cores, the virtual machines. And what every other core does when it comes.
 */
#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/desc.h"
#include "arch/x86/errata.h"
#include "arch/x86/fpu.h"
#include "arch/x86/host_map.h"
#include "arch/x86/ioapic_phys.h"
#include "arch/x86/mitigations.h"
#include "arch/x86/pages.h"
#include "arch/x86/smp.h"
#include "arch/x86/tsc.h"
#include "boot/canary.h"
#include "boot/dma.h"
#include "boot/faults.h"
#include "boot/firmware.h"
#include "boot/handover.h"
#include "boot/panic.h"
#include "boot/physical_console.h"
#include "boot/power.h"
#include "boot/serial.h"
#include "boot/vms.h"
#include "boot/watch.h"
#include "core/lifecycle.h"
#include "core/sched.h"
#include "core/vm.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/util.h"

#define HIDDEN __attribute__((visibility("hidden")))
extern char _text_start[] HIDDEN, _text_end[] HIDDEN, _rodata_start[] HIDDEN, _rodata_end[] HIDDEN,
	_data_start[] HIDDEN, _data_end[] HIDDEN;

static const struct handover *handover;
/* The VMs are built: the other cores may start scheduling. */
static volatile bool ready;

static void must(int err, const char *what)
{
	if (err)
		panic("%s: error %d", what, -err);
}

static struct host_region region(const char *start, const char *end, uint64_t prot)
{
	return (struct host_region){(uint64_t)(uintptr_t)start, (uint64_t)(end - start), prot,
				    MT_WB};
}

static void map_own_memory(const struct handover *h)
{
	const struct host_region regions[] = {
		region(_text_start, _text_end, PT_R | PT_X),
		region(_rodata_start, _rodata_end, PT_R),
		region(_data_start, _data_end, PT_R | PT_W),
		{h->pool.base, h->pool.size, PT_R | PT_W, MT_WB},
		{h->trampoline, PAGE_SIZE, PT_R | PT_X, MT_WB},
	};

	must(host_map_init(regions, ARRAY_SIZE(regions)), "host page tables");
	for (size_t i = 0; i < h->own_count; i++)
		must(host_map_add(h->own[i].base, h->own[i].size, PT_R, MT_WB), "configuration");
}

static void map_device(uint64_t base, uint64_t size)
{
	uint64_t page = ALIGN_DOWN(base, (uint64_t)PAGE_SIZE);

	uint64_t end = ALIGN_UP(base + size, (uint64_t)PAGE_SIZE);

	/* Two devices may share a page, and firmware may list one twice. */
	for (; page < end; page += PAGE_SIZE) {
		int err = host_map_add(page, PAGE_SIZE, PT_R | PT_W, MT_UC);

		must(err == -EEXIST ? 0 : err, "device registers");
	}
}

static void map_devices(const struct acpi_info *acpi)
{
	struct uart *ports;
	size_t count = serial_ports(&ports);

	map_device(apic_base(), PAGE_SIZE);
	for (size_t i = 0; i < count; i++)
		if (ports[i].mmio)
			map_device(ports[i].base, 8u * MAX(ports[i].stride, 1));
	if (!acpi || !acpi->has_madt) {
		map_device(IOAPIC_DEFAULT_BASE, PAGE_SIZE);
		return;
	}
	for (unsigned int i = 0; i < acpi->ioapic_count; i++)
		map_device(acpi->ioapics[i].address, PAGE_SIZE);
}

/* Some firmware lists one that is switched off. Socle needs none but the console's. */
static void add_ioapic(uint64_t address, uint32_t gsi_base)
{
	if (ioapic_add(address, gsi_base))
		log_warn("the I/O APIC at %llx does not answer", (unsigned long long)address);
}

/* The machine's interrupt controllers, masked: nothing reaches a core but what Socle routes to it.
 */
static void init_interrupts(const struct acpi_info *acpi)
{
	pic_mask_all();
	if (!acpi || !acpi->has_madt)
		add_ioapic(IOAPIC_DEFAULT_BASE, 0);
	for (unsigned int i = 0; acpi && i < acpi->ioapic_count; i++)
		add_ioapic(acpi->ioapics[i].address, acpi->ioapics[i].gsi_base);
	ioapic_mask_all();
	apic_init_cpu();
}

/* The interrupt alone matters: it ends a guest's turn, or HLT. */
static void on_wakeup(unsigned int vector)
{
	(void)vector;
}

static void on_deadline(unsigned int vector)
{
	(void)vector;
	sched_deadline_came();
}

static void init_clock(const struct acpi_info *acpi)
{
	uint32_t port = acpi && acpi->has_fadt ? acpi->pm_timer_port : 0;

	must(tsc_calibrate(port, acpi && acpi->pm_timer_32bit),
	     "no clock to measure the TSC against");
	apic_timer_calibrate();
	log_info("tsc: %llu kHz", (unsigned long long)tsc_hz() / 1000);
}

/*
 * Where the firmware has no MP services, preflight could not ask this core: it is asked now. One
 * that differs from the first must not run guests with controls that were negotiated there.
 */
static bool is_like_first(const struct pcpu *cpu)
{
	struct boot_cpu here = {0};
	char text[1024];
	struct strbuf sb;

	if (handover->cpus[cpu->id].probed)
		return true;
	boot_probe_cpu(&here);
	sb_init(&sb, text, sizeof(text));
	if (here.ops == hv && hv->compare(&hv_caps, &here.caps, &sb) == 0)
		return true;
	log_error("cpu %u: differs from the first: %s", cpu->id,
		  here.ops == hv ? text : "it has another processor extension, or none");
	return false;
}

static void turn_on(struct pcpu *cpu)
{
	if (!is_like_first(cpu) || hv->cpu_on(cpu)) {
		cpu->state = CPU_FAILED;
		log_error("cpu %u: %s could not be turned on", cpu->id, hv->name);
		return;
	}
	log_info("cpu %u: %s on", cpu->id, hv->name);
}

/* Cores that have been through turn_on(), the first one apart. */
static uint32_t turned_on;

void ap_main(struct pcpu *cpu)
{
	faults_init_cpu();
	errata_init_cpu();
	mitigations_init_cpu();
	turn_on(cpu);
	__atomic_add_fetch(&turned_on, 1, __ATOMIC_RELEASE);
	while (!ready)
		cpu_pause();
	while (cpu->state != CPU_ONLINE)
		cpu_hlt();
	sched_loop(cpu);
}

/* Of the cores that came: no vCPU may be placed on one whose extension then fails to turn on. */
static void wait_turned_on(unsigned int online)
{
	uint64_t end = tsc_now() + tsc_hz();

	while (__atomic_load_n(&turned_on, __ATOMIC_ACQUIRE) + 1 < online && tsc_now() < end)
		cpu_pause();
}

static void init_cpus(const struct handover *h)
{
	uint32_t ids[CPU_MAX];

	if (h->cpu_count > CPU_MAX)
		panic("%zu processors, at most %d are supported", h->cpu_count, CPU_MAX);
	for (size_t i = 0; i < h->cpu_count; i++)
		ids[i] = h->cpus[i].apic_id;
	must(percpu_init(ids, (unsigned int)h->cpu_count), "per-processor memory");
	for (unsigned int i = 0; i < cpu_count; i++)
		sched_init_cpu(pcpus[i]);
}

static bool needs_x2apic(const struct handover *h)
{
	for (size_t i = 0; i < h->cpu_count; i++)
		if (h->cpus[i].apic_id > 254)
			return true;
	return false;
}

static void print_memory(void)
{
	log_info("memory: %zu of %zu KiB of Socle's own are in use",
		 pages_used() * PAGE_SIZE / 1024, pages_total() * PAGE_SIZE / 1024);
}

/* On the boot core's own stack. */
static _Noreturn void run(void)
{
	const struct handover *h = handover;
	const struct acpi_info *acpi = firmware_tables(h->rsdp);
	unsigned int online;

	host_map_load();
	idt_init();
	desc_load(pcpus[0]);
	init_interrupts(acpi);
	irq_register(VEC_KICK, on_wakeup);
	irq_register(VEC_TIMER, on_wakeup);
	irq_register(VEC_DEADLINE, on_deadline);
	faults_init(acpi);
	faults_init_cpu();
	errata_init_cpu();
	init_clock(acpi);
	fpu_init();
	physical_console_init();
	dma_stop(acpi);
	mitigations_print();
	mitigations_init_cpu();
	turn_on(pcpus[0]);
	if (pcpus[0]->state == CPU_FAILED)
		panic("%s cannot be turned on here: the reason stands above", hv->name);
	online = smp_start();
	if (online < cpu_count)
		log_warn("%u of %u processors did not start", cpu_count - online, cpu_count);
	wait_turned_on(online);
	vms_build(h);
	print_memory();
	physical_console_use_irq(h);
	watch_init();
	ready = true;
	vms_start();
	sched_loop(pcpus[0]);
}

static _Noreturn void on_own_stack(uint64_t top, void (*fn)(void))
{
	__asm__ volatile("mov %[top], %%rsp; xor %%ebp, %%ebp; call *%[fn]"
			 :
			 : [top] "r"(top), [fn] "r"(fn)
			 : "memory");
	__builtin_unreachable();
}

void boot_start(struct handover *h)
{
	const struct acpi_info *acpi = firmware_tables(h->rsdp);

	canary_init();
	mitigations_init(h->config->socle.mitigations);
	handover = h;
	log_set_sink(NULL, NULL);
	panic_set_reboot(h->config->socle.on_panic == CONFIG_PANIC_REBOOT);
	must(pages_init(h->pool.base, h->pool.size), "memory pool");
	map_own_memory(h);
	must(smp_prepare(h->trampoline), "trampoline");
	must(apic_init(needs_x2apic(h)), "local APIC");
	map_devices(acpi);
	dma_map(acpi);
	physical_console_map(h);
	must(power_init(h), "firmware's page tables");
	init_cpus(h);
	pcpus[0]->state = CPU_ONLINE;
	on_own_stack(pcpus[0]->stack_top, run);
}
