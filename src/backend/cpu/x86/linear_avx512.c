/* linear_avx512.c - linear_tmpl.h in avx512. */
#include "backend/cpu/x86/x86.h"
#include "backend/cpu/x86/v_avx512.h"

#include "backend/cpu/vec/linear_tmpl.h"
