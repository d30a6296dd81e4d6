/* Real mode, flat protected mode and long mode as guests find them. */
#include "guest/entry.h"

#include "core/vm.h"
#include "guest/layout.h"
#include "lib/string.h"

/*
 * Control registers, SDM vol. 3A 2.5. CD and NW, which power-up sets, are clear in all of them:
 * firmware has turned caches on long before anything like a guest's image runs.
 */
#define CR0_REAL      0x10u	  /* ET */
#define CR0_PROTECTED 0x31u	  /* NE ET PE */
#define CR0_LONG      0x80000031u /* PG NE ET PE */
#define CR4_LONG      0x20u	  /* PAE */
#define EFER_LONG     0x500u	  /* LMA LME */

/* Access rights of accessed, ring-0 segments: a readable code segment, a writable data segment. */
#define CODE_16 (SEG_ATTR_P | SEG_ATTR_S | 0xb)
#define CODE_32 (CODE_16 | SEG_ATTR_G | SEG_ATTR_DB)
#define CODE_64 (CODE_16 | SEG_ATTR_G | SEG_ATTR_L)
#define DATA_16 (SEG_ATTR_P | SEG_ATTR_S | 0x3)
#define DATA_32 (DATA_16 | SEG_ATTR_G | SEG_ATTR_DB)

/* A 2 MiB page, and an entry that points to a table: present, writable (SDM vol. 3A 4.5). */
#define PTE_TABLE   0x03u
#define PTE_PAGE_2M 0x83u
#define MAPPED_GIB  4u

static void set_segments(struct vcpu *v, struct vcpu_seg code, struct vcpu_seg data)
{
	static const uint8_t data_segs[] = {SEG_ES, SEG_SS, SEG_DS, SEG_FS, SEG_GS};

	v->st.seg[SEG_CS] = code;
	for (size_t i = 0; i < ARRAY_SIZE(data_segs); i++)
		v->st.seg[data_segs[i]] = data;
}

static void set_start(struct vcpu *v, uint64_t rip, uint64_t rsp)
{
	memset(v->gpr, 0, sizeof(v->gpr));
	v->gpr[RSP] = rsp;
	v->st.rip = rip;
	v->st.rflags = 2; /* the bit that is always 1 */
}

void entry_real(struct vcpu *v, uint16_t ip, uint16_t sp)
{
	struct vcpu_seg code = {.attr = CODE_16, .limit = 0xffff};
	struct vcpu_seg data = {.attr = DATA_16, .limit = 0xffff};

	v->st.cr0 = CR0_REAL;
	set_segments(v, code, data);
	v->st.idtr = (struct vcpu_table){.base = 0, .limit = 0x3ff};
	set_start(v, ip, sp);
}

/* The descriptor of a segment with base 0 and limit 4 GiB: SDM vol. 3A figure 3-8. */
static uint64_t flat_descriptor(uint32_t attr)
{
	uint64_t limit = 0xffffULL | 0xfULL << 48;

	return limit | (uint64_t)(attr & 0xff) << 40 | (uint64_t)(attr >> 12) << 52;
}

static void enter_flat(struct writer *w, struct vcpu *v, uint32_t code_attr, uint64_t rip)
{
	struct vcpu_seg code = {.selector = ENTRY_CS, .attr = code_attr, .limit = UINT32_MAX};
	struct vcpu_seg data = {.selector = ENTRY_DS, .attr = DATA_32, .limit = UINT32_MAX};

	put_u64(w, LAYOUT_GDT + ENTRY_CS, flat_descriptor(code_attr));
	put_u64(w, LAYOUT_GDT + ENTRY_DS, flat_descriptor(DATA_32));
	v->st.gdtr = (struct vcpu_table){.base = LAYOUT_GDT, .limit = ENTRY_DS + 7};
	/* No gate is there: an exception before the guest has its own IDT is a triple fault. */
	v->st.idtr = (struct vcpu_table){.base = 0, .limit = 0};
	set_segments(v, code, data);
	set_start(v, rip, LAYOUT_STACK_TOP);
}

void entry_protected(struct writer *w, struct vcpu *v, uint64_t rip)
{
	v->st.cr0 = CR0_PROTECTED;
	enter_flat(w, v, CODE_32, rip);
}

/* One PML4, one page-directory-pointer table, and a page directory for each GiB. */
static void identity_map(struct writer *w)
{
	const uint64_t pml4 = LAYOUT_PAGE_TABLES;
	const uint64_t pdpt = pml4 + PAGE_SIZE, pd = pdpt + PAGE_SIZE;

	put_u64(w, pml4, pdpt | PTE_TABLE);
	for (unsigned int i = 0; i < MAPPED_GIB; i++)
		put_u64(w, pdpt + 8 * i, (pd + PAGE_SIZE * i) | PTE_TABLE);
	for (unsigned int i = 0; i < MAPPED_GIB * 512; i++)
		put_u64(w, pd + 8 * i, MIB(2) * i | PTE_PAGE_2M);
}

void entry_long(struct writer *w, struct vcpu *v, uint64_t rip)
{
	identity_map(w);
	v->st.cr0 = CR0_LONG;
	v->st.cr3 = LAYOUT_PAGE_TABLES;
	v->st.cr4 = CR4_LONG;
	v->st.efer = EFER_LONG;
	enter_flat(w, v, CODE_64, rip);
}
