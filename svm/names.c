/* The manual's names for exit codes and intercepts (APM vol. 2 appendix B, C). */
#include "svm/internal.h"

#include "lib/strbuf.h"

/* Of 16 registers, twice: read and written. */
#define READ_OR_WRITE(reg) SIXTEEN(reg, "_READ\0") SIXTEEN(reg, "_WRITE\0")
#define SIXTEEN(reg, how)                                                                       \
	reg "0" how reg "1" how reg "2" how reg "3" how reg "4" how reg "5" how reg "6" how reg \
	    "7" how reg "8" how reg "9" how reg "10" how reg "11" how reg "12" how reg          \
	    "13" how reg "14" how reg "15" how

/* Each range of exit codes, the intercept word whose bits it counts, and their names. */
static const struct {
	uint16_t first, count;
	uint8_t word;
	const char *names;
} ranges[] = {
	{VMEXIT_CR0_READ, 32, WORD_CR, READ_OR_WRITE("CR")},
	{VMEXIT_DR0_READ, 32, WORD_DR, READ_OR_WRITE("DR")},
	{VMEXIT_EXCP0, 32, WORD_EXCEPTION,
	 "EXCP_DE\0EXCP_DB\0EXCP_NMI\0EXCP_BP\0EXCP_OF\0EXCP_BR\0EXCP_UD\0EXCP_NM\0"
	 "EXCP_DF\0EXCP_9\0EXCP_TS\0EXCP_NP\0EXCP_SS\0EXCP_GP\0EXCP_PF\0EXCP_15\0"
	 "EXCP_MF\0EXCP_AC\0EXCP_MC\0EXCP_XF\0EXCP_20\0EXCP_CP\0EXCP_22\0EXCP_23\0"
	 "EXCP_24\0EXCP_25\0EXCP_26\0EXCP_27\0EXCP_HV\0EXCP_VC\0EXCP_SX\0EXCP_31\0"},
	{VMEXIT_INTR, 32, WORD_3,
	 "INTR\0NMI\0SMI\0INIT\0VINTR\0CR0_SEL_WRITE\0"
	 "IDTR_READ\0GDTR_READ\0LDTR_READ\0TR_READ\0IDTR_WRITE\0GDTR_WRITE\0"
	 "LDTR_WRITE\0TR_WRITE\0RDTSC\0RDPMC\0PUSHF\0POPF\0"
	 "CPUID\0RSM\0IRET\0SWINT\0INVD\0PAUSE\0"
	 "HLT\0INVLPG\0INVLPGA\0IOIO\0MSR\0TASK_SWITCH\0"
	 "FERR_FREEZE\0SHUTDOWN\0"},
	{VMEXIT_VMRUN, 16, WORD_4,
	 "VMRUN\0VMMCALL\0VMLOAD\0VMSAVE\0STGI\0CLGI\0"
	 "SKINIT\0RDTSCP\0ICEBP\0WBINVD\0MONITOR\0MWAIT\0"
	 "MWAIT_CONDITIONAL\0XSETBV\0RDPRU\0EFER_WRITE_TRAP\0"},
	{VMEXIT_INVLPGB, 5, WORD_5, "INVLPGB\0INVLPGB_ILLEGAL\0INVPCID\0MCOMMIT\0TLBSYNC\0"},
};

const char *svm_exit_name(uint64_t exitcode)
{
	if (exitcode == VMEXIT_NPF)
		return "NPF";
	if (exitcode == VMEXIT_INVALID)
		return "INVALID";
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (exitcode - ranges[i].first < ranges[i].count)
			return nth_name(ranges[i].names, exitcode - ranges[i].first);
	return NULL;
}

const char *svm_intercept_name(enum vmcb_word word, unsigned int bit)
{
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (ranges[i].word == word && bit < ranges[i].count)
			return nth_name(ranges[i].names, bit);
	return NULL;
}
