/* f8_avx512.c - f8_tmpl.h in avx512. */
#include "backend/cpu/x86/x86.h"
#include "backend/cpu/x86/v_avx512.h"

#include "backend/cpu/vec/f8_tmpl.h"
