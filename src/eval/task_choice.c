/* task_choice.c - questions by the likelihood of their answers.
 *
 * As lm-evaluation-harness defines it: the tokens of an answer are those of
 * "context + answer" behind the tokens of "context" (white space at the
 * context's end goes to the answer first); an answer's score is the sum of
 * their log probabilities; acc takes the best score, acc_norm the best score
 * per code point of the answer; what is too long loses tokens at its
 * beginning. Of equal ones the first counts. */
#include "eval/eval_task_int.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/pool.h"
#include "engine/parts.h"
#include "eval/position.h"
#include "eval/score.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    GROUP = 256 /* items that are tokenized and scored at a time */
};

/* One answer behind its context, as tokens. */
typedef struct answer {
    qn_tok_ids ids;
    int n; /* tokens of the answer, the last ones */
    double score;
    bool greedy; /* each of them was the likeliest */
} answer;

typedef struct choice_run {
    qn_task_run *t;
    qn_scorer *scorer; /* for sequences of scorer_len */
    qn_pool *pool;
    int64_t max_len, scorer_len;
    uint64_t n_computed; /* by scorers before this one */
    int n_vocab;
    qn_tok_ids before; /* what the tokenizer puts before a text */
    int32_t prefix;    /* stands for an empty context, or -1 */
    answer *answers;   /* of the group, item after item */
    size_t n_answers;
    qn_score_seq *seqs;
    /* sums over all items */
    double right, right_norm, log_likelihood;
    size_t n_cut;
    FILE *samples;
} choice_run;

/* ---- tokens ---------------------------------------------------------------- */

/* What the tokenizer puts before a text (a begin token, or nothing). */
static int find_before(choice_run *c, const qn_tok *tok, qn_err *err)
{
    qn_tok_ids plain = {0}, all = {0};
    int rc = qn_tok_encode(tok, "a", 1, 0, &plain, NULL, err);
    if (rc == 0)
        rc = qn_tok_encode(tok, "a", 1, QN_TOK_SPECIAL, &all, NULL, err);
    for (size_t i = 0; rc == 0 && i + plain.n <= all.n; i++) {
        if (memcmp(all.v + i, plain.v, plain.n * sizeof *plain.v) != 0)
            continue;
        for (size_t k = 0; k < i; k++)
            qn_vec_push(&c->before, all.v[k]);
        break;
    }
    qn_vec_deinit(&plain);
    qn_vec_deinit(&all);
    c->prefix = qn_tok_role_id(tok, QN_TOK_BOS);
    if (c->prefix < 0)
        c->prefix = qn_tok_role_id(tok, QN_TOK_EOS);
    return rc;
}

static int encode(const choice_run *c, qn_tok_ids *ids, const char *text,
                  size_t n, qn_err *err)
{
    if (c->t->p->bos == QN_BOS_AUTO)
        for (size_t i = 0; i < c->before.n; i++)
            qn_vec_push(ids, c->before.v[i]);
    return qn_tok_encode(c->t->tok, text, n, QN_TOK_PARSE_SPECIAL, ids, NULL,
                         err);
}

/* Leaves the last max_len + 1 tokens: all but the last are fed. */
static void cut_beginning(choice_run *c, answer *a)
{
    size_t most = (size_t)c->max_len + 1;
    if (a->ids.n <= most)
        return;
    memmove(a->ids.v, a->ids.v + (a->ids.n - most), most * sizeof *a->ids.v);
    a->ids.n = most;
    a->n = (int)QN_MIN((size_t)a->n, most - 1);
    c->n_cut++;
}

static int make_answer(choice_run *c, answer *a, const qn_item *item,
                       const qn_choice *choice, qn_err *err)
{
    qn_str s;
    qn_tok_ids context = {0};
    qn_str_init(&s);
    qn_task_prompt(c->t, item, &s);
    qn_str_adds(&s, choice->context);
    size_t n = s.n;
    while (n > 0 && strchr(" \t\n\r\f\v", s.p[n - 1]))
        n--;
    int rc = encode(c, &context, s.p ? s.p : "", n, err);
    qn_str_adds(&s, choice->text);
    if (rc == 0)
        rc = encode(c, &a->ids, s.p, s.n, err);
    qn_str_deinit(&s);
    size_t n_context = context.n;
    qn_vec_deinit(&context);
    QN_TRY(rc);
    if (n_context == 0 && c->prefix >= 0) {
        qn_vec_push(&a->ids, 0);
        memmove(a->ids.v + 1, a->ids.v, (a->ids.n - 1) * sizeof *a->ids.v);
        a->ids.v[0] = c->prefix;
        n_context = 1;
    }
    if (a->ids.n < 2)
        return qn_fail(err, QN_EINVAL, "the tokenizer makes nothing of it");
    QN_TRY(qn_eval_check_ids(a->ids.v, a->ids.n, c->n_vocab, err));
    n_context = QN_MAX(QN_MIN(n_context, a->ids.n - 1), (size_t)1);
    a->n = (int)(a->ids.n - n_context);
    cut_beginning(c, a);
    return 0;
}

