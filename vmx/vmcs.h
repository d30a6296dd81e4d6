/*
 * Fields of a VMCS with their encodings, in the manual's order (SDM vol. 3D appendix B), and the
 * bits of its controls (vol. 3C 25.6 to 25.8).
 */
#ifndef VMX_VMCS_H
#define VMX_VMCS_H

#include "lib/util.h"

/* F(name, encoding): one line a field, for the enum and for the dump. */
#define VMCS_CONTROL_FIELDS(F)           \
	F(VPID, 0x0000)                  \
	F(POSTED_INTR_VECTOR, 0x0002)    \
	F(IO_BITMAP_A, 0x2000)           \
	F(IO_BITMAP_B, 0x2002)           \
	F(MSR_BITMAP, 0x2004)            \
	F(EXIT_MSR_STORE_ADDR, 0x2006)   \
	F(EXIT_MSR_LOAD_ADDR, 0x2008)    \
	F(ENTRY_MSR_LOAD_ADDR, 0x200a)   \
	F(TSC_OFFSET, 0x2010)            \
	F(VIRTUAL_APIC_ADDR, 0x2012)     \
	F(APIC_ACCESS_ADDR, 0x2014)      \
	F(EPT_POINTER, 0x201a)           \
	F(EOI_EXIT_BITMAP0, 0x201c)      \
	F(EOI_EXIT_BITMAP1, 0x201e)      \
	F(EOI_EXIT_BITMAP2, 0x2020)      \
	F(EOI_EXIT_BITMAP3, 0x2022)      \
	F(XSS_EXIT_BITMAP, 0x202c)       \
	F(PIN_CONTROLS, 0x4000)          \
	F(PROC_CONTROLS, 0x4002)         \
	F(EXCEPTION_BITMAP, 0x4004)      \
	F(PAGE_FAULT_MASK, 0x4006)       \
	F(PAGE_FAULT_MATCH, 0x4008)      \
	F(CR3_TARGET_COUNT, 0x400a)      \
	F(EXIT_CONTROLS, 0x400c)         \
	F(EXIT_MSR_STORE_COUNT, 0x400e)  \
	F(EXIT_MSR_LOAD_COUNT, 0x4010)   \
	F(ENTRY_CONTROLS, 0x4012)        \
	F(ENTRY_MSR_LOAD_COUNT, 0x4014)  \
	F(ENTRY_INTR_INFO, 0x4016)       \
	F(ENTRY_EXCEPTION_ERROR, 0x4018) \
	F(ENTRY_INSN_LEN, 0x401a)        \
	F(TPR_THRESHOLD, 0x401c)         \
	F(PROC2_CONTROLS, 0x401e)        \
	F(PLE_GAP, 0x4020)               \
	F(PLE_WINDOW, 0x4022)            \
	F(NOTIFY_WINDOW, 0x4024)         \
	F(CR0_MASK, 0x6000)              \
	F(CR4_MASK, 0x6002)              \
	F(CR0_SHADOW, 0x6004)            \
	F(CR4_SHADOW, 0x6006)

#define VMCS_EXIT_FIELDS(F)            \
	F(GUEST_PHYS_ADDR, 0x2400)     \
	F(INSN_ERROR, 0x4400)          \
	F(EXIT_REASON, 0x4402)         \
	F(EXIT_INTR_INFO, 0x4404)      \
	F(EXIT_INTR_ERROR, 0x4406)     \
	F(IDT_VECTORING_INFO, 0x4408)  \
	F(IDT_VECTORING_ERROR, 0x440a) \
	F(EXIT_INSN_LEN, 0x440c)       \
	F(EXIT_INSN_INFO, 0x440e)      \
	F(EXIT_QUALIFICATION, 0x6400)  \
	F(GUEST_LINEAR_ADDR, 0x640a)

