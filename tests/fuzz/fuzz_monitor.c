/* links: core/lineedit.c core/console_own.c core/console_text.c core/run.c core/devtimer.c core/event.c core/cr.c core/share.c core/vcpu.c core/mmio.c core/task.c core/debug.c core/bus.c core/gmem.c core/pvclock.c core/lapic.c core/lapic_irq.c core/lapic_timer.c core/clock.c tests/unit/support/core_exit.c tests/unit/support/core_sched.c tests/unit/support/core_lifecycle.c tests/unit/support/core_msr.c tests/unit/support/core_cpuid.c emul/alu.c emul/decode.c emul/exec.c emul/string.c emul/tables.c emul/walk.c arch/x86/paging.c lib/log.c lib/fmt.c lib/strbuf.c tests/unit/support/fake_core.c tests/unit/support/fake_machine.c tests/unit/support/fake_hv.c -lcmocka */
/*
 * What is typed at the physical console, to the monitor and to two VMs that write and end while it
 * is: all of core/'s life cycle stands behind the commands. The input is bytes; two of them mean
 * something else: ffh lets the machine run for a while, feh lets a guest write a line.
 */
/* Included, not linked: each input has a console and a monitor of its own. */
#include "core/console.c"
#undef PROMPT
#include "core/monitor.c"

#include <stdlib.h>

#include "lib/assert.h"
#include "tests/unit/support/fake_hv.h"

#define VMS 2u

static struct {
	const uint8_t *keys;
	size_t count;
	unsigned int room;
	unsigned int column;
} port;

static struct vm *vms[VMS];

size_t pages_used(void)
{
	return 1;
}

size_t pages_total(void)
{
	return 2;
}

size_t pages_peak(void)
{
	return 2;
}

static unsigned int tx_room(void *ctx)
{
	(void)ctx;
	return port.room;
}

/* What comes out is lines, and the few sequences that draw the line being typed. */
static void tx(void *ctx, uint8_t byte)
{
	(void)ctx;
	assert(port.room > 0);
	port.room--;
	assert(byte == '\r' || byte == '\n' || byte == '\b' || byte == 0x1b || byte >= 0x20);
}

static bool rx(void *ctx, uint8_t *byte)
{
	(void)ctx;
	if (!port.count)
		return false;
	port.count--;
	*byte = *port.keys++;
	return true;
}

static void tx_irq(void *ctx, bool on)
{
	(void)ctx;
	(void)on;
}

static void input(void *dev, uint8_t byte)
{
	(void)dev;
	(void)byte;
}

static unsigned int input_room(void *dev)
{
	(void)dev;
	return 4;
}

static void output_room(void *dev)
{
	(void)dev;
}

static void build(void)
{
	static const struct console_port ops = {tx_room, tx, rx, tx_irq, NULL};

	memset(&con, 0, sizeof(con));
	memset(&mon, 0, sizeof(mon));
	for (size_t i = 0; i < VMS; i++) {
		struct console_client c = {input, input_room, output_room, NULL};

		vms[i] = fake_hv_vm(FAKE_CPUS, 2);
		assert(console_attach(vms[i], &c) == 0);
	}
	console_init(&ops);
	console_use_irq();
	assert(monitor_init(vms, VMS, 0x1d) == 0);
	log_set_sink(console_write_log, NULL);
	for (size_t i = 0; i < VMS; i++)
		vm_start(vms[i]);
}

static void tear_down(void)
{
	log_set_sink(NULL, NULL);
	assert(console_lock.next == console_lock.owner);
	free(con.mon.ring);
	for (size_t i = 0; i < VMS; i++)
		free(vms[i]->console);
	fake_hv_end();
	fake_sched_forget();
	fake_lifecycle_forget();
}

static void pass_time(void)
{
	for (unsigned int i = 0; i < FAKE_CPUS; i++)
		fake_machine_run(i, fake.tsc + 1000000);
	(void)console_tick();
	(void)fake_trace();
}

static void write_line(struct vm *vm)
{
	static const char text[] = "a line of the guest's\r\n";

	spin_lock(&vm->dev_lock);
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		(void)console_put(vm, (uint8_t)text[i]);
	spin_unlock(&vm->dev_lock);
}

static void type(const uint8_t *keys, size_t count)
{
	port.keys = keys;
	port.count = count;
	port.room = 1 << 20;
	console_irq();
	(void)fake_trace();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t begin = 0;

	size = MIN(size, (size_t)1024);
	build();
	for (size_t i = 0; i <= size; i++) {
		if (i < size && data[i] < 0xfe)
			continue;
		type(data + begin, i - begin);
		if (i < size && data[i] == 0xff)
			pass_time();
		else if (i < size)
			write_line(vms[i % VMS]);
		begin = i + 1;
	}
	tear_down();
	return 0;
}
