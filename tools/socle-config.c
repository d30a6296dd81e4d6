/*
 * The configuration checker: the hypervisor's own parser on the build machine.
 *
 *	socle-config check FILE [--cpus N] [--memory MIB]
 *
 * Exit code 0: the file is good, a summary is on standard output. 1: it is not, each error is on
 * standard error as the hypervisor prints it. 2: called wrongly.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/text.h"
#include "lib/assert.h"
#include "lib/util.h"

#define EXIT_GOOD  0
#define EXIT_BAD   1
#define EXIT_USAGE 2

struct options {
	const char *file;
	struct config_machine machine;
};

void assert_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s does not hold\n", file, line, what);
	abort();
}

/* What the parser took, in a list: given back at the end. */
struct block {
	struct block *next;
	size_t unused; /* keeps what follows aligned for any type */
};

static void *take(void *ctx, size_t size)
{
	struct block **list = ctx;
	struct block *block =
		size <= SIZE_MAX - sizeof(*block) ? malloc(sizeof(*block) + size) : NULL;

	if (!block)
		return NULL;
	block->next = *list;
	*list = block;
	return block + 1;
}

static void give_back(struct block *list)
{
	while (list) {
		struct block *next = list->next;

		free(list);
		list = next;
	}
}

static void put_stderr(void *ctx, const char *text, size_t len)
{
	(void)ctx;
	fwrite(text, 1, len, stderr);
}

static void report(void *ctx, struct config_pos pos, const char *text)
{
	config_print_error(put_stderr, NULL, ctx, pos, text);
	fputc('\n', stderr);
}

/* Returns the whole of STREAM, *SIZE bytes, or NULL and errno. */
static char *read_stream(FILE *stream, size_t *size)
{
	size_t room = 0;
	char *text = NULL;

	*size = 0;
	do {
		char *larger;

		room = room ? room * 2 : 4096;
		larger = realloc(text, room);
		if (!larger) {
			free(text);
			return NULL;
		}
		text = larger;
		*size += fread(text + *size, 1, room - *size, stream);
	} while (*size == room);
	if (ferror(stream)) {
		free(text);
		return NULL;
	}
	return text;
}

static char *read_file(const char *path, size_t *size)
{
	FILE *stream = fopen(path, "rb");
	char *text = stream ? read_stream(stream, size) : NULL;

	if (!text)
		fprintf(stderr, "socle: error: %s: %s\n", path, strerror(errno));
	if (stream)
		fclose(stream);
	return text;
}

static void print_processors(const struct config_vm *vm)
{
	for (size_t i = 0; i < vm->cpus_count; i++) {
		const struct config_cpu_range *r = &vm->cpus[i];

		printf(i == 0 ? " on " : ",");
		printf(r->first == r->last ? "%u" : "%u-%u", r->first, r->last);
	}
}

static void print_vm(const struct config_vm *vm)
{
	printf("vm %s: %luM, %u vcpu%s", vm->name, vm->memory / MIB(1), vm->vcpus,
	       vm->vcpus == 1 ? "" : "s");
	print_processors(vm);
	printf(", kind %s, kernel %s", config_kind_name(vm->kind), vm->kernel);
	if (vm->initrd)
		printf(", initrd %s", vm->initrd);
	printf(", on_reboot %s, on_crash %s%s\n", config_action_name(vm->on_reboot),
	       config_action_name(vm->on_crash), vm->autostart ? "" : ", not started");
}

static void print_summary(const struct config *config)
{
	uint64_t memory = 0, vcpus = 0;

	for (size_t i = 0; i < config->vm_count; i++) {
		memory += config->vms[i].memory / MIB(1);
		vcpus += config->vms[i].vcpus;
	}
	printf("%s: good: %zu VM%s, %luM, %lu vcpu%s\n", config->file, config->vm_count,
	       config->vm_count == 1 ? "" : "s", memory, vcpus, vcpus == 1 ? "" : "s");
	for (size_t i = 0; i < config->vm_count; i++)
		print_vm(&config->vms[i]);
}

static int check(const struct options *options)
{
	struct block *blocks = NULL;
	struct config_memory memory = {take, &blocks};
	struct config config;
	size_t size, errors;
	char *text = read_file(options->file, &size);

	if (!text)
		return EXIT_BAD;
	errors = config_parse(&config, options->file, text, size, &memory, report,
			      (void *)(uintptr_t)options->file);
	errors +=
		config_check(&config, &options->machine, report, (void *)(uintptr_t)options->file);
	if (errors == 0)
		print_summary(&config);
	give_back(blocks);
	free(text);
	return errors == 0 ? EXIT_GOOD : EXIT_BAD;
}

static bool number_option(const char *text, uint64_t max, uint64_t *number)
{
	struct text t = {text, text ? strlen(text) : 0};

	return text_number(t, number) == 0 && *number > 0 && *number <= max;
}

static bool parse_options(int argc, char **argv, struct options *options)
{
	uint64_t number;

	if (argc < 3 || strcmp(argv[1], "check") != 0)
		return false;
	for (int i = 2; i < argc; i++) {
		if (strcmp(argv[i], "--cpus") == 0) {
			if (!number_option(argv[++i], 65536, &number))
				return false;
			options->machine.cpus = (uint32_t)number;
		} else if (strcmp(argv[i], "--memory") == 0) {
			if (!number_option(argv[++i], UINT64_MAX >> 20, &number))
				return false;
			options->machine.memory_mib = number;
		} else if (options->file || argv[i][0] == '-') {
			return false;
		} else {
			options->file = argv[i];
		}
	}
	return options->file;
}

int main(int argc, char **argv)
{
	struct options options = {0};

	if (!parse_options(argc, argv, &options)) {
		fputs("usage: socle-config check FILE [--cpus N] [--memory MIB]\n", stderr);
		return EXIT_USAGE;
	}
	return check(&options);
}
