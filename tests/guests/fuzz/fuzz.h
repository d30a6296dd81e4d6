/* The fuzzing guest: a stream of bytes drawn from a seed, and an interpreter that takes it for a
 * program. */
#ifndef FUZZ_H
#define FUZZ_H

#include "tests/guests/rt/rt.h"

/* Of a processor: its stream, and where it is in it. */
struct stream {
	uint64_t state;
	uint64_t op;  /* operations done */
	size_t drawn; /* which of operations[] is next */
};

/* What is counted apart. */
enum kind {
	K_MSR,
	K_PORT,
	K_MMIO,
	K_APIC,
	K_CR,
	K_HYPERCALL,
	K_INSTRUCTION,
	K_MEMORY,
	K_USER,
	KINDS
};

/* One operation; it takes its operands from S. What it breaks, heal() mends. */
struct operation {
	const char *name;
	enum kind kind;
	unsigned int weight;
	void (*run)(struct stream *s);
};

extern const struct operation operations[];
extern const size_t operation_count;

/* Memory that anything may be written to, far from everything else; each processor has its own. */
#define SCRATCH	     0x600000u
#define USER_SCRATCH 0x500000u
static inline uint64_t scratch(void)
{
	return SCRATCH + 0x20000ull * rt_cpu_id();
}

uint64_t next64(struct stream *s);
static inline uint32_t below(struct stream *s, uint32_t n)
{
	return (uint32_t)(next64(s) >> 33) % n;
}
/* A number as an attacker picks it: edges, single bits, addresses of things, or anything. */
uint64_t pick(struct stream *s);

/*
 * What would end the guest itself, or leave it deaf, is taken out of what was drawn: resets and
 * power-off, INIT of the first processor, and the guest's own memory as a target of writes.
 */
uint64_t safe_port_value(uint16_t port, uint64_t value, unsigned int size);
uint32_t safe_delivery(uint32_t value); /* ICR, LVT, redirection entry */

/*
 * QEMU 7.2 ends itself, whoever asks it to, at breakpoints and at LOCK before a bit test of a
 * register (docs/hardware.md): with qemu=1 neither is there.
 */
bool is_qemu(void);

/* Control registers, EFER, debug registers and segments as they were. */
void heal(void);
/* Code for user mode, of its processor. */
void run_user_code(struct stream *s);

#endif
