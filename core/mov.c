/*
 * A short way for what nearly all accesses to devices are: MOV in 64-bit code. The processor has
 * translated and checked the operand's address before the access exited, and says where that is in
 * guest-physical memory; so the bytes are all there is to know, and the last ones are remembered.
 */
#include "core/bus.h"
#include "core/exits.h"
#include "core/gmem.h"
#include "core/lapic.h"
#include "emul/insn.h"

static uint64_t low_bytes(unsigned int count)
{
	return count >= 8 ? ~0ull : BIT(8 * count) - 1;
}

/* AH to BH, and RSP, which v->gpr does not have, are left to mmio_emulate(). */
static bool is_plain_register(const struct insn *i, uint8_t reg)
{
	return reg != RSP && !(i->op_size == 1 && !i->rex && reg >= RSP && reg <= RDI);
}

/* The register, constant or memory that is not the memory operand. */
static bool take_operand(struct mov_slot *m, const struct insn *i, uint8_t operand)
{
	m->has_reg = operand == OPND_REG || operand == OPND_ACC;
	m->reg = operand == OPND_REG ? i->reg : RAX;
	m->constant = (uint64_t)i->imm & low_bytes(i->op_size);
	if (m->has_reg)
		return is_plain_register(i, m->reg);
	return m->write && operand == OPND_IMM;
}

/* FS and GS have bases; RSP and RIP are not in v->gpr. */
static void take_address(struct mov_slot *m, const struct insn *i)
{
	m->base = i->base;
	m->index = i->index;
	m->scale = i->scale;
	m->disp = i->disp;
	m->known_address = i->seg != EMUL_FS && i->seg != EMUL_GS && i->base != RSP &&
			   i->base != EMUL_RIP;
}

/* False: the instruction at CODE is no plain MOV. */
static bool remember(struct mov_slot *m, const uint64_t code[2])
{
	struct insn i;

	m->length = 0;
	if (insn_decode(&i, (const uint8_t *)code, INSN_MAX, EMUL_MODE_64) || i.op != OP_MOV ||
	    !i.mem || i.lock || i.rep)
		return false;
	m->write = i.dst == OPND_RM;
	if (!take_operand(m, &i, m->write ? i.src : i.dst))
		return false;
	take_address(m, &i);
	m->size = i.op_size;
	m->mask[0] = low_bytes(i.length);
	m->mask[1] = i.length > 8 ? low_bytes(i.length - 8u) : 0;
	m->code[0] = code[0] & m->mask[0];
	m->code[1] = code[1] & m->mask[1];
	m->length = i.length;
	return true;
}

static void load(struct vcpu *v, const struct mov_slot *m, uint64_t value)
{
	uint64_t *reg = &v->gpr[m->reg];

	/* 32 bits clear the upper half, fewer leave the rest as it is. */
	if (m->size >= 4)
		*reg = value;
	else
		*reg = (*reg & ~low_bytes(m->size)) | value;
}

static uint64_t register_or_0(const struct vcpu *v, uint8_t reg)
{
	return reg == EMUL_NO_REG ? 0 : v->gpr[reg];
}

/*
 * Of an operand that lies across two pages the second one's first byte may be all that the exit
 * tells of (APM vol. 2 15.25.6): what begins a page must be known to begin there. Below the page's
 * size a linear address is a physical one.
 */
static bool begins_page(const struct vcpu *v, const struct mov_slot *m)
{
	uint64_t address = (uint64_t)m->disp;

	if (!m->known_address)
		return false;
	address += register_or_0(v, m->base) + register_or_0(v, m->index) * m->scale;
	return !(address & (PAGE_SIZE - 1));
}

unsigned int exit_mov(struct vcpu *v, const uint8_t *code, uint64_t gpa, bool write)
{
	struct mov_slot *m = &v->mov;
	uint64_t bytes[MOV_CODE / 8], value;

	_Static_assert(sizeof(bytes) >= INSN_MAX, "a whole instruction");
	/* Other processors may rewrite it: looked at once. */
	__builtin_memcpy(bytes, code, sizeof(bytes));
	if (unlikely(!m->length || (bytes[0] & m->mask[0]) != m->code[0] ||
		     (bytes[1] & m->mask[1]) != m->code[1]) &&
	    !remember(m, bytes))
		return 0;
	if (unlikely(m->write != write || (gpa & (PAGE_SIZE - 1)) > PAGE_SIZE - m->size ||
		     gmem_is_ram(v->vm, gpa)))
		return 0;
	if (!(gpa & (PAGE_SIZE - 1)) && m->size > 1 && !begins_page(v, m))
		return 0;
	value = m->has_reg ? v->gpr[m->reg] & low_bytes(m->size) : m->constant;
	if (unlikely(lapic_covers(v, gpa)))
		lapic_mmio(v, gpa & (PAGE_SIZE - 1), write, m->size, &value);
	else
		bus_mmio(v, gpa, write, m->size, &value);
	if (!write)
		load(v, m, value);
	return m->length;
}
