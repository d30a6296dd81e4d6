/* Guest memory is a short list of extents, ascending by guest-physical address. */
#include "core/gmem.h"

#include "core/vm.h"
#include "lib/err.h"
#include "lib/string.h"

/* The extent that holds GPA, or NULL. */
static const struct vm_ram *find(const struct vm *vm, uint64_t gpa)
{
	for (unsigned int i = 0; i < vm->ram_count; i++) {
		const struct vm_ram *r = &vm->ram[i];

		if (gpa >= r->gpa && gpa - r->gpa < r->size)
			return r;
	}
	return NULL;
}

void *gmem_ptr(const struct vm *vm, uint64_t gpa, uint64_t len)
{
	const struct vm_ram *r = find(vm, gpa);

	if (!r || len > r->size - (gpa - r->gpa))
		return NULL;
	return r->hva + (gpa - r->gpa);
}

/* Host address of GPA and how many bytes follow it in its extent, at most LEN. */
static uint8_t *span(const struct vm *vm, uint64_t gpa, uint64_t *len)
{
	const struct vm_ram *r = find(vm, gpa);

	if (!r)
		return NULL;
	*len = MIN(*len, r->size - (gpa - r->gpa));
	return r->hva + (gpa - r->gpa);
}

int gmem_read(const struct vm *vm, uint64_t gpa, void *buf, size_t len)
{
	while (len) {
		uint64_t n = len;
		const uint8_t *p = span(vm, gpa, &n);

		if (!p)
			return -EFAULT;
		memcpy(buf, p, n);
		buf = (uint8_t *)buf + n;
		gpa += n;
		len -= n;
	}
	return 0;
}

int gmem_write(const struct vm *vm, uint64_t gpa, const void *buf, size_t len)
{
	while (len) {
		uint64_t n = len;
		uint8_t *p = span(vm, gpa, &n);

		if (!p)
			return -EFAULT;
		memcpy(p, buf, n);
		buf = (const uint8_t *)buf + n;
		gpa += n;
		len -= n;
	}
	return 0;
}

int gmem_set(const struct vm *vm, uint64_t gpa, uint8_t byte, uint64_t len)
{
	while (len) {
		uint64_t n = len;
		uint8_t *p = span(vm, gpa, &n);

		if (!p)
			return -EFAULT;
		memset(p, byte, n);
		gpa += n;
		len -= n;
	}
	return 0;
}

bool gmem_is_ram(const struct vm *vm, uint64_t gpa)
{
	return find(vm, gpa) != NULL;
}

uint64_t gmem_low_end(const struct vm *vm)
{
	uint64_t end = 0;

	for (unsigned int i = 0; i < vm->ram_count; i++)
		if (vm->ram[i].gpa < GMEM_LOW_END)
			end = vm->ram[i].gpa + vm->ram[i].size;
	return end;
}

uint64_t gmem_high_end(const struct vm *vm)
{
	uint64_t end = GIB(4);

	for (unsigned int i = 0; i < vm->ram_count; i++)
		if (vm->ram[i].gpa >= GIB(4))
			end = vm->ram[i].gpa + vm->ram[i].size;
	return end;
}
