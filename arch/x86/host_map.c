#include "arch/x86/host_map.h"

#include "arch/x86/cpu.h"
#include "arch/x86/cpuid.h"
#include "arch/x86/msr.h"
#include "lib/err.h"

static struct pt map;
static bool cloned;

int host_map_add(uint64_t base, uint64_t size, uint64_t prot, enum memtype type)
{
	uint64_t first = ALIGN_DOWN(base, PAGE_SIZE);
	uint64_t end = ALIGN_UP(base + size, PAGE_SIZE);

	if ((prot & PT_W) && (prot & PT_X))
		return -EINVAL;
	if (end < first)
		return -EINVAL;
	if (cloned)
		return -EBUSY;
	return pt_map(&map, first, first, end - first, prot | PT_G, type, PT_PAGE_2M);
}

int host_map_init(const struct host_region *regions, size_t count)
{
	unsigned int levels = read_cr4() & CR4_LA57 ? 5 : 4;
	int err = pt_init(&map, &host_format, levels, PT_PAGE_2M, &pt_pages);

	for (size_t i = 0; !err && i < count; i++)
		err = host_map_add(regions[i].base, regions[i].size, regions[i].prot,
				   regions[i].type);
	return err;
}

int host_map_guard(uint64_t addr)
{
	if (cloned)
		return -EBUSY;
	return pt_unmap(&map, ALIGN_DOWN(addr, PAGE_SIZE), PAGE_SIZE);
}

int host_map_clone(struct pt *out)
{
	cloned = true;
	return pt_clone(out, &map);
}

uint64_t host_map_root(void)
{
	return map.root;
}

/* CR4 bits to be set wherever the processor has them, by their CPUID bits. */
static uint64_t optional_cr4(void)
{
	struct cpuid_regs one = cpuid(1, 0), seven = cpuid_or_zero(7, 0);
	uint64_t cr4 = 0;

	cr4 |= one.edx & CPUID_1_EDX_PGE ? CR4_PGE : 0;
	cr4 |= one.edx & CPUID_1_EDX_MCE ? CR4_MCE : 0;
	cr4 |= one.ecx & CPUID_1_ECX_XSAVE ? CR4_OSXSAVE : 0;
	cr4 |= seven.ebx & CPUID_7_EBX_SMEP ? CR4_SMEP : 0;
	cr4 |= seven.ebx & CPUID_7_EBX_SMAP ? CR4_SMAP : 0;
	cr4 |= seven.ecx & CPUID_7_ECX_UMIP ? CR4_UMIP : 0;
	/* For RDPKRU: no page of Socle's own is a user page, which keys are for. */
	cr4 |= seven.ecx & CPUID_7_ECX_PKU ? CR4_PKE : 0;
	return cr4;
}

/*
 * All that firmware set and Socle does not know goes off (CET, supervisor protection keys, PCIDs),
 * except what must not change now: the depth of the tables, and VMX operation if this core is in it
 * already.
 */
static uint64_t host_cr4(void)
{
	return (read_cr4() & (CR4_LA57 | CR4_VMXE)) | CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT |
	       optional_cr4();
}

/*
 * A change of the PAT wants caches and TLBs flushed (SDM vol. 3A 12.12.4): entries 0 to 3 keep
 * their power-on meaning, and loading CR3 with CR4.PGE off flushes all translations. SMEP and SMAP
 * wait for Socle's own tables: firmware may have made all of its pages user pages.
 */
void host_map_load(void)
{
	uint64_t cr4 = host_cr4();

	wrmsr(MSR_IA32_EFER, (rdmsr(MSR_IA32_EFER) & (EFER_LME | EFER_LMA | EFER_SVME)) | EFER_NXE);
	write_cr4(cr4 & ~(CR4_PGE | CR4_SMEP | CR4_SMAP));
	cpu_wbinvd();
	wrmsr(MSR_IA32_PAT, HOST_PAT);
	write_cr3(map.root);
	write_cr4(cr4);
	write_cr0(CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG);
}
