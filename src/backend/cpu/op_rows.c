/* op_rows.c - the ops that are one pass over rows: embed, norm, rope, map,
 * gather. Threads get fixed shares; a row (or a group, a head, a stretch of
 * elements) is computed by one thread alone.
 */
#include "backend/cpu/cpu_int.h"

#include <assert.h>
#include <math.h>

/* [begin, end) of n units for this thread. */
static void share(const qn_worker *w, int64_t n, int64_t *begin, int64_t *end)
{
    qn_pool_split(n, 1, w->thread, w->n_threads, begin, end);
}

void qn_op_embed_run(const qn_op_embed *op, qn_worker *w)
{
    int64_t begin, end;

    share(w, op->n_row, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        assert(op->ids[r] >= 0 && op->ids[r] < op->table->n_out);
        qn_weight_row(op->table, op->ids[r], op->scale, op->add,
                      op->y + r * op->ldy);
    }
}

void qn_op_norm_run(const qn_op_norm *op, qn_worker *w)
{
    int64_t begin, end;

    share(w, (int64_t)op->n_row * op->n_group, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t row = i / op->n_group, at = i % op->n_group * op->dim;
        int64_t wat = op->w_per_group ? at : 0;
        qn_norm_args a = {
            .x = op->x + row * op->ldx + at,
            .w = op->w ? op->w + wat : NULL,
            .b = op->b ? op->b + wat : NULL,
            .residual = op->residual ? op->residual + row * op->ldr + at : NULL,
            .y = op->y + row * op->ldy + at,
            .n = op->dim,
            .eps = op->eps,
            .rms = op->rms,
        };
        w->kern->norm.fn(&a);
    }
}

void qn_op_rope_table_run(const qn_op_rope_table *op, qn_worker *w)
{
    const qn_batch *b = op->batch;
    int64_t begin, end;
    int s = 0;

    share(w, b->n_row, &begin, &end);
    for (int64_t r = begin; r < end; r++) {
        float *cs = op->out + r * 2 * op->n_freq;
        const float *freq;
        while (r >= b->spans[s].row0 + b->spans[s].n_row)
            s++;
        freq = op->inv_freq + s * op->span_stride;
        for (int i = 0; i < op->n_freq; i++) {
            float angle = (float)b->pos[r] * freq[i];
            cs[i] = op->scale * (float)cos((double)angle);
            cs[op->n_freq + i] = op->scale * (float)sin((double)angle);
        }
    }
}

void qn_op_rope_run(const qn_op_rope *op, qn_worker *w)
{
    int64_t begin, end;

    share(w, (int64_t)op->n_row * op->n_head, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t row = i / op->n_head, head = i % op->n_head;
        w->kern->rope.fn(op->x + row * op->ldx + head * op->d_head,
                         op->table + row * 2 * op->n_freq, op->n_freq,
                         op->interleaved);
    }
}

#define MAP_STRETCH 4096 /* elements of a row that one thread takes at a time */

void qn_op_map_run(const qn_op_map *op, qn_worker *w)
{
    int64_t per_row = (op->dim + MAP_STRETCH - 1) / MAP_STRETCH, begin, end;

    share(w, op->n_row * per_row, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int64_t row = i / per_row, at = i % per_row * MAP_STRETCH;
        qn_map_args a = {
            .x = op->x + row * op->ldx + at,
            .mul = op->mul ? op->mul + row * op->ldm + at : NULL,
            .y = op->y + row * op->ldy + at,
            .n = (int)QN_MIN(MAP_STRETCH, op->dim - at),
            .act = op->act,
            .scale = op->scale,
            .cap = op->cap,
            .add = op->add,
        };
        w->kern->map.fn(&a);
    }
}

void qn_op_gather_run(const qn_op_gather *op, qn_worker *w)
{
    int64_t begin, end;

    share(w, op->n_out, &begin, &end);
    for (int64_t i = begin; i < end; i++)
        memcpy(op->y + i * op->ldy, op->x + op->rows[i] * op->ldx,
               (size_t)op->dim * sizeof(float));
}
