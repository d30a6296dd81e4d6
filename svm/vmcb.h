/*
 * The virtual machine control block: layout and bits (APM vol. 2 appendix B), and setters that keep
 * the VMCB clean field right (15.15.3): a field that the processor may have cached is only ever
 * changed through its setter.
 */
#ifndef SVM_VMCB_H
#define SVM_VMCB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/util.h"

/* Intercept vectors, by their word in vmcb.intercept[] (offsets 000h to 014h). */
enum vmcb_word { WORD_CR, WORD_DR, WORD_EXCEPTION, WORD_3, WORD_4, WORD_5, WORD_COUNT };

#define CR_READ(n)  BIT(n)
#define CR_WRITE(n) BIT(16 + (n))

/* Word 3, offset 00Ch */
#define INTERCEPT_INTR		BIT(0)
#define INTERCEPT_NMI		BIT(1)
#define INTERCEPT_SMI		BIT(2)
#define INTERCEPT_INIT		BIT(3)
#define INTERCEPT_VINTR		BIT(4)
#define INTERCEPT_CR0_SEL_WRITE BIT(5)
#define INTERCEPT_RDTSC		BIT(14)
#define INTERCEPT_RDPMC		BIT(15)
#define INTERCEPT_CPUID		BIT(18)
#define INTERCEPT_RSM		BIT(19)
#define INTERCEPT_IRET		BIT(20)
#define INTERCEPT_INVD		BIT(22)
#define INTERCEPT_PAUSE		BIT(23)
#define INTERCEPT_HLT		BIT(24)
#define INTERCEPT_INVLPGA	BIT(26)
#define INTERCEPT_IOIO_PROT	BIT(27)
#define INTERCEPT_MSR_PROT	BIT(28)
#define INTERCEPT_TASK_SWITCH	BIT(29)
#define INTERCEPT_FERR_FREEZE	BIT(30)
#define INTERCEPT_SHUTDOWN	BIT(31)

/* Word 4, offset 010h */
#define INTERCEPT_VMRUN	  BIT(0)
#define INTERCEPT_VMMCALL BIT(1)
#define INTERCEPT_VMLOAD  BIT(2)
#define INTERCEPT_VMSAVE  BIT(3)
#define INTERCEPT_STGI	  BIT(4)
#define INTERCEPT_CLGI	  BIT(5)
#define INTERCEPT_SKINIT  BIT(6)
#define INTERCEPT_RDTSCP  BIT(7)
#define INTERCEPT_ICEBP	  BIT(8)
#define INTERCEPT_WBINVD  BIT(9)
#define INTERCEPT_MONITOR BIT(10)
#define INTERCEPT_MWAIT	  BIT(11)
#define INTERCEPT_XSETBV  BIT(13)
#define INTERCEPT_RDPRU	  BIT(14)

/* Word 5, offset 014h */
#define INTERCEPT_INVLPGB	  BIT(0)
#define INTERCEPT_INVLPGB_ILLEGAL BIT(1)
#define INTERCEPT_MCOMMIT	  BIT(3)
#define INTERCEPT_TLBSYNC	  BIT(4)

/* TLB_CONTROL, offset 05Ch */
enum { TLB_KEEP = 0, TLB_FLUSH_ALL = 1, TLB_FLUSH_ASID = 3 };

/* Offset 060h */
#define INT_CTL_TPR	     0xffULL
#define INT_CTL_IRQ	     BIT(8)
#define INT_CTL_GIF	     BIT(9)
#define INT_CTL_NMI	     BIT(11)
#define INT_CTL_NMI_MASK     BIT(12)
#define INT_CTL_PRIO(n)	     ((uint64_t)(n) << 16)
#define INT_CTL_IGN_TPR	     BIT(20)
#define INT_CTL_INTR_MASKING BIT(24)
#define INT_CTL_GIF_ENABLE   BIT(25)
#define INT_CTL_NMI_ENABLE   BIT(26)
#define INT_CTL_AVIC_ENABLE  BIT(31)

/* Offset 068h */
#define INT_STATE_SHADOW BIT(0)
#define INT_STATE_MASK	 BIT(1)

