#include "emul/alu.h"

#include "lib/util.h"

#define RFLAGS_STATUS (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

uint64_t alu_zero_extend(uint64_t value, unsigned int size)
{
	return size >= 8 ? value : value & (BIT(8 * size) - 1);
}

uint64_t alu_sign_extend(uint64_t value, unsigned int size)
{
	unsigned int spare = size >= 8 ? 0 : 64 - 8 * size;

	return (uint64_t)((int64_t)(value << spare) >> spare);
}

static bool sign(uint64_t value, unsigned int size)
{
	return value >> (8 * size - 1) & 1;
}

static void set_flag(uint64_t *rflags, uint64_t flag, bool on)
{
	*rflags = on ? *rflags | flag : *rflags & ~flag;
}

/* ZF, SF and PF tell of the result alone. */
static void set_result_flags(uint64_t *rflags, uint64_t result, unsigned int size)
{
	unsigned int folded = (result ^ result >> 4) & 15;

	set_flag(rflags, RFLAGS_ZF, result == 0);
	set_flag(rflags, RFLAGS_SF, sign(result, size));
	/* Bit N: whether N has an even number of ones. */
	set_flag(rflags, RFLAGS_PF, 0x9669 >> folded & 1);
}

static uint64_t add(uint64_t dst, uint64_t src, bool carry, unsigned int size, uint64_t *rflags)
{
	uint64_t result = alu_zero_extend(dst + src + carry, size);
	uint64_t carries = (dst & src) | ((dst | src) & ~result);

	set_result_flags(rflags, result, size);
	set_flag(rflags, RFLAGS_CF, sign(carries, size));
	set_flag(rflags, RFLAGS_AF, carries >> 3 & 1);
	set_flag(rflags, RFLAGS_OF, sign((dst ^ result) & (src ^ result), size));
	return result;
}

static uint64_t sub(uint64_t dst, uint64_t src, bool borrow, unsigned int size, uint64_t *rflags)
{
	uint64_t result = alu_zero_extend(dst - src - borrow, size);
	uint64_t borrows = (~dst & src) | ((~dst | src) & result);

	set_result_flags(rflags, result, size);
	set_flag(rflags, RFLAGS_CF, sign(borrows, size));
	set_flag(rflags, RFLAGS_AF, borrows >> 3 & 1);
	set_flag(rflags, RFLAGS_OF, sign((dst ^ src) & (dst ^ result), size));
	return result;
}

static uint64_t logic(uint64_t result, unsigned int size, uint64_t *rflags)
{
	*rflags &= ~RFLAGS_STATUS;
	set_result_flags(rflags, result, size);
	return result;
}

uint64_t alu_binary(enum insn_op op, uint64_t dst, uint64_t src, unsigned int size,
		    uint64_t *rflags)
{
	bool carry = *rflags & RFLAGS_CF;

	dst = alu_zero_extend(dst, size);
	src = alu_zero_extend(src, size);
	switch (op) {
	case OP_ADD:
		return add(dst, src, false, size, rflags);
	case OP_ADC:
		return add(dst, src, carry, size, rflags);
	case OP_SBB:
		return sub(dst, src, carry, size, rflags);
	case OP_SUB:
	case OP_CMP:
		return sub(dst, src, false, size, rflags);
	case OP_OR:
		return logic(dst | src, size, rflags);
	case OP_XOR:
		return logic(dst ^ src, size, rflags);
	default: /* AND, TEST */
		return logic(dst & src, size, rflags);
	}
}

uint64_t alu_unary(enum insn_op op, uint64_t dst, unsigned int size, uint64_t *rflags)
{
	uint64_t carry = *rflags & RFLAGS_CF;
	uint64_t result;

	dst = alu_zero_extend(dst, size);
	if (op == OP_NOT)
		return alu_zero_extend(~dst, size);
	if (op == OP_NEG)
		return sub(0, dst, false, size, rflags);
	result = op == OP_INC ? add(dst, 1, false, size, rflags) : sub(dst, 1, false, size, rflags);
	*rflags = (*rflags & ~RFLAGS_CF) | carry;
	return result;
}

/* What comes in at the open end when OP moves DST by one bit. */
static bool incoming(enum insn_op op, uint64_t dst, bool carry, unsigned int size)
{
	switch (op) {
	case OP_ROL:
	case OP_SAR:
		return sign(dst, size);
	case OP_ROR:
		return dst & 1;
	case OP_RCL:
	case OP_RCR:
		return carry;
	default:
		return false;
	}
}

/* One bit at a time: counts are small, and every flag comes out by itself. */
uint64_t alu_shift(enum insn_op op, uint64_t dst, unsigned int count, unsigned int size,
		   uint64_t *rflags)
{
	bool left = op == OP_ROL || op == OP_RCL || op == OP_SHL || op == OP_SAL;
	bool carry = *rflags & RFLAGS_CF;

	count &= size == 8 ? 63 : 31;
	dst = alu_zero_extend(dst, size);
	if (count == 0)
		return dst;
	for (unsigned int i = 0; i < count; i++) {
		uint64_t in = incoming(op, dst, carry, size);

		carry = left ? sign(dst, size) : dst & 1;
		dst = left ? alu_zero_extend(dst << 1 | in, size) : dst >> 1 | in << (8 * size - 1);
	}
	if (op >= OP_SHL)
		set_result_flags(rflags, dst, size);
	set_flag(rflags, RFLAGS_CF, carry);
	set_flag(rflags, RFLAGS_OF, sign(dst, size) ^ (left ? carry : sign(dst << 1, size)));
	return dst;
}

