/* The BIOS data area: IBM PS/2 and Personal Computer BIOS Interface Technical Reference, section 3.
 */
#include "guest/bios_data.h"

#include "guest/layout.h"

#define BDA_COM1      0x400u /* base port of the first serial port */
#define BDA_EBDA      0x40eu /* segment of the extended BIOS data area */
#define BDA_EQUIPMENT 0x410u
#define BDA_MEMORY    0x413u /* KiB below the extended BIOS data area */

#define EQUIPMENT_FPU	     (1u << 1)
#define EQUIPMENT_ONE_SERIAL (1u << 9)
#define COM1_BASE	     0x3f8u
#define EBDA_SIZE	     ((LAYOUT_VIDEO - LAYOUT_LOW_RAM_END) / KIB(1)) /* its first byte */

void guest_bios_data_write(struct writer *w)
{
	put_u16(w, BDA_COM1, COM1_BASE);
	put_u16(w, BDA_EBDA, LAYOUT_LOW_RAM_END >> 4);
	put_u16(w, BDA_EQUIPMENT, EQUIPMENT_FPU | EQUIPMENT_ONE_SERIAL);
	put_u16(w, BDA_MEMORY, LAYOUT_LOW_RAM_END / KIB(1));
	put_u8(w, LAYOUT_LOW_RAM_END, EBDA_SIZE);
}
