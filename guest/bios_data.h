/*
 * The BIOS data area: what a PC's firmware leaves below 500h for the programs it starts. No BIOS is
 * there to call, but kernels read from it where conventional memory ends (Xen puts the code that
 * starts its processors there) and which serial ports there are.
 */
#ifndef GUEST_BIOS_DATA_H
#define GUEST_BIOS_DATA_H

#include "guest/writer.h"

/* Writes the BIOS data area and the head of the extended one, at LAYOUT_LOW_RAM_END. */
void guest_bios_data_write(struct writer *w);

#endif
