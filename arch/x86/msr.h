/*
 * Indices and bits of model-specific registers, by the manuals' names (SDM vol. 4 chapter 2, APM
 * vol. 2 appendix A).
 */
#ifndef ARCH_X86_MSR_H
#define ARCH_X86_MSR_H

#include "lib/util.h"

/* Architectural, both vendors unless said otherwise */
#define MSR_IA32_P5_MC_ADDR		  0x0
#define MSR_IA32_P5_MC_TYPE		  0x1
#define MSR_IA32_TSC			  0x10
#define MSR_IA32_PLATFORM_ID		  0x17
#define MSR_IA32_APIC_BASE		  0x1b
#define MSR_IA32_FEATURE_CONTROL	  0x3a /* Intel */
#define MSR_IA32_TSC_ADJUST		  0x3b
#define MSR_IA32_SPEC_CTRL		  0x48
#define MSR_IA32_PRED_CMD		  0x49
#define MSR_IA32_BIOS_UPDT_TRIG		  0x79
#define MSR_IA32_BIOS_SIGN_ID		  0x8b
#define MSR_IA32_SMM_MONITOR_CTL	  0x9b
#define MSR_IA32_PMC0			  0xc1
#define MSR_IA32_CORE_CAPABILITIES	  0xcf
#define MSR_PLATFORM_INFO		  0xce
#define MSR_IA32_UMWAIT_CONTROL		  0xe1
#define MSR_IA32_MPERF			  0xe7
#define MSR_IA32_APERF			  0xe8
#define MSR_IA32_MTRRCAP		  0xfe
#define MSR_IA32_ARCH_CAPABILITIES	  0x10a
#define MSR_IA32_FLUSH_CMD		  0x10b
#define MSR_IA32_TSX_CTRL		  0x122
#define MSR_IA32_MCU_OPT_CTRL		  0x123
#define MSR_MISC_FEATURE_ENABLES	  0x140
#define MSR_IA32_SYSENTER_CS		  0x174
#define MSR_IA32_SYSENTER_ESP		  0x175
#define MSR_IA32_SYSENTER_EIP		  0x176
#define MSR_IA32_MCG_CAP		  0x179
#define MSR_IA32_MCG_STATUS		  0x17a
#define MSR_IA32_MCG_CTL		  0x17b
#define MSR_IA32_PERFEVTSEL0		  0x186
#define MSR_IA32_PERF_STATUS		  0x198
#define MSR_IA32_PERF_CTL		  0x199
#define MSR_IA32_THERM_INTERRUPT	  0x19b
#define MSR_IA32_THERM_STATUS		  0x19c
#define MSR_IA32_MISC_ENABLE		  0x1a0
#define MSR_IA32_ENERGY_PERF_BIAS	  0x1b0
#define MSR_IA32_PACKAGE_THERM_STATUS	  0x1b1
#define MSR_IA32_XFD			  0x1c4
#define MSR_IA32_XFD_ERR		  0x1c5
#define MSR_IA32_DEBUGCTL		  0x1d9
#define MSR_LASTBRANCHFROMIP		  0x1db
#define MSR_LASTBRANCHTOIP		  0x1dc
#define MSR_LASTINTFROMIP		  0x1dd
#define MSR_LASTINTTOIP			  0x1de
#define MSR_IA32_SMRR_PHYSBASE		  0x1f2
#define MSR_IA32_SMRR_PHYSMASK		  0x1f3
#define MSR_IA32_MTRR_PHYSBASE(n)	  (0x200 + 2 * (n))
#define MSR_IA32_MTRR_PHYSMASK(n)	  (0x201 + 2 * (n))
#define MSR_IA32_MTRR_FIX64K_00000	  0x250
#define MSR_IA32_MTRR_FIX16K_80000	  0x258
#define MSR_IA32_MTRR_FIX16K_A0000	  0x259
#define MSR_IA32_MTRR_FIX4K(n)		  (0x268 + (n)) /* C0000 + n * 8000h */
#define MSR_IA32_PAT			  0x277
#define MSR_IA32_MC0_CTL2		  0x280
#define MSR_IA32_MTRR_DEF_TYPE		  0x2ff
#define MSR_IA32_FIXED_CTR0		  0x309
#define MSR_IA32_PERF_CAPABILITIES	  0x345
#define MSR_IA32_FIXED_CTR_CTRL		  0x38d
#define MSR_IA32_PERF_GLOBAL_STATUS	  0x38e
#define MSR_IA32_PERF_GLOBAL_CTRL	  0x38f
#define MSR_IA32_PERF_GLOBAL_OVF_CTRL	  0x390
#define MSR_IA32_PEBS_ENABLE		  0x3f1
#define MSR_IA32_MC0_CTL		  0x400
#define MSR_IA32_MC0_STATUS		  0x401
#define MSR_IA32_DS_AREA		  0x600
#define MSR_RAPL_POWER_UNIT		  0x606
#define MSR_IA32_U_CET			  0x6a0
#define MSR_IA32_S_CET			  0x6a2
#define MSR_IA32_PL0_SSP		  0x6a4
#define MSR_IA32_PL3_SSP		  0x6a7
#define MSR_IA32_INTERRUPT_SSP_TABLE_ADDR 0x6a8
#define MSR_IA32_TSC_DEADLINE		  0x6e0
#define MSR_IA32_X2APIC_FIRST		  0x800
#define MSR_IA32_X2APIC(reg)		  (0x800 + ((reg) >> 4)) /* offset in xAPIC page */
#define MSR_IA32_X2APIC_LAST		  0x8ff
#define MSR_IA32_XSS			  0xda0
#define MSR_IA32_EFER			  0xc0000080
#define MSR_IA32_STAR			  0xc0000081
#define MSR_IA32_LSTAR			  0xc0000082
#define MSR_IA32_CSTAR			  0xc0000083
#define MSR_IA32_FMASK			  0xc0000084
#define MSR_IA32_FS_BASE		  0xc0000100
#define MSR_IA32_GS_BASE		  0xc0000101
#define MSR_IA32_KERNEL_GS_BASE		  0xc0000102
#define MSR_IA32_TSC_AUX		  0xc0000103

