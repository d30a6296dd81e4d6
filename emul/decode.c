#include "emul/insn.h"

#include "emul/tables.h"
#include "lib/err.h"
#include "lib/util.h"

enum { REX_B = 1, REX_X = 2, REX_R = 4, REX_W = 8 };

/* How the opcode is introduced: legacy escapes, or one of the prefixes that carry the map. */
enum { MAP_ONE_BYTE = 0, MAP_0F = 1, MAP_0F38 = 2, MAP_0F3A = 3, MAP_XOP_8 = 8, MAP_XOP_A = 10 };

/* The bytes still to be read. The first error sticks, and zeros are read from then on. */
struct cursor {
	const uint8_t *bytes;
	size_t n, pos;
	int err;
	bool vector;		   /* VEX, EVEX or XOP */
	uint8_t pp;		   /* the mandatory prefix that VEX stands for, */
	bool vex, wide, no_source; /* that it is VEX; VEX.L; that VEX.vvvv names no register */
	bool segment_override;
};

static uint8_t peek(struct cursor *c)
{
	if (!c->err && c->pos >= INSN_MAX)
		c->err = -E2BIG;
	if (!c->err && c->pos >= c->n)
		c->err = -EAGAIN;
	return c->err ? 0 : c->bytes[c->pos];
}

static uint8_t take(struct cursor *c)
{
	uint8_t byte = peek(c);

	c->pos++;
	return byte;
}

static uint64_t take_unsigned(struct cursor *c, unsigned int size)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < size; i++)
		value |= (uint64_t)take(c) << (8 * i);
	return value;
}

static int64_t take_signed(struct cursor *c, unsigned int size)
{
	unsigned int spare = 64 - 8 * size;

	return size ? (int64_t)(take_unsigned(c, size) << spare) >> spare : 0;
}

static void invalid(struct cursor *c)
{
	if (!c->err)
		c->err = -EINVAL;
}

static void override_segment(struct cursor *c, struct insn *i, enum emul_seg_id seg)
{
	/* In 64-bit mode only FS and GS can be chosen, APM vol. 3 1.2.4. */
	if (i->mode == EMUL_MODE_64 && seg < EMUL_FS)
		return;
	i->seg = seg;
	c->segment_override = true;
}

/* One legacy prefix, SDM vol. 2 2.1.1. Returns whether BYTE is one. */
static bool legacy_prefix(struct cursor *c, struct insn *i, uint8_t byte)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
		override_segment(c, i, EMUL_ES + (byte >> 3 & 3));
		return true;
	case 0x64:
	case 0x65:
		override_segment(c, i, EMUL_FS + (byte & 1));
		return true;
	case 0x66:
		i->opsize_prefix = true;
		return true;
	case 0x67:
		i->addr_size = i->mode == EMUL_MODE_32 ? 2 : 4;
		return true;
	case 0xf0:
		i->lock = true;
		return true;
	case 0xf2:
	case 0xf3:
		i->rep = byte;
		return true;
	default:
		return false;
	}
}

/* A REX prefix counts only right before the opcode (SDM vol. 2 2.2.1). */
static void decode_prefixes(struct cursor *c, struct insn *i)
{
	for (;;) {
		uint8_t byte = peek(c);

		if (c->err)
			return;
		if (i->mode == EMUL_MODE_64 && (byte & 0xf0) == 0x40)
			i->rex = byte;
		else if (legacy_prefix(c, i, byte))
			i->rex = 0;
		else
			return;
		c->pos++;
	}
}

/*
 * VEX's fields (2.3.5): R, X and B inverted in FIRST, from LAST on W, vvvv, L and pp; the short
 * form has R and the latter in one byte.
 */
static void decode_vex(struct cursor *c, struct insn *i, uint8_t first, uint8_t last, bool is_short)
{
	static const uint8_t prefixes[4] = {0, 0x66, 0xf3, 0xf2};

	c->vex = true;
	c->pp = prefixes[last & 3];
	c->wide = last & 4;
	c->no_source = (last & 0x78) == 0x78;
	if (i->mode != EMUL_MODE_64)
		return;
	i->rex = 0x40 | (~first >> 5 & (is_short ? REX_R : REX_R | REX_X | REX_B));
	if (!is_short && last & 0x80)
		i->rex |= REX_W;
}

/* VEX, EVEX and XOP: their payload bytes and the opcode. Of the latter two only the length matters.
 */
