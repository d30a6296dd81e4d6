/* The parts of fake_core.h that need core/bus.c. */
#include "core/bus.h"
#include "tests/unit/support/fake_core.h"

uint64_t fake_in(struct vm *vm, uint16_t port, uint8_t size)
{
	uint64_t value = 0x5555555555555555;

	bus_pio(vm->vcpu[0], port, false, size, &value);
	return value;
}

void fake_out(struct vm *vm, uint16_t port, uint8_t size, uint64_t value)
{
	bus_pio(vm->vcpu[0], port, true, size, &value);
}