/* EXITINTINFO and EVENTINJ: 15.7.2, 15.20 */
#define EVENTINJ_VECTOR(e) ((e)&0xff)
#define EVENTINJ_TYPE(e)   (((e) >> 8) & 7)
#define EVENTINJ_EV	   BIT(11)
#define EVENTINJ_V	   BIT(31)

#define NP_ENABLE BIT(0)

/* VMCB clean bits, offset 0C0h: 15.15.3 */
#define CLEAN_I	   BIT(0) /* intercepts, TSC offset, pause filter */
#define CLEAN_IOPM BIT(1) /* IOPM_BASE_PA, MSRPM_BASE_PA */
#define CLEAN_ASID BIT(2)
#define CLEAN_TPR  BIT(3) /* offset 060h */
#define CLEAN_NP   BIT(4) /* NP_ENABLE, N_CR3, G_PAT */
#define CLEAN_CRX  BIT(5) /* CR0, CR3, CR4, EFER */
#define CLEAN_DRX  BIT(6) /* DR6, DR7 */
#define CLEAN_DT   BIT(7) /* GDTR, IDTR */
#define CLEAN_SEG  BIT(8) /* CS, DS, SS, ES, CPL */
#define CLEAN_CR2  BIT(9)
#define CLEAN_LBR  BIT(10)
#define CLEAN_AVIC BIT(11)
#define CLEAN_CET  BIT(12)
#define CLEAN_ALL  0x1fffu

/* EXITCODE: appendix C */
enum vmcb_exit {
	VMEXIT_CR0_READ = 0x00,
	VMEXIT_CR0_WRITE = 0x10,
	VMEXIT_DR0_READ = 0x20,
	VMEXIT_DR0_WRITE = 0x30,
	VMEXIT_EXCP0 = 0x40,
	VMEXIT_INTR = 0x60,
	VMEXIT_NMI = 0x61,
	VMEXIT_SMI = 0x62,
	VMEXIT_INIT = 0x63,
	VMEXIT_VINTR = 0x64,
	VMEXIT_CR0_SEL_WRITE = 0x65,
	VMEXIT_RDTSC = 0x6e,
	VMEXIT_RDPMC = 0x6f,
	VMEXIT_CPUID = 0x72,
	VMEXIT_RSM = 0x73,
	VMEXIT_IRET = 0x74,
	VMEXIT_INVD = 0x76,
	VMEXIT_PAUSE = 0x77,
	VMEXIT_HLT = 0x78,
	VMEXIT_INVLPGA = 0x7a,
	VMEXIT_IOIO = 0x7b,
	VMEXIT_MSR = 0x7c,
	VMEXIT_TASK_SWITCH = 0x7d,
	VMEXIT_FERR_FREEZE = 0x7e,
	VMEXIT_SHUTDOWN = 0x7f,
	VMEXIT_VMRUN = 0x80,
	VMEXIT_VMMCALL = 0x81,
	VMEXIT_VMLOAD = 0x82,
	VMEXIT_VMSAVE = 0x83,
	VMEXIT_STGI = 0x84,
	VMEXIT_CLGI = 0x85,
	VMEXIT_SKINIT = 0x86,
	VMEXIT_RDTSCP = 0x87,
	VMEXIT_ICEBP = 0x88,
	VMEXIT_WBINVD = 0x89,
	VMEXIT_MONITOR = 0x8a,
	VMEXIT_MWAIT = 0x8b,
	VMEXIT_XSETBV = 0x8d,
	VMEXIT_RDPRU = 0x8e,
	VMEXIT_INVLPGB = 0xa0,
	VMEXIT_INVLPGB_ILLEGAL = 0xa1,
	VMEXIT_MCOMMIT = 0xa3,
	VMEXIT_TLBSYNC = 0xa4,
	VMEXIT_TABLE_END = 0xa5, /* one above the last of the codes that stand close together */
	VMEXIT_NPF = 0x400
};
#define VMEXIT_INVALID UINT64_MAX /* the VMCB is not consistent: 15.5.1 */

/* EXITINFO1 of VMEXIT_IOIO: 15.10.2. EXITINFO2 is the next instruction's RIP. */
#define IOIO_IN		BIT(0)
#define IOIO_STR	BIT(2)
#define IOIO_REP	BIT(3)
#define IOIO_SIZE(i)	(((i) >> 4) & 7) /* one bit set: the number of bytes */
#define IOIO_ADDR(i)	(((i) >> 7) & 7) /* one bit set: 16, 32, 64 bits */
#define IOIO_SEGMENT(i) (((i) >> 10) & 7)
#define IOIO_PORT(i)	(((i) >> 16) & 0xffff)

