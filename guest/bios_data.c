/*
 * What a PC's firmware leaves in low memory: IBM PS/2 and Personal Computer BIOS Interface
 * Technical Reference, section 3.
 */
#include "guest/bios_data.h"

#include <stdbool.h>

#include "guest/layout.h"
#include "lib/util.h"

#define BDA_COM1      0x400u /* base port of the first serial port */
#define BDA_COM2      0x402u
#define BDA_EBDA      0x40eu /* segment of the extended BIOS data area */
#define BDA_EQUIPMENT 0x410u
#define BDA_MEMORY    0x413u /* KiB below the extended BIOS data area */

#define EQUIPMENT_FPU		(1u << 1)
#define EQUIPMENT_SERIAL(count) ((count) << 9)
#define COM1_BASE		0x3f8u
#define COM2_BASE		0x2f8u
#define EBDA_SIZE		((LAYOUT_VIDEO - LAYOUT_LOW_RAM_END) / KIB(1)) /* its first byte */

/* Where every BIOS has an IRET, and behind it the answer of a service that is not there. */
#define BIOS_SEGMENT 0xf000u
#define BIOS_IRET    0xff53u
#define BIOS_REFUSE  0xff54u

#define VECTORS	      256u
#define FIRST_SERVICE 0x10u /* video; then up to 1ah: equipment, memory, disk, .. clock */
#define LAST_SERVICE  0x1au

static const uint8_t code[] = {
	0xcf,			/* iret */
	0x55,			/* push bp */
	0x89, 0xe5,		/* mov bp, sp */
	0x80, 0x4e, 0x06, 0x01, /* or byte [bp + 6], 1: CF of the caller */
	0x5d,			/* pop bp */
	0xb4, 0x86,		/* mov ah, 86h: function not supported */
	0xcf,			/* iret */
};

static void write_vectors(struct writer *w)
{
	for (uint32_t v = 0; v < VECTORS; v++) {
		bool service = v >= FIRST_SERVICE && v <= LAST_SERVICE;

		put_u16(w, 4 * v, service ? BIOS_REFUSE : BIOS_IRET);
		put_u16(w, 4 * v + 2, BIOS_SEGMENT);
	}
	put_bytes(w, BIOS_SEGMENT * 16 + BIOS_IRET, code, sizeof(code));
}

void guest_bios_data_write(struct writer *w, const struct guest_platform *p)
{
	write_vectors(w);
	put_u16(w, BDA_COM1, COM1_BASE);
	put_u16(w, BDA_EBDA, LAYOUT_LOW_RAM_END >> 4);
	if (p->com2)
		put_u16(w, BDA_COM2, COM2_BASE);
	put_u16(w, BDA_EQUIPMENT, EQUIPMENT_FPU | EQUIPMENT_SERIAL(p->com2 ? 2 : 1));
	put_u16(w, BDA_MEMORY, LAYOUT_LOW_RAM_END / KIB(1));
	put_u8(w, LAYOUT_LOW_RAM_END, EBDA_SIZE);
}
