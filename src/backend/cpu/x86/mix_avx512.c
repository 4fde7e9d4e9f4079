/* mix_avx512.c - mix_tmpl.h in avx512. */
#include "backend/cpu/x86/x86.h"
#include "backend/cpu/x86/v_avx512.h"

enum {
    MIX_TOK = 12,
    MIX_FEW = 8,
    MIX_WIDE = 48
};
/* 64 columns at once, a page of keys or a head of values, where they fit. */
QN_INLINE int mix_in_flight(int T, qn_kv_dtype c)
{
    (void)c;
    return T <= 6 ? 4 : 2;
}

#include "backend/cpu/vec/mix_tmpl.h"
