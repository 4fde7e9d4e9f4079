/* emulate_mins.c - x86/coded_mins_avx512vnni.c in plain C, see emulate.h. */
#if defined(__x86_64__)
#include "backend/emulate.h"

#include "backend/cpu/x86/coded_mins_avx512vnni.c"
#endif
