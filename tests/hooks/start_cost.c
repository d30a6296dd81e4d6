/* wraps: volume_read volume_has volume_open memset log_set_sink udelay tsc_calibrate
   apic_timer_calibrate processors_find leave_firmware boot_start lifecycle_enter */
/*
 * Socle that says, when its first guest is entered, how many ticks of the TSC the way there took
 * from efi_main() on, and what for. For bench/bench.py, in emulators whose TSC counts instructions.
 * What one of these does inside another is the inner one's.
 */
#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/cpuid.h"
#include "arch/x86/tsc.h"
#include "boot/handover.h"
#include "core/lifecycle.h"
#include "lib/log.h"
#include "lib/string.h"
#include "lib/util.h"

enum cost { FILES, ZEROING, CONSOLE, WAITS, CLOCK, ASKING, LEAVING, COSTS };

static const char *const names[COSTS] = {
	[FILES] = "files",     [ZEROING] = "zeroing",
	[CONSOLE] = "console", [WAITS] = "waits",
	[CLOCK] = "clock",     [ASKING] = "asking-processors",
	[LEAVING] = "leaving-firmware",
};

static uint64_t costs[COSTS];
static uint64_t inside; /* all that was counted */
static uint64_t start_tsc;
static uint32_t boot_core; /* APIC ID + 1 */
static bool said;

struct span {
	uint64_t start, inside;
};

/* The boot core's way alone. */
static bool counts(void)
{
	uint32_t id = (cpuid(1, 0).ebx >> 24) + 1;

	if (!boot_core)
		boot_core = id;
	return id == boot_core && !said;
}

static struct span begin(void)
{
	return (struct span){rdtsc(), inside};
}

static void end(enum cost what, struct span s)
{
	uint64_t took = rdtsc() - s.start;

	costs[what] += took - (inside - s.inside);
	inside = s.inside + took;
}

/* Calls WHAT, which the cost is for, and gives its result. */
#define COUNTED(cost, what)                                                                        \
	({                                                                                         \
		struct span s_ = begin();                                                          \
		__auto_type result_ = (what);                                                      \
		end(cost, s_);                                                                     \
		result_;                                                                           \
	})
#define COUNTED_VOID(cost, what) COUNTED(cost, ((what), 0))

/* efi/files.h, whose EFI_STATUS is the firmware's. */
struct volume;
struct boot_extent;
size_t __real_volume_open(struct volume *v);
size_t __wrap_volume_open(struct volume *v);
size_t __wrap_volume_open(struct volume *v)
{
	return COUNTED(FILES, __real_volume_open(v));
}

size_t __real_volume_read(const struct volume *v, const uint16_t *path, struct boot_extent *pages,
			  size_t *size);
size_t __wrap_volume_read(const struct volume *v, const uint16_t *path, struct boot_extent *pages,
			  size_t *size);
size_t __wrap_volume_read(const struct volume *v, const uint16_t *path, struct boot_extent *pages,
			  size_t *size)
{
	return COUNTED(FILES, __real_volume_read(v, path, pages, size));
}

bool __real_volume_has(const struct volume *v, const uint16_t *path);
bool __wrap_volume_has(const struct volume *v, const uint16_t *path);
bool __wrap_volume_has(const struct volume *v, const uint16_t *path)
{
	return COUNTED(FILES, __real_volume_has(v, path));
}

void *__real_memset(void *to, int byte, size_t n);
void *__wrap_memset(void *to, int byte, size_t n);
void *__wrap_memset(void *to, int byte, size_t n)
{
	struct span s = begin();

	__real_memset(to, byte, n);
	if (n >= PAGE_SIZE)
		end(ZEROING, s);
	return to;
}

static log_sink *real_sink;

static void counted_sink(void *ctx, const char *line, size_t len)
{
	struct span s = begin();

	real_sink(ctx, line, len);
	if (counts())
		end(CONSOLE, s);
}

void __real_log_set_sink(log_sink *sink, void *ctx);
void __wrap_log_set_sink(log_sink *sink, void *ctx);
void __wrap_log_set_sink(log_sink *sink, void *ctx)
{
	real_sink = sink;
	COUNTED_VOID(CONSOLE, __real_log_set_sink(sink ? counted_sink : NULL, ctx));
}

void __real_udelay(uint64_t us);
void __wrap_udelay(uint64_t us);
void __wrap_udelay(uint64_t us)
{
	COUNTED_VOID(WAITS, __real_udelay(us));
}

int __real_tsc_calibrate(uint32_t pm_timer, bool pm_timer_32bit);
int __wrap_tsc_calibrate(uint32_t pm_timer, bool pm_timer_32bit);
int __wrap_tsc_calibrate(uint32_t pm_timer, bool pm_timer_32bit)
{
	return COUNTED(CLOCK, __real_tsc_calibrate(pm_timer, pm_timer_32bit));
}

void __real_apic_timer_calibrate(void);
void __wrap_apic_timer_calibrate(void);
void __wrap_apic_timer_calibrate(void)
{
	COUNTED_VOID(CLOCK, __real_apic_timer_calibrate());
}

struct report;
void __real_processors_find(struct handover *h, struct report *r);
void __wrap_processors_find(struct handover *h, struct report *r);
void __wrap_processors_find(struct handover *h, struct report *r)
{
	COUNTED_VOID(ASKING, __real_processors_find(h, r));
}

bool __real_leave_firmware(struct handover *h);
bool __wrap_leave_firmware(struct handover *h);

void __real_boot_start(struct handover *h);
void __wrap_boot_start(struct handover *h);

static struct span leaving;

/* It comes back only when it fails: the next function is called from inside. */
bool __wrap_leave_firmware(struct handover *h)
{
	leaving = begin();
	return __real_leave_firmware(h);
}

void __wrap_boot_start(struct handover *h)
{
	end(LEAVING, leaving);
	start_tsc = h->start_tsc;
	__real_boot_start(h);
}

bool __real_lifecycle_enter(struct vcpu *v);
bool __wrap_lifecycle_enter(struct vcpu *v);
bool __wrap_lifecycle_enter(struct vcpu *v)
{
	uint64_t own = rdtsc() - start_tsc - inside;

	if (!said) {
		said = true;
		log_raw(LOG_INFO, "bench: metric start-own %llu 1", (unsigned long long)own);
		for (unsigned int i = 0; i < COSTS; i++)
			log_raw(LOG_INFO, "bench: metric start-%s %llu 1", names[i],
				(unsigned long long)costs[i]);
		log_raw(LOG_INFO, "bench: metric start-end 0 1");
	}
	return __real_lifecycle_enter(v);
}