/* EXITINFO1 of CR and DR intercepts with decode assists: 15.33.1 */
#define CRDR_MOV    BIT(63)
#define CRDR_GPR(i) ((i)&0xf)

/* EXITINFO1 of VMEXIT_NPF: 15.25.6 */
#define NPF_WRITE      BIT(1)
#define NPF_RESERVED   BIT(3)
#define NPF_FETCH      BIT(4)
#define NPF_TABLE_WALK BIT(33)

/* Attributes as the VMCB has them: bits 55:52 and 47:40 of a descriptor, packed (15.5.1). */
struct vmcb_seg {
	uint16_t selector, attrib;
	uint32_t limit;
	uint64_t base;
};

struct vmcb {
	/* Control area */
	uint32_t intercept[WORD_COUNT];
	uint8_t reserved_018[0x3c - 0x18];
	uint16_t pause_filter_threshold;
	uint16_t pause_filter_count;
	uint64_t iopm_base_pa;
	uint64_t msrpm_base_pa;
	uint64_t tsc_offset;
	uint32_t asid;
	uint32_t tlb_control;
	uint64_t int_ctl;
	uint64_t int_state;
	uint64_t exitcode;
	uint64_t exitinfo1;
	uint64_t exitinfo2;
	uint64_t exitintinfo;
	uint64_t np_enable;
	uint64_t avic_apic_bar;
	uint64_t ghcb;
	uint64_t eventinj;
	uint64_t n_cr3;
	uint64_t lbr_virt;
	uint32_t clean;
	uint32_t reserved_0c4;
	uint64_t nrip;
	uint8_t insn_count;
	uint8_t insn_bytes[15];
	uint64_t avic_backing_page;
	uint64_t reserved_0e8;
	uint64_t avic_logical_table;
	uint64_t avic_physical_table;
	uint8_t reserved_100[0x400 - 0x100];

	/* State save area, from offset 400h */
	struct vmcb_seg es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	uint8_t reserved_4a0[0x4cb - 0x4a0];
	uint8_t cpl;
	uint32_t reserved_4cc;
	uint64_t efer;
	uint8_t reserved_4d8[0x548 - 0x4d8];
	uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
	uint8_t reserved_580[0x5d8 - 0x580];
	uint64_t rsp, s_cet, ssp, isst_addr, rax;
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t cr2;
	uint8_t reserved_648[0x668 - 0x648];
	uint64_t g_pat, dbgctl, br_from, br_to, lastexcpfrom, lastexcpto;
	uint8_t reserved_698[0x6e0 - 0x698];
	uint64_t spec_ctrl; /* no clean bit: not cached */
	uint8_t reserved_6e8[0x1000 - 0x6e8];
};

#define VMCB_AT(field, offset) \
	_Static_assert(offsetof(struct vmcb, field) == (offset), "APM vol. 2 appendix B")

VMCB_AT(intercept, 0x000);
VMCB_AT(pause_filter_threshold, 0x03c);
VMCB_AT(iopm_base_pa, 0x040);
VMCB_AT(tsc_offset, 0x050);
VMCB_AT(asid, 0x058);
VMCB_AT(tlb_control, 0x05c);
VMCB_AT(int_ctl, 0x060);
VMCB_AT(exitcode, 0x070);
VMCB_AT(exitintinfo, 0x088);
VMCB_AT(np_enable, 0x090);
VMCB_AT(eventinj, 0x0a8);
VMCB_AT(n_cr3, 0x0b0);
VMCB_AT(lbr_virt, 0x0b8);
VMCB_AT(clean, 0x0c0);
VMCB_AT(nrip, 0x0c8);
VMCB_AT(insn_count, 0x0d0);
VMCB_AT(avic_backing_page, 0x0e0);
VMCB_AT(avic_physical_table, 0x0f8);
VMCB_AT(es, 0x400);
VMCB_AT(gdtr, 0x460);
VMCB_AT(tr, 0x490);
VMCB_AT(cpl, 0x4cb);
VMCB_AT(efer, 0x4d0);
VMCB_AT(cr4, 0x548);
VMCB_AT(cr0, 0x558);
VMCB_AT(rip, 0x578);
VMCB_AT(rsp, 0x5d8);
VMCB_AT(rax, 0x5f8);
VMCB_AT(star, 0x600);
VMCB_AT(kernel_gs_base, 0x620);
VMCB_AT(sysenter_eip, 0x638);
VMCB_AT(cr2, 0x640);
VMCB_AT(g_pat, 0x668);
VMCB_AT(lastexcpto, 0x690);
VMCB_AT(spec_ctrl, 0x6e0);
_Static_assert(sizeof(struct vmcb) == 4096, "APM vol. 2 15.5.1");
_Static_assert(sizeof(struct vmcb_seg) == 16, "APM vol. 2 appendix B");

