/* links: core/console_own.c core/console_text.c tests/unit/support/fake_core.c */
/*
 * Guests and the hypervisor on one line. The port of these tests takes `port.room` bytes at a
 * time.
 */
/* Included, not linked: a console lasts for ever, and every test wants one of its own. */
#include "core/console.c"

#include "tests/unit/support/fake_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/console.h"

#define MS 1000000u

static struct {
	char sent[1 << 20];
	unsigned int count;
	unsigned int room, refill; /* each look at the room adds REFILL, as time does */
	bool irq;
	char typed[64];
	unsigned int typed_count, typed_taken;
} port;

static unsigned int tx_room(void *ctx)
{
	unsigned int room = port.room;

	(void)ctx;
	port.room += port.refill;
	return room;
}

static void tx(void *ctx, uint8_t byte)
{
	(void)ctx;
	assert_true(port.room > 0);
	port.room--;
	assert_true(port.count < sizeof(port.sent));
	port.sent[port.count++] = (char)byte;
}

static bool rx(void *ctx, uint8_t *byte)
{
	(void)ctx;
	if (port.typed_taken == port.typed_count)
		return false;
	*byte = (uint8_t)port.typed[port.typed_taken++];
	return true;
}

static void tx_irq(void *ctx, bool on)
{
	(void)ctx;
	port.irq = on;
}

static const struct console_port ops = {.tx_room = tx_room, .tx = tx, .rx = rx, .tx_irq = tx_irq};

/* What a VM's serial port notes. */
struct guest {
	struct vm *vm;
	char got[64];
	unsigned int got_count, room, told;
};

static struct guest guest[3];

static void input(void *dev, uint8_t byte)
{
	struct guest *g = dev;

	assert_int_not_equal(g->vm->dev_lock.next, g->vm->dev_lock.owner);
	assert_true(g->room > 0);
	g->room--;
	g->got[g->got_count++] = (char)byte;
}

static unsigned int input_room(void *dev)
{
	return ((struct guest *)dev)->room;
}

static void output_room(void *dev)
{
	struct guest *g = dev;

	assert_int_not_equal(g->vm->dev_lock.next, g->vm->dev_lock.owner);
	g->told++;
}

static int setup(void **state)
{
	(void)state;
	memset(&con, 0, sizeof(con));
	memset(&port, 0, sizeof(port));
	memset(guest, 0, sizeof(guest));
	memset(&fake, 0, sizeof(fake));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(console_lock.next, console_lock.owner);
	free(con.mon.ring);
	for (unsigned int i = 0; i < ARRAY_SIZE(guest) && guest[i].vm; i++) {
		free(guest[i].vm->console);
		fake_vm_free(guest[i].vm);
	}
	return 0;
}

static void attach(unsigned int guests)
{
	for (unsigned int i = 0; i < guests; i++) {
		struct console_client c = {input, input_room, output_room, &guest[i]};

		guest[i].vm = fake_vm_new(0);
		guest[i].room = 16;
		snprintf(guest[i].vm->name, VM_NAME_SIZE, "vm%u", i);
		assert_int_equal(console_attach(guest[i].vm, &c), 0);
	}
	fake.tsc = 5000 * (uint64_t)MS;
}

static void on_irqs(unsigned int room)
{
	port.room = room ? room : 1;
	console_init(&ops);
	console_use_irq();
	port.room = room;
}

static unsigned int put(unsigned int i, const char *text)
{
	unsigned int n;

	for (n = 0; text[n]; n++)
		if (!console_put(guest[i].vm, (uint8_t)text[n]))
			break;
	return n;
}

static void log_line(const char *text)
{
	console_write_log(NULL, text, strlen(text));
}

static void wait_ms(unsigned int ms)
{
	fake.tsc += (uint64_t)ms * MS;
	console_tick();
}

static void assert_sent(const char *text)
{
	if (port.count != strlen(text) || memcmp(port.sent, text, port.count)) {
		printf("sent \"%.*s\", not \"%s\"\n", (int)port.count, port.sent, text);
		fail();
	}
	port.count = 0;
}

/* Interrupts as long as the port asks for them. */
static void run_port(unsigned int room)
{
	while (port.irq) {
		port.room = room;
		console_irq();
	}
}

