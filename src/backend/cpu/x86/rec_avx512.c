/* rec_avx512.c - rec_tmpl.h in avx512. */
#include "backend/cpu/x86/x86.h"
#include "backend/cpu/x86/v_avx512.h"

#include "backend/cpu/vec/rec_tmpl.h"
