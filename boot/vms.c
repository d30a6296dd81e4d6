#include "boot/vms.h"

#include "arch/x86/fpu.h"
#include "arch/x86/mtrr.h"
#include "arch/x86/pages.h"
#include "arch/x86/percpu.h"
#include "arch/x86/tsc.h"
#include "boot/image.h"
#include "boot/panic.h"
#include "boot/physical_console.h"
#include "boot/place.h"
#include "core/console.h"
#include "core/cpuid.h"
#include "core/gmem.h"
#include "core/lifecycle.h"
#include "core/monitor.h"
#include "core/npt.h"
#include "core/sched.h"
#include "core/vm.h"
#include "devices/pc.h"
#include "guest/acpi_files.h"
#include "guest/guest.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"

/* What a VM is made of beyond core/'s part. */
struct platform {
	struct pc pc;
	struct guest_platform shown; /* to the guest */
	struct guest_image image;
	struct acpi_files acpi;
	struct fw_cfg_file files[FW_CFG_FILES_MAX];
};

static struct vm **vms;
static size_t vm_count;

static const struct guest_platform guest_platform = {
	.pm1_event = ACPI_PM1_EVT_PORT,
	.pm1_control = ACPI_PM1_CNT_PORT,
	.pm_timer = ACPI_PM_TMR_PORT,
	.reset_port = 0xcf9,
	.reset_value = 6,
	.sci_gsi = ACPI_SCI_GSI,
	.ioapic_id = 0,
	.ioapic_address = IOAPIC_GPA,
	.rtc = true,
	.fw_cfg = true,
};

static void *alloc(size_t size)
{
	void *p = pages_alloc((size + PAGE_SIZE - 1) / PAGE_SIZE);

	if (!p)
		panic("out of memory: the pool of %zu KiB is used up",
		      pages_total() * PAGE_SIZE / 1024);
	return p;
}

static void check(int err, const char *what)
{
	if (err)
		panic("%s: error %d", what, -err);
}

static int load(struct vm *vm, struct strbuf *why)
{
	struct platform *p = vm->platform;

	return guest_load(vm, &p->image, &p->shown, why);
}

static void reset_devices(struct vm *vm)
{
	struct platform *p = vm->platform;

	pc_reset(&p->pc);
}

static const struct vm_hooks hooks = {.load = load, .reset_devices = reset_devices};

static void add_ram(struct vm *vm, uint64_t gpa, uint64_t pa, uint64_t size)
{
	struct vm_ram *last = vm->ram_count ? &vm->ram[vm->ram_count - 1] : NULL;

	if (last && last->gpa + last->size == gpa &&
	    (uint64_t)(uintptr_t)last->hva + last->size == pa) {
		last->size += size;
		return;
	}
	if (vm->ram_count == ARRAY_SIZE(vm->ram))
		panic("vm %s: memory in more than %zu pieces", vm->name, ARRAY_SIZE(vm->ram));
	vm->ram[vm->ram_count++] = (struct vm_ram){gpa, size, (uint8_t *)(uintptr_t)pa};
}

/* Guest memory is contiguous but for the hole below 4 GiB, whatever the host's extents look like.
 */
static void lay_out_ram(struct vm *vm, const struct boot_vm *b)
{
	uint64_t gpa = 0;

	for (size_t i = 0; i < b->ram_count; i++) {
		uint64_t pa = b->ram[i].base, left = b->ram[i].size;

		while (left) {
			uint64_t n = gpa < GMEM_LOW_END ? MIN(left, GMEM_LOW_END - gpa) : left;

			add_ram(vm, gpa, pa, n);
			gpa += n;
			pa += n;
			left -= n;
			if (gpa == GMEM_LOW_END)
				gpa = GIB(4);
		}
	}
}

/* The pristine files are read at each start: in this VM's tables alone, read-only. Two keys may
 * name one file. */
static void map_file(struct vm *vm, const struct boot_file *f)
{
	struct pt_mapping m;

	if (f->pages.size && !pt_lookup(&vm->host, f->pages.base, &m))
		check(pt_map(&vm->host, f->pages.base, f->pages.base, f->pages.size, PT_R, MT_WB,
			     PT_PAGE_2M),
		      "guest image");
}

static void build_vcpu(struct vm *vm, unsigned int id)
{
	struct vcpu *v = alloc(sizeof(*v));
	uint64_t mask = cpuid_xcr0_mask(vm);

	vm->vcpu[id] = v;
	v->vm = vm;
	v->id = id;
	v->activity = VCPU_PARKED;
	v->fpu = alloc(fpu_size(mask));
	fpu_init_area(v->fpu, mask);
	check(hv->vcpu_init(v), "virtual processor");
}

