/* tok_work.c - see tok_work.h.
 *
 * The two text buffers are written in turn: a rewrite reads the one and
 * appends to the other, then they change places. */
#include "text/tok_work.h"

#include "base/utf8.h"
#include "text/unicode.h"

#include <stdlib.h>

void qn_tok_work_init(qn_tok_work *w, const char *text, size_t n,
                      unsigned flags, qn_err *err)
{
    memset(w, 0, sizeof *w);
    w->original = w->p = text;
    w->original_n = w->n = n;
    w->flags = flags;
    w->err = err;
    if (n > 0)
        qn_vec_push(&w->pieces, ((qn_tok_piece){0, (uint32_t)n, 0, -1}));
}

void qn_tok_work_deinit(qn_tok_work *w)
{
    qn_vec_deinit(&w->pieces);
    qn_vec_deinit(&w->next);
    qn_vec_deinit(&w->matches);
    for (int k = 0; k < 2; k++) {
        qn_str_deinit(&w->text[k]);
        qn_vec_deinit(&w->als[k]);
    }
    qn_tok_finder_deinit(&w->finder);
    qn_vec_deinit(&w->ids);
    qn_vec_deinit(&w->ranges);
    qn_vec_deinit(&w->marks);
}

qn_tok_al qn_tok_work_al(const qn_tok_work *w, size_t i)
{
    if (w->al)
        return w->al[i];
    if (w->rewritten)
        return (qn_tok_al){0, 0};
    size_t b = i;
    while (b > 0 && ((uint8_t)w->p[b] & 0xC0) == 0x80)
        b--;
    return (qn_tok_al){(uint32_t)b, (uint32_t)(b + qn_uni_len(w->p[b]))};
}

/* ---- rewriting --------------------------------------------------------- */

static void work_push_al(qn_tok_work *w, qn_tok_al al, size_t n)
{
    for (size_t k = 0; k < n; k++)
        qn_vec_push(&w->als[w->turn], al);
}

void qn_tok_put(qn_tok_work *w, const char *p, size_t n, qn_tok_al al)
{
    qn_str_add(&w->text[w->turn], p, n);
    if (w->want_al)
        work_push_al(w, al, n);
}

void qn_tok_put_cp(qn_tok_work *w, uint32_t cp, qn_tok_al al)
{
    char buf[4];
    qn_tok_put(w, buf, (size_t)qn_utf8_encode(cp, buf), al);
}

void qn_tok_keep(qn_tok_work *w, size_t b, size_t e)
{
    qn_str_add(&w->text[w->turn], w->p + b, e - b);
    if (!w->want_al)
        return;
    for (size_t i = b; i < e;) {
        size_t n = w->al ? 1 : QN_MIN(qn_uni_len(w->p[i]), e - i);
        work_push_al(w, qn_tok_work_al(w, i), n);
        i += n;
    }
}

void qn_tok_put_prefixed(qn_tok_work *w, const qn_tok_piece *pc, const char *p,
                         size_t n)
{
    qn_tok_put(w, p, n, qn_tok_work_al(w, pc->b));
    qn_tok_keep(w, pc->b, pc->e);
}

int qn_tok_work_rewrite(qn_tok_work *w, const qn_tok_rewrite *how)
{
    bool any = !how->touches;
    for (size_t k = 0; k < w->pieces.n && !any; k++)
        any = w->pieces.v[k].id < 0 &&
              how->touches(how->arg, w, &w->pieces.v[k]);
    if (!any)
        return QN_OK;

    qn_str *out = &w->text[w->turn];
    qn_str_clear(out);
    qn_vec_clear(&w->als[w->turn]);
    qn_vec_clear(&w->next);
    for (size_t k = 0; k < w->pieces.n; k++) {
        qn_tok_piece pc = w->pieces.v[k];
        size_t begin = out->n;
        if (pc.id >= 0 || (how->touches && !how->touches(how->arg, w, &pc)))
            qn_tok_keep(w, pc.b, pc.e);
        else
            QN_TRY(how->apply(how->arg, w, &pc));
        if (out->n >= UINT32_MAX / 2)
            return qn_fail(w->err, QN_ELIMIT,
                           "the normalized text is larger than 2 GiB");
        pc.b = (uint32_t)begin;
        pc.e = (uint32_t)out->n;
        if (pc.b < pc.e)
            qn_vec_push(&w->next, pc);
    }
    w->p = out->p;
    w->n = out->n;
    w->al = w->want_al ? w->als[w->turn].v : NULL;
    w->rewritten = true;
    w->turn = !w->turn;
    qn_tok_divide_end(w);
    return QN_OK;
}

void qn_tok_work_origins(qn_tok_work *w)
{
    for (size_t k = 0; w->al && k < w->pieces.n; k++)
        w->pieces.v[k].origin = w->al[w->pieces.v[k].b].b;
}

/* ---- dividing ---------------------------------------------------------- */

void qn_tok_divide_begin(qn_tok_work *w)
{
    qn_vec_clear(&w->next);
}

void qn_tok_divide_part(qn_tok_work *w, const qn_tok_piece *from, size_t b,
                        size_t e, int32_t id)
{
    if (b >= e)
        return;
    qn_tok_piece pc = {(uint32_t)b, (uint32_t)e, 0, id};
    if (!w->rewritten)
        pc.origin = pc.b;
    else if (w->al)
        pc.origin = w->al[b].b;
    else
        pc.origin = b == from->b ? from->origin : UINT32_MAX;
    qn_vec_push(&w->next, pc);
}

/* The pieces built become the pieces there are. */
void qn_tok_divide_end(qn_tok_work *w)
{
    qn_tok_pieces done = w->pieces;
    w->pieces = w->next;
    w->next = done;
}
