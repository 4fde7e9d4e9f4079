/* linear_neon.c - linear_tmpl.h in NEON. */
#include "backend/cpu/arm/arm.h"
#include "backend/cpu/arm/v_neon.h"

#include "backend/cpu/vec/linear_tmpl.h"
