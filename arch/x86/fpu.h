/*
 * FPU and vector state of guests, switched eagerly when a core changes its vCPU. The hypervisor is
 * compiled for general registers alone, so that the state of the last vCPU stays in the registers
 * across its exits.
 *
 * A MASK has bits of XCR0 and of IA32_XSS together: the components to save. XCR0 and IA32_XSS must
 * have those bits set when fpu_save() and fpu_restore() run (SDM vol. 1 13.7 to 13.12).
 */
#ifndef ARCH_X86_FPU_H
#define ARCH_X86_FPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FPU_AREA_ALIGN 64

/* What this processor has. Once, on the first core. */
void fpu_init(void);

/* Components that XCR0 may have set; 3 (x87 and SSE, by FXSAVE) where there is no XSAVE. */
uint64_t fpu_supported_xcr0(void);

/* Bytes that an area for MASK takes, in the format that fpu_save() uses; 512 at least. */
size_t fpu_size(uint64_t mask);

/*
 * Puts the state after INIT or power-up (FCW 37fh, MXCSR 1f80h, the rest 0) into AREA, which
 * fpu_size(MASK) bytes and is aligned to FPU_AREA_ALIGN.
 */
void fpu_init_area(void *area, uint64_t mask);

/*
 * The executing core's registers to AREA and back. XSAVE, else FXSAVE. Clears CR0.TS
 * if it is on.
 */
void fpu_save(void *area, uint64_t mask);
void fpu_restore(const void *area, uint64_t mask);

/*
 * XMM register NUMBER (0 to 15) of the executing core, to BUF or from it. What is above it in a
 * wider register stays.
 */
void fpu_xmm(unsigned int number, uint8_t buf[16], bool write);

/*
 * YMM register NUMBER (0 to 15) likewise; what is above it is cleared by a write. False, and
 * nothing done: XCR0 has it off.
 */
bool fpu_ymm(unsigned int number, uint8_t buf[32], bool write);

/*
 * MMX register NUMBER (0 to 7) likewise; either way x87's registers are MMX's from then on. False,
 * and nothing done: an x87 exception waits, which the access would raise here.
 */
bool fpu_mmx(unsigned int number, uint8_t buf[8], bool write);

/*
 * Load XCR0 (IA32_XSS) where it differs from what the core has; VALUE must be a supported one.
 * No-ops where there is none.
 */
void fpu_set_xcr0(uint64_t value);
void fpu_set_xss(uint64_t value);

#endif
