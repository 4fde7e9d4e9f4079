/* unicode.c - the home of the generated character table. */
#include "text/unicode.h"

#include "text/unicode_tab.h"
