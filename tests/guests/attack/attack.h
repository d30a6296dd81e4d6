/* The attack guest: cases in tables, each with what a processor would do. */
#ifndef ATTACK_H
#define ATTACK_H

#include "tests/guests/rt/rt.h"

/* Between RAM and devices. */
#define HOLE	      0xc0000000ull
#define TSC_ADJUST    0x3b
#define TSC_DEADLINE  0x6e0
#define MODE_DEADLINE 2u /* of the local APIC's timer, bits 18:17 of its LVT entry */

struct attack_case {
	const char *name;
	void (*run)(void);
};

struct attack_table {
	const struct attack_case *cases;
	size_t count;
};

#define CASES(name) const struct attack_table name = {name##_cases, ARRAY_SIZE(name##_cases)}

extern const struct attack_table msr_table, cpu_table, insn_table, apic_table, memory_table,
	device_table, second_table, flood_table;

extern bool is_amd;

/* Says what was got instead, once a case: the first time counts. */
void got(const char *format, uint64_t a, uint64_t b, uint64_t c);
#define EXPECT(condition, format, a, b, c)                                        \
	do {                                                                      \
		if (!(condition))                                                 \
			got(format, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c)); \
	} while (0)

/* WRMSR and RDMSR: the vector, or NO_FAULT. */
int try_wrmsr(uint32_t msr, uint64_t value);
int try_rdmsr(uint32_t msr, uint64_t *value);
/* N bytes of code at CPL 0 (a return is put behind them), with RDI = argument; and at CPL 3, where
 * INT3 is. */
int try_code(const uint8_t *bytes, size_t n, uint64_t argument);
int try_user_code(const uint8_t *bytes, size_t n, uint64_t argument);

/* SET(old) with two bits flipped, of which at least one is in REFUSED: #GP like each alone. */
void try_pairs(void (*set)(uint64_t), uint64_t old, uint64_t refused, const char *name);

/* SET(old) with each combination of COUNT bits flipped: #GP where one of them is in REFUSED. */
void try_combinations(void (*set)(uint64_t), uint64_t old, uint64_t refused, const uint8_t *bits,
		      unsigned int count, const char *name);

/* What the second processor does next; NULL: it waits. It keeps on until the first one starts it
 * anew. */
extern void (*volatile second_job)(void);
extern volatile uint64_t second_count;
bool restart_second(void); /* false: it does not come */

#endif
