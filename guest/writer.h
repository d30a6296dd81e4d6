/*
 * Writing to guest memory, many small pieces in a row: the first error is kept and stops the rest,
 * so that it is looked at once, at the end.
 */
#ifndef GUEST_WRITER_H
#define GUEST_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "core/gmem.h"

struct writer {
	struct vm *vm;
	int err; /* 0, or what gmem_write() returned first */
};

static inline void put_bytes(struct writer *w, uint64_t gpa, const void *data, size_t len)
{
	if (!w->err)
		w->err = gmem_write(w->vm, gpa, data, len);
}

static inline void put_u8(struct writer *w, uint64_t gpa, uint8_t value)
{
	put_bytes(w, gpa, &value, sizeof(value));
}

static inline void put_u16(struct writer *w, uint64_t gpa, uint16_t value)
{
	put_bytes(w, gpa, &value, sizeof(value));
}

static inline void put_u32(struct writer *w, uint64_t gpa, uint32_t value)
{
	put_bytes(w, gpa, &value, sizeof(value));
}

static inline void put_u64(struct writer *w, uint64_t gpa, uint64_t value)
{
	put_bytes(w, gpa, &value, sizeof(value));
}

#endif
