/* f8_neon.c - f8_tmpl.h in NEON. */
#include "backend/cpu/arm/arm.h"
#include "backend/cpu/arm/v_neon.h"

#include "backend/cpu/vec/f8_tmpl.h"
