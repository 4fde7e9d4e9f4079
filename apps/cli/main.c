/* main.c - the program; everything is in commands.c and below. */
#include "cli/commands.h"

int main(int argc, char **argv)
{
    return qn_cli_main(argc, argv);
}