#define VMCS_GUEST_FIELDS(F)              \
	F(GUEST_ES, 0x0800)               \
	F(GUEST_CS, 0x0802)               \
	F(GUEST_SS, 0x0804)               \
	F(GUEST_DS, 0x0806)               \
	F(GUEST_FS, 0x0808)               \
	F(GUEST_GS, 0x080a)               \
	F(GUEST_LDTR, 0x080c)             \
	F(GUEST_TR, 0x080e)               \
	F(GUEST_INTR_STATUS, 0x0810)      \
	F(VMCS_LINK, 0x2800)              \
	F(GUEST_DEBUGCTL, 0x2802)         \
	F(GUEST_PAT, 0x2804)              \
	F(GUEST_EFER, 0x2806)             \
	F(GUEST_PDPTE0, 0x280a)           \
	F(GUEST_PDPTE1, 0x280c)           \
	F(GUEST_PDPTE2, 0x280e)           \
	F(GUEST_PDPTE3, 0x2810)           \
	F(GUEST_ES_LIMIT, 0x4800)         \
	F(GUEST_CS_LIMIT, 0x4802)         \
	F(GUEST_SS_LIMIT, 0x4804)         \
	F(GUEST_DS_LIMIT, 0x4806)         \
	F(GUEST_FS_LIMIT, 0x4808)         \
	F(GUEST_GS_LIMIT, 0x480a)         \
	F(GUEST_LDTR_LIMIT, 0x480c)       \
	F(GUEST_TR_LIMIT, 0x480e)         \
	F(GUEST_GDTR_LIMIT, 0x4810)       \
	F(GUEST_IDTR_LIMIT, 0x4812)       \
	F(GUEST_ES_ATTR, 0x4814)          \
	F(GUEST_CS_ATTR, 0x4816)          \
	F(GUEST_SS_ATTR, 0x4818)          \
	F(GUEST_DS_ATTR, 0x481a)          \
	F(GUEST_FS_ATTR, 0x481c)          \
	F(GUEST_GS_ATTR, 0x481e)          \
	F(GUEST_LDTR_ATTR, 0x4820)        \
	F(GUEST_TR_ATTR, 0x4822)          \
	F(GUEST_INTERRUPTIBILITY, 0x4824) \
	F(GUEST_ACTIVITY, 0x4826)         \
	F(GUEST_SYSENTER_CS, 0x482a)      \
	F(PREEMPTION_TIMER, 0x482e)       \
	F(GUEST_CR0, 0x6800)              \
	F(GUEST_CR3, 0x6802)              \
	F(GUEST_CR4, 0x6804)              \
	F(GUEST_ES_BASE, 0x6806)          \
	F(GUEST_CS_BASE, 0x6808)          \
	F(GUEST_SS_BASE, 0x680a)          \
	F(GUEST_DS_BASE, 0x680c)          \
	F(GUEST_FS_BASE, 0x680e)          \
	F(GUEST_GS_BASE, 0x6810)          \
	F(GUEST_LDTR_BASE, 0x6812)        \
	F(GUEST_TR_BASE, 0x6814)          \
	F(GUEST_GDTR_BASE, 0x6816)        \
	F(GUEST_IDTR_BASE, 0x6818)        \
	F(GUEST_DR7, 0x681a)              \
	F(GUEST_RSP, 0x681c)              \
	F(GUEST_RIP, 0x681e)              \
	F(GUEST_RFLAGS, 0x6820)           \
	F(GUEST_PENDING_DEBUG, 0x6822)    \
	F(GUEST_SYSENTER_ESP, 0x6824)     \
	F(GUEST_SYSENTER_EIP, 0x6826)

