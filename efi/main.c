/*
 * The UEFI application: finds everything out, prints everything that stands in the way, and either
 * leaves the firmware or goes back to it. Nothing is changed before the first and nothing is kept
 * after the second.
 */
#include "boot/handover.h"
#include "efi/app.h"
#include "efi/console.h"
#include "efi/files.h"
#include "efi/leave.h"
#include "efi/memory.h"
#include "efi/platform.h"
#include "efi/processors.h"
#include "efi/ram.h"
#include "efi/report.h"
#include "efi/setup.h"
#include "lib/log.h"
#include "lib/strbuf.h"
#include "lib/string.h"
#include "lib/util.h"

/* efi/socle.lds */
extern char _bss_start[] __attribute__((visibility("hidden")));
extern char _bss_end[] __attribute__((visibility("hidden")));

/* Room for a line of the table of processors. */
/* Each processor may be of a kind of its own, with lines of its own. */
#define TABLE_LINE 1280

/* gnu-efi's start code calls it with the convention of this compiler, not the firmware's. */
EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *st);

static void read_setup(struct setup *s, struct volume *v, struct report *r)
{
	EFI_STATUS status = volume_open(v);

	if (EFI_ERROR(status))
		report_error(r, status, NULL,
			     "socle.efi was not started from a volume of files: %s",
			     app_status_text(status));
	else
		setup_read(s, v, r);
}

/* The table goes before the first error that speaks of its processors. */
struct processor_report {
	struct report *report;
	struct strbuf table;
};

static void print_table(struct processor_report *p)
{
	if (p->table.len)
		log_info("%s", p->table.text);
	sb_reset(&p->table);
}

static void report_processor(void *ctx, const struct config_pos *pos, const char *text)
{
	struct processor_report *p = ctx;

	print_table(p);
	report_boot(p->report, pos, text);
}

static void check_processors(struct handover *h, struct report *r)
{
	struct processor_report p = {.report = r};
	size_t size = (h->cpu_count + 2) * TABLE_LINE;
	char *text = mem_alloc(size);

	if (!text) {
		report_error(r, EFI_OUT_OF_RESOURCES, NULL, "out of memory");
		return;
	}
	sb_init(&p.table, text, size);
	r->cause = EFI_UNSUPPORTED;
	boot_check_cpus(h->cpus, h->cpu_count, &p.table, report_processor, &p);
	print_table(&p);
}

static void check_setup(struct handover *h, const struct setup *s, struct volume *v,
			struct ram *ram, struct report *r)
{
	uint64_t pool;

	setup_load(h, s, v, r);
	if (!ram_prepare(ram, h->vm_count)) {
		report_error(r, EFI_OUT_OF_RESOURCES, NULL, "out of memory");
		return;
	}
	pool = boot_pool_size(&s->config, h->cpu_count, ram_top(ram),
			      h->screen ? &h->framebuffer : NULL);
	setup_check(s, h->cpu_count, ram_survey(ram, pool), r);
	if (r->errors == 0)
		ram_claim(ram, h, pool, r);
}

/* Comes back only when something is wrong: R then says what. */
static void start(uint64_t start_tsc, struct volume *v, struct report *r)
{
	struct handover *h = mem_alloc(sizeof(*h));
	struct setup *s = mem_alloc(sizeof(*s));
	struct ram ram;

	if (!h || !s) {
		report_error(r, EFI_OUT_OF_RESOURCES, NULL, "out of memory");
		return;
	}
	h->start_tsc = start_tsc;
	h->image = platform_image();
	h->rsdp = platform_rsdp();
	platform_framebuffer(&h->framebuffer);
	h->reset_system = (void *)app_st->RuntimeServices->ResetSystem;

	read_setup(s, v, r);
	if (s->folder)
		h->screen = console_configure(&s->config.socle, h->rsdp, &h->framebuffer);
	processors_find(h, r);
	if (h->cpu_count)
		check_processors(h, r);
	if (s->folder)
		check_setup(h, s, v, &ram, r);
	volume_close(v);
	if (r->errors == 0 && !leave_firmware(h))
		report_error(r, EFI_OUT_OF_RESOURCES, NULL, "out of memory for the memory map");
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *st)
{
	uint64_t start_tsc = __builtin_ia32_rdtsc();
	struct volume volume = {0};
	struct report report = {.file = "socle.cfg"};

	memset(_bss_start, 0, (size_t)(_bss_end - _bss_start));
	app_image = image;
	app_st = st;
	app_bs = st->BootServices;
	/* It would reset the machine five minutes after the start, in the middle of a long read. */
	app_bs->SetWatchdogTimer(0, 0, 0, NULL);
	console_start(platform_rsdp());
	log_raw(LOG_ERROR, "socle " SOCLE_VERSION);

	start(start_tsc, &volume, &report);
	log_raw(LOG_ERROR, "socle: nothing was started: %u error%s", report.errors,
		report.errors == 1 ? "" : "s");
	log_raw(LOG_ERROR, "socle: returning to the firmware");
	console_hold();
	console_leave_firmware();
	mem_release_all();
	return report.status;
}
