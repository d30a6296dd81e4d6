/* The Intel VT-x back end. */
#ifndef VMX_VMX_H
#define VMX_VMX_H

#include "core/hv_ops.h"

extern const struct hv_ops vmx_ops;

#endif
