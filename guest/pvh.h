/* Recognizing a kernel with a PVH entry: an ELF file with Xen's note of type 18. */
#ifndef GUEST_PVH_H
#define GUEST_PVH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is FILE an ELF file with a PVH entry? */
bool pvh_magic(const uint8_t *file, size_t size);

#endif