#define VMCS_HOST_FIELDS(F)          \
	F(HOST_ES, 0x0c00)           \
	F(HOST_CS, 0x0c02)           \
	F(HOST_SS, 0x0c04)           \
	F(HOST_DS, 0x0c06)           \
	F(HOST_FS, 0x0c08)           \
	F(HOST_GS, 0x0c0a)           \
	F(HOST_TR, 0x0c0c)           \
	F(HOST_PAT, 0x2c00)          \
	F(HOST_EFER, 0x2c02)         \
	F(HOST_SYSENTER_CS, 0x4c00)  \
	F(HOST_CR0, 0x6c00)          \
	F(HOST_CR3, 0x6c02)          \
	F(HOST_CR4, 0x6c04)          \
	F(HOST_FS_BASE, 0x6c06)      \
	F(HOST_GS_BASE, 0x6c08)      \
	F(HOST_TR_BASE, 0x6c0a)      \
	F(HOST_GDTR_BASE, 0x6c0c)    \
	F(HOST_IDTR_BASE, 0x6c0e)    \
	F(HOST_SYSENTER_ESP, 0x6c10) \
	F(HOST_SYSENTER_EIP, 0x6c12) \
	F(HOST_RSP, 0x6c14)          \
	F(HOST_RIP, 0x6c16)

#define VMCS_ENUM(name, encoding) VMCS_##name = encoding,
enum vmcs_field {
	VMCS_CONTROL_FIELDS(VMCS_ENUM) VMCS_EXIT_FIELDS(VMCS_ENUM) VMCS_GUEST_FIELDS(VMCS_ENUM)
		VMCS_HOST_FIELDS(VMCS_ENUM)
};

/* Pin-based controls, 25.6.1 */
#define PIN_EXTERNAL_INTR    BIT(0)
#define PIN_NMI		     BIT(3)
#define PIN_VIRTUAL_NMI	     BIT(5)
#define PIN_PREEMPTION_TIMER BIT(6)

/* Primary processor-based controls, 25.6.2 */
#define PROC_INTR_WINDOW BIT(2)
#define PROC_TSC_OFFSET	 BIT(3)
#define PROC_HLT	 BIT(7)
#define PROC_INVLPG	 BIT(9)
#define PROC_MWAIT	 BIT(10)
#define PROC_RDPMC	 BIT(11)
#define PROC_RDTSC	 BIT(12)
#define PROC_CR3_LOAD	 BIT(15)
#define PROC_CR3_STORE	 BIT(16)
#define PROC_CR8_LOAD	 BIT(19)
#define PROC_CR8_STORE	 BIT(20)
#define PROC_TPR_SHADOW	 BIT(21)
#define PROC_NMI_WINDOW	 BIT(22)
#define PROC_MOV_DR	 BIT(23)
#define PROC_UNCOND_IO	 BIT(24)
#define PROC_IO_BITMAPS	 BIT(25)
#define PROC_MSR_BITMAPS BIT(28)
#define PROC_MONITOR	 BIT(29)
#define PROC_PAUSE	 BIT(30)
#define PROC_SECONDARY	 BIT(31)

/* Secondary processor-based controls, 25.6.2 */
#define PROC2_APIC_ACCESS    BIT(0)
#define PROC2_EPT	     BIT(1)
#define PROC2_RDTSCP	     BIT(3)
#define PROC2_X2APIC	     BIT(4)
#define PROC2_VPID	     BIT(5)
#define PROC2_WBINVD	     BIT(6)
#define PROC2_UNRESTRICTED   BIT(7)
#define PROC2_APIC_REGISTERS BIT(8)
#define PROC2_VID	     BIT(9)
#define PROC2_PAUSE_LOOP     BIT(10)
#define PROC2_INVPCID	     BIT(12)
#define PROC2_XSAVES	     BIT(20)
#define PROC2_NOTIFY	     BIT(31)

/* Exit controls, 25.7.1 */
#define EXIT_SAVE_DEBUG BIT(2)
#define EXIT_HOST_64	BIT(9)
#define EXIT_SAVE_PAT	BIT(18)
#define EXIT_LOAD_PAT	BIT(19)
#define EXIT_SAVE_EFER	BIT(20)
#define EXIT_LOAD_EFER	BIT(21)
#define EXIT_SAVE_TIMER BIT(22)

