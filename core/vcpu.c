/* A vCPU's architectural state after power-up, RESET and INIT. */
#include "core/vcpu.h"

#include "arch/x86/cpu.h"
#include "core/cpuid.h"
#include "core/msr.h"
#include "core/vm.h"
#include "lib/string.h"

static const struct vcpu_seg reset_data = {.attr = 0x93, .limit = 0xffff};

/* SDM vol. 3A table 10-1 (9-1 in older editions); the column for INIT where INIT is true. */
void vcpu_state_reset(struct vcpu *v, bool init)
{
	struct vcpu_state *st = &v->st;
	uint64_t cr0 = init ? st->cr0 & (CR0_CD | CR0_NW) : CR0_CD | CR0_NW;
	struct vcpu_state old = *st;

	memset(v->gpr, 0, sizeof(v->gpr));
	v->gpr[RDX] = cpuid_signature(v->vm);
	*st = (struct vcpu_state){
		.rip = 0xfff0,
		.rflags = RFLAGS_FIXED,
		.cr0 = cr0 | CR0_ET,
		.idtr = {.limit = 0xffff},
		.gdtr = {.limit = 0xffff},
		.dr6 = DR6_INIT,
		.dr7 = DR7_INIT,
	};
	for (int i = 0; i < SEG_COUNT; i++)
		st->seg[i] = reset_data;
	st->seg[SEG_CS] = (struct vcpu_seg){.selector = 0xf000,
					    .base = 0xffff0000,
					    .attr = 0x9b,
					    .limit = 0xffff};
	st->seg[SEG_LDTR].attr = 0x82;
	st->seg[SEG_TR].attr = 0x8b;
	st->pat = PAT_RESET;
	if (init) {
		/* INIT leaves these MSRs, and XCR0, as they are. */
		st->pat = old.pat;
		st->tsc_aux = old.tsc_aux;
		st->star = old.star;
		st->lstar = old.lstar;
		st->cstar = old.cstar;
		st->sfmask = old.sfmask;
		st->kernel_gs_base = old.kernel_gs_base;
		st->sysenter_cs = old.sysenter_cs;
		st->sysenter_esp = old.sysenter_esp;
		st->sysenter_eip = old.sysenter_eip;
	} else {
		v->xcr0 = XCR0_X87;
		v->xss = 0;
		msr_reset(v);
	}
	v->pending = (struct hv_event){0};
}

void vcpu_state_startup(struct vcpu *v, uint8_t vector)
{
	v->st.rip = 0;
	v->st.seg[SEG_CS].selector = (uint16_t)(vector << 8);
	v->st.seg[SEG_CS].base = (uint64_t)vector << 12;
}
