/*
 * Ports and memory-mapped registers of a VM's devices. A handler gets the offset into its region
 * and an access of 1, 2, 4 or 8 bytes that lies inside it; it runs with vm->dev_lock held, on the
 * core of the accessing vCPU. Reads must set *value. Accesses that no region takes read as all ones
 * and write nothing.
 */
#ifndef CORE_BUS_H
#define CORE_BUS_H

#include <stdbool.h>
#include <stdint.h>

struct vm;
struct vcpu;

typedef void bus_handler(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
			 uint64_t *value);

/*
 * Before the VM runs. 0, -EEXIST on an overlap, -ENOSPC when the table is full, -EINVAL for no
 * bytes or beyond the last address.
 */
int bus_add_pio(struct vm *vm, uint16_t port, uint32_t count, bus_handler *handler, void *dev);
int bus_add_mmio(struct vm *vm, uint64_t gpa, uint64_t size, bus_handler *handler, void *dev);

/*
 * One access. SIZE 1, 2, 4 (MMIO also 8). On a read *value is set, zero-extended. One that no
 * region takes whole is split into bytes. Takes dev_lock.
 */
void bus_pio(struct vcpu *v, uint16_t port, bool write, uint8_t size, uint64_t *value);
void bus_mmio(struct vcpu *v, uint64_t gpa, bool write, uint8_t size, uint64_t *value);

/* For handlers of devices that are a byte wide: one call of HANDLER for each byte, ascending. */
typedef void bus_byte_handler(void *dev, uint64_t offset, bool write, uint8_t *byte);
void bus_by_bytes(bus_byte_handler *handler, void *dev, uint64_t offset, bool write, uint8_t size,
		  uint64_t *value);

#endif
