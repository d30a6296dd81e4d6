#include "tests/unit/support/guest_vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "config/config.h"
#include "core/gmem.h"

/* What guest/ needs of other modules. */
void assert_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

const char *config_kind_name(enum config_kind kind)
{
	return kind == CONFIG_KIND_PVH ? "pvh" : "other";
}

/* The state after power-up, as far as guests see it. */
static void power_up(struct vcpu *v)
{
	v->gpr[RDX] = 0x600;
	v->st.cr0 = 0x60000010;
	v->st.rip = 0xfff0;
	v->st.seg[SEG_TR] = (struct vcpu_seg){.attr = 0x8b, .limit = 0xffff};
	v->st.dr6 = 0xffff0ff0;
	v->st.dr7 = 0x400;
}

static void add_ram(struct vm *vm, uint64_t gpa, uint64_t size)
{
	struct vm_ram *r = &vm->ram[vm->ram_count];

	if (!size)
		return;
	r->gpa = gpa;
	r->size = size;
	r->hva = mmap(NULL, size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(r->hva, MAP_FAILED);
	vm->ram_count++;
}

struct vm *guest_vm_new(uint64_t memory, unsigned int vcpus)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	uint64_t low = MIN(memory, (uint64_t)GMEM_LOW_END);
	uint64_t first = low > MIB(4) ? ALIGN_DOWN(low / 2, MIB(2)) : low;

	vm->memory = memory;
	add_ram(vm, 0, first);
	add_ram(vm, first, low - first);
	add_ram(vm, GIB(4), memory - low);
	vm->vcpu_count = vcpus;
	for (unsigned int i = 0; i < vcpus; i++) {
		vm->vcpu[i] = calloc(1, sizeof(struct vcpu));
		vm->vcpu[i]->vm = vm;
		vm->vcpu[i]->id = i;
		power_up(vm->vcpu[i]);
	}
	return vm;
}

void guest_vm_free(struct vm *vm)
{
	for (unsigned int i = 0; i < vm->ram_count; i++)
		munmap(vm->ram[i].hva, vm->ram[i].size);
	for (unsigned int i = 0; i < vm->vcpu_count; i++)
		free(vm->vcpu[i]);
	free(vm);
}

uint64_t guest_vm_get(const struct vm *vm, uint64_t gpa, unsigned int len)
{
	uint64_t value = 0;

	assert_int_equal(gmem_read(vm, gpa, &value, len), 0);
	return value;
}
