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
	vm->hv = m;
	return 0;
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
