/*
 * Countermeasures for processors that leak by speculation, chosen once from what CPUID and
 * IA32_ARCH_CAPABILITIES say. What stands in the way of exits and entries is code that a jump
 * leads around, and that jump is taken out where it is needed: elsewhere it costs one instruction.
 */
#ifndef ARCH_X86_MITIGATIONS_H
#define ARCH_X86_MITIGATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/strbuf.h"
#include "lib/util.h"

/* The assembly (arch/x86/alternatives.inc) has these numbers by arch/x86/offsets.c. */
enum {
	MIT_VERW = 1,	      /* buffers cleared before each entry */
	MIT_RSB = 2,	      /* return stack filled before a return that leads out of the exit */
	MIT_RETPOLINE = 4,    /* indirect branches by returns */
	MIT_IBRS = 8,	      /* IBRS set after each exit, cleared before each entry */
	MIT_IBPB_EXIT = 16,   /* branch predictions discarded after each exit */
	MIT_IBRS_ALWAYS = 32, /* IBRS on for good: enhanced IBRS */
	MIT_AUTO_IBRS = 64,   /* EFER.AIBRSE */
	MIT_IBPB = 128,	      /* predictions discarded when a core changes to another VM */
	MIT_L1D = 256,	      /* L1 data cache flushed when a core takes another vCPU */
	MIT_BHI = 512,	      /* BHI_DIS_S: no prediction by a guest's branch history */
	MIT_BHB = 1024,	      /* that history overwritten after each exit */
	MIT_GDS = 2048,	      /* what microcode does about gathers is left on */
	MIT_SRBDS = 4096,     /* and about RDRAND */
	MIT_ZENBLEED = 8192   /* DE_CFG[9]: no merging of zeroed upper halves */
};

/* What a processor says of itself. */
struct mit_cpu {
	bool intel, amd; /* or one of its licensees'; neither: nothing is known */
	uint32_t family, model;
	uint32_t leaf7_ebx, leaf7_edx, leaf7_2_edx, ext8_ebx, ext21_eax, ext21_ecx;
	uint64_t arch_capabilities;
};

/* Reads it of the processor that this runs on. */
struct mit_cpu mitigations_cpu(void);

/*
 * What CPU needs of MIT_ bits and offers the means for. MISSING gets the names of what it would
 * need newer microcode for, with ", " between them.
 */
uint32_t mitigations_choose(const struct mit_cpu *cpu, struct strbuf *missing);

/* Adds the names of what is in MASK, with ", " between them, or "none". */
void mitigations_names(uint32_t mask, struct strbuf *sb);

/*
 * Decides for the machine and takes the jumps out of Socle's text. ON: mitigations = auto. On the
 * boot core, interrupts off, while the text can be written once CR0.WP is clear, that is before
 * host_map_load().
 */
void mitigations_init(bool on);

/* Says what was decided. */
void mitigations_print(void);

/* Switches on what a core has in registers of its own. On each core, after host_map_load(). */
void mitigations_init_cpu(void);

/* What IA32_SPEC_CTRL holds while a core executes Socle, after what stands behind an exit. */
uint64_t mitigations_spec_ctrl(void);

/* Whether anything stands around each VM exit of VT-x: it has entry stubs with and without. */
bool mitigations_around_exits(void);

/* This core takes a vCPU; OTHER_VM: of another VM than the last one that it ran. */
void mitigations_switch(bool other_vm);

#endif
