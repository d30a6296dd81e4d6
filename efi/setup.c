#include "efi/setup.h"

#include "efi/carve.h"
#include "efi/memory.h"
#include "efi/paths.h"
#include "lib/err.h"
#include "lib/log.h"
#include "lib/string.h"
#include "lib/strbuf.h"
#include "lib/util.h"

#define CONFIG_NAME "socle.cfg"

/* Longest path that a message shows in full. */
#define SHOWN 600

static const uint16_t root_folder[] = {'\\', 0};

static void *config_alloc(void *ctx, size_t size)
{
	(void)ctx;
	return mem_alloc(size);
}

static const struct config_memory config_memory = {.alloc = config_alloc};

/* The path of TEXT as written in a file in FOLDER, or NULL with ERR set. */
static uint16_t *resolve(const uint16_t *folder, const char *text, int *err)
{
	uint16_t *path = mem_alloc(path_resolve_units(folder, text) * sizeof(*path));

	*err = path ? path_resolve(folder, text, path) : -ENOMEM;
	return *err ? NULL : path;
}

static const char *path_error_text(int err)
{
	switch (err) {
	case -ERANGE:
		return "a character that the firmware's file names cannot have (beyond U+FFFF)";
	case -EPERM:
		return "it leads above the root of the volume";
	case -ENOMEM:
		return "out of memory";
	default:
		return "it is no path in UTF-8";
	}
}

static const char *print_path(char text[SHOWN], const uint16_t *path)
{
	struct strbuf sb;

	sb_init(&sb, text, SHOWN);
	path_print(&sb, path);
	return text;
}

/* A file that cannot be read is another matter than one that is not there. */
static const char *read_error_text(EFI_STATUS status)
{
	if (status == EFI_INVALID_PARAMETER)
		return "it is a folder";
	if (status == EFI_OUT_OF_RESOURCES)
		return "it does not fit into memory";
	return app_status_text(status);
}

/* What someone needs who has just copied socle.efi to a stick. */
static void print_example(void)
{
	log_info("a minimal " CONFIG_NAME ", with a Linux kernel of the name vmlinuz beside it:\n"
		 "    [vm first]\n"
		 "    memory = 512M\n"
		 "    vcpus = 1\n"
		 "    kernel = vmlinuz\n"
		 "    cmdline = console=ttyS0");
}

static bool parse(struct setup *s, const struct volume *v, const uint16_t *folder, struct report *r)
{
	struct boot_extent pages;
	char text[SHOWN];
	size_t size;
	int err;
	uint16_t *path = resolve(folder, CONFIG_NAME, &err);
	EFI_STATUS status = path ? volume_read(v, path, &pages, &size) : EFI_OUT_OF_RESOURCES;

	if (EFI_ERROR(status)) {
		report_error(r, status, NULL, "%s: %s", path ? print_path(text, path) : CONFIG_NAME,
			     read_error_text(status));
		return false;
	}
	log_info("configuration: %s", print_path(text, path));
	r->cause = EFI_INVALID_PARAMETER;
	config_parse(&s->config, CONFIG_NAME, (const char *)(uintptr_t)pages.base, size,
		     &config_memory, report_config, r);
	mem_release(pages);
	s->folder = folder;
	return true;
}

static bool exists(const struct volume *v, const uint16_t *folder)
{
	int err;
	uint16_t *path = resolve(folder, CONFIG_NAME, &err);

	return path && volume_has(v, path);
}

static void report_tried(const struct volume *v, struct report *r)
{
	char text[SHOWN];
	const char *app = print_path(text, v->app_folder);
	bool in_root = !strcmp(app, "\\");

	report_error(r, EFI_NOT_FOUND, NULL, "no " CONFIG_NAME " found; tried %s%s\\" CONFIG_NAME,
		     in_root ? "" : app, in_root ? "" : "\\" CONFIG_NAME " and ");
	print_example();
}

void setup_read(struct setup *s, const struct volume *v, struct report *r)
{
	const uint16_t *folders[] = {v->app_folder, root_folder};

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		if (exists(v, folders[i])) {
			parse(s, v, folders[i], r);
			return;
		}
	}
	report_tried(v, r);
}

/* Files already read, so that VMs with the same kernel share one copy. */
struct loaded {
	struct loaded *next;
	const uint16_t *path;
	struct boot_file file;
};

struct loader {
	const struct setup *setup;
	const struct volume *volume;
	struct report *report;
	struct loaded *loaded;
};

static bool same_path(const uint16_t *a, const uint16_t *b)
{
	size_t n = path_length(a);

	return n == path_length(b) && !memcmp(a, b, n * sizeof(*a));
}

static struct loaded *find_loaded(const struct loader *l, const uint16_t *path)
{
	for (struct loaded *f = l->loaded; f; f = f->next) {
		if (same_path(f->path, path))
			return f;
	}
	return NULL;
}

/* NULL: STATUS says why. */
static struct loaded *load(struct loader *l, const uint16_t *path, EFI_STATUS *status)
{
	struct loaded *f = find_loaded(l, path);

	if (f)
		return f;
	f = mem_alloc(sizeof(*f));
	*status = EFI_OUT_OF_RESOURCES;
	if (!f)
		return NULL;
	*status = volume_read(l->volume, path, &f->file.pages, &f->file.size);
	if (EFI_ERROR(*status))
		return NULL;
	f->file.data = (const uint8_t *)(uintptr_t)f->file.pages.base;
	f->path = path;
	f->next = l->loaded;
	l->loaded = f;
	return f;
}

