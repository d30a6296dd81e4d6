/*
 * A 8254 interval timer as on a PC (Intel 8254 data sheet): counter 0 on interrupt input 0, counter
 * 1 for memory refresh, counter 2 for the speaker; and port 61h, which holds counter 2's gate and
 * shows its output (82371AB data sheet 4.2.5.1).
 */
#ifndef DEVICES_I8254_H
#define DEVICES_I8254_H

#include <stdbool.h>
#include <stdint.h>

#include "core/devtimer.h"

#define I8254_HZ  1193182u
#define I8254_GSI 2 /* of counter 0, as the MADT says */

struct vm;

/* Times are in ticks of I8254_HZ since the host's TSC was 0. */
struct i8254_counter {
	uint8_t mode;	/* 0 to 5 */
	uint8_t access; /* 1 low byte, 2 high byte, 3 low then high */
	bool bcd;
	bool gate;
	bool loaded;	  /* counting, or waiting for its trigger: a count was written */
	bool triggered;	  /* modes 1 and 5: the gate has risen since */
	bool high_next_w; /* access 3: the next byte is the high one */
	bool high_next_r;
	bool low_written; /* access 3: half a count is there */
	uint8_t low;	  /* that half */
	uint32_t count;	  /* the count in force, 1 to 65536 (10000 in BCD) */
	uint32_t next;	  /* written, and not in force: until LOAD_AT or a trigger; 0: none */
	uint64_t load_at; /* modes 2 and 3 */
	bool load_low;	  /* mode 3: that is where the output falls */
	uint64_t start;	  /* when the count in force was loaded */
	uint64_t held;	  /* while it does not count: ticks that had passed */
	bool count_latched, status_latched;
	uint16_t latch;
	uint8_t status;
};

struct i8254 {
	struct vm *vm;
	struct i8254_counter counter[3];
	struct dev_timer timer; /* the next rise of counter 0's output */
	bool line;		/* counter 0's output, as far as it is followed */
	bool replaced;		/* an HPET has its interrupt */
	uint8_t port_b;		/* 61h: bits 3:0, and REFRESH */
};

/* Puts the timer and port 61h on VM's bus. 0 or bus errors. */
int i8254_init(struct i8254 *pit, struct vm *vm);
/*
 * State as firmware leaves it: counter 0 ticks 18.2 times a second in mode 3. dev_lock held, or no
 * vCPU runs.
 */
void i8254_reset(struct i8254 *pit);
/* An HPET takes counter 0's place at the interrupt controllers, or gives it back. dev_lock held. */
void i8254_replace(struct i8254 *pit, bool on);

#endif