/* ---- one VM ---- */

static void one_guest_passes_as_it_is(void **state)
{
	(void)state;
	attach(1);
	on_irqs(1000);
	put(0, "a");
	assert_sent("a");
	put(0, "\x1b[1mb\rc\r\n\n\n");
	assert_sent("\x1b[1mb\rc\r\n\n\n");
	assert_false(port.irq);
}

static void interrupts_go_on(void **state)
{
	(void)state;
	attach(1);
	on_irqs(4);
	put(0, "0123456789abcdef");
	assert_sent("0123");
	assert_true(port.irq);
	port.room = 4;
	console_irq();
	assert_sent("4567");
	assert_true(port.irq);
	run_port(5);
	assert_sent("89abcdef");
}

static void log_lines_and_guest_lines(void **state)
{
	(void)state;
	attach(1);
	log_line("socle: before");
	on_irqs(0);
	put(0, "first\r\nsecond\r\n");
	log_line("socle: after two");
	put(0, "third\r\n");
	run_port(3);
	assert_sent("socle: before\r\nfirst\r\nsecond\r\nsocle: after two\r\nthird\r\n");
}

/* A line that the guest is writing is let come to its end; a prompt is not waited for. */
static void log_line_while_a_line_is_open(void **state)
{
	(void)state;
	attach(1);
	on_irqs(1000);
	put(0, "hal");
	log_line("socle: one");
	assert_sent("hal");
	put(0, "f\r\nnext");
	assert_sent("half\r\nsocle: one\r\nnext" + 3);
	log_line("socle: two");
	assert_sent("");
	wait_ms(19);
	assert_sent("");
	wait_ms(2);
	assert_sent("\r\nsocle: two\r\n");
	put(0, "# ");
	assert_sent("# ");
}

static void a_flood_does_not_hold_the_log(void **state)
{
	char *found;

	(void)state;
	attach(1);
	on_irqs(0);
	for (unsigned int i = 0; i < 1000; i++)
		put(0, "x");
	log_line("socle: now");
	for (unsigned int i = 0; i < 5000; i++)
		put(0, "x");
	run_port(16);
	port.sent[port.count] = 0;
	found = strstr(port.sent, "\r\nsocle: now\r\n");
	assert_non_null(found);
	assert_true(found - port.sent >= 1000 && found - port.sent < 1600);
	assert_int_equal(port.count, 6000 + strlen("\r\nsocle: now\r\n"));
}

static void ring_full(void **state)
{
	unsigned int n;

	(void)state;
	attach(1);
	on_irqs(0);
	for (n = 0; console_put(guest[0].vm, 'x'); n++)
		assert_true(n < CONSOLE_RING);
	assert_int_equal(n, CONSOLE_RING);
	/* Told when there is worthwhile room, and once. */
	port.room = 16;
	console_irq();
	assert_int_equal(guest[0].told, 0);
	port.room = 4096;
	console_irq();
	assert_int_equal(guest[0].told, 1);
	port.room = 4096;
	console_irq();
	assert_int_equal(guest[0].told, 1);
	assert_true(console_put(guest[0].vm, 'y'));
	run_port(4096);
	assert_int_equal(port.count, CONSOLE_RING + 1);
	assert_int_equal(port.sent[CONSOLE_RING], 'y');
}

/* ---- several VMs ---- */

static void lines_do_not_mix(void **state)
{
	(void)state;
	attach(2);
	on_irqs(1000);
	put(0, "one");
	put(1, "two");
	assert_sent("");
	put(1, " more\r\n");
	assert_sent("vm1| two more\r\n");
	put(0, " more\r\n");
	assert_sent("vm0| one more\r\n");
	put(0, "\r\n");
	assert_sent("vm0| \r\n");
	log_line("socle: line");
	assert_sent("socle: line\r\n");
}

