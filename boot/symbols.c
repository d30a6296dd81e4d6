#include "boot/symbols.h"

#include "lib/string.h"

static const char *name_of(const struct symbols *s, uint32_t number)
{
	const char *name = s->names;

	while (number--)
		name += strlen(name) + 1;
	return name;
}

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
	return name_of(s, low - 1);
}
