#include "boot/symbols.h"

const char *symbols_find(const struct symbols *s, uint32_t offset, uint32_t *into)
{
	uint32_t low = 0, high = s->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (s->start[middle] <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return NULL;
	*into = offset - s->start[low - 1];
	return s->names + s->name[low - 1];
}