/* Tokens that two sequences begin with alike. */
static int common(const answer *a, const answer *b)
{
    size_t n = QN_MIN(a->ids.n, b->ids.n) - 1, i = 0;
    while (i < n && a->ids.v[i] == b->ids.v[i])
        i++;
    return (int)i;
}

static int make_group(choice_run *c, size_t first, size_t n, qn_err *err)
{
    c->n_answers = 0;
    for (size_t i = first; i < first + n; i++)
        c->n_answers += c->t->items.v.v[i].choices.n;
    c->answers = qn_xcalloc(c->n_answers, sizeof *c->answers);
    c->seqs = qn_xcalloc(c->n_answers, sizeof *c->seqs);
    size_t at = 0;
    for (size_t i = first; i < first + n; i++) {
        const qn_item *item = &c->t->items.v.v[i];
        for (size_t k = 0; k < item->choices.n; k++, at++) {
            answer *a = &c->answers[at];
            int rc = make_answer(c, a, item, &item->choices.v[k], err);
            if (rc < 0)
                return qn_err_prefix(err, rc, "%s:%zu: choice %zu",
                                     c->t->p->data, item->line, k);
            int fed = (int)a->ids.n - 1;
            c->seqs[at] = (qn_score_seq){.ids = a->ids.v,
                                         .n = fed,
                                         .from = fed - a->n,
                                         .rope_len = fed,
                                         .shared = at > 0 ? common(a - 1, a)
                                                          : 0};
        }
    }
    return 0;
}

static void free_group(choice_run *c)
{
    for (size_t i = 0; i < c->n_answers; i++)
        qn_vec_deinit(&c->answers[i].ids);
    free(c->answers);
    free(c->seqs);
    c->answers = NULL;
    c->seqs = NULL;
    c->n_answers = 0;
}

/* ---- scores ----------------------------------------------------------------- */

typedef struct row_job {
    qn_pool *pool;
    const float *rows;
    int n, n_vocab;
    const int32_t *next;
    qn_position *at;
} row_job;

static void row_thread(void *arg, int thread, int n_threads)
{
    (void)thread;
    (void)n_threads;
    row_job *j = arg;
    for (int64_t i; (i = qn_pool_next(j->pool)) < j->n;)
        qn_position_of(&j->at[i], j->rows + (size_t)i * (size_t)j->n_vocab,
                       j->n_vocab, j->next[i]);
}

/* Adds rows to the answers that they belong to; *at, *row: which answer, and
 * which of its rows, is next. */
static void add_rows(choice_run *c, const float *rows, int n, size_t *at,
                     int *row)
{
    int32_t *next = qn_xcalloc((size_t)n, sizeof *next);
    qn_position *pos = qn_xcalloc((size_t)n, sizeof *pos);
    size_t a = *at;
    int r = *row;
    for (int i = 0; i < n; i++) {
        const answer *w = &c->answers[a];
        next[i] = w->ids.v[w->ids.n - (size_t)w->n + (size_t)r];
        if (++r == w->n) {
            r = 0;
            a++;
        }
    }
    row_job j = {c->pool, rows, n, c->n_vocab, next, pos};
    qn_pool_run(c->pool, row_thread, &j);
    for (int i = 0; i < n; i++) {
        answer *w = &c->answers[*at];
        if (*row == 0)
            w->greedy = true;
        w->score -= pos[i].nll;
        w->greedy &= pos[i].hit;
        if (++*row == w->n) {
            *row = 0;
            ++*at;
        }
    }
    free(next);
    free(pos);
}

/* A scorer for the group's longest sequence. */
static int fit_scorer(choice_run *c, qn_err *err)
{
    int64_t longest = 1;
    for (size_t i = 0; i < c->n_answers; i++)
        longest = QN_MAX(longest, (int64_t)c->seqs[i].n);
    if (c->scorer && longest <= c->scorer_len)
        return 0;
    if (c->scorer)
        c->n_computed += qn_scorer_n_computed(c->scorer);
    qn_scorer_free(c->scorer);
    c->scorer = NULL;
    for (c->scorer_len = 512; c->scorer_len < longest;)
        c->scorer_len *= 2;
    c->scorer_len = QN_MIN(c->scorer_len, c->max_len);
    return qn_scorer_new(&c->scorer, c->t->p->model, c->scorer_len, c->t->p->kv,
                         err);
}

