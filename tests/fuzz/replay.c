/*
 * In place of libFuzzer, for make coverage: gives each file named on the command line to the fuzzer
 * once.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data;
	size_t size;

	if (!f || fseek(f, 0, SEEK_END))
		return 1;
	size = (size_t)ftell(f);
	rewind(f);
	data = malloc(size + 1);
	if (!data || fread(data, 1, size, f) != size)
		return 1;
	fclose(f);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	int bad = 0;

	for (int i = 1; i < argc; i++)
		bad |= replay(argv[i]);
	return bad;
}
