/* What the firmware tells about the machine, and is asked before it is left. */
#ifndef EFI_PLATFORM_H
#define EFI_PLATFORM_H

#include "boot/handover.h"

/* Physical address of the ACPI tables' root, 0: none. */
uint64_t platform_rsdp(void);

/* The screen of the firmware's console, else another one; base 0: there is none that Socle can draw
   on (GOPs that draw by calls alone). */
void platform_framebuffer(struct boot_framebuffer *fb);

/* Where socle.efi is loaded. */
struct boot_extent platform_image(void);

/* Reads the clock into h->wall_clock_s and h->wall_clock_tsc. */
void platform_clock(struct handover *h);

#endif
