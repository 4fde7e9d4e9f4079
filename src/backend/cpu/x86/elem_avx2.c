/* elem_avx2.c - elem_tmpl.h in avx2. */
#include "backend/cpu/x86/x86.h"
#include "backend/cpu/x86/v_avx2.h"

#include "backend/cpu/vec/elem_tmpl.h"