/* Nor the terminal: it would answer some of these, into what is typed to another. */
static void nobody_leaves_his_line(void **state)
{
	(void)state;
	attach(2);
	on_irqs(1000);
	put(1, "a\x1b[2J\x1b[1;31mb\x1b]0;title\x07\x1b(0c\b\x0e\x05\x1b[6n\x1bPq\x1b\\d\n");
	assert_sent("vm1| abcd\r\n");
	put(1, "\rsocle: vm vm0: stopped\r\n");
	assert_sent("vm1| \rvm1| socle: vm vm0: stopped\r\n");
	put(1, "10%\r\r\x1b[K20%\r\r\n");
	assert_sent("vm1| 10%\r\rvm1| 20%\r\r\n");
	put(1, "\xc3\xa9\xc4\x9b\xe2\x82\xac \x9b" "2J\xc2\x9b" "2J\t.\n");
	assert_sent("vm1| \xc3\xa9\xc4\x9b\xe2\x82\xac 2J\xc2" "2J\t.\r\n");
	/* What is left out between two bytes does not keep them apart. */
	put(1, "\xc2\x85\x9b" "6n\xc2\x1b[\x9b\x9b" "6n\xc2\x1b[m\x9b" "6n\n");
	assert_sent("vm1| \xc2" "6n\xc2" "6n\xc2" "6n\r\n");
	/* A sequence that never ends swallows nobody's lines. */
	put(1, "\x1b]0;\r\nnext\n");
	assert_sent("vm1| \r\nvm1| next\r\n");
	/* Nor does a line begin at the right end of the last one, and go on without a name. */
	put(1, "up to the end\nsocle: vm vm0: stopped\n\n");
	assert_sent("vm1| up to the end\r\nvm1| socle: vm vm0: stopped\r\nvm1| \r\n");
}

static void who_is_typed_to_has_the_terminal(void **state)
{
	(void)state;
	attach(2);
	on_irqs(1000);
	put(0, "\x1b[2Ja\rb\bc\n");
	assert_sent("vm0| \x1b[2Ja\rb\bc\n");
	console_focus(guest[1].vm);
	put(0, "\x1b[2Ja\rb\bc\n");
	assert_sent("vm0| a\rvm0| bc\r\n");
	put(1, "\x1b[2Ja\rb\bc\n");
	assert_sent("vm1| \x1b[2Ja\rb\bc\n");
}

/* What a line is allowed counts what is written in front of it again. */
static void endless_returns_are_cut(void **state)
{
	unsigned int before_other = 0;

	(void)state;
	attach(3);
	on_irqs(0);
	for (unsigned int i = 0; i < 1000; i++)
		put(1, "\rx");
	put(2, "here\n");
	run_port(16);
	port.sent[port.count] = 0;
	before_other = (unsigned int)(strstr(port.sent, "here") - port.sent);
	assert_true(before_other < 700);
}

static void turns(void **state)
{
	(void)state;
	attach(3);
	on_irqs(0);
	put(0, "a\nb\nc\n");
	put(2, "x\ny\n");
	put(1, "1\n");
	run_port(7);
	assert_sent("vm0| a\nvm1| 1\r\nvm2| x\r\nvm0| b\nvm2| y\r\nvm0| c\n");
}

static void prompts_show_after_a_while(void **state)
{
	uint64_t next;

	(void)state;
	attach(2);
	on_irqs(1000);
	put(0, "login: ");
	next = console_tick();
	assert_sent("");
	assert_true(next > fake.tsc && next <= fake.tsc + 100 * MS);
	fake.tsc = next;
	console_tick();
	assert_sent("vm0| login: ");
	/* The line is open now: what is added shows at once. */
	put(0, "r");
	assert_sent("r");
	/* Another one's line breaks it, once nothing is added any more. */
	put(1, "hello\r\n");
	assert_sent("");
	wait_ms(21);
	assert_sent("\r\nvm1| hello\r\n");
	wait_ms(1000);
	assert_int_equal(port.count, 0);
}

static void typing_shows_prompts_at_once(void **state)
{
	(void)state;
	attach(2);
	on_irqs(1000);
	strcpy(port.typed, "ls\n");
	port.typed_count = 3;
	console_irq();
	assert_memory_equal(guest[0].got, "ls\n", 3);
	assert_int_equal(guest[1].got_count, 0);
	put(0, "l");
	assert_sent("vm0| l");
	put(0, "s\r\nfile\r\n# ");
	assert_sent("s\r\nvm0| file\r\nvm0| # ");
	put(1, "x");
	assert_sent("");
	/* A line that stands for long is broken without delay. */
	wait_ms(2000);
	assert_sent("\r\nvm1| x");
}

