/* mix_neon.c - mix_tmpl.h in NEON. */
#include "backend/cpu/arm/arm.h"
#include "backend/cpu/arm/v_neon.h"

enum {
    MIX_TOK = 6,
    MIX_FEW = 4,
    MIX_WIDE = MIX_TOK
};
/* Of 32 registers, 24 accumulate. */
QN_INLINE int mix_in_flight(int T, qn_kv_dtype c)
{
    (void)c;
    return T == 1 ? 4 : T <= 3 ? 2 : 1;
}

#include "backend/cpu/vec/mix_tmpl.h"
