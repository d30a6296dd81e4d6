/* links: boot/watch.c lib/log.c lib/fmt.c lib/strbuf.c */
/* Which cores are asked whether they hang, and what becomes of those that do not answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/apic.h"
#include "arch/x86/desc.h"
#include "arch/x86/percpu.h"
#include "boot/faults.h"
#include "boot/physical_console.h"
#include "boot/watch.h"
#include "core/sched.h"
#include "lib/log.h"

#define CPUS   3
#define SECOND 1000000000ull

char _image_start[1];
struct pcpu *pcpus[CPU_MAX];
unsigned int cpu_count;

static struct pcpu cpu[CPUS];
static struct {
	unsigned int load, asked, nmis;
	bool answers, inside;
	uint64_t (*housekeeping)(void);
} seen[CPUS];
static unsigned int here;
static uint64_t now;
static char said[512], past_consoles[512];

uint64_t tsc_now(void)
{
	return now;
}

uint64_t tsc_from_ns(uint64_t ns)
{
	return ns;
}

struct pcpu *this_cpu(void)
{
	return &cpu[here];
}

void apic_send_nmi(uint32_t apic_id)
{
	seen[apic_id].nmis++;
}

void faults_poll(void)
{
}

void physical_console_panic(const char *text, size_t len)
{
	strncat(past_consoles, text, len);
}

unsigned int sched_load_of(const struct pcpu *c)
{
	return seen[c->id].load;
}

void sched_set_housekeeping(struct pcpu *c, uint64_t (*fn)(void))
{
	seen[c->id].housekeeping = fn;
}

void sched_ask(struct pcpu *c)
{
	seen[c->id].asked++;
}

bool sched_answered(const struct pcpu *c)
{
	return seen[c->id].answers;
}

bool sched_inside(const struct pcpu *c)
{
	return seen[c->id].inside;
}

static void note(void *ctx, const char *line, size_t len)
{
	(void)ctx;
	strncat(said, line, len);
	strcat(said, "\n");
}

static int setup(void **state)
{
	(void)state;
	memset(seen, 0, sizeof(seen));
	said[0] = past_consoles[0] = '\0';
	cpu_count = CPUS;
	for (uint32_t i = 0; i < CPUS; i++) {
		cpu[i] = (struct pcpu){.id = i, .apic_id = i, .state = CPU_ONLINE};
		pcpus[i] = &cpu[i];
		seen[i].answers = true;
	}
	log_set_sink(note, NULL);
	here = 0;
	return 0;
}

/* The boot core's clock. */
static void seconds(unsigned int n)
{
	while (n--) {
		now += SECOND;
		assert_int_equal(watch_tick(), now + SECOND);
	}
}

static void cores_are_asked_each_second(void **state)
{
	(void)state;
	seconds(10);
	assert_int_equal(seen[1].asked, 10);
	assert_int_equal(seen[2].asked, 10);
	assert_int_equal(seen[0].asked, 0);
	/* Not before the second is over. */
	assert_int_equal(watch_tick(), now + SECOND);
	assert_int_equal(seen[1].asked, 10);
}

/* One question a minute, for what only the core itself can say. */
static void a_core_in_its_guest_is_left_alone(void **state)
{
	(void)state;
	seconds(1);
	seen[1].inside = true;
	seconds(600);
	assert_int_equal(seen[1].asked, 1 + 10);
	assert_int_equal(seen[2].asked, 601);
	seen[1].inside = false;
	seconds(1);
	assert_int_equal(seen[1].asked, 1 + 10 + 1);
	assert_string_equal(said, "");
}

static void one_that_hangs_gets_an_nmi(void **state)
{
	struct int_frame frame = {.rip = (uint64_t)(uintptr_t)_image_start + 0x1234};

	(void)state;
	seconds(1);
	assert_int_equal(seen[1].nmis, 0);
	/* It has not answered: where it was before means nothing. */
	seen[1].answers = false;
	seen[1].inside = true;
	seconds(1);
	assert_int_equal(seen[1].nmis, 1);
	here = 1;
	assert_true(watch_on_nmi(&frame));
	assert_false(watch_on_nmi(&frame)); /* somebody else's */
	here = 0;
	seconds(5);
	assert_non_null(strstr(said, "cpu 1 does not answer: an NMI found it at socle.efi+1234\n"));
	assert_int_equal(seen[1].nmis, 1);
	seen[1].answers = true;
	seconds(1);
	assert_non_null(strstr(said, "cpu 1 answers again\n"));
	assert_int_equal(seen[2].nmis, 0);
}

/* Its clock takes the core out of its guest each second. */
static void the_boot_core_is_watched_where_that_disturbs_least(void **state)
{
	(void)state;
	seen[1].load = 1;
	watch_init();
	assert_null(seen[0].housekeeping);
	assert_null(seen[1].housekeeping);
	assert_non_null(seen[2].housekeeping);
	here = 2;
	seen[0].answers = false;
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(seen[2].housekeeping(), now + SECOND);
	assert_int_equal(seen[0].asked, 1);
	assert_int_equal(seen[0].nmis, 1);
	assert_non_null(
		strstr(past_consoles, "socle: error: cpu 0 does not answer, and takes no NMI"));
	seen[0].answers = true;
	seen[2].housekeeping();
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(cores_are_asked_each_second),
		TEST(a_core_in_its_guest_is_left_alone),
		TEST(one_that_hangs_gets_an_nmi),
		TEST(the_boot_core_is_watched_where_that_disturbs_least),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
