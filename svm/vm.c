/*
 * What all vCPUs of a VM share: its I/O permission map and the age of its nested tables (APM vol. 2
 * 15.10, 15.16).
 */
#include "svm/internal.h"

#include "arch/x86/pages.h"
#include "lib/assert.h"
#include "lib/err.h"
#include "lib/string.h"

int svm_vm_init(struct vm *vm)
{
	struct svm_vm *m = pages_alloc(ALIGN_UP(sizeof(*m), PAGE_SIZE) / PAGE_SIZE);

	if (!m)
		return -ENOMEM;
	memset(m->iopm, 0xff, sizeof(m->iopm));
	m->top[0] = vm->npt.root | npt_format.table;
	vm->hv = m;
	return 0;
}

/*
 * The processor walks nested tables in the mode that the host runs in (15.25.3), and core/ makes
 * them with four levels: enough for what a guest has.
 */
uint64_t svm_nested_root(const struct vm *vm)
{
	const struct svm_vm *m = vm->hv;

	return svm_features.la57 ? phys_of(m->top) : vm->npt.root;
}

void svm_pio_trap(struct vm *vm, uint16_t port, uint32_t count, bool on)
{
	struct svm_vm *m = vm->hv;

	assert(port + count <= 0x10000);
	for (uint32_t p = port; p < port + count; p++) {
		uint8_t bit = (uint8_t)(1u << p % 8);

		if (on)
			m->iopm[p / 8] |= bit;
		else
			m->iopm[p / 8] &= (uint8_t)~bit;
	}
}

void svm_npt_flush(struct vm *vm)
{
	struct svm_vm *m = vm->hv;

	__atomic_fetch_add(&m->npt_generation, 1, __ATOMIC_RELEASE);
}
