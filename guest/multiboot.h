/* Recognizing a multiboot kernel: Multiboot Specification 0.6.96. */
#ifndef GUEST_MULTIBOOT_H
#define GUEST_MULTIBOOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Does FILE have a multiboot header? */
bool multiboot_magic(const uint8_t *file, size_t size);

#endif
