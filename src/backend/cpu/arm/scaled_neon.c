/* scaled_neon.c - scaled_tmpl.h in NEON. */
#include "backend/cpu/arm/arm.h"
#include "backend/cpu/arm/v_neon.h"

#include "backend/cpu/vec/scaled_tmpl.h"
