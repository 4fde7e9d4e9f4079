/* pace.c - how many rows of prompts a step takes while sequences decode.
 *
 * Whoever writes waits for every row of a step, so prompts get a part of it
 * only; and steps have to take the same time all along, or texts stutter. What
 * varies least is the number of rows altogether. If the requests that run are
 * to go through together, a step has to bring, for each sequence, one token
 * and what prompts have to be read for a token: seqs * (1 + ratio), with
 * ratio = tokens of their prompts / tokens of their completions. With a
 * little less than that there are nearly always prompts left to read, hence
 * steps are alike; with more, steps with and without prompts would alternate.
 * Both numbers are averages that move slowly.
 *
 * Bounds, in this order of precedence
 *   max_step_ms   a step takes no longer, so that a request that is cancelled
 *                 ends soon; one row is always allowed
 *   few           rows that cost next to nothing, since a pass reads all
 *                 weights in any case
 *   longest       LONGEST times what the decoding rows take alone, or SHORT_MS
 *   spread        what waits goes through within SPREAD steps
 *
 * Where products take rows in tiles (backend.h, row_tile), a step has whole ones:
 * 20 rows would cost what 32 do. Rather fewer rows than more, unless the next
 * tile would be nearly full: then fewer sequences decode at a time and the others
 * wait to be read, but each token takes less. Half of what LEAST and SPREAD ask
 * for is always left for prompts.
 *
 * What rows take is measured: row_ms by passes of prompts alone, base_ms by
 * what others take beyond their rows'.
 *
 * Simulated with steps of 44 to 49 ms up to 8 rows and then 5 ms a row, of
 * 40 + 15 n ms, and of max(40, 18 + 2.5 n) ms; 4, 8 and 16 clients in a loop,
 * prompts of 64 to 192 and completions of 32 to 96 tokens: the 99th percentile
 * of the time between two tokens is 1.05 to 1.28 times the median, and the
 * throughput is that of larger shares. */
#include "engine/engine_int.h"

#include <math.h>

#define SHARE 0.85
/* Whole tiles: one more when `all` has this part of it, one less when that of
 * what there is. */
#define UP 0.95
#define DOWN 0.87
#define SPREAD 64.0
#define FEW 8
#define LEAST 4
#define LONGEST 4.0
#define SHORT_MS 100.0
#define RATIO_STEPS 256 /* until the averages have followed */
#define SEQS_STEPS 16
#define ENDED 16       /* completions */
#define MANY_ROWS 128  /* of a pass that says what a row takes */
#define FIRST_OPS 2e10 /* a second, until something has been measured */

void qn_pace_init(qn_pace *p, double max_step_ms, uint64_t weight_bytes,
                  int tile)
{
    /* of weights with half a byte: two operations each */
    double ops = 4 * (double)weight_bytes;
    *p = (qn_pace){.max_ms = max_step_ms, .tile = tile, .ratio = -1};
    if (max_step_ms > 0)
        p->first = QN_MAX(max_step_ms * 1e-3 * FIRST_OPS / QN_MAX(ops, 1), 1);
}

void qn_pace_ended(qn_pace *p, int64_t n_new, int64_t max_new)
{
    double part = (double)QN_MAX(n_new, 1) / (double)QN_MAX(max_new, 1);
    p->part = p->part > 0 ? p->part + (part - p->part) / ENDED : part;
}

void qn_pace_learn(qn_pace *p, int n_row, int n_decode, double ms)
{
    double each = ms / n_row, beyond = ms - p->row_ms * n_row;
    if (p->row_ms <= 0)
        p->row_ms = each;
    else if (n_decode == 0 || each < p->row_ms) /* small ones: at most this */
        p->row_ms += (each - p->row_ms) *
                     (each < p->row_ms ? 0.5 : (double)n_row / MANY_ROWS / 2);
    else
        p->base_ms += (QN_MAX(beyond, 0) - p->base_ms) / SEQS_STEPS;
}

double qn_pace_expects(const qn_pace *p, int n_row)
{
    return p->row_ms > 0 ? p->base_ms + p->row_ms * n_row : (double)INFINITY;
}

/* Rows that fit into ms. */
static double rows_within(const qn_pace *p, double ms)
{
    return (ms - p->base_ms) / p->row_ms;
}

/* A step that prompts have for themselves. */
static int rows_alone(const qn_pace *p)
{
    if (p->max_ms <= 0)
        return INT32_MAX;
    double n = p->row_ms > 0 ? rows_within(p, p->max_ms) : p->first;
    return (int)QN_MIN(QN_MAX(n, 1), 1e9);
}

/* What runs: sequences, and the tokens of prompts for one of completions. */
static void follow(qn_engine *e)
{
    qn_pace *p = &e->pace;
    double seqs = 0, prompts = 0, news = 0;
    for (const qn_request *r = e->first; r; r = r->next) {
        if (r->phase != QN_PROMPT && r->phase != QN_DECODE)
            continue;
        double n = QN_MAX(r->max_new * (p->part > 0 ? p->part : 1), 1);
        seqs += r->n_seqs;
        news += n * r->n_seqs;
        prompts += (double)r->p.n_prompt - r->n_cached;
    }
    double ratio = news > 0 ? prompts / news : 0;
    if (p->ratio < 0) {
        p->ratio = ratio;
        p->seqs = seqs;
    }
    p->ratio += (ratio - p->ratio) / RATIO_STEPS;
    p->seqs += (seqs - p->seqs) / (SEQS_STEPS * (seqs < p->seqs ? 4 : 1));
}

/* Where rows are computed in tiles, whole ones: as many as `all` nearly fills,
 * and no other number until it is clear that another is better; one more where
 * that would leave too few for what is read. */
static double whole_tiles(qn_pace *p, double all, double must)
{
    if (p->tile <= 1)
        return all;
    if (p->rows == 0 || all < p->rows * DOWN || all >= (p->rows + p->tile) * UP)
        p->rows = (int)(all / UP / p->tile) * p->tile;
    int n = QN_MAX(p->rows, QN_MIN(FEW, p->tile));
    return n >= must ? n : ceil(must / p->tile) * p->tile;
}

int qn_pace_rows(qn_engine *e, int n_decode, int n_row, int64_t backlog)
{
    qn_pace *p = &e->pace;
    int left = e->max_batch - n_row;
    if (n_row == 0) {
        p->ratio = -1; /* what comes may be of another kind */
        p->rows = 0;
        return QN_MIN(left, rows_alone(p));
    }
    follow(e);
    if (e->max_prompt_rows)
        return QN_MIN(left, e->max_prompt_rows);
    double least = QN_MAX(LEAST, FEW - n_row);
    double all = SHARE * p->seqs * (1 + p->ratio) + n_row - n_decode;
    double spread = (double)backlog / SPREAD;
    all = QN_MAX(all, n_row + QN_MAX(least, spread));
    double want = whole_tiles(p, all, n_row + QN_MAX(LEAST, spread) / 2) -
                  n_row;
    if (p->row_ms > 0) {
        double alone = p->base_ms + p->row_ms * n_row;
        double most = rows_within(p, QN_MAX(LONGEST * alone, SHORT_MS));
        want = QN_MIN(want, QN_MAX(most - n_row, least));
    }
    if (p->max_ms > 0 && p->row_ms > 0)
        want = QN_MIN(want, rows_within(p, p->max_ms) - n_row);
    return QN_MIN(left, (int)(QN_MAX(want, 1) + 0.5));
}
