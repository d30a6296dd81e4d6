/* Kernels made by hand: a setup header and nothing behind it that could run. */
#ifndef TESTS_UNIT_SUPPORT_FAKE_BZIMAGE_H
#define TESTS_UNIT_SUPPORT_FAKE_BZIMAGE_H

#include <stddef.h>
#include <stdint.h>

#define FAKE_SETUP_SIZE	  1024u
#define FAKE_PAYLOAD_SIZE 4096u
#define FAKE_SIZE	  (FAKE_SETUP_SIZE + FAKE_PAYLOAD_SIZE)
#define FAKE_PREF	  0x1000000u
#define FAKE_INIT_SIZE	  0x300000u
#define FAKE_CMDLINE	  2047u

/*
 * FAKE_SIZE bytes from malloc(): protocol 2.15, relocatable in steps of 2 MiB, to run at FAKE_PREF,
 * initrd below 2 GiB or anywhere. The payload's bytes count up, modulo 251.
 */
uint8_t *fake_bzimage(void);

/* Writes the LEN lowest bytes of VALUE at OFFSET. */
void fake_put(uint8_t *file, size_t offset, uint64_t value, unsigned int len);

#endif