static void decode_vector(struct cursor *c, struct insn *i, uint8_t prefix)
{
	uint8_t first = take(c), last = first;

	if (i->lock || i->rep || i->opsize_prefix || i->rex)
		invalid(c);
	c->vector = true;
	i->map = prefix == 0xc5 ? MAP_0F : prefix == 0x62 ? first & 7 : first & 0x1f;
	if (prefix != 0xc5)
		last = take(c);
	if (prefix == 0x62)
		take(c);
	else if (prefix != 0x8f)
		decode_vex(c, i, first, last, prefix == 0xc5);
	i->opcode = take(c);
}

/* Outside 64-bit mode, LES, LDS, BOUND and POP are told apart by what must be a ModRM byte. */
static bool is_vector_prefix(struct cursor *c, const struct insn *i, uint8_t opcode)
{
	uint8_t next;

	if (opcode != 0x62 && opcode != 0xc4 && opcode != 0xc5 && opcode != 0x8f)
		return false;
	next = peek(c);
	if (opcode == 0x8f)
		return (next & 0x1f) >= MAP_XOP_8;
	return i->mode == EMUL_MODE_64 || next >= 0xc0;
}

static void decode_opcode(struct cursor *c, struct insn *i)
{
	i->opcode = take(c);
	if (is_vector_prefix(c, i, i->opcode)) {
		decode_vector(c, i, i->opcode);
		return;
	}
	if (i->opcode != 0x0f)
		return;
	i->opcode = take(c);
	i->map = i->opcode == 0x38 ? MAP_0F38 : i->opcode == 0x3a ? MAP_0F3A : MAP_0F;
	if (i->map != MAP_0F)
		i->opcode = take(c);
}

/* VEX and EVEX map 1 follows table A-3 as far as it has ModRM; the rest has no old instructions. */
static unsigned int vector_attr(const struct insn *i)
{
	uint8_t attr = insn_attr_0f[i->opcode];

	switch (i->map) {
	case MAP_0F:
		return i->opcode == 0x77 || (attr & ATTR_MODRM) ? attr : ATTR_NONE;
	case MAP_0F3A:
	case MAP_XOP_8:
		return ATTR_MODRM | IMM_8;
	case MAP_XOP_A:
		return ATTR_MODRM | IMM_32;
	default:
		return ATTR_MODRM;
	}
}

static unsigned int attr_of(const struct cursor *c, const struct insn *i)
{
	if (c->vector)
		return vector_attr(i);
	switch (i->map) {
	case MAP_ONE_BYTE:
		return insn_attr_one_byte[i->opcode];
	case MAP_0F:
		return insn_attr_0f[i->opcode];
	default:
		return ATTR_MODRM | (i->map == MAP_0F3A ? IMM_8 : IMM_NONE);
	}
}

/* SDM vol. 2 table 2-1. */
static void decode_address_16(struct cursor *c, struct insn *i, unsigned int mod, unsigned int rm)
{
	static const struct {
		uint8_t base, index;
	} forms[8] = {
		{EMUL_RBX, EMUL_RSI},	 {EMUL_RBX, EMUL_RDI},	  {EMUL_RBP, EMUL_RSI},
		{EMUL_RBP, EMUL_RDI},	 {EMUL_RSI, EMUL_NO_REG}, {EMUL_RDI, EMUL_NO_REG},
		{EMUL_RBP, EMUL_NO_REG}, {EMUL_RBX, EMUL_NO_REG},
	};

	if (mod == 0 && rm == 6) {
		i->disp = take_signed(c, 2);
		return;
	}
	i->base = forms[rm].base;
	i->index = forms[rm].index;
	i->disp = take_signed(c, mod);
}

static void decode_sib(struct cursor *c, struct insn *i, unsigned int mod)
{
	uint8_t sib = take(c);
	uint8_t index = (sib >> 3 & 7) | (i->rex & REX_X ? 8 : 0);

	i->scale = 1 << (sib >> 6);
	i->index = index == EMUL_RSP ? EMUL_NO_REG : index;
	i->base = (sib & 7) == EMUL_RBP && mod == 0 ? EMUL_NO_REG
						    : (sib & 7) | (i->rex & REX_B ? 8 : 0);
}

/* SDM vol. 2 tables 2-2 and 2-3, 2.2.1.6. */
static void decode_address_32(struct cursor *c, struct insn *i, unsigned int mod, unsigned int rm)
{
	i->base = i->rm;
	if (rm == EMUL_RSP)
		decode_sib(c, i, mod);
	else if (rm == EMUL_RBP && mod == 0)
		i->base = i->mode == EMUL_MODE_64 ? EMUL_RIP : EMUL_NO_REG;
	if (mod == 0)
		i->disp = i->base == EMUL_RIP || i->base == EMUL_NO_REG ? take_signed(c, 4) : 0;
	else
		i->disp = take_signed(c, mod == 1 ? 1 : 4);
}

