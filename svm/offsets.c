/* Numbers for entry.asm: build/gen/svm_offsets.inc is made from what the compiler makes of this. */
#include "core/vcpu_numbers.h"

void svm_offsets(void);

void svm_offsets(void)
{
	number_gprs();
}