static void endless_lines_are_cut(void **state)
{
	char *other;

	(void)state;
	attach(2);
	on_irqs(0);
	for (unsigned int i = 0; i < 4000; i++)
		put(0, "x");
	put(1, "hello\r\n");
	log_line("socle: line");
	run_port(16);
	port.sent[port.count] = 0;
	other = strstr(port.sent, "\r\nvm1| hello\r\n");
	assert_non_null(other);
	assert_true(other - port.sent < 1100);
	other = strstr(port.sent, "\r\nsocle: line\r\n");
	assert_non_null(other);
	assert_true(other - port.sent < 2000);
	assert_int_equal(strncmp(port.sent, "vm0| xxx", 8), 0);
}

/* What several guests had written comes before the line that says that they ended. */
static void log_waits_for_what_came_before(void **state)
{
	char *line;

	(void)state;
	attach(2);
	on_irqs(0);
	for (unsigned int i = 0; i < 100; i++)
		put(i & 1, i & 1 ? "odd\n" : "even\n");
	put(0, "partial");
	log_line("socle: vm vm0: shut down");
	for (unsigned int i = 0; i < 100; i++)
		put(1, "later\n");
	run_port(16);
	port.sent[port.count] = 0;
	line = strstr(port.sent, "socle: ");
	assert_non_null(line);
	assert_int_equal(line[-1], '\n');
	*line = 0;
	assert_int_equal(strlen(port.sent) >=
				 50 * strlen("vm0| even\n") + 50 * strlen("vm1| odd\n"),
			 1);
	assert_null(strstr(port.sent, "partial"));
	assert_true(strlen(strstr(port.sent, "later") ? strstr(port.sent, "later") : "") < 700);
}

/* ---- the log ---- */

static void polled_before_interrupts(void **state)
{
	(void)state;
	log_line("socle 0.1");
	port.refill = 1;
	console_init(&ops);
	assert_sent("socle 0.1\r\n");
	log_line("socle: line");
	assert_sent("socle: line\r\n");
	assert_false(port.irq);
}

static void nothing_is_lost_when_the_log_is_full(void **state)
{
	char text[80];
	unsigned int lines = 0;

	(void)state;
	attach(1);
	on_irqs(0);
	put(0, "guest");
	port.refill = 1;
	for (unsigned int i = 0; i < 2000; i++) {
		snprintf(text, sizeof(text), "socle: line %u of very many that there are", i);
		log_line(text);
	}
	run_port(16);
	console_flush();
	port.sent[port.count] = 0;
	for (char *s = strtok(port.sent, "\r\n"); s; s = strtok(NULL, "\r\n")) {
		if (!strncmp(s, "guest", 5))
			continue;
		snprintf(text, sizeof(text), "socle: line %u of very many that there are", lines);
		assert_string_equal(s, text);
		lines++;
	}
	assert_int_equal(lines, 2000);
}

/* Without a port, or with one that takes nothing, everybody goes on. */
static void dead_port(void **state)
{
	(void)state;
	attach(1);
	console_init(&ops);
	for (unsigned int i = 0; i < 1000; i++)
		log_line("socle: line");
	console_flush();
	assert_sent("");
	put(0, "text");
	/* It moves again. */
	port.room = 1;
	port.refill = 1;
	console_flush();
	port.sent[port.count] = 0;
	assert_non_null(strstr(port.sent, "socle: line\r\n"));
	assert_non_null(strstr(port.sent, "text"));
}

static void no_port(void **state)
{
	(void)state;
	attach(2);
	console_init(NULL);
	console_use_irq();
	for (unsigned int i = 0; i < 3 * CONSOLE_RING; i++)
		assert_true(console_put(guest[0].vm, i % 80 ? 'x' : '\n'));
	for (unsigned int i = 0; i < 1000; i++)
		log_line("socle: line");
	console_irq();
	console_tick();
	console_flush();
}