/* Entry controls, 25.8.1 */
#define ENTRY_LOAD_DEBUG BIT(2)
#define ENTRY_IA32E	 BIT(9)
#define ENTRY_LOAD_PAT	 BIT(14)
#define ENTRY_LOAD_EFER	 BIT(15)

/* Interruption information: 25.8.3, 25.9.2, 25.9.3 */
#define INTR_INFO_VALID	      BIT(31)
#define INTR_INFO_ERROR	      BIT(11)
#define INTR_INFO_NMI_UNBLOCK BIT(12)

/* IA32_VMX_EPT_VPID_CAP, appendix A.10 */
#define EPT_CAP_WALK4	      BIT(6)
#define EPT_CAP_WB	      BIT(14)
#define EPT_CAP_2M	      BIT(16)
#define EPT_CAP_1G	      BIT(17)
#define EPT_CAP_INVEPT	      BIT(20)
#define EPT_CAP_INVEPT_SINGLE BIT(25)
#define EPT_CAP_INVEPT_ALL    BIT(26)
#define VPID_CAP_INVVPID      BIT(32)
#define VPID_CAP_SINGLE	      BIT(41)
#define VPID_CAP_ALL	      BIT(42)

/* Basic exit reasons, appendix C */
enum vmx_reason {
	VMX_EXCEPTION_OR_NMI = 0,
	VMX_EXTERNAL_INTR = 1,
	VMX_TRIPLE_FAULT = 2,
	VMX_INIT = 3,
	VMX_SIPI = 4,
	VMX_IO_SMI = 5,
	VMX_OTHER_SMI = 6,
	VMX_INTR_WINDOW = 7,
	VMX_NMI_WINDOW = 8,
	VMX_TASK_SWITCH = 9,
	VMX_CPUID = 10,
	VMX_GETSEC = 11,
	VMX_HLT = 12,
	VMX_INVD = 13,
	VMX_INVLPG = 14,
	VMX_RDPMC = 15,
	VMX_RDTSC = 16,
	VMX_RSM = 17,
	VMX_VMCALL = 18,
	VMX_VMCLEAR = 19,
	VMX_VMLAUNCH = 20,
	VMX_VMPTRLD = 21,
	VMX_VMPTRST = 22,
	VMX_VMREAD = 23,
	VMX_VMRESUME = 24,
	VMX_VMWRITE = 25,
	VMX_VMXOFF = 26,
	VMX_VMXON = 27,
	VMX_CR = 28,
	VMX_DR = 29,
	VMX_IO = 30,
	VMX_RDMSR = 31,
	VMX_WRMSR = 32,
	VMX_ENTRY_GUEST_STATE = 33,
	VMX_ENTRY_MSR_LOADING = 34,
	VMX_MWAIT = 36,
	VMX_MTF = 37,
	VMX_MONITOR = 39,
	VMX_PAUSE = 40,
	VMX_ENTRY_MACHINE_CHECK = 41,
	VMX_TPR_BELOW = 43,
	VMX_APIC_ACCESS = 44,
	VMX_VIRTUALIZED_EOI = 45,
	VMX_GDTR_IDTR = 46,
	VMX_LDTR_TR = 47,
	VMX_EPT_VIOLATION = 48,
	VMX_EPT_MISCONFIG = 49,
	VMX_INVEPT = 50,
	VMX_RDTSCP = 51,
	VMX_PREEMPTION_TIMER = 52,
	VMX_INVVPID = 53,
	VMX_WBINVD = 54,
	VMX_XSETBV = 55,
	VMX_APIC_WRITE = 56,
	VMX_RDRAND = 57,
	VMX_INVPCID = 58,
	VMX_VMFUNC = 59,
	VMX_ENCLS = 60,
	VMX_RDSEED = 61,
	VMX_PML_FULL = 62,
	VMX_XSAVES = 63,
	VMX_XRSTORS = 64,
	VMX_NOTIFY = 75,
	VMX_REASON_COUNT = 80
};

#define VMX_REASON_BASIC	0xffffu
#define VMX_REASON_ENTRY_FAILED BIT(31)

#endif
