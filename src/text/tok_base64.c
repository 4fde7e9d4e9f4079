/* tok_base64.c - RFC 4648, with padding. */
#include "text/tok_base64.h"

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool qn_tok_base64(qn_view in, qn_str *out)
{
    uint32_t bits = 0;
    int n_bits = 0;
    if (in.n % 4 != 0)
        return false;
    while (in.n > 0 && in.p[in.n - 1] == '=')
        in.n--;
    for (size_t k = 0; k < in.n; k++) {
        int d = base64_digit(in.p[k]);
        if (d < 0)
            return false;
        bits = bits << 6 | (uint32_t)d;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            qn_str_addc(out, (char)(uint8_t)(bits >> n_bits));
        }
    }
    return true;
}