static void flush_waits_for_nobody(void **state)
{
	(void)state;
	attach(2);
	on_irqs(0);
	put(0, "unfinished");
	put(1, "line\n");
	log_line("socle: all guests ended");
	port.refill = 3;
	console_flush();
	assert_sent("vm0| unfinished\r\nvm1| line\r\nsocle: all guests ended\r\n");
}

/* ---- input ---- */

static void input_waits_for_room(void **state)
{
	(void)state;
	attach(1);
	on_irqs(1000);
	guest[0].room = 2;
	strcpy(port.typed, "hello");
	port.typed_count = 5;
	console_irq();
	assert_int_equal(guest[0].got_count, 2);
	guest[0].room = 2;
	spin_lock(&guest[0].vm->dev_lock);
	console_input_ready(guest[0].vm);
	spin_unlock(&guest[0].vm->dev_lock);
	assert_int_equal(guest[0].got_count, 4);
	console_reset(guest[0].vm);
	guest[0].room = 2;
	console_irq();
	assert_int_equal(guest[0].got_count, 4);
	assert_memory_equal(guest[0].got, "hell", 4);
}

static void focus(void **state)
{
	(void)state;
	attach(2);
	on_irqs(1000);
	strcpy(port.typed, "abc");
	port.typed_count = 1;
	console_irq();
	console_focus(guest[1].vm);
	port.typed_count = 2;
	console_irq();
	console_focus(NULL);
	port.typed_count = 3;
	console_irq();
	assert_int_equal(guest[0].got_count, 1);
	assert_int_equal(guest[0].got[0], 'a');
	assert_int_equal(guest[1].got_count, 1);
	assert_int_equal(guest[1].got[0], 'b');
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* ---- the monitor ---- */

static int keys[64];
static unsigned int key_count;

/* As the monitor itself does: the escape key opens it. Here 'q' closes it. */
static void typed(int key)
{
	assert_int_equal(console_lock.next, console_lock.owner);
	keys[key_count++] = key;
	if (key == CONSOLE_ESCAPE)
		console_monitor_open(true);
	if (key == 'q')
		console_monitor_open(false);
}

static void type(const char *text)
{
	memcpy(port.typed, text, strlen(text));
	port.typed_count = (unsigned int)strlen(text);
	port.typed_taken = 0;
	console_irq();
}

static void monitor(unsigned int guests)
{
	attach(guests);
	on_irqs(100000);
	key_count = 0;
	assert_int_equal(console_set_monitor(0x1d, typed), 0);
}

static void show(const char *line, size_t cursor)
{
	console_monitor_line(line, strlen(line), cursor);
}

static void write_text(const char *text)
{
	console_monitor_write(text, strlen(text));
}

static void keys_go_where_they_belong(void **state)
{
	(void)state;
	monitor(1);
	type("a\x1d"
	     "xyqd");
	assert_memory_equal(guest[0].got, "ad", 2);
	assert_int_equal(guest[0].got_count, 2);
	assert_int_equal(key_count, 4);
	assert_int_equal(keys[0], CONSOLE_ESCAPE);
	assert_int_equal(keys[3], 'q');
}

static void guests_wait_while_the_monitor_is_open(void **state)
{
	(void)state;
	monitor(2);
	put(0, "one\n");
	type("\x1d");
	put(1, "two\n");
	assert_sent("vm0| one\n");
	type("q");
	assert_sent("vm1| two\r\n");
	assert_int_equal(console_skipped(guest[1].vm), 0);
}

static void an_unfinished_line_ends_where_the_monitor_begins(void **state)
{
	(void)state;
	monitor(1);
	put(0, "login: ");
	type("\x1d");
	show("> ", 2);
	assert_sent("login: \r\n> ");
}

static void a_line_grows_at_its_end_and_else_is_drawn_anew(void **state)
{
	(void)state;
	monitor(1);
	type("\x1d");
	show("> ", 2);
	show("> l", 3);
	show("> ls", 4);
	assert_sent("> ls");
	show("> ls", 3);
	assert_sent("\x1b[01D");
	show("> lxs", 4);
	assert_sent("\r> lxs\x1b[01D");
	show("> s", 3);
	assert_sent("\r> s\x1b[K");
	console_monitor_enter();
	write_text("a\nb\n");
	show("> ", 2);
	assert_sent("\r\na\r\nb\r\n> ");
}

/* Messages appear at once, the line behind them when they have ended. */
static void messages_go_before_the_line(void **state)
{
	(void)state;
	monitor(1);
	type("\x1d");
	put(0, "guest\n");
	show("> x", 3);
	port.count = 0;
	log_line("one");
	log_line("two");
	assert_sent("\r\x1b[Kone\r\ntwo\r\n");
	wait_ms(20);
	assert_sent("> x");
}

/* Neither cut its lines in two, nor does closing lose them. */
/* A guest resets itself again and again: message follows message, and the port is slow. */
static void messages_do_not_starve_the_line(void **state)
{
	char *at = port.sent;

	(void)state;
	monitor(1);
	type("\x1d");
	show("> ", 2);
	port.count = 0;
	for (unsigned int i = 0; i < 1000; i++) {
		log_line("0123456789");
		log_line("0123456789");
		port.room = 12;
		fake.tsc += MS;
		console_irq();
		console_tick();
	}
	port.sent[port.count] = '\0';
	for (unsigned int i = 0; i < 4; i++) {
		at = strstr(at, "> ");
		assert_non_null(at);
		at++;
	}
}

/* It may take from others no more time than it needs. */
static void a_full_log_waits_for_room_only(void **state)
{
	char line[100];

	(void)state;
	attach(1);
	on_irqs(0);
	memset(line, 'x', sizeof(line));
	while (log_fits(sizeof(line)))
		console_write_log(NULL, line, sizeof(line));
	port.room = 1;
	port.refill = 1;
	console_write_log(NULL, line, sizeof(line));
	assert_in_range(port.count, 1, 2 * sizeof(line));
}

static void the_monitors_lines_stay_whole(void **state)
{
	(void)state;
	monitor(1);
	type("\x1d");
	port.count = 0;
	port.room = 3;
	write_text("0123456\n");
	log_line("message");
	put(0, "guest\n");
	console_monitor_open(false);
	run_port(4);
	assert_sent("0123456\r\nmessage\r\nguest\n");
}

/* 64 KiB and a bit are written while nobody looks: the guest goes on, and the log has the end. */
static void a_flood_does_not_stop_while_the_monitor_is_open(void **state)
{
	(void)state;
	monitor(1);
	type("\x1d");
	for (int i = 0; i < 8192; i++)
		assert_int_equal(put(0, "0123456\n"), 8);
	assert_int_equal(put(0, "the end\r\n"), 9);
	assert_int_equal(console_skipped(guest[0].vm), 9);
	console_monitor_log(guest[0].vm);
	run_port(100000);
	assert_true(port.count > 65000);
	assert_memory_equal(port.sent + port.count - 18, "0123456\r\nthe end\r\n", 18);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(one_guest_passes_as_it_is),
		T(interrupts_go_on),
		T(log_lines_and_guest_lines),
		T(log_line_while_a_line_is_open),
		T(a_flood_does_not_hold_the_log),
		T(ring_full),
		T(lines_do_not_mix),
		T(nobody_leaves_his_line),
		T(who_is_typed_to_has_the_terminal),
		T(endless_returns_are_cut),
		T(turns),
		T(prompts_show_after_a_while),
		T(typing_shows_prompts_at_once),
		T(endless_lines_are_cut),
		T(log_waits_for_what_came_before),
		T(polled_before_interrupts),
		T(nothing_is_lost_when_the_log_is_full),
		T(dead_port),
		T(no_port),
		T(flush_waits_for_nobody),
		T(input_waits_for_room),
		T(focus),
		T(keys_go_where_they_belong),
		T(guests_wait_while_the_monitor_is_open),
		T(an_unfinished_line_ends_where_the_monitor_begins),
		T(a_line_grows_at_its_end_and_else_is_drawn_anew),
		T(messages_go_before_the_line),
		T(messages_do_not_starve_the_line),
		T(a_full_log_waits_for_room_only),
		T(the_monitors_lines_stay_whole),
		T(a_flood_does_not_stop_while_the_monitor_is_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