/*
 * vmcb_set_NAME(b, value): writes the field and marks its group as changed, unless it has that
 * value already.
 */
#define DEFINE_VMCB_SETTER(name, type, bit)                            \
	static inline void vmcb_set_##name(struct vmcb *b, type value) \
	{                                                              \
		if (b->name == value)                                  \
			return;                                        \
		b->name = value;                                       \
		b->clean &= ~(uint32_t)(bit);                          \
	}

DEFINE_VMCB_SETTER(pause_filter_threshold, uint16_t, CLEAN_I)
DEFINE_VMCB_SETTER(pause_filter_count, uint16_t, CLEAN_I)
DEFINE_VMCB_SETTER(tsc_offset, uint64_t, CLEAN_I)
DEFINE_VMCB_SETTER(iopm_base_pa, uint64_t, CLEAN_IOPM)
DEFINE_VMCB_SETTER(msrpm_base_pa, uint64_t, CLEAN_IOPM)
DEFINE_VMCB_SETTER(asid, uint32_t, CLEAN_ASID)
DEFINE_VMCB_SETTER(int_ctl, uint64_t, CLEAN_TPR)
DEFINE_VMCB_SETTER(np_enable, uint64_t, CLEAN_NP)
DEFINE_VMCB_SETTER(n_cr3, uint64_t, CLEAN_NP)
DEFINE_VMCB_SETTER(g_pat, uint64_t, CLEAN_NP)
DEFINE_VMCB_SETTER(cr0, uint64_t, CLEAN_CRX)
DEFINE_VMCB_SETTER(cr3, uint64_t, CLEAN_CRX)
DEFINE_VMCB_SETTER(cr4, uint64_t, CLEAN_CRX)
DEFINE_VMCB_SETTER(efer, uint64_t, CLEAN_CRX)
DEFINE_VMCB_SETTER(dr6, uint64_t, CLEAN_DRX)
DEFINE_VMCB_SETTER(dr7, uint64_t, CLEAN_DRX)
DEFINE_VMCB_SETTER(cpl, uint8_t, CLEAN_SEG)
DEFINE_VMCB_SETTER(cr2, uint64_t, CLEAN_CR2)

/* In one word of the intercept vectors: clears MASK, then sets BITS, which lie in MASK. */
static inline void vmcb_set_intercepts(struct vmcb *b, enum vmcb_word word, uint64_t mask,
				       uint64_t bits)
{
	uint32_t value = (b->intercept[word] & ~(uint32_t)mask) | (uint32_t)bits;

	if (b->intercept[word] == value)
		return;
	b->intercept[word] = value;
	b->clean &= ~(uint32_t)CLEAN_I;
}

/* The same for offset 060h. */
static inline void vmcb_set_int_ctl_bits(struct vmcb *b, uint64_t mask, uint64_t bits)
{
	vmcb_set_int_ctl(b, (b->int_ctl & ~mask) | bits);
}

/* SEG is one of B's registers; BIT is its clean bit, 0 for those that VMLOAD and VMSAVE move. */
static inline void vmcb_set_seg(struct vmcb *b, struct vmcb_seg *seg, const struct vmcb_seg *value,
				uint64_t bit)
{
	if (seg->selector == value->selector && seg->attrib == value->attrib &&
	    seg->limit == value->limit && seg->base == value->base)
		return;
	*seg = *value;
	b->clean &= ~(uint32_t)bit;
}

#endif
