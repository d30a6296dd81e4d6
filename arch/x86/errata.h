/* Flaws of processors that every core is guarded against once, when it is set up. */
#ifndef ARCH_X86_ERRATA_H
#define ARCH_X86_ERRATA_H

/* On each core, after desc_load(). */
void errata_init_cpu(void);

#endif
