/* decode_tmpl.h - body of one decoder of a plain type. The includer defines
 *   DECODE_NAME   the function
 *   DECODE_TYPE   the element as it lies in the file
 *   DECODE_F32(x) its value
 * No include guard: it is included once per type. */
void DECODE_NAME(const void *src, float *dst, size_t n)
{
    const unsigned char *p = src;
    for (size_t i = 0; i < n; i++) {
        DECODE_TYPE x;
        memcpy(&x, p + i * sizeof x, sizeof x);
        dst[i] = DECODE_F32(x);
    }
}

#undef DECODE_NAME
#undef DECODE_TYPE
#undef DECODE_F32
