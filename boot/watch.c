#include "boot/watch.h"

#include "arch/x86/apic.h"
#include "arch/x86/desc.h"
#include "arch/x86/percpu.h"
#include "arch/x86/tsc.h"
#include "boot/faults.h"
#include "boot/physical_console.h"
#include "core/sched.h"
#include "lib/log.h"
#include "lib/strbuf.h"

#define PERIOD_NS 1000000000ull
/* One question of so many comes all the same: corrected errors are read by their own core alone. */
#define SPARED_MAX 60

enum health { WELL, ASKED, SENT_NMI, REPORTED };

/* By number of the core. `rip` and `taken` are that core's own, in its NMI handler. */
static struct {
	enum health health;
	uint32_t spared; /* questions */
	bool expected;	 /* an NMI is on its way */
	bool taken;
	uint64_t rip;
} cores[CPU_MAX];

static uint64_t next;

extern char _image_start[] __attribute__((visibility("hidden")));

/* On the core that was asked, on the NMI's stack: no locks, no log. */
bool watch_on_nmi(struct int_frame *frame)
{
	uint32_t id = this_cpu()->id;

	if (!__atomic_exchange_n(&cores[id].expected, false, __ATOMIC_ACQ_REL))
		return false;
	cores[id].rip = frame->rip;
	__atomic_store_n(&cores[id].taken, true, __ATOMIC_RELEASE);
	return true;
}

static void send_nmi(struct pcpu *cpu)
{
	__atomic_store_n(&cores[cpu->id].taken, false, __ATOMIC_RELEASE);
	__atomic_store_n(&cores[cpu->id].expected, true, __ATOMIC_RELEASE);
	apic_send_nmi(cpu->apic_id);
}

static void describe(const struct pcpu *cpu, struct strbuf *sb)
{
	uint64_t base = (uint64_t)(uintptr_t)_image_start;

	sb_printf(sb, "cpu %u does not answer", cpu->id);
	if (__atomic_load_n(&cores[cpu->id].taken, __ATOMIC_ACQUIRE))
		sb_printf(sb, ": an NMI found it at socle.efi+%llx",
			  (unsigned long long)(cores[cpu->id].rip - base));
	else
		sb_puts(sb, ", and takes no NMI");
}

/*
 * The consoles are the boot core's work: where that is what hangs, perhaps with their lock, this
 * goes past them.
 */
static void report(const struct pcpu *cpu)
{
	char text[120];
	struct strbuf sb;

	sb_init(&sb, text, sizeof(text));
	if (cpu->id) {
		describe(cpu, &sb);
		log_error("%s", text);
		return;
	}
	sb_puts(&sb, "\r\nsocle: error: ");
	describe(cpu, &sb);
	sb_puts(&sb, "\r\n");
	physical_console_panic(text, sb.len);
}

static enum health ask(struct pcpu *cpu, enum health before)
{
	switch (before) {
	case WELL:
		sched_ask(cpu);
		return ASKED;
	case ASKED:
		send_nmi(cpu);
		return SENT_NMI;
	case SENT_NMI:
		report(cpu);
		return REPORTED;
	default:
		return REPORTED;
	}
}

static void look(struct pcpu *cpu)
{
	enum health before = cores[cpu->id].health;

	if (before != WELL && sched_answered(cpu)) {
		if (before == REPORTED)
			log_warn("cpu %u answers again", cpu->id);
		before = WELL;
	}
	if (before == WELL && sched_inside(cpu) && ++cores[cpu->id].spared % SPARED_MAX) {
		cores[cpu->id].health = WELL;
		return;
	}
	cores[cpu->id].health = ask(cpu, before);
}

uint64_t watch_tick(void)
{
	uint64_t now = tsc_now();

	if (now < next)
		return next;
	for (unsigned int i = 0; i < cpu_count; i++)
		if (pcpus[i]->state == CPU_ONLINE && pcpus[i] != this_cpu())
			look(pcpus[i]);
	faults_poll(); /* the others do when they are asked */
	next = now + tsc_from_ns(PERIOD_NS);
	return next;
}

/* Of the core that watches the boot core. */
static uint64_t watch_boot_core(void)
{
	look(pcpus[0]);
	return tsc_now() + tsc_from_ns(PERIOD_NS);
}

void watch_init(void)
{
	struct pcpu *watcher = NULL;

	for (unsigned int i = 1; i < cpu_count; i++)
		if (pcpus[i]->state == CPU_ONLINE &&
		    (!watcher || sched_load_of(pcpus[i]) < sched_load_of(watcher)))
			watcher = pcpus[i];
	if (watcher)
		sched_set_housekeeping(watcher, watch_boot_core);
}
