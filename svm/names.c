/* The manual's names for exit codes and intercepts (APM vol. 2 appendix B, C). */
#include "svm/internal.h"

/* EXITCODE 60h to 8Fh and the bits of words 3 and 4 are in the same order. */
static const char *const instruction_names[] = {
	"INTR",	       "NMI",	     "SMI",
	"INIT",	       "VINTR",	     "CR0_SEL_WRITE",
	"IDTR_READ",   "GDTR_READ",  "LDTR_READ",
	"TR_READ",     "IDTR_WRITE", "GDTR_WRITE",
	"LDTR_WRITE",  "TR_WRITE",   "RDTSC",
	"RDPMC",       "PUSHF",	     "POPF",
	"CPUID",       "RSM",	     "IRET",
	"SWINT",       "INVD",	     "PAUSE",
	"HLT",	       "INVLPG",     "INVLPGA",
	"IOIO",	       "MSR",	     "TASK_SWITCH",
	"FERR_FREEZE", "SHUTDOWN",   "VMRUN",
	"VMMCALL",     "VMLOAD",     "VMSAVE",
	"STGI",	       "CLGI",	     "SKINIT",
	"RDTSCP",      "ICEBP",	     "WBINVD",
	"MONITOR",     "MWAIT",	     "MWAIT_CONDITIONAL",
	"XSETBV",      "RDPRU",	     "EFER_WRITE_TRAP",
};

/* EXITCODE A0h to A4h, word 5. */
static const char *const word5_names[] = {"INVLPGB", "INVLPGB_ILLEGAL", "INVPCID", "MCOMMIT",
					  "TLBSYNC"};

static const char *const cr_names[] = {
	"CR0_READ",   "CR1_READ",   "CR2_READ",	  "CR3_READ",	"CR4_READ",   "CR5_READ",
	"CR6_READ",   "CR7_READ",   "CR8_READ",	  "CR9_READ",	"CR10_READ",  "CR11_READ",
	"CR12_READ",  "CR13_READ",  "CR14_READ",  "CR15_READ",	"CR0_WRITE",  "CR1_WRITE",
	"CR2_WRITE",  "CR3_WRITE",  "CR4_WRITE",  "CR5_WRITE",	"CR6_WRITE",  "CR7_WRITE",
	"CR8_WRITE",  "CR9_WRITE",  "CR10_WRITE", "CR11_WRITE", "CR12_WRITE", "CR13_WRITE",
	"CR14_WRITE", "CR15_WRITE",
};

static const char *const dr_names[] = {
	"DR0_READ",   "DR1_READ",   "DR2_READ",	  "DR3_READ",	"DR4_READ",   "DR5_READ",
	"DR6_READ",   "DR7_READ",   "DR8_READ",	  "DR9_READ",	"DR10_READ",  "DR11_READ",
	"DR12_READ",  "DR13_READ",  "DR14_READ",  "DR15_READ",	"DR0_WRITE",  "DR1_WRITE",
	"DR2_WRITE",  "DR3_WRITE",  "DR4_WRITE",  "DR5_WRITE",	"DR6_WRITE",  "DR7_WRITE",
	"DR8_WRITE",  "DR9_WRITE",  "DR10_WRITE", "DR11_WRITE", "DR12_WRITE", "DR13_WRITE",
	"DR14_WRITE", "DR15_WRITE",
};

static const char *const exception_names[] = {
	"EXCP_DE", "EXCP_DB", "EXCP_NMI", "EXCP_BP", "EXCP_OF", "EXCP_BR", "EXCP_UD", "EXCP_NM",
	"EXCP_DF", "EXCP_9",  "EXCP_TS",  "EXCP_NP", "EXCP_SS", "EXCP_GP", "EXCP_PF", "EXCP_15",
	"EXCP_MF", "EXCP_AC", "EXCP_MC",  "EXCP_XF", "EXCP_20", "EXCP_CP", "EXCP_22", "EXCP_23",
	"EXCP_24", "EXCP_25", "EXCP_26",  "EXCP_27", "EXCP_HV", "EXCP_VC", "EXCP_SX", "EXCP_31",
};

/* Each range of exit codes, and the intercept word whose bits it counts. */
static const struct {
	uint16_t first, count;
	uint8_t word;
	const char *const *names;
} ranges[] = {
	{VMEXIT_CR0_READ, ARRAY_SIZE(cr_names), WORD_CR, cr_names},
	{VMEXIT_DR0_READ, ARRAY_SIZE(dr_names), WORD_DR, dr_names},
	{VMEXIT_EXCP0, ARRAY_SIZE(exception_names), WORD_EXCEPTION, exception_names},
	{VMEXIT_INTR, 32, WORD_3, instruction_names},
	{VMEXIT_VMRUN, ARRAY_SIZE(instruction_names) - 32, WORD_4, instruction_names + 32},
	{VMEXIT_INVLPGB, ARRAY_SIZE(word5_names), WORD_5, word5_names},
};

const char *svm_exit_name(uint64_t exitcode)
{
	if (exitcode == VMEXIT_NPF)
		return "NPF";
	if (exitcode == VMEXIT_INVALID)
		return "INVALID";
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (exitcode - ranges[i].first < ranges[i].count)
			return ranges[i].names[exitcode - ranges[i].first];
	return NULL;
}

const char *svm_intercept_name(enum vmcb_word word, unsigned int bit)
{
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (ranges[i].word == word && bit < ranges[i].count)
			return ranges[i].names[bit];
	return NULL;
}
