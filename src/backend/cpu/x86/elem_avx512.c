/* elem_avx512.c - elem_tmpl.h in avx512. */
#include "backend/cpu/x86/x86.h"
#include "backend/cpu/x86/v_avx512.h"

#include "backend/cpu/vec/elem_tmpl.h"
