/* decode_block_tmpl.h - body of one decoder that goes block by block. The includer
 * defines
 *   BLOCK_NAME     the function
 *   BLOCK_TYPE     the block as it lies in the file
 *   BLOCK_ELEMS    its elements
 *   BLOCK_DECODE   void f(const BLOCK_TYPE *b, float *x): their values
 * No include guard: it is included once per format. */
void BLOCK_NAME(const void *src, float *dst, size_t n)
{
    const unsigned char *p = src;
    for (; n >= BLOCK_ELEMS; n -= BLOCK_ELEMS) {
        BLOCK_TYPE b;
        memcpy(&b, p, sizeof b);
        BLOCK_DECODE(&b, dst);
        p += sizeof b;
        dst += BLOCK_ELEMS;
    }
}

#undef BLOCK_NAME
#undef BLOCK_TYPE
#undef BLOCK_ELEMS
#undef BLOCK_DECODE
