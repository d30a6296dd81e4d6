/* Leaving the firmware. */
#ifndef EFI_LEAVE_H
#define EFI_LEAVE_H

#include "boot/handover.h"

/*
 * Everything in H but the memory map and the clock is there. Ends boot services and starts the
 * hypervisor; where the firmware refuses to end them, says so on the serial port and powers off.
 * Returns false, with nothing done, when there is no memory for the map.
 */
bool leave_firmware(struct handover *h);

#endif
