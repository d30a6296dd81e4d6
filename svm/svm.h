/* AMD-V (APM vol. 2 chapter 15) behind core's interface. */
#ifndef SVM_SVM_H
#define SVM_SVM_H

#include "core/hv_ops.h"

/* hv_caps.raw[] of this back end. */
enum svm_raw {
	SVM_RAW_80000001_ECX,
	SVM_RAW_80000001_EDX,
	SVM_RAW_80000008_EBX,
	SVM_RAW_8000000A_EAX,
	SVM_RAW_8000000A_EBX,
	SVM_RAW_8000000A_ECX,
	SVM_RAW_8000000A_EDX,
	SVM_RAW_VM_CR,
	SVM_RAW_CR4, /* LA57 alone: what walks nested tables is the host's paging mode */
	SVM_RAW_COUNT
};

_Static_assert(SVM_RAW_COUNT <= HV_CAPS_RAW, "raw[] must hold them");

extern const struct hv_ops svm_ops;

#endif
