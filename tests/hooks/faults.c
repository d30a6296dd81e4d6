/* wraps: pc_init dma_stop nmi_set_hook */
/*
 * Socle with a port on which a guest makes the hypervisor break its own rules: a byte written there
 * says which. Two VMs at most. An IOMMU is left on, as some firmware does.
 */
#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/desc.h"
#include "arch/x86/msr.h"
#include "arch/x86/percpu.h"
#include "arch/x86/tsc.h"
#include "boot/dma.h"
#include "boot/panic.h"
#include "core/bus.h"
#include "core/vm.h"
#include "devices/pc.h"
#include "lib/assert.h"
#include "lib/log.h"
#include "lib/string.h"

#define FAULT_PORT 0x5c0

/* VT-d 11.4.4; AMD's IOMMU, MMIO offset 0018h */
#define VTD_GCMD	    0x18
#define VTD_GCMD_TE	    BIT(31)
#define IVRS_CONTROL	    0x18
#define IVRS_CONTROL_ENABLE BIT(0)

#define VMS 2u

/* SDM vol. 3B 16.3.1.2 */
#define MCG_STATUS_RIPV BIT(0)
#define MCG_STATUS_MCIP BIT(2)

#define ENTRY_P	   BIT(0)
#define ENTRY_W	   BIT(1)
#define ENTRY_U	   BIT(2)
#define ENTRY_PS   BIT(7)
#define ENTRY_NX   BIT(63)
#define ENTRY_ADDR 0x000ffffffffff000ULL

static struct vm *vms[VMS];
static unsigned int vm_count;
static const uint32_t constant[4] = {1, 2, 3, 4};

int __real_pc_init(struct pc *pc, struct vm *vm, const struct pc_options *options);
int __wrap_pc_init(struct pc *pc, struct vm *vm, const struct pc_options *options);
void __real_dma_stop(const struct acpi_info *acpi);
void __wrap_dma_stop(const struct acpi_info *acpi);

void __real_nmi_set_hook(fault_hook *hook);
void __wrap_nmi_set_hook(fault_hook *hook);

extern uintptr_t __stack_chk_guard;

static fault_hook *real_hook;
static uint32_t nmis;

/* ---- the page tables that are active ---- */

struct found {
	uint64_t bytes, both, user; /* mapped; writable and executable; for user mode */
	uint64_t ram[VMS];	    /* of each VM's memory */
};

/* Bytes that [a, a + an) and [b, b + bn) have in common. */
static uint64_t overlap(uint64_t a, uint64_t an, uint64_t b, uint64_t bn)
{
	uint64_t start = MAX(a, b), end = MIN(a + an, b + bn);

	return end > start ? end - start : 0;
}

static void look_at(struct found *f, uint64_t pa, uint64_t size, uint64_t rights)
{
	f->bytes += size;
	if ((rights & ENTRY_W) && !(rights & ENTRY_NX))
		f->both += size;
	if (rights & ENTRY_U)
		f->user += size;
	for (unsigned int i = 0; i < vm_count; i++)
		for (unsigned int k = 0; k < vms[i]->ram_count; k++)
			f->ram[i] += overlap(pa, size, (uint64_t)(uintptr_t)vms[i]->ram[k].hva,
					     vms[i]->ram[k].size);
}

/* SDM vol. 3A 4.5: rights are those that every level gives; NX what any of them says. */
static void walk(struct found *f, uint64_t table, unsigned int level, uint64_t rights)
{
	const uint64_t *entries = (const uint64_t *)(uintptr_t)table;

	for (unsigned int i = 0; i < 512; i++) {
		uint64_t e = entries[i], now;

		if (!(e & ENTRY_P))
			continue;
		now = (rights & e & (ENTRY_W | ENTRY_U)) | ((rights | e) & ENTRY_NX);
		if (level == 1 || e & ENTRY_PS)
			look_at(f, e & ENTRY_ADDR & ~(BIT(12 + 9 * (level - 1)) - 1),
				BIT(12 + 9 * (level - 1)), now);
		else
			walk(f, e & ENTRY_ADDR, level - 1, now);
	}
}