static void decode_modrm(struct cursor *c, struct insn *i, unsigned int attr)
{
	unsigned int mod, rm;

	if (!(attr & ATTR_MODRM))
		return;
	i->has_modrm = true;
	i->modrm = take(c);
	mod = attr & ATTR_REG_ONLY ? 3 : i->modrm >> 6;
	rm = i->modrm & 7;
	i->reg = (i->modrm >> 3 & 7) | (i->rex & REX_R ? 8 : 0);
	i->rm = rm | (i->rex & REX_B ? 8 : 0);
	i->mem = mod != 3;
	if (!i->mem)
		return;
	if (i->addr_size == 2)
		decode_address_16(c, i, mod, rm);
	else
		decode_address_32(c, i, mod, rm);
	if ((i->base == EMUL_RBP || i->base == EMUL_RSP) && !c->segment_override)
		i->seg = EMUL_SS;
}

static uint8_t default_op_size(const struct insn *i)
{
	if (i->rex & REX_W)
		return 8;
	return (i->mode == EMUL_MODE_16) != i->opsize_prefix ? 2 : 4;
}

/* Immediates that depend on more than the opcode. */
static unsigned int immediate_kind(const struct cursor *c, const struct insn *i, unsigned int attr)
{
	unsigned int reg = i->modrm >> 3 & 7;

	if (c->vector)
		return attr & IMM_KIND;
	/* Group 3: TEST has one, the others have none. */
	if (i->map == MAP_ONE_BYTE && (i->opcode & 0xfe) == 0xf6 && reg < 2)
		return i->opcode & 1 ? IMM_Z : IMM_8;
	/* SSE4a's EXTRQ and INSERTQ take two bytes, VMREAD none. */
	if (i->map == MAP_0F && i->opcode == 0x78 && (i->opsize_prefix || i->rep == 0xf2))
		return IMM_16;
	return attr & IMM_KIND;
}

static void decode_immediate(struct cursor *c, struct insn *i, unsigned int kind)
{
	unsigned int z = MIN(i->op_size, 4);

	switch (kind) {
	case IMM_8:
		i->imm = take_signed(c, 1);
		break;
	case IMM_16:
		i->imm = take_signed(c, 2);
		break;
	case IMM_16_8:
		i->imm = take_signed(c, 3);
		break;
	case IMM_32:
		i->imm = take_signed(c, 4);
		break;
	case IMM_Z:
		i->imm = take_signed(c, z);
		break;
	case IMM_V:
		i->imm = take_signed(c, i->op_size);
		break;
	case IMM_J:
		i->imm = take_signed(c, i->mode == EMUL_MODE_64 ? 4 : z);
		break;
	case IMM_FAR:
		i->imm = take_signed(c, z + 2);
		break;
	case IMM_OFFSET:
		i->mem = true;
		i->disp = (int64_t)take_unsigned(c, i->addr_size);
		break;
	default:
		break;
	}
}

static uint8_t source_size(const struct insn *i, unsigned int flags)
{
	if (flags & ROW_SRC_8)
		return 1;
	if (flags & ROW_SRC_16)
		return 2;
	return flags & ROW_SRC_32 ? 4 : i->op_size;
}

static void set_sizes(struct insn *i, unsigned int flags)
{
	if (flags & ROW_BYTE)
		i->op_size = 1;
	if ((flags & ROW_STACK) && i->mode == EMUL_MODE_64 && i->op_size == 4)
		i->op_size = 8;
	if (i->op == OP_SMSW)
		i->op_size = 2;
	if (i->op == OP_MOVNTI)
		i->op_size = i->rex & REX_W ? 8 : 4;
	if (i->op == OP_INS || i->op == OP_OUTS)
		i->op_size = MIN(i->op_size, 4);
	if (i->op == OP_CMPXCHG8B)
		i->op_size = i->rex & REX_W ? 16 : 8;
	/* A segment register fills a wide general register, but only a word of memory. */
	if (i->src == OPND_SREG && i->mem)
		i->op_size = 2;
	i->src_size = source_size(i, flags);
}

