/* Guest-physical memory as the hypervisor reaches it. Every address and length is the guest's word:
 * all are checked. */
#ifndef CORE_GMEM_H
#define CORE_GMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vm;

/* RAM below 4 GiB ends here at the latest; the rest of a guest's memory follows from 4 GiB on. */
#define GMEM_LOW_END 0xc0000000u

/* Host address of LEN bytes at GPA, or NULL where they are not all RAM, contiguous in the host. LEN
 * > 0. */
void *gmem_ptr(const struct vm *vm, uint64_t gpa, uint64_t len);

/* Copies, crossing extents where needed. 0, or -EFAULT with nothing promised about a partial copy.
 */
int gmem_read(const struct vm *vm, uint64_t gpa, void *buf, size_t len);
int gmem_write(const struct vm *vm, uint64_t gpa, const void *buf, size_t len);
int gmem_set(const struct vm *vm, uint64_t gpa, uint8_t byte, uint64_t len);

/* Is any byte of the page at GPA RAM? */
bool gmem_is_ram(const struct vm *vm, uint64_t gpa);

/* End of RAM below 4 GiB, and of RAM above (4 GiB when there is none). */
uint64_t gmem_low_end(const struct vm *vm);
uint64_t gmem_high_end(const struct vm *vm);

#endif
