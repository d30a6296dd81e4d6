#include "boot/faults.h"

#include "arch/x86/apic.h"
#include "arch/x86/cpu.h"
#include "arch/x86/desc.h"
#include "arch/x86/mce.h"
#include "boot/panic.h"
#include "boot/watch.h"
#include "core/sched.h"
#include "lib/log.h"

/* NMI status and control: 82371AB data sheet 4.2.4.1. The disable bits, set and cleared, re-arm. */
#define NMI_STATUS	     0x61
#define NMI_STATUS_SERR	     0x80
#define NMI_STATUS_IOCHK     0x40
#define NMI_STATUS_DISABLE   0x0c
#define NMI_STATUS_CONTROL   0x0f
#define NMI_STATUS_NOT_THERE 0xff

#define LINT1 1

/* By number of the core; its own, in its NMI handler and in faults_poll(). */
static struct {
	uint32_t nmis, said;
	uint8_t status;
} cores[CPU_MAX];

static uint8_t read_nmi_status(void)
{
	uint8_t status = inb(NMI_STATUS);

	if (status == NMI_STATUS_NOT_THERE || !(status & (NMI_STATUS_SERR | NMI_STATUS_IOCHK)))
		return 0;
	outb(NMI_STATUS, (status & NMI_STATUS_CONTROL) | NMI_STATUS_DISABLE);
	outb(NMI_STATUS, status & NMI_STATUS_CONTROL & ~NMI_STATUS_DISABLE);
	return status;
}

/*
 * Whatever sent it, an NMI that the watch did not want changes nothing in here: a button, a chip
 * set that reports an error, a watchdog of a baseboard controller.
 */
static bool on_nmi(struct int_frame *frame)
{
	uint32_t id = this_cpu()->id;

	if (watch_on_nmi(frame))
		return true;
	if (id == 0)
		cores[id].status |= read_nmi_status();
	__atomic_add_fetch(&cores[id].nmis, 1, __ATOMIC_RELAXED);
	return true;
}

/* On the exception's own stack: what can go on is said by faults_poll(). */
static bool on_mc(struct int_frame *frame)
{
	char text[400];
	struct strbuf sb;
	struct mce_error e;
	unsigned int next = 0;

	if (!mce_cannot_continue()) {
		mce_end();
		return true;
	}
	sb_init(&sb, text, sizeof(text));
	while (mce_next(&next, false, &e)) {
		sb_puts(&sb, "; ");
		mce_describe(&e, &sb);
	}
	panic_in(frame, "cpu %u: machine check%s", this_cpu()->id, text);
}

void faults_init_cpu(void)
{
	mce_init_cpu();
	faults_poll();
}

static void say_nmis(unsigned int id)
{
	uint32_t now = __atomic_load_n(&cores[id].nmis, __ATOMIC_RELAXED);
	uint8_t status = cores[id].status;

	if (now == cores[id].said)
		return;
	log_warn("cpu %u: NMI%s%s; ignored", id,
		 status & NMI_STATUS_SERR    ? ", a system error (SERR#)"
		 : status & NMI_STATUS_IOCHK ? ", an I/O channel check"
					     : " of unknown origin",
		 now - cores[id].said > 1 ? ", more than one" : "");
	cores[id].said = now;
	cores[id].status = 0;
}

void faults_poll(void)
{
	unsigned int next = 0, id = this_cpu()->id;
	struct mce_error e;
	char text[200];
	struct strbuf sb;

	say_nmis(id);
	while (mce_next(&next, true, &e)) {
		sb_init(&sb, text, sizeof(text));
		mce_describe(&e, &sb);
		if (e.status & MCI_STATUS_UC)
			log_error("cpu %u: machine check, %s", id, text);
		else
			log_warn("cpu %u: machine check, %s", id, text);
	}
}

/* ACPI 6.4 5.2.12.7: a processor's UID, or all; the polarity in bits 1:0 of its flags. */
static void enable_pins(const struct acpi_info *acpi)
{
	uint32_t uid = 0;

	for (unsigned int i = 0; i < acpi->cpu_count; i++)
		if (acpi->cpus[i].apic_id == apic_id())
			uid = acpi->cpus[i].uid;
	for (unsigned int i = 0; i < acpi->nmi_count; i++)
		if (acpi->nmis[i].uid == uid || acpi->nmis[i].uid == ACPI_UID_ALL)
			apic_enable_nmi(acpi->nmis[i].lint, acpi->nmis[i].active_low);
}

void faults_init(const struct acpi_info *acpi)
{
	nmi_set_hook(on_nmi);
	mc_set_hook(on_mc);
	sched_set_on_question(faults_poll);
	if (acpi && acpi->has_madt)
		enable_pins(acpi);
	else
		apic_enable_nmi(LINT1, false);
}
