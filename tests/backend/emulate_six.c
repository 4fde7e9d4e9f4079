/* emulate_six.c - x86/linear_a6_amx.c in plain C, see emulate.h. */
#if defined(__x86_64__)
#include "backend/emulate.h"

#include "backend/cpu/x86/linear_a6_amx.c"
#endif