static int score_group(choice_run *c, qn_err *err)
{
    const float *rows;
    size_t at = 0;
    int n, row = 0, rc;
    QN_TRY(fit_scorer(c, err));
    QN_TRY(qn_scorer_begin(c->scorer, c->seqs, c->n_answers, err));
    while ((rc = qn_scorer_step(c->scorer, &rows, &n, err)) > 0) {
        add_rows(c, rows, n, &at, &row);
        if (!qn_task_progress(c->t, -1))
            return qn_fail(err, QN_ECANCEL, "interrupted");
    }
    return rc;
}

/* ---- judging ---------------------------------------------------------------- */

static int best_of(const answer *a, const qn_item *item, bool norm)
{
    int best = 0;
    double most = -HUGE_VAL;
    for (size_t k = 0; k < item->choices.n; k++) {
        double v = a[k].score;
        if (norm)
            v /= (double)item->choices.v[k].norm;
        if (v > most) {
            most = v;
            best = (int)k;
        }
    }
    return best;
}

static int write_sample(const choice_run *c, const qn_item *item,
                        const answer *a, bool right, bool right_norm,
                        qn_err *err)
{
    json_t *o = json_pack("{s:I, s:i, s:b}", "line", (json_int_t)item->line,
                          "gold", item->gold, "acc", right);
    json_t *scores = json_array();
    for (size_t k = 0; k < item->choices.n; k++)
        json_array_append_new(scores, json_real(a[k].score));
    json_object_set_new(o, "log_likelihoods", scores);
    if (c->t->task->normalize)
        json_object_set_new(o, "acc_norm", json_boolean(right_norm));
    return qn_task_sample(c->t, c->samples, o, err);
}

static int judge_group(choice_run *c, size_t first, size_t n, qn_err *err)
{
    const answer *a = c->answers;
    for (size_t i = first; i < first + n; i++) {
        const qn_item *item = &c->t->items.v.v[i];
        for (size_t k = 0; k < item->choices.n; k++)
            if (!isfinite(a[k].score))
                return qn_fail(err, QN_EFORMAT,
                               "%s:%zu: choice %zu: the model's logits give no "
                               "probability: is the checkpoint damaged?",
                               c->t->p->data, item->line, k);
        bool one = c->t->task->greedy;
        bool right = one ? a[0].greedy : best_of(a, item, false) == item->gold;
        bool norm = !one && best_of(a, item, true) == item->gold;
        c->right += right;
        c->right_norm += norm;
        c->log_likelihood += a[item->gold].score;
        if (c->samples)
            QN_TRY(write_sample(c, item, a, right, norm, err));
        a += item->choices.n;
    }
    return 0;
}

/* ---- all of it --------------------------------------------------------------- */

static int ask_all(choice_run *c, qn_err *err)
{
    size_t n = c->t->items.v.n;
    for (size_t i = 0; i < n; i += GROUP) {
        size_t here = QN_MIN(n - i, (size_t)GROUP);
        int rc = make_group(c, i, here, err);
        if (rc == 0)
            rc = score_group(c, err);
        if (rc == 0)
            rc = judge_group(c, i, here, err);
        free_group(c);
        QN_TRY(rc);
        if (!qn_task_progress(c->t, (int64_t)(i + here)))
            return qn_fail(err, QN_ECANCEL, "interrupted");
    }
    return 0;
}

static void report(const choice_run *c, json_t *o)
{
    double n = (double)c->t->items.v.n;
    json_object_set_new(o, "acc", qn_task_rate(c->right, n));
    if (c->t->task->normalize)
        json_object_set_new(o, "acc_norm", qn_task_rate(c->right_norm, n));
    if (c->t->task->greedy)
        json_object_set_new(o, "perplexity",
                            json_real(
                                fmin(exp(-c->log_likelihood / n), DBL_MAX)));
    json_object_set_new(o, "cut", json_integer((json_int_t)c->n_cut));
    json_object_set_new(o, "computed_tokens",
                        json_integer(
                            (json_int_t)(c->n_computed +
                                         qn_scorer_n_computed(c->scorer))));
}

int qn_task_choices(qn_task_run *t, json_t *into, qn_err *err)
{
    const qn_model *m = t->p->model;
    choice_run c = {.t = t, .n_vocab = qn_model_n_vocab(m)};
    int rc;
    c.max_len = QN_MIN(qn_model_n_ctx_train(m),
                       qn_net_max_positions(qn_model_net(m)));
    QN_TRY_OUT(find_before(&c, t->tok, err));
    QN_TRY_OUT(qn_pool_new(&c.pool, t->p->n_threads, err));
    QN_TRY_OUT(qn_task_open_samples(t, &c.samples, err));
    rc = ask_all(&c, err);
    if (rc == 0)
        report(&c, into);
    if (c.samples && fclose(c.samples) != 0 && rc == 0)
        rc = qn_fail(err, QN_EIO, "%s: %s", t->p->samples, strerror(errno));
out:
    qn_scorer_free(c.scorer);
    qn_pool_free(c.pool);
    qn_vec_deinit(&c.before);
    return rc;
}
