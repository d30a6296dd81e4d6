/*
 * Guests' consoles and the hypervisor's own messages on the one physical console. A guest's serial
 * port gives bytes with console_put() and is told when there is input or room again. With one VM
 * its bytes pass as they are; with several, each line gets "NAME| " in front, lines of different
 * VMs do not mix, and what is not written by the VM that is typed to is shown as text alone
 * (core/console_text.h). The hypervisor's lines always start at the beginning of a line, and come
 * after what guests had written before them.
 *
 * A VM may leave that line for a port of its own, where its bytes pass as they are both ways, or
 * for none (console_leave_line()).
 *
 * Locks: one lock guards all of this; it is the innermost, a VM's dev_lock comes before it, and
 * clients are called without it.
 */
#ifndef CORE_CONSOLE_H
#define CORE_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vm;

#define CONSOLE_RING 65536u
/* Longest line that is being typed to the monitor, its prompt included. */
#define CONSOLE_LINE 96u
/* What typed() gets for the escape key; everything else is a byte. */
#define CONSOLE_ESCAPE 0x100

/* A physical port. Called with the console's lock held, from any core, so never twice at once. */
struct console_port {
	unsigned int (*tx_room)(void *ctx); /* bytes that tx() takes now without loss */
	void (*tx)(void *ctx, uint8_t byte);
	bool (*rx)(void *ctx, uint8_t *byte); /* false: nothing was received */
	/*
	 * Interrupts when something is received, and with ON when there is room to send. What is
	 * pending at the time of the call interrupts anew.
	 */
	void (*tx_irq)(void *ctx, bool on);
	void *ctx;
};

/* What the device behind a console is told. Called with the VM's dev_lock held. */
struct console_client {
	/* One byte was typed; the device has said input_room() > 0. */
	void (*input)(void *dev, uint8_t byte);
	unsigned int (*input_room)(void *dev);
	/* console_put() refused before and would take a byte now. */
	void (*output_room)(void *dev);
	void *dev;
};

/*
 * Uses PORT (kept by reference; NULL: no physical console, output goes nowhere), and polls until
 * console_use_irq(). What was written before waits for this.
 */
void console_init(const struct console_port *port);

/* From now on the ports' interrupts call console_irq(), and output need not wait for the port. */
void console_use_irq(void);

/*
 * The interrupt of any of the ports, on the core that takes it; no lock of core/ held. Takes
 * dev_locks.
 */
void console_irq(void);

/*
 * Does what is due with time: shows a line that a guest left unfinished. No lock of core/ held.
 * Returns the host TSC at which to call again; ~0: not before something is written. console_put()
 * may bring that forward, by no more than 100 ms: calling every 100 ms is right, too.
 */
uint64_t console_tick(void);

/*
 * Sends everything that waits, by polling, until it is out or the port takes no more. Any core,
 * at the end.
 */
void console_flush(void);

/*
 * One line of the hypervisor's own, without its line end: of type log_sink (lib/log.h). Any core;
 * CTX is not used.
 */
void console_write_log(void *ctx, const char *line, size_t len);

/* Gives VM a console with rings of its own. -ENOMEM. At boot, before guests run. */
int console_attach(struct vm *vm, const struct console_client *client);

/*
 * VM's console goes to PORT (kept by reference) and to nobody else; NULL: it is shown nowhere, but
 * the monitor's log still has it. At boot, after console_attach().
 */
void console_leave_line(struct vm *vm, const struct console_port *port);

/* Is VM's console on the line that the monitor is on? */
bool console_on_line(const struct vm *vm);

/*
 * What is typed goes to VM from now on, which is on the line; the first such VM has it at first.
 * NULL: to nobody. Any core.
 */
void console_focus(struct vm *vm);

/*
 * One byte from VM's device, dev_lock held. False when the ring is full: keep it and wait for
 * output_room().
 */
bool console_put(struct vm *vm, uint8_t byte);

/* VM's device has room for input again: bytes that wait are passed on now. dev_lock held. */
void console_input_ready(struct vm *vm);

/*
 * The monitor. TYPED is called for the key ESCAPE and, while the monitor is open, for every byte
 * typed; on the core that takes the port's interrupt, without locks. At boot, once. -ENOMEM: its
 * 128 KiB are not there.
 */
int console_set_monitor(uint8_t escape, void (*typed)(int key));

/*
 * While the monitor is open it has the line: what guests write waits, and what does not fit into
 * their rings is skipped, so that nobody stops. The hypervisor's messages appear at once. The
 * others here are for while it is open. Any core.
 */
void console_monitor_open(bool open);

/* Whole lines of the monitor's, with '\n'; what does not fit into 128 KiB is lost. */
void console_monitor_write(const char *text, size_t len);

/*
 * The line that is being typed, prompt included, and where the cursor is in it; it is shown behind
 * all else. It must hold no control characters.
 */
void console_monitor_line(const char *line, size_t len, size_t cursor);

/* That line is finished: it becomes one like the others. */
void console_monitor_enter(void);

/*
 * The text in the last CONSOLE_RING bytes that VM wrote, as lines of the monitor's. VM has a
 * console.
 */
void console_monitor_log(struct vm *vm);

/* Bytes of VM's, which is on the line, that will never be sent, since the monitor was opened last.
 */
uint32_t console_skipped(struct vm *vm);

/* To whom typing goes; NULL: to nobody. */
struct vm *console_focused(void);

/*
 * VM starts anew: input typed for its former life and a refused byte are forgotten. dev_lock held.
 */
void console_reset(struct vm *vm);

#endif
