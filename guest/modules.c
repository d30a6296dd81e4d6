#include "guest/modules.h"

#include "lib/assert.h"
#include "lib/err.h"
#include "lib/string.h"

#define INFO_ALIGN 8u

static uint64_t text_size(const char *text)
{
	return ALIGN_UP(strlen(text) + 1, INFO_ALIGN);
}

static uint64_t modules_end(const struct guest_image *img, uint64_t end)
{
	for (size_t i = 0; i < img->module_count; i++)
		end = ALIGN_UP(end, PAGE_SIZE) + img->modules[i].size;
	return end;
}

int modules_check(const struct guest_image *img, const struct guest_ram *ram,
		  const struct kernel_extent *x, uint64_t list, uint64_t fixed, struct strbuf *why)
{
	uint64_t info = fixed + text_size(img->cmdline) + img->module_count * list;
	uint64_t end = modules_end(img, x->end);

	for (size_t i = 0; i < img->module_count; i++)
		info += text_size(img->modules[i].text);
	if (x->low)
		end = ALIGN_UP(end, PAGE_SIZE) + info;
	if (end > ram->low_end) {
		sb_printf(why,
			  "the kernel and its modules need memory up to %#llx, and the VM's below "
			  "4 GiB ends at %#llx",
			  (unsigned long long)end, (unsigned long long)ram->low_end);
		return -ENOSPC;
	}
	if (info > LAYOUT_INFO_END - LAYOUT_INFO) {
		sb_printf(why,
			  "the command line and the modules' have %llu bytes, and there is "
			  "room for %u",
			  (unsigned long long)info, LAYOUT_INFO_END - LAYOUT_INFO);
		return -E2BIG;
	}
	return 0;
}

struct info_block info_block_of(struct writer *w, const struct guest_image *img,
				const struct kernel_extent *x)
{
	struct info_block b = {.w = w, .next = LAYOUT_INFO, .end = LAYOUT_INFO_END};

	if (x->low) {
		b.next = ALIGN_UP(modules_end(img, x->end), PAGE_SIZE);
		b.end = b.next + LAYOUT_INFO_END - LAYOUT_INFO;
	}
	return b;
}

uint64_t module_put(struct writer *w, const struct guest_module *m, uint64_t *end)
{
	uint64_t at = ALIGN_UP(*end, PAGE_SIZE);

	put_bytes(w, at, m->data, m->size);
	*end = at + m->size;
	return at;
}

uint64_t info_put(struct info_block *b, const void *data, uint64_t len)
{
	uint64_t at = b->next;

	b->next += ALIGN_UP(len, INFO_ALIGN);
	assert(b->next <= b->end);
	if (data)
		put_bytes(b->w, at, data, len);
	return at;
}

uint64_t info_put_text(struct info_block *b, const char *text)
{
	return info_put(b, text, strlen(text) + 1);
}
