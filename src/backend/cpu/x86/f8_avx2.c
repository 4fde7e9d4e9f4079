/* f8_avx2.c - f8_tmpl.h in avx2. */
#include "backend/cpu/x86/x86.h"
#include "backend/cpu/x86/v_avx2.h"

#include "backend/cpu/vec/f8_tmpl.h"
