/* encode_block_tmpl.h - bodies of the two encoders that go block by block. The
 * includer defines
 *   BLOCK_NAME     the function without importance
 *   BLOCK_WEIGHTED the function with it
 *   BLOCK_TYPE     the block as it lies in the file
 *   BLOCK_ELEMS    its elements
 *   BLOCK_ENCODE   void f(const float *x, const float *w, BLOCK_TYPE *b);
 *                  w may be NULL, *b is cleared
 * No include guard: it is included once per format. */
void BLOCK_WEIGHTED(const float *src, const float *weight, void *dst, size_t n)
{
    unsigned char *p = dst;
    for (; n >= BLOCK_ELEMS; n -= BLOCK_ELEMS) {
        BLOCK_TYPE b = {0};
        BLOCK_ENCODE(src, weight, &b);
        memcpy(p, &b, sizeof b);
        p += sizeof b;
        src += BLOCK_ELEMS;
        weight = weight ? weight + BLOCK_ELEMS : NULL;
    }
}

void BLOCK_NAME(const float *src, void *dst, size_t n)
{
    BLOCK_WEIGHTED(src, NULL, dst, n);
}

#undef BLOCK_NAME
#undef BLOCK_WEIGHTED
#undef BLOCK_TYPE
#undef BLOCK_ELEMS
#undef BLOCK_ENCODE