static void report_tables(const struct vm *vm)
{
	struct found f = {0};

	walk(&f, read_cr3() & ENTRY_ADDR, read_cr4() & CR4_LA57 ? 5 : 4, ENTRY_W | ENTRY_U);
	log_info("tables: %llu KiB mapped, %llu writable and executable, %llu for user mode",
		 (unsigned long long)f.bytes >> 10, (unsigned long long)f.both >> 10,
		 (unsigned long long)f.user >> 10);
	for (unsigned int i = 0; i < vm_count; i++)
		log_info("tables: %llu KiB of %llu of vm %s, %s",
			 (unsigned long long)f.ram[i] >> 10,
			 (unsigned long long)vms[i]->memory >> 10, vms[i]->name,
			 vms[i] == vm ? "whose exit this is" : "which is another");
}

static void report_registers(void)
{
	uint64_t cr0 = read_cr0(), cr4 = read_cr4();

	log_info("canary %016llx", (unsigned long long)__stack_chk_guard);
	log_info("registers: WP %d, SMEP %d, SMAP %d, UMIP %d, NXE %d", !!(cr0 & CR0_WP),
		 !!(cr4 & CR4_SMEP), !!(cr4 & CR4_SMAP), !!(cr4 & CR4_UMIP),
		 !!(rdmsr(MSR_IA32_EFER) & EFER_NXE));
}

/* What there is in the memory of a VM whose page tables are not the active ones. */
static void report_left(const struct vm *vm)
{
	const struct vm *other = vms[vms[0] == vm];
	uint64_t root = read_cr3(), left = 0;

	write_cr3(other->host.root);
	for (unsigned int i = 0; i < other->ram_count; i++)
		for (uint64_t k = 0; k < other->ram[i].size; k += sizeof(uint64_t))
			left += !!*(volatile uint64_t *)(other->ram[i].hva + k);
	write_cr3(root);
	log_info("memory: of vm %s, %llu of %llu words are not zero", other->name,
		 (unsigned long long)left, (unsigned long long)other->memory / sizeof(uint64_t));
}

/* PCI functions that can still reach memory by themselves, host bridges apart. */
static void report_masters(void)
{
	unsigned int functions = 0, masters = 0;

	for (uint32_t f = 0; f < 0x10000; f++) {
		outl(0xcf8, 0x80000000u | f << 8);
		if (inl(0xcfc) == UINT32_MAX)
			continue;
		functions++;
		outl(0xcf8, 0x80000000u | f << 8 | 8);
		if (inl(0xcfc) >> 16 == 0x600)
			continue;
		outl(0xcf8, 0x80000000u | f << 8 | 4);
		masters += inl(0xcfc) >> 2 & 1;
	}
	log_info("devices: %u functions, %u of them masters", functions, masters);
}

/* ---- faults ---- */

/*
 * A machine check in a guest, as the back ends pass it to the hypervisor's handler behind the exit;
 * the guest may go on.
 */
static void machine_check(void)
{
	wrmsr(MSR_IA32_MCG_STATUS, MCG_STATUS_RIPV | MCG_STATUS_MCIP);
	__asm__ volatile("int $18" ::: "memory");
	log_info("machine check: the hypervisor runs on, MCG_STATUS %llx",
		 (unsigned long long)rdmsr(MSR_IA32_MCG_STATUS));
}

static bool count_nmi(struct int_frame *frame)
{
	__atomic_add_fetch(&nmis, 1, __ATOMIC_RELEASE);
	return real_hook(frame);
}

void __wrap_nmi_set_hook(fault_hook *hook)
{
	real_hook = hook;
	__real_nmi_set_hook(count_nmi);
}

