/*
 * The hypervisor's own page tables: identity, no page both writable and executable, nothing mapped
 * but what was named here. Order on the first core: pages_init(), host_map_init(),
 * host_map_add()..., percpu_init() (which adds the guard pages), host_map_load() on every core,
 * then host_map_clone() for each VM.
 */
#ifndef ARCH_X86_HOST_MAP_H
#define ARCH_X86_HOST_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "arch/x86/paging.h"

/* Rounded outwards to whole pages. A later region may not overlap an earlier one. */
struct host_region {
	uint64_t base, size;
	uint64_t prot;	   /* PT_R, PT_R | PT_W, PT_R | PT_X; both W and X is refused */
	enum memtype type; /* MT_WB for memory, MT_UC for devices */
};

/*
 * Starts the tables at the depth that the processor runs at now (CR4.LA57 cannot change in long
 * mode) and maps REGIONS: the image's sections, the pool, the trampoline page, what the handover
 * points to. -EINVAL: W and X; -ENOMEM; -EEXIST.
 */
int host_map_init(const struct host_region *regions, size_t count);

/*
 * One more region, for instance a device's registers that only turned up later. -EBUSY after the
 * first clone.
 */
int host_map_add(uint64_t base, uint64_t size, uint64_t prot, enum memtype type);

/* Takes the page at ADDR out again: a touch of it faults. -EBUSY after the first clone; -ENOMEM. */
int host_map_guard(uint64_t addr);

/*
 * Makes this core use the tables: IA32_PAT = HOST_PAT, EFER.NXE (and SCE off), CR0 with WP, AM off,
 * caches on, CR4 with what the processor has of PGE, SMEP, SMAP, UMIP, OSXSAVE, and CR3. Interrupts
 * off. The stack in use must be in the map.
 */
void host_map_load(void);

/*
 * The physical address of the top table, for VMX's host CR3, the trampoline and the return to it.
 */
uint64_t host_map_root(void);

/*
 * A new root that maps Socle alone; the caller adds one VM's memory to it with pt_map(out, gpa's
 * pa, pa, ..., PT_R | PT_W, MT_WB, ...) without PT_G, and frees it with pt_free(). -ENOMEM. A VM
 * exit that loads such a root into CR3 flushes nothing where VPIDs are in use (SDM vol. 3C
 * 29.4.3.1): whoever changes the VM that a core runs must write CR3 itself.
 */
int host_map_clone(struct pt *out);

#endif