/* A move has no second source, and one element fits into 128 bits. */
static bool vex_allows(const struct cursor *c, const struct vector_row *row)
{
	if (!c->no_source || row->flags & VECTOR_MMX)
		return false;
	return !c->wide || row->size == 16 || row->flags & VECTOR_ANY_LENGTH;
}

/* F2h and F3h select an instruction before 66h does (SDM vol. 2 2.1.2). */
static void decode_vector_move(const struct cursor *c, struct insn *i)
{
	uint8_t prefix = c->vex ? c->pp : i->rep ? i->rep : i->opsize_prefix ? 0x66 : 0;
	const struct vector_row *row = vector_row(i->map, i->opcode, prefix);

	if (!row || (c->vex && !vex_allows(c, row)))
		return;
	i->vector = c->vex ? INSN_VEX : row->flags & VECTOR_MMX ? INSN_MMX : INSN_XMM;
	i->op = OP_MOV_VECTOR;
	i->dst = row->flags & VECTOR_STORE ? OPND_RM : OPND_VECTOR;
	i->src = row->flags & VECTOR_STORE ? OPND_VECTOR : OPND_RM;
	i->op_size = row->flags & VECTOR_WIDE && i->rex & REX_W ? 8 : row->size;
	if (row->size == 16 && c->wide)
		i->op_size = 32;
	/* There are eight, whatever REX.R says. */
	if (i->vector == INSN_MMX)
		i->reg &= 7;
	i->src_size = i->op_size;
	i->aligned = row->flags & VECTOR_ALIGNED;
}

/* What the instruction does, for those that exec.c executes. */
static void decode_meaning(struct cursor *c, struct insn *i)
{
	struct insn_row row = {0};

	if (!c->vector)
		row = insn_row(i->map, i->opcode, i->modrm >> 3 & 7, i->rep);
	/* The register forms are not these, with 0F 01 E0 to E7 as all of them, and fences. */
	if ((row.op == OP_SMSW || row.op == OP_CLFLUSH) && !i->mem)
		row.op = OP_NONE;
	if (row.op == OP_CLFLUSH && (i->modrm >> 3 & 7) == 6 && !i->opsize_prefix)
		row.op = OP_NONE;
	if (row.op == OP_MOVSX && i->opcode == 0x63 && i->mode != EMUL_MODE_64)
		row.op = OP_NONE;
	if ((row.flags & ROW_NO_PREFIX) && i->rep)
		row.op = OP_NONE;
	if (row.op == OP_MOVNTI && i->opsize_prefix)
		invalid(c);
	/* AMD's MOV to and from CR8 outside 64-bit mode is LOCK MOV CR0, APM vol. 3. */
	if (i->lock && !(i->map == MAP_0F && (i->opcode & 0xfd) == 0x20) &&
	    !((row.flags & ROW_LOCK) && i->mem && row.op && row.dst == OPND_RM))
		invalid(c);
	if (row.op == OP_NONE) {
		if (i->mem && c->vector == c->vex && (i->map == MAP_0F || i->map == MAP_0F38))
			decode_vector_move(c, i);
		return;
	}
	if ((row.flags & ROW_MEM_ONLY) && !i->mem)
		invalid(c);
	if (row.src == OPND_SREG && (i->reg & 7) >= EMUL_SEG_COUNT)
		invalid(c);
	i->op = row.op;
	i->dst = row.dst;
	i->src = row.src;
	set_sizes(i, row.flags);
}

int insn_decode(struct insn *insn, const uint8_t *bytes, size_t n, enum emul_mode mode)
{
	struct cursor c = {.bytes = bytes, .n = n};
	unsigned int attr;

	*insn = (struct insn){
		.mode = mode,
		.addr_size = mode / 8,
		.seg = EMUL_DS,
		.base = EMUL_NO_REG,
		.index = EMUL_NO_REG,
		.scale = 1,
	};
	decode_prefixes(&c, insn);
	decode_opcode(&c, insn);
	insn->op_size = default_op_size(insn);
	attr = attr_of(&c, insn);
	if ((attr & ATTR_NONE) || ((attr & ATTR_NOT_64) && mode == EMUL_MODE_64))
		invalid(&c);
	decode_modrm(&c, insn, attr);
	decode_immediate(&c, insn, immediate_kind(&c, insn, attr));
	decode_meaning(&c, insn);
	insn->length = c.pos;
	return c.err;
}

int emul_length(const uint8_t *bytes, size_t n, enum emul_mode mode)
{
	struct insn insn;
	int err = insn_decode(&insn, bytes, n, mode);

	return err ? err : insn.length;
}