/* Intel VMX capabilities: SDM vol. 3D appendix A */
#define MSR_IA32_VMX_BASIC		 0x480
#define MSR_IA32_VMX_PINBASED_CTLS	 0x481
#define MSR_IA32_VMX_PROCBASED_CTLS	 0x482
#define MSR_IA32_VMX_EXIT_CTLS		 0x483
#define MSR_IA32_VMX_ENTRY_CTLS		 0x484
#define MSR_IA32_VMX_MISC		 0x485
#define MSR_IA32_VMX_CR0_FIXED0		 0x486
#define MSR_IA32_VMX_CR0_FIXED1		 0x487
#define MSR_IA32_VMX_CR4_FIXED0		 0x488
#define MSR_IA32_VMX_CR4_FIXED1		 0x489
#define MSR_IA32_VMX_VMCS_ENUM		 0x48a
#define MSR_IA32_VMX_PROCBASED_CTLS2	 0x48b
#define MSR_IA32_VMX_EPT_VPID_CAP	 0x48c
#define MSR_IA32_VMX_TRUE_PINBASED_CTLS	 0x48d
#define MSR_IA32_VMX_TRUE_PROCBASED_CTLS 0x48e
#define MSR_IA32_VMX_TRUE_EXIT_CTLS	 0x48f
#define MSR_IA32_VMX_TRUE_ENTRY_CTLS	 0x490
#define MSR_IA32_VMX_VMFUNC		 0x491
#define MSR_IA32_VMX_PROCBASED_CTLS3	 0x492
#define MSR_IA32_VMX_EXIT_CTLS2		 0x493

/* AMD: APM vol. 2 appendix A */
#define MSR_AMD_PERFEVTSEL0    0xc0010000
#define MSR_AMD_PERFCTR3       0xc0010007
#define MSR_AMD_SYSCFG	       0xc0010010
#define MSR_AMD_HWCR	       0xc0010015
#define MSR_AMD_IORR_BASE0     0xc0010016
#define MSR_AMD_TOP_MEM	       0xc001001a
#define MSR_AMD_TOP_MEM2       0xc001001d
#define MSR_AMD_NB_CFG	       0xc001001f
#define MSR_AMD_PATCH_LOADER   0xc0010020
#define MSR_AMD_INT_PENDING    0xc0010055
#define MSR_AMD_MMIO_CONF_BASE 0xc0010058
#define MSR_AMD_PSTATE_STATUS  0xc0010063
#define MSR_AMD_SMM_BASE       0xc0010111
#define MSR_AMD_VM_CR	       0xc0010114
#define MSR_AMD_IGNNE	       0xc0010115
#define MSR_AMD_SMM_CTL	       0xc0010116
#define MSR_AMD_VM_HSAVE_PA    0xc0010117
#define MSR_AMD_SVM_KEY	       0xc0010118
#define MSR_AMD_VIRT_SPEC_CTRL 0xc001011f
#define MSR_AMD_GHCB	       0xc0010130
#define MSR_AMD_SEV_STATUS     0xc0010131
#define MSR_AMD_OSVW_ID_LENGTH 0xc0010140
#define MSR_AMD_OSVW_STATUS    0xc0010141
#define MSR_AMD_LS_CFG	       0xc0011020
#define MSR_AMD_IC_CFG	       0xc0011021
#define MSR_AMD_DC_CFG	       0xc0011022
#define MSR_AMD_DE_CFG	       0xc0011029
#define MSR_AMD_TSC_RATIO      0xc0000104