/* Of two cores: does the other one's handler run? A busy host may keep that core waiting. */
static bool nmi_comes(void)
{
	uint32_t before = __atomic_load_n(&nmis, __ATOMIC_ACQUIRE);

	for (unsigned int i = 0; i < cpu_count; i++)
		if (pcpus[i] != this_cpu())
			apic_send_nmi(pcpus[i]->apic_id);
	for (unsigned int i = 0; i < 10000; i++) {
		if (__atomic_load_n(&nmis, __ATOMIC_ACQUIRE) != before)
			return true;
		udelay(1000);
	}
	return false;
}

static void nmis_to_the_other(void)
{
	unsigned int came = 0;

	for (unsigned int i = 0; i < 20 && came == i; i++) {
		/* It is in its guest, when what was typed and said is no work of its any more. */
		udelay(5000);
		came += nmi_comes();
	}
	log_info("nmi: %u of 20 came", came);
}

static noinline unsigned int descend(volatile unsigned int *depth)
{
	volatile unsigned int here[64] = {*depth + 1};

	return here[0] ? descend(here) + here[0] : 0;
}

/* Writes behind a buffer on its own stack. */
static noinline void smash(volatile size_t count)
{
	char text[16];
	volatile char *p = text;

	for (size_t i = 0; i < count; i++)
		p[i] = 'x';
}

static void run_data(void)
{
	static uint8_t ret[16] = {0xc3};
	void (*fn)(void) = (void (*)(void))(uintptr_t)ret;

	fn();
}

static void read_other(const struct vm *vm)
{
	const struct vm *other = vms[vms[0] == vm];

	log_info("the other VM's first byte is %u", *(volatile uint8_t *)other->ram[0].hva);
}

static void fault(struct vm *vm, char what)
{
	volatile unsigned int depth = 0;

	switch (what) {
	case 'p':
		for (unsigned int i = 1; i <= 70; i++)
			log_info("line %u", i);
		panic("on purpose, by vm %s", vm->name);
	case 'a':
		assert(what == 'b');
		break;
	case 't':
		*(volatile uint8_t *)(uintptr_t)panic = 0;
		break;
	case 'c':
		*(volatile uint32_t *)(uintptr_t)constant = 2;
		break;
	case 'x':
		run_data();
		break;
	case 's':
		log_info("depth %u", descend(&depth));
		break;
	case 'k':
		smash(64);
		break;
	case 'o':
		read_other(vm);
		break;
	case 'n':
		__asm__ volatile("int $2");
		log_info("nmi: the hypervisor runs on");
		break;
	case 'N':
		nmis_to_the_other();
		break;
	case 'v':
		machine_check();
		break;
	case 'l':
		for (;;)
			cpu_pause();
	case 'd':
		report_masters();
		break;
	case 'e':
		report_left(vm);
		break;
	case 'm':
		report_registers();
		report_tables(vm);
		break;
	default:
		break;
	}
}

static void on_port(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		    uint64_t *value)
{
	(void)dev;
	(void)offset;
	(void)size;
	if (write)
		fault(v->vm, (char)*value);
	else
		*value = 0;
}

void __wrap_dma_stop(const struct acpi_info *acpi)
{
	for (unsigned int i = 0; acpi && i < acpi->iommu_count; i++) {
		uint64_t base = acpi->iommus[i].base;

		if (acpi->iommus[i].amd)
			mmio_write32(base + IVRS_CONTROL, IVRS_CONTROL_ENABLE);
		else
			mmio_write32(base + VTD_GCMD, VTD_GCMD_TE);
	}
	__real_dma_stop(acpi);
}

int __wrap_pc_init(struct pc *pc, struct vm *vm, const struct pc_options *options)
{
	int err = __real_pc_init(pc, vm, options);

	if (vm_count < VMS)
		vms[vm_count++] = vm;
	return err ? err : bus_add_pio(vm, FAULT_PORT, 1, on_port, vm);
}
