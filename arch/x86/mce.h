/*
 * Machine checks (SDM vol. 3B chapter 16, APM vol. 2 chapter 9): errors that the processor finds in
 * itself, its caches, its buses and memory.
 */
#ifndef ARCH_X86_MCE_H
#define ARCH_X86_MCE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/strbuf.h"

/* IA32_MCi_STATUS */
#define MCI_STATUS_VAL	 (1ULL << 63)
#define MCI_STATUS_OVER	 (1ULL << 62)
#define MCI_STATUS_UC	 (1ULL << 61)
#define MCI_STATUS_EN	 (1ULL << 60)
#define MCI_STATUS_MISCV (1ULL << 59)
#define MCI_STATUS_ADDRV (1ULL << 58)
#define MCI_STATUS_PCC	 (1ULL << 57)
#define MCI_STATUS_S	 (1ULL << 56)
#define MCI_STATUS_AR	 (1ULL << 55)

/* What one bank holds. addr and misc are 0 where there are none. */
struct mce_error {
	uint64_t status, addr, misc;
	uint8_t bank;
};

/*
 * Switches all banks of this core on, where it has machine checks. On each core, after
 * desc_load(), before guests.
 */
void mce_init_cpu(void);

/*
 * The first error in this core's banks from *NEXT on (0 at first), which is then set behind it.
 * With CLEAR the bank is free for the next. False: there is none. Any context.
 */
bool mce_next(unsigned int *next, bool clear, struct mce_error *e);

/*
 * Whether a machine check with E among its errors leaves nothing to go on with. RECOVERABLE:
 * MCG_CAP.MCG_SER_P, which gives S and AR a meaning.
 */
bool mce_is_fatal(const struct mce_error *e, bool recoverable);

/*
 * In the handler: IA32_MCG_STATUS says that the interrupted code cannot go on, or that some error
 * is fatal.
 */
bool mce_cannot_continue(void);

/* In the handler, which returns: another machine check may come. */
void mce_end(void);

/* Adds what E says: "bank 3: memory controller error, corrected, address 12340, status ...". */
void mce_describe(const struct mce_error *e, struct strbuf *sb);

#endif
