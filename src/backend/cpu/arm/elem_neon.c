/* elem_neon.c - elem_tmpl.h in NEON. */
#include "backend/cpu/arm/arm.h"
#include "backend/cpu/arm/v_neon.h"

#include "backend/cpu/vec/elem_tmpl.h"