uint64_t alu_bit(enum insn_op op, uint64_t dst, uint64_t bit, unsigned int size, uint64_t *rflags)
{
	uint64_t mask = BIT(bit & (8 * size - 1));

	set_flag(rflags, RFLAGS_CF, dst & mask);
	switch (op) {
	case OP_BTS:
		return dst | mask;
	case OP_BTR:
		return dst & ~mask;
	case OP_BTC:
		return dst ^ mask;
	default:
		return dst;
	}
}

static unsigned int count_bits(uint64_t value)
{
	unsigned int n = 0;

	for (; value; value &= value - 1)
		n++;
	return n;
}

uint64_t alu_scan(enum insn_op op, uint64_t src, unsigned int size, uint64_t *rflags)
{
	unsigned int width = 8 * size, found;

	src = alu_zero_extend(src, size);
	if (op == OP_POPCNT) {
		*rflags &= ~RFLAGS_STATUS;
		set_flag(rflags, RFLAGS_ZF, !src);
		return count_bits(src);
	}
	if (op == OP_BSF || op == OP_BSR) {
		set_flag(rflags, RFLAGS_ZF, !src);
		if (!src)
			return 0;
		return op == OP_BSF ? __builtin_ctzll(src) : 63 - __builtin_clzll(src);
	}
	if (!src)
		found = width;
	else if (op == OP_TZCNT)
		found = __builtin_ctzll(src);
	else
		found = __builtin_clzll(src) - (64 - width);
	set_flag(rflags, RFLAGS_CF, !src);
	set_flag(rflags, RFLAGS_ZF, !found);
	return found;
}

/* A count beyond 16 bits is undefined: the bits of DST come round again. */
uint64_t alu_double_shift(enum insn_op op, uint64_t dst, uint64_t src, unsigned int count,
			  unsigned int size, uint64_t *rflags)
{
	unsigned int width = 8 * size;
	bool left = op == OP_SHLD, carry = false;

	count &= size == 8 ? 63 : 31;
	dst = alu_zero_extend(dst, size);
	src = alu_zero_extend(src, size);
	if (count == 0)
		return dst;
	for (unsigned int i = 0; i < count; i++) {
		uint64_t in = src >> (left ? width - 1 - i % width : i % width) & 1;

		carry = left ? sign(dst, size) : dst & 1;
		dst = left ? alu_zero_extend(dst << 1 | in, size) : dst >> 1 | in << (width - 1);
	}
	set_result_flags(rflags, dst, size);
	set_flag(rflags, RFLAGS_CF, carry);
	set_flag(rflags, RFLAGS_OF, sign(dst, size) ^ (left ? carry : sign(dst << 1, size)));
	return dst;
}

void alu_multiply(bool is_signed, uint64_t a, uint64_t b, unsigned int size, uint64_t *low,
		  uint64_t *high, uint64_t *rflags)
{
	unsigned __int128 product;
	bool fits;

	if (is_signed)
		product = (unsigned __int128)((__int128)(int64_t)alu_sign_extend(a, size) *
					      (int64_t)alu_sign_extend(b, size));
	else
		product = (unsigned __int128)alu_zero_extend(a, size) * alu_zero_extend(b, size);
	*low = alu_zero_extend((uint64_t)product, size);
	*high = alu_zero_extend((uint64_t)(product >> 8 * size), size);
	fits = *high == (is_signed && sign(*low, size) ? alu_zero_extend(~0ull, size) : 0);
	/* SF, ZF and PF are not defined, and most processors set them so. */
	set_result_flags(rflags, *low, size);
	set_flag(rflags, RFLAGS_CF, !fits);
	set_flag(rflags, RFLAGS_OF, !fits);
}

/* One bit of the quotient at a time: HIGH is less than DIVISOR, so that the quotient fits. */
static void divide(uint64_t *low, uint64_t *high, uint64_t divisor)
{
	for (unsigned int i = 0; i < 64; i++) {
		bool carry = *high >> 63;

		*high = *high << 1 | *low >> 63;
		*low <<= 1;
		if (carry || *high >= divisor) {
			*high -= divisor;
			*low |= 1;
		}
	}
}

static void negate(uint64_t *low, uint64_t *high)
{
	*low = -*low;
	*high = ~*high + !*low;
}

/* Signs apart, all is done with 128 bits by 64. */
bool alu_divide(bool is_signed, uint64_t divisor, unsigned int size, uint64_t *low, uint64_t *high)
{
	unsigned int width = 8 * size;
	uint64_t l = alu_zero_extend(*low, size), h = alu_zero_extend(*high, size), limit;
	bool negative = is_signed && sign(h, size);
	bool minus = is_signed && sign(divisor, size);

	divisor = minus ? -alu_sign_extend(divisor, size) : alu_zero_extend(divisor, size);
	if (size < 8) {
		l |= h << width;
		l = negative ? alu_sign_extend(l, 2 * size) : l;
		h = negative ? ~0ull : 0;
	}
	if (negative)
		negate(&l, &h);
	if (h >= divisor)
		return false;
	divide(&l, &h, divisor);
	limit = alu_zero_extend(~0ull, size) >> is_signed;
	if (l > limit + (is_signed && negative != minus))
		return false;
	*low = alu_zero_extend(negative != minus ? -l : l, size);
	*high = alu_zero_extend(negative ? -h : h, size);
	return true;
}

bool alu_condition(unsigned int code, uint64_t rflags)
{
	bool less = !(rflags & RFLAGS_SF) != !(rflags & RFLAGS_OF);
	bool holds[8] = {
		rflags & RFLAGS_OF,
		rflags & RFLAGS_CF,
		rflags & RFLAGS_ZF,
		rflags & (RFLAGS_CF | RFLAGS_ZF),
		rflags & RFLAGS_SF,
		rflags & RFLAGS_PF,
		less,
		less || (rflags & RFLAGS_ZF),
	};

	return holds[code >> 1 & 7] != (code & 1);
}