/* Reads the file that VM names at POS as its WHAT, if it does. */
static void load_named(struct loader *l, const struct config_vm *vm, const struct config_pos *pos,
		       const char *what, const char *name, struct boot_file *file)
{
	char text[SHOWN];
	EFI_STATUS status = EFI_SUCCESS;
	struct loaded *f;
	uint16_t *path;
	int err;

	if (!name)
		return;
	path = resolve(l->setup->folder, name, &err);
	if (!path) {
		report_error(l->report, EFI_INVALID_PARAMETER, pos, "vm %s: %s: %s: %s", vm->name,
			     what, name, path_error_text(err));
		return;
	}
	f = load(l, path, &status);
	if (!f) {
		report_error(l->report, status, pos, "vm %s: %s: cannot read %s: %s", vm->name,
			     what, print_path(text, path), read_error_text(status));
		return;
	}
	*file = f->file;
	file->path = name;
	log_debug("vm %s: %s: %s, %zu bytes at %lx", vm->name, what, print_path(text, path),
		  file->size, file->pages.base);
}

/* The first word of a module's text is its file. NULL: no memory. */
static char *first_word(const char *text)
{
	size_t n = 0;
	char *word;

	while (text[n] && text[n] != ' ' && text[n] != '\t')
		n++;
	word = mem_alloc(n + 1);
	if (word) {
		memcpy(word, text, n);
		word[n] = '\0';
	}
	return word;
}

static void load_modules(struct loader *l, struct boot_vm *vm)
{
	const struct config_vm *config = vm->config;

	vm->module_files = mem_alloc(config->module_count * sizeof(*vm->module_files));
	vm->modules = mem_alloc(config->module_count * sizeof(*vm->modules));
	for (size_t i = 0; i < config->module_count; i++) {
		const struct config_item *m = &config->modules[i];
		struct boot_file *f = &vm->module_files[i];
		const char *name = vm->module_files && vm->modules ? first_word(m->text) : NULL;

		if (!name) {
			report_error(l->report, EFI_OUT_OF_RESOURCES, &m->pos,
				     "vm %s: out of memory", config->name);
			return;
		}
		load_named(l, config, &m->pos, "module", name, f);
		vm->modules[i] = (struct guest_module){f->data, f->size, m->text};
	}
}

static void load_fw_cfg(struct loader *l, struct boot_vm *vm)
{
	const struct config_vm *config = vm->config;

	vm->fw_cfg_files = mem_alloc(config->fw_cfg_count * sizeof(*vm->fw_cfg_files));
	if (config->fw_cfg_count && !vm->fw_cfg_files) {
		report_error(l->report, EFI_OUT_OF_RESOURCES, &config->pos[CONFIG_VM_FW_CFG],
			     "vm %s: out of memory", config->name);
		return;
	}
	for (size_t i = 0; i < config->fw_cfg_count; i++)
		load_named(l, config, &config->fw_cfg[i].pos, "fw_cfg", config->fw_cfg[i].text,
			   &vm->fw_cfg_files[i]);
}

static void load_vm(struct loader *l, struct boot_vm *vm)
{
	const struct config_vm *config = vm->config;
	unsigned int errors = l->report->errors;

	load_named(l, config, &config->pos[CONFIG_VM_KERNEL], "kernel", config->kernel,
		   &vm->kernel);
	load_named(l, config, &config->pos[CONFIG_VM_INITRD], "initrd", config->initrd,
		   &vm->initrd);
	load_modules(l, vm);
	load_fw_cfg(l, vm);
	l->report->cause = EFI_LOAD_ERROR;
	boot_check_console(config, report_boot, l->report);
	if (vm->kernel.path && l->report->errors == errors)
		boot_check_vm(vm, report_boot, l->report);
}

void setup_load(struct handover *h, const struct setup *s, const struct volume *v, struct report *r)
{
	struct loader l = {.setup = s, .volume = v, .report = r};

	h->config = &s->config;
	h->vms = mem_alloc(s->config.vm_count * sizeof(*h->vms));
	if (!h->vms) {
		report_error(r, EFI_OUT_OF_RESOURCES, NULL, "out of memory");
		return;
	}
	h->vm_count = s->config.vm_count;
	for (size_t i = 0; i < h->vm_count; i++) {
		struct boot_vm *vm = &h->vms[i];

		vm->config = &s->config.vms[i];
		vm->ram = mem_alloc(CARVE_EXTENTS * sizeof(*vm->ram));
		if (!vm->ram)
			report_error(r, EFI_OUT_OF_RESOURCES, &vm->config->section,
				     "vm %s: out of memory", vm->config->name);
		load_vm(&l, vm);
	}
}

void setup_check(const struct setup *s, size_t cpus, uint64_t memory, struct report *r)
{
	/* 0 would mean that nobody knows. */
	struct config_machine machine = {.cpus = (uint32_t)MAX(cpus, 1),
					 .memory_mib = MAX(memory >> 20, 1)};

	r->cause = EFI_INVALID_PARAMETER;
	config_check(&s->config, &machine, report_config, r);
}
