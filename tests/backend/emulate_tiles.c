/* emulate_tiles.c - x86/linear_i8_amx.c in plain C, see emulate.h. */
#if defined(__x86_64__)
#include "backend/emulate.h"

#include "backend/cpu/x86/linear_i8_amx.c"
#endif