/* The guest's files: its ACPI tables, and what its section names. */
static struct fw_cfg_content fw_cfg_content(struct platform *p, const struct vm *vm,
					    const struct boot_vm *b)
{
	const struct config_vm *c = b->config;
	struct acpi_files *acpi = &p->acpi;
	unsigned int n = 0;

	_Static_assert(CONFIG_FW_CFG_MAX + 3 <= FW_CFG_FILES_MAX, "room for all files");
	_Static_assert(CONFIG_FW_CFG_NAME_MAX == FW_CFG_NAME_MAX, "names fit");
	acpi_make_files(acpi, &p->shown, vm->vcpu_count);
	p->files[n++] = (struct fw_cfg_file){ACPI_RSDP_FILE, acpi->rsdp, sizeof(acpi->rsdp)};
	p->files[n++] = (struct fw_cfg_file){ACPI_TABLES_FILE, acpi->tables, acpi->tables_size};
	p->files[n++] =
		(struct fw_cfg_file){ACPI_LOADER_FILE, acpi->command,
				     acpi->command_count * (uint32_t)sizeof(acpi->command[0])};
	for (size_t i = 0; i < c->fw_cfg_count; i++)
		p->files[n++] = (struct fw_cfg_file){c->fw_cfg[i].name, b->fw_cfg_files[i].data,
						     (uint32_t)b->fw_cfg_files[i].size};
	return (struct fw_cfg_content){.cmdline = c->cmdline, .file = p->files, .file_count = n};
}

/* What the tables say of devices that not every VM has. */
static void show_options(struct guest_platform *shown, const struct pc_options *options)
{
	*shown = guest_platform;
	shown->legacy = options->legacy;
	shown->com2 = options->com2;
	if (options->hpet) {
		shown->hpet_address = HPET_GPA;
		shown->hpet_id = HPET_ID;
		shown->hpet_min_tick = HPET_MIN_TICK;
	}
}

static void build(struct vm *vm, const struct boot_vm *b, const struct mtrr *mtrr)
{
	const struct config_vm *c = b->config;
	struct pc_options options = {.legacy = c->platform == CONFIG_PLATFORM_PC,
				     .hpet = c->hpet,
				     .com2 = c->com2,
				     .debug_exit = c->debug_exit,
				     .debug_console = c->debug_console};
	struct platform *p = alloc(sizeof(*p));

	memcpy(vm->name, c->name, sizeof(vm->name));
	vm->vcpu_count = c->vcpus;
	vm->memory = c->memory;
	vm->hooks = &hooks;
	vm->platform = p;
	vm->on_reboot = c->on_reboot == CONFIG_ACTION_RESTART ? VM_POLICY_RESTART : VM_POLICY_STOP;
	vm->on_crash = c->on_crash == CONFIG_ACTION_RESTART ? VM_POLICY_RESTART : VM_POLICY_STOP;
	vm->autostart = c->autostart;
	vm->weight = c->weight;
	vm->cap = c->cap;
	p->image = boot_image(b);
	show_options(&p->shown, &options);
	options.fw_cfg = fw_cfg_content(p, vm, b);
	lay_out_ram(vm, b);
	check(npt_map_ram(vm, mtrr), "nested page tables");
	map_file(vm, &b->kernel);
	map_file(vm, &b->initrd);
	for (size_t i = 0; i < c->module_count; i++)
		map_file(vm, &b->module_files[i]);
	for (size_t i = 0; i < c->fw_cfg_count; i++)
		map_file(vm, &b->fw_cfg_files[i]);
	check(cpuid_init(vm), "CPUID table");
	check(hv->vm_init(vm), "virtual machine");
	for (unsigned int i = 0; i < c->vcpus; i++)
		build_vcpu(vm, i);
	check(pc_init(&p->pc, vm, &options), "devices");
	if (c->console != CONFIG_VM_CONSOLE_SHARED)
		console_leave_line(vm, physical_console_own(c));
}

/* UTC at TSC 0, so that the time of day is this plus the TSC. */
static uint64_t wall_clock_base(const struct handover *h)
{
	return h->wall_clock_s ? h->wall_clock_s * 1000000000ull - tsc_to_ns(h->wall_clock_tsc) : 0;
}

void vms_build(const struct handover *h)
{
	static struct mtrr mtrr;

	sched_set_slice(h->config->socle.slice_us);
	mtrr_read(&mtrr);
	if (hv_caps.features & HV_F_EXEC_4K)
		log_info("nested pages are 4 KiB: this processor has the iTLB multihit flaw");
	vm_count = h->vm_count;
	vms = alloc(vm_count * sizeof(struct vm *));
	for (size_t i = 0; i < vm_count; i++) {
		size_t before = pages_used();

		vms[i] = alloc(sizeof(struct vm));
		vms[i]->index = (unsigned int)i;
		vms[i]->wall_clock_ns = wall_clock_base(h);
		build(vms[i], &h->vms[i], &mtrr);
		vm_register(vms[i]);
		log_debug("vm %s: %zu KiB of Socle's memory", vms[i]->name,
			  (pages_used() - before) * PAGE_SIZE / 1024);
	}
	place_vms(h, vms);
	check(monitor_init(vms, vm_count, h->config->socle.escape), "monitor");
}

void vms_start(void)
{
	bool any = false;

	for (size_t i = 0; i < vm_count; i++)
		any |= vms[i]->autostart;
	if (!any) {
		log_info("no vm starts by itself: the monitor is open");
		monitor_open();
	}
	for (size_t i = 0; i < vm_count; i++)
		if (vms[i]->autostart)
			vm_start(vms[i]);
}
