/* links: core/console.c core/console_own.c core/console_text.c tests/unit/support/fake_core.c */
/*
 * VMs whose consoles are not on the common line: `own` has a port for itself, `mute` none, `line`
 * is on the line. Consoles last for ever: each test goes on where the one before it ended.
 */
#include "core/console.h"

#include <stdio.h>
#include <string.h>

#include "core/console_own.h"
#include "tests/unit/support/fake_core.h"

struct wire {
	char sent[2 * CONSOLE_RING];
	unsigned int count, room, refill;
	bool irq;
	const char *typed;
};

static struct wire common, second;
static struct vm *line, *own, *mute;
static char got[64];
static unsigned int got_count, told;
static int key;

static unsigned int tx_room(void *ctx)
{
	struct wire *w = ctx;

	w->room += w->refill;
	return w->room;
}

static void tx(void *ctx, uint8_t byte)
{
	struct wire *w = ctx;

	assert_true(w->room > 0);
	w->room--;
	assert_true(w->count < sizeof(w->sent));
	w->sent[w->count++] = (char)byte;
}

static bool rx(void *ctx, uint8_t *byte)
{
	struct wire *w = ctx;

	if (!w->typed || !*w->typed)
		return false;
	*byte = (uint8_t)*w->typed++;
	return true;
}

static void tx_irq(void *ctx, bool on)
{
	((struct wire *)ctx)->irq = on;
}

static const struct console_port common_port = {tx_room, tx, rx, tx_irq, &common};
static const struct console_port second_port = {tx_room, tx, rx, tx_irq, &second};

static void input(void *dev, uint8_t byte)
{
	assert_ptr_equal(dev, own);
	got[got_count++] = (char)byte;
}

static unsigned int input_room(void *dev)
{
	return dev == own ? 16 : 0;
}

static void output_room(void *dev)
{
	assert_ptr_equal(dev, own);
	told++;
}

static struct vm *new_vm(const char *name)
{
	struct vm *vm = fake_vm_new(0);
	struct console_client c = {input, input_room, output_room, vm};

	strcpy(vm->name, name);
	assert_int_equal(console_attach(vm, &c), 0);
	return vm;
}

static void typed(int k)
{
	key = k;
	if (k == CONSOLE_ESCAPE)
		console_monitor_open(true);
}

static unsigned int put(struct vm *vm, const char *text)
{
	unsigned int n = 0;

	while (text[n] && console_put(vm, (uint8_t)text[n]))
		n++;
	return n;
}

static void assert_sent(struct wire *w, const char *text)
{
	w->sent[w->count] = '\0';
	assert_string_equal(w->sent, text);
	w->count = 0;
}

/* The first VM is the one that leaves: typing on the line goes to the first that stays. */
static void leaving_the_line(void **state)
{
	(void)state;
	own = new_vm("own");
	mute = new_vm("mute");
	line = new_vm("line");
	fake.tsc = 5000000000;
	assert_int_equal(console_set_monitor(0x1d, typed), 0);
	assert_true(console_on_line(own));
	console_leave_line(own, &second_port);
	console_leave_line(mute, NULL);
	assert_false(console_on_line(own));
	assert_false(console_on_line(mute));
	assert_true(console_on_line(line));
	assert_ptr_equal(console_focused(), line);
	common.room = second.room = 100000;
	common.irq = second.irq = true;
	console_init(&common_port);
	console_use_irq();
	assert_false(second.irq);
}

/* Each byte as it is, with no prefix on either side: on the line one VM is left. */
static void bytes_pass_as_they_are(void **state)
{
	(void)state;
	put(own, "a\r\nb\x1d\x80");
	put(mute, "nobody sees this\n");
	put(line, "c\n");
	assert_sent(&second, "a\r\nb\x1d\x80");
	assert_sent(&common, "c\n");
	console_write_log(NULL, "message", 7);
	assert_sent(&common, "message\r\n");
	assert_sent(&second, "");
}

/* The escape key too: the monitor is on the line alone. */
static void what_is_typed_there_is_for_it(void **state)
{
	(void)state;
	second.typed = "ls\x1d\r";
	console_irq();
	assert_int_equal(got_count, 4);
	assert_memory_equal(got, "ls\x1d\r", 4);
	assert_int_equal(key, 0);
}

static void the_monitor_does_not_stop_it(void **state)
{
	(void)state;
	common.typed = "\x1d";
	console_irq();
	assert_int_equal(key, CONSOLE_ESCAPE);
	put(own, "on");
	put(line, "waits\n");
	assert_sent(&second, "on");
	console_monitor_open(false);
	assert_sent(&common, "waits\n");
}

/* Port and ring are full: the device waits, and is told. */
static void a_slow_port_stops_its_guest_alone(void **state)
{
	unsigned int n = 0;

	(void)state;
	second.room = 5;
	while (console_put(own, 'x'))
		n++;
	assert_int_equal(n, CONSOLE_RING + 5);
	assert_true(second.irq);
	assert_int_equal(put(line, "free\n"), 5);
	assert_sent(&common, "free\n");
	second.room = 16;
	console_irq();
	assert_int_equal(told, 0);
	second.room = 8192;
	console_irq();
	assert_int_equal(told, 1);
	second.room = 100000;
	console_irq();
	assert_int_equal(second.count, CONSOLE_RING + 5);
	assert_false(second.irq);
	second.count = 0;
}

static void a_lost_interrupt_is_made_up_for(void **state)
{
	(void)state;
	second.room = 0;
	put(own, "late");
	assert_sent(&second, "");
	second.room = 2;
	assert_true(console_tick() <= fake.tsc + 100000000);
	assert_sent(&second, "la");
	second.refill = 1;
	console_flush();
	assert_sent(&second, "te");
}

static void nobody_waits_for_a_console_that_is_nowhere(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < 3 * CONSOLE_RING; i++)
		assert_true(console_put(mute, 'a' + i % 26));
	put(mute, "the end\n");
	common.count = 0;
	common.room = 200000;
	console_monitor_open(true);
	console_monitor_log(mute);
	assert_true(common.count >= CONSOLE_RING);
	assert_memory_equal(common.sent + common.count - 9, "the end\r\n", 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaving_the_line),
		cmocka_unit_test(bytes_pass_as_they_are),
		cmocka_unit_test(what_is_typed_there_is_for_it),
		cmocka_unit_test(the_monitor_does_not_stop_it),
		cmocka_unit_test(a_slow_port_stops_its_guest_alone),
		cmocka_unit_test(a_lost_interrupt_is_made_up_for),
		cmocka_unit_test(nobody_waits_for_a_console_that_is_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
