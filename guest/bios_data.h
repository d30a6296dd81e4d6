/*
 * The interrupt vectors and the BIOS data area: what a PC's firmware leaves below 500h for the
 * programs it starts. No BIOS is there to serve anybody, but kernels read from there where
 * conventional memory ends, and some call it on their way (Xen 4.17 does both): each service
 * answers that it is not supported, and any other interrupt returns.
 */
#ifndef GUEST_BIOS_DATA_H
#define GUEST_BIOS_DATA_H

#include "guest/guest.h"
#include "guest/writer.h"

/*
 * Writes the vectors, their code at the end of the first MiB, the BIOS data area and the head of
 * the extended one at LAYOUT_LOW_RAM_END, for a VM on P.
 */
void guest_bios_data_write(struct writer *w, const struct guest_platform *p);

#endif
