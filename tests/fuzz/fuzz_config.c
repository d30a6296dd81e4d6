/* links: config/parse.c config/values.c config/schema.c config/text.c config/suggest.c config/check.c lib/fmt.c lib/strbuf.c */
/*
 * socle.cfg against the parser and the check. The input: one byte (bits 1 to 7: allocations until
 * there is no more memory, 0 for no end), then the file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/parser.h"
#include "lib/assert.h"
#include "lib/util.h"

struct world {
	void *blocks[1024];
	size_t count, limit;
	size_t reports;
	uint32_t lines;
};

void assert_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

static void *take(void *ctx, size_t size)
{
	struct world *w = ctx;
	void *block = w->count < w->limit ? malloc(size) : NULL;

	if (block) {
		memset(block, 0xa5, size);
		w->blocks[w->count++] = block;
	}
	return block;
}

/* Places are in the file, and messages are text that a terminal can be given. */
static void look_at_report(void *ctx, struct config_pos pos, const char *text)
{
	struct world *w = ctx;
	size_t len = strlen(text);

	w->reports++;
	assert(pos.line >= 1 && pos.line <= w->lines && pos.column >= 1);
	assert(len > 0 && len < CONFIG_MESSAGE_SIZE);
	for (size_t i = 0; i < len;) {
		uint32_t c;
		size_t bytes = utf8_decode(text + i, len - i, &c);

		assert(bytes > 0 && (c >= 0x20 || c == '\t') && (c < 0x7f || c > 0x9f));
		i += bytes;
	}
}

static void look_at_vm(const struct config_vm *vm)
{
	uint64_t listed = 0;

	assert(vm->name[0] && strlen(vm->name) <= CONFIG_VM_NAME_MAX);
	assert(vm->memory > 0 && IS_ALIGNED(vm->memory, MIB(2)));
	assert(vm->vcpus > 0 && vm->vcpus <= CONFIG_CPUS_MAX);
	assert(vm->kernel && vm->kernel[0] && vm->cmdline);
	assert(vm->pos[CONFIG_VM_KERNEL].line > vm->section.line);
	for (size_t i = 0; i < vm->cpus_count; i++) {
		assert(vm->cpus[i].first <= vm->cpus[i].last);
		listed += vm->cpus[i].last - vm->cpus[i].first + 1;
	}
	assert(!vm->has_cpus || listed >= vm->vcpus);
	for (size_t i = 0; i < vm->module_count; i++)
		assert(vm->modules[i].text[0]);
	for (size_t i = 0; i < vm->fw_cfg_count; i++)
		assert(vm->fw_cfg[i].name[0] && vm->fw_cfg[i].text[0]);
}

/* What a file without errors promises. */
static void look_at_config(const struct config *config)
{
	assert(config->vm_count > 0);
	for (size_t i = 0; i < config->vm_count; i++) {
		look_at_vm(&config->vms[i]);
		for (size_t j = 0; j < i; j++)
			assert(strcmp(config->vms[i].name, config->vms[j].name) != 0);
	}
}

static void run(uint8_t flags, const char *text, size_t size)
{
	struct world w = {.lines = 1};
	struct config_memory memory = {take, &w};
	struct config_machine machine = {.cpus = 2, .memory_mib = 1024};
	struct config config;
	size_t errors;

	w.limit = flags >> 1 ? flags >> 1 : ARRAY_SIZE(w.blocks);
	for (size_t i = 0; i < size; i++)
		w.lines += text[i] == '\n';
	errors = config_parse(&config, "f", text, size, &memory,
				   look_at_report, &w);
	assert(errors == w.reports);
	if (errors == 0)
		look_at_config(&config);
	errors += config_check(&config, &machine, look_at_report, &w);
	assert(errors == w.reports);
	while (w.count > 0)
		free(w.blocks[--w.count]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size == 0)
		return 0;
	/* In a block of its own: what is read beyond its end is seen. */
	text = malloc(size - 1 + (size == 1));
	memcpy(text, data + 1, size - 1);
	run(data[0], text, size - 1);
	free(text);
	return 0;
}