/* The paravirtual interface that Linux documents (Documentation/virt/kvm/x86/msr.rst) */
#define MSR_KVM_WALL_CLOCK	0x11
#define MSR_KVM_SYSTEM_TIME	0x12
#define MSR_KVM_WALL_CLOCK_NEW	0x4b564d00
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01
#define MSR_KVM_ASYNC_PF_EN	0x4b564d02
#define MSR_KVM_STEAL_TIME	0x4b564d03
#define MSR_KVM_PV_EOI_EN	0x4b564d04
#define MSR_KVM_POLL_CONTROL	0x4b564d05

/* IA32_APIC_BASE: SDM vol. 3A 11.4.4, 11.12.1 */
#define APIC_BASE_BSP	    BIT(8)
#define APIC_BASE_EXTD	    BIT(10)
#define APIC_BASE_EN	    BIT(11)
#define APIC_BASE_ADDR_MASK 0x000ffffffffff000ULL

/* IA32_FEATURE_CONTROL: SDM vol. 3C 24.7 */
#define FEATURE_CONTROL_LOCK		BIT(0)
#define FEATURE_CONTROL_VMX_IN_SMX	BIT(1)
#define FEATURE_CONTROL_VMX_OUTSIDE_SMX BIT(2)
#define FEATURE_CONTROL_LMCE		BIT(20)

/* VM_CR: APM vol. 2 15.30.1 */
#define VM_CR_DPD      BIT(0)
#define VM_CR_R_INIT   BIT(1)
#define VM_CR_DIS_A20M BIT(2)
#define VM_CR_LOCK     BIT(3)
#define VM_CR_SVMDIS   BIT(4)

/* IA32_SPEC_CTRL, IA32_PRED_CMD, IA32_FLUSH_CMD: SDM vol. 4 table 2-2 */
#define SPEC_CTRL_IBRS	    BIT(0)
#define SPEC_CTRL_STIBP	    BIT(1)
#define SPEC_CTRL_SSBD	    BIT(2)
#define SPEC_CTRL_BHI_DIS_S BIT(10)
#define PRED_CMD_IBPB	    BIT(0)
#define FLUSH_CMD_L1D	    BIT(0)

/* IA32_ARCH_CAPABILITIES: SDM vol. 4 table 2-2 */
#define ARCH_CAP_RDCL_NO	    BIT(0)
#define ARCH_CAP_IBRS_ALL	    BIT(1)
#define ARCH_CAP_RSBA		    BIT(2)
#define ARCH_CAP_SKIP_L1DFL_VMENTRY BIT(3)
#define ARCH_CAP_SSB_NO		    BIT(4)
#define ARCH_CAP_MDS_NO		    BIT(5)
#define ARCH_CAP_IF_PSCHANGE_MC_NO  BIT(6)
#define ARCH_CAP_TSX_CTRL	    BIT(7)
#define ARCH_CAP_TAA_NO		    BIT(8)
#define ARCH_CAP_SBDR_SSDP_NO	    BIT(13)
#define ARCH_CAP_FBSDP_NO	    BIT(14)
#define ARCH_CAP_PSDP_NO	    BIT(15)
#define ARCH_CAP_FB_CLEAR	    BIT(17)
#define ARCH_CAP_RRSBA		    BIT(19)
#define ARCH_CAP_BHI_NO		    BIT(20)
#define ARCH_CAP_PBRSB_NO	    BIT(24)
#define ARCH_CAP_GDS_CTRL	    BIT(25)
#define ARCH_CAP_GDS_NO		    BIT(26)
#define ARCH_CAP_RFDS_NO	    BIT(27)
#define ARCH_CAP_RFDS_CLEAR	    BIT(28)
#define ARCH_CAP_ITS_NO		    BIT(62)

/* IA32_MCU_OPT_CTRL: what switches countermeasures of the microcode off (SDM vol. 4 table 2-2) */
#define MCU_OPT_RNGDS_MITG_DIS BIT(0)
#define MCU_OPT_GDS_MITG_DIS   BIT(4)

/* DE_CFG: what AMD-SB-7008 has set where the microcode is older */
#define DE_CFG_ZENBLEED BIT(9)

/* IA32_MISC_ENABLE: SDM vol. 4 table 2-2 */
#define MISC_ENABLE_FAST_STRING	     BIT(0)
#define MISC_ENABLE_TCC		     BIT(3) /* automatic thermal control */
#define MISC_ENABLE_PMU_AVAILABLE    BIT(7)
#define MISC_ENABLE_BTS_UNAVAILABLE  BIT(11)
#define MISC_ENABLE_PEBS_UNAVAILABLE BIT(12)
#define MISC_ENABLE_EIST	     BIT(16)
#define MISC_ENABLE_MWAIT	     BIT(18)
#define MISC_ENABLE_LIMIT_CPUID	     BIT(22)
#define MISC_ENABLE_XTPR	     BIT(23) /* xTPR messages off */
#define MISC_ENABLE_XD_DISABLE	     BIT(34)

/* IA32_DEBUGCTL: SDM vol. 3B 18.4.1 */
#define DEBUGCTL_LBR BIT(0)
#define DEBUGCTL_BTF BIT(1)

#endif
