#include "boot/backtrace.h"

#include "lib/string.h"

#define CALL_NEAR      0xe8 /* CALL rel32 */
#define CALL_NEAR_SIZE 5
#define CALL_INDIRECT  0xff /* with /2: CALL r/m64 */

static bool is_code(const struct backtrace_code *c, uint64_t address)
{
	return address >= c->start && address < c->end;
}

/* Where the direct call that ends at ADDRESS leads; 0: there is none. */
static uint64_t call_target(const struct backtrace_code *c, uint64_t address)
{
	const uint8_t *p = c->text + (address - c->start) - CALL_NEAR_SIZE;
	int32_t distance;

	if (address - c->start < CALL_NEAR_SIZE || *p != CALL_NEAR)
		return 0;
	memcpy(&distance, p + 1, sizeof(distance));
	address += (uint64_t)(int64_t)distance;
	return is_code(c, address) ? address : 0;
}

/* CALL r64, [r64] or [r64 + disp8], [RIP + disp32]: 2 bytes and 0, 1 or 4 more. */
static bool is_indirect_call(const struct backtrace_code *c, uint64_t address)
{
	static const uint8_t sizes[] = {2, 3, 6};

	for (size_t i = 0; i < sizeof(sizes); i++) {
		const uint8_t *p = c->text + (address - c->start) - sizes[i];

		if (address - c->start >= sizes[i] && p[0] == CALL_INDIRECT && (p[1] >> 3 & 7) == 2)
			return true;
	}
	return false;
}

static uint64_t function_of(const struct backtrace_code *c, uint64_t address)
{
	uint32_t into;

	if (!is_code(c, address) ||
	    symbols_find(&c->symbols, (uint32_t)(address - c->image), &into) < 0)
		return 0;
	return address - into;
}

void backtrace(const struct backtrace_code *code, uint64_t pc, const uint64_t *stack, size_t count,
	       unsigned int max, backtrace_sink *sink, void *ctx)
{
	for (size_t i = 0; i < count && max; i++) {
		uint64_t target;

		/* A function that has called itself a thousand times is worth one line. */
		if (!is_code(code, stack[i]) || stack[i] == pc)
			continue;
		target = call_target(code, stack[i]);
		if (!target && !is_indirect_call(code, stack[i]))
			continue;
		sink(ctx, stack[i], target && target == function_of(code, pc));
		pc = stack[i];
		max--;
	}
}
