/* version.c - the library's own version. */
#include "quern.h"

const char *qn_version(void)
{
    return QUERN_VERSION;
}
