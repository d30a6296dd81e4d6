/* A VM that is nothing but memory and vCPUs, for tests of guest/. */
#ifndef TESTS_UNIT_SUPPORT_GUEST_VM_H
#define TESTS_UNIT_SUPPORT_GUEST_VM_H

#include <stdint.h>

#include "core/vm.h"

/*
 * MEMORY bytes, zeroed and split as guests' memory is, below 4 GiB in two extents that touch; pages
 * are taken from the machine as they are written to. vCPUs are in the state after power-up.
 */
struct vm *guest_vm_new(uint64_t memory, unsigned int vcpus);
void guest_vm_free(struct vm *vm);

/* Reads that fail the test where there is no memory. */
uint64_t guest_vm_get(const struct vm *vm, uint64_t gpa, unsigned int len);

#endif
