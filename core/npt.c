/* See core/npt.h. */
#include "core/npt.h"

#include "arch/x86/host_map.h"
#include "arch/x86/mtrr.h"
#include "core/vm.h"
#include "lib/err.h"

/* One extent, in runs of one memory type each. */
static int map_extent(struct vm *vm, const struct vm_ram *r, const struct mtrr *mtrr)
{
	uint64_t pa = (uint64_t)(uintptr_t)r->hva, gpa = r->gpa, left = r->size;
	int err = 0;

	while (left && !err) {
		uint64_t run;
		enum memtype type = mtrr_type_at(mtrr, pa, &run);

		run = MIN(run, left);
		err = pt_map(&vm->npt, gpa, pa, run, PT_R | PT_W | PT_X, type, PT_PAGE_1G);
		gpa += run;
		pa += run;
		left -= run;
	}
	if (err)
		return err;
	pa = (uint64_t)(uintptr_t)r->hva;
	return pt_map(&vm->host, pa, pa, r->size, PT_R | PT_W, MT_WB, PT_PAGE_1G);
}

int npt_map_ram(struct vm *vm, const struct mtrr *mtrr)
{
	uint64_t max_page = hv_caps.features & HV_F_NPT_1G ? PT_PAGE_1G : PT_PAGE_2M;
	int err = pt_init(&vm->npt, hv_caps.npt, 4, max_page, &pt_pages);

	if (!err) {
		vm->npt.small_exec = hv_caps.features & HV_F_EXEC_4K;
		err = host_map_clone(&vm->host);
	}
	for (unsigned int i = 0; i < vm->ram_count && !err; i++)
		err = map_extent(vm, &vm->ram[i], mtrr);
	return err;
}
