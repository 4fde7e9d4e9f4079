/* encode_tmpl.h - body of one encoder of a plain type. The includer defines
 *   ENCODE_NAME    the function
 *   ENCODE_TYPE    the element as it lies in the file
 *   ENCODE_F32(f)  the element nearest to the f32 f
 * No include guard: it is included once per type. */
void ENCODE_NAME(const float *src, void *dst, size_t n)
{
    unsigned char *p = dst;
    for (size_t i = 0; i < n; i++) {
        ENCODE_TYPE x = ENCODE_F32(src[i]);
        memcpy(p + i * sizeof x, &x, sizeof x);
    }
}

#undef ENCODE_NAME
#undef ENCODE_TYPE
#undef ENCODE_F32
