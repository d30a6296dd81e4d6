#include "tests/unit/support/fake_bzimage.h"

#include <stdlib.h>
#include <string.h>

void fake_put(uint8_t *file, size_t offset, uint64_t value, unsigned int len)
{
	memcpy(file + offset, &value, len);
}

uint8_t *fake_bzimage(void)
{
	uint8_t *f = calloc(1, FAKE_SIZE);

	fake_put(f, 0x1f1, FAKE_SETUP_SIZE / 512 - 1, 1); /* setup_sects */
	fake_put(f, 0x1f4, FAKE_PAYLOAD_SIZE / 16, 4);	  /* syssize */
	fake_put(f, 0x1fa, 0x1234, 2);			  /* vid_mode */
	fake_put(f, 0x1fe, 0xaa55, 2);			  /* boot_flag */
	fake_put(f, 0x200, 0x6aeb, 2);			  /* jump to 26ch */
	memcpy(f + 0x202, "HdrS", 4);
	fake_put(f, 0x206, 0x020f, 2);	       /* version */
	fake_put(f, 0x211, 0x01, 1);	       /* loadflags: LOADED_HIGH */
	fake_put(f, 0x214, 0x100000, 4);       /* code32_start */
	fake_put(f, 0x22c, 0x7fffffff, 4);     /* initrd_addr_max */
	fake_put(f, 0x230, 0x200000, 4);       /* kernel_alignment */
	fake_put(f, 0x234, 1, 1);	       /* relocatable_kernel */
	fake_put(f, 0x235, 21, 1);	       /* min_alignment */
	fake_put(f, 0x236, 0x0003, 2);	       /* xloadflags: KERNEL_64, ABOVE_4G */
	fake_put(f, 0x238, FAKE_CMDLINE, 4);   /* cmdline_size */
	fake_put(f, 0x258, FAKE_PREF, 8);      /* pref_address */
	fake_put(f, 0x260, FAKE_INIT_SIZE, 4); /* init_size */
	fake_put(f, 0x268, 0xfeedface, 4);     /* kernel_info_offset, the last field */
	for (size_t i = 0; i < FAKE_PAYLOAD_SIZE; i++)
		f[FAKE_SETUP_SIZE + i] = (uint8_t)(i % 251);
	return f;
}
