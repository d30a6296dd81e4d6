/* Regions of ports and memory-mapped registers: sorted tables, searched by halves. */
#include "core/bus.h"

#include "core/exits.h"
#include "core/vm.h"
#include "lib/err.h"
#include "lib/string.h"

/* Puts a region into TABLE, which is sorted by base and has room for MAX. */
static int insert(struct bus_region_slot *table, unsigned int *count, unsigned int max,
		  const struct bus_region_slot *new)
{
	unsigned int at = 0;

	if (*count == max)
		return -ENOSPC;
	while (at < *count && table[at].base < new->base)
		at++;
	if (at > 0 && new->base - table[at - 1].base < table[at - 1].size)
		return -EEXIST;
	if (at < *count && table[at].base - new->base < new->size)
		return -EEXIST;
	memmove(&table[at + 1], &table[at], (*count - at) * sizeof(*table));
	table[at] = *new;
	(*count)++;
	return 0;
}

int bus_add_pio(struct vm *vm, uint16_t port, uint32_t count, bus_handler *handler, void *dev)
{
	struct bus_region_slot new = {.base = port, .size = count, .handler = handler, .dev = dev};

	if (!count || port + count > 0x10000)
		return -EINVAL;
	return insert(vm->pio, &vm->pio_count, ARRAY_SIZE(vm->pio), &new);
}

int bus_add_mmio(struct vm *vm, uint64_t gpa, uint64_t size, bus_handler *handler, void *dev)
{
	struct bus_region_slot new = {.base = gpa, .size = size, .handler = handler, .dev = dev};

	if (!size || gpa + size - 1 < gpa)
		return -EINVAL;
	return insert(vm->mmio, &vm->mmio_count, ARRAY_SIZE(vm->mmio), &new);
}

/* The region that takes ADDRESS, or NULL. */
static const struct bus_region_slot *find(const struct bus_region_slot *table, unsigned int count,
					  uint64_t address)
{
	unsigned int low = 0, high = count;

	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (address < table[middle].base)
			high = middle;
		else if (address - table[middle].base < table[middle].size)
			return &table[middle];
		else
			low = middle + 1;
	}
	return NULL;
}

/* SIZE is 1 to 8. */
static uint64_t all_ones(uint8_t size)
{
	return ~0ULL >> (64 - 8 * size);
}

/* An access that one region takes whole, or that nothing takes; false when it has to be split. */
static bool access_whole(const struct bus_region_slot *table, unsigned int count, struct vcpu *v,
			 uint64_t address, bool write, uint8_t size, uint64_t *value)
{
	const struct bus_region_slot *r = find(table, count, address);

	if (!r) {
		if (size > 1)
			return false;
		if (!write)
			*value = 0xff;
		return true;
	}
	if (r->size - (address - r->base) < size)
		return false;
	r->handler(r->dev, v, address - r->base, write, size, value);
	if (!write)
		*value &= all_ones(size);
	return true;
}

static void access(const struct bus_region_slot *table, unsigned int count, struct vcpu *v,
		   uint64_t address, uint64_t limit, bool write, uint8_t size, uint64_t *value)
{
	uint64_t result = 0;

	if (access_whole(table, count, v, address, write, size, value))
		return;
	/*
	 * Across the end of a region, or beginning outside of one: the parts go where they
	 * belong.
	 */
	for (uint8_t i = 0; i < size; i++) {
		uint64_t byte = (*value >> 8 * i) & 0xff;

		access_whole(table, count, v, (address + i) & limit, write, 1, &byte);
		result |= byte << 8 * i;
	}
	if (!write)
		*value = result;
}

/*
 * Guests poll and feed one device at a time: R, the region of the last access, comes first. False,
 * with nothing done: it does not take this one whole.
 */
static always_inline bool access_again(const struct bus_region_slot *r, struct vcpu *v,
				       uint64_t address, bool write, uint8_t size, uint64_t *value)
{
	struct vm *vm = v->vm;
	uint64_t offset;

	if (unlikely(!r))
		return false;
	offset = address - r->base;
	if (unlikely(r->size < size || offset > r->size - size))
		return false;
	spin_lock(&vm->dev_lock);
	r->handler(r->dev, v, offset, write, size, value);
	spin_unlock(&vm->dev_lock);
	return true;
}

static noinline void pio_elsewhere(struct vcpu *v, uint16_t port, bool write, uint8_t size,
				   uint64_t *value)
{
	struct vm *vm = v->vm;

	spin_lock(&vm->dev_lock);
	v->pio_last = find(vm->pio, vm->pio_count, port);
	access(vm->pio, vm->pio_count, v, port, 0xffff, write, size, value);
	spin_unlock(&vm->dev_lock);
}

static noinline void mmio_elsewhere(struct vcpu *v, uint64_t gpa, bool write, uint8_t size,
				    uint64_t *value)
{
	struct vm *vm = v->vm;

	spin_lock(&vm->dev_lock);
	v->mmio_last = find(vm->mmio, vm->mmio_count, gpa);
	access(vm->mmio, vm->mmio_count, v, gpa, ~0ULL, write, size, value);
	spin_unlock(&vm->dev_lock);
}

void bus_pio(struct vcpu *v, uint16_t port, bool write, uint8_t size, uint64_t *value)
{
	if (!access_again(v->pio_last, v, port, write, size, value))
		pio_elsewhere(v, port, write, size, value);
	else if (!write)
		*value &= all_ones(size);
}

void bus_mmio(struct vcpu *v, uint64_t gpa, bool write, uint8_t size, uint64_t *value)
{
	if (!access_again(v->mmio_last, v, gpa, write, size, value))
		mmio_elsewhere(v, gpa, write, size, value);
	else if (!write)
		*value &= all_ones(size);
}

/* IN EAX clears the upper half, as every 32-bit destination does; smaller ones keep the rest. */
static always_inline void put_in(struct vcpu *v, uint8_t size, uint64_t value)
{
	if (size == 1)
		*(uint8_t *)&v->gpr[RAX] = (uint8_t)value;
	else if (size == 4)
		v->gpr[RAX] = (uint32_t)value;
	else
		*(uint16_t *)(void *)&v->gpr[RAX] = (uint16_t)value;
}

void exit_pio(struct vcpu *v, uint16_t port, bool in, uint8_t size)
{
	uint64_t value;

	if (!in) {
		value = v->gpr[RAX] & all_ones(size);
		bus_pio(v, port, true, size, &value);
		return;
	}
	if (!access_again(v->pio_last, v, port, false, size, &value))
		pio_elsewhere(v, port, false, size, &value);
	put_in(v, size, value);
}

void bus_by_bytes(bus_byte_handler *handler, void *dev, uint64_t offset, bool write, uint8_t size,
		  uint64_t *value)
{
	uint64_t result = 0;

	for (uint8_t i = 0; i < size; i++) {
		uint8_t byte = (uint8_t)(*value >> 8 * i);

		handler(dev, offset + i, write, &byte);
		result |= (uint64_t)byte << 8 * i;
	}
	if (!write)
		*value = result;
}
