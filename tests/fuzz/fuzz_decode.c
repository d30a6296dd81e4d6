/* links: tests/unit/support/decode_oracle.c emul/decode.c emul/tables.c -lZydis */
/* The decoder against Zydis. The input: the mode (1 byte), and what is decoded. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/util.h"
#include "tests/unit/support/decode_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	decode_oracle_init();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sample s = {.bytes = {0}};

	if (size < 2)
		return 0;
	s.oracle = &oracles[data[0] % ARRAY_SIZE(oracles)];
	memcpy(s.bytes, data + 1, MIN(size - 1, sizeof(s.bytes)));
	decode_oracle_compare(&s);
	return 0;
}
