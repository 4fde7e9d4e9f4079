/* tok_spm.c - a SentencePiece model as a tokenizer, and the reader of its file.
 *
 * The file is one protocol buffer message: fields of a number, a wire type (0
 * varint, 1 eight bytes, 2 length and bytes, 5 four bytes) and a value, in any
 * order. Unknown fields are passed over, as protobuf does; what would change
 * the ids and is not supported is refused. */
#include "text/tok_spm.h"

#include "base/json.h"
#include "base/utf8.h"
#include "text/tok_charsmap.h"

#include <math.h>
#include <stdlib.h>

#define SPM_BLANK "\xE2\x96\x81"                       /* U+2581 */
#define SPM_UNKNOWN "\xF4\x8F\xBF\xBF\xF4\x8F\xBF\xBE" /* U+10FFFF 10FFFE */
#define SPM_MAX_BYTES ((size_t)1 << 30)

/* ---- protocol buffers ---------------------------------------------------- */

typedef struct spm_reader {
    const char *p;
    size_t n, i;
} spm_reader;

typedef struct spm_field {
    uint64_t number, value; /* value: of varints and fixed ones */
    unsigned wire;
    qn_view bytes; /* of wire type 2 */
} spm_field;

static bool spm_varint(spm_reader *r, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && r->i < r->n; shift += 7) {
        uint8_t b = (uint8_t)r->p[r->i++];
        *out |= (uint64_t)(b & 0x7F) << shift;
        if (b < 0x80)
            return true;
    }
    return false;
}

static bool spm_fixed(spm_reader *r, size_t n, uint64_t *out)
{
    if (r->n - r->i < n)
        return false;
    *out = 0;
    for (size_t k = 0; k < n; k++)
        *out |= (uint64_t)(uint8_t)r->p[r->i + k] << (8 * k);
    r->i += n;
    return true;
}

/* 1 a field, 0 the end, QN_EFORMAT. */
static int spm_next(spm_reader *r, spm_field *f)
{
    uint64_t tag, n;
    if (r->i == r->n)
        return 0;
    if (!spm_varint(r, &tag))
        return QN_EFORMAT;
    f->number = tag >> 3;
    f->wire = tag & 7;
    f->value = 0;
    f->bytes = (qn_view){NULL, 0};
    if (f->number == 0)
        return QN_EFORMAT;
    switch (f->wire) {
    case 0: return spm_varint(r, &f->value) ? 1 : QN_EFORMAT;
    case 1: return spm_fixed(r, 8, &f->value) ? 1 : QN_EFORMAT;
    case 5: return spm_fixed(r, 4, &f->value) ? 1 : QN_EFORMAT;
    case 2:
        if (!spm_varint(r, &n) || n > r->n - r->i)
            return QN_EFORMAT;
        f->bytes = qn_view_of(r->p + r->i, (size_t)n);
        r->i += (size_t)n;
        return 1;
    default: return QN_EFORMAT;
    }
}

/* ---- the message --------------------------------------------------------- */

typedef struct spm_file {
    qn_spm m;
    QN_VEC(qn_view) pieces;
    QN_VEC(float) scores;
    QN_VEC(int32_t) types;
    qn_view name[4]; /* of bos, eos, unk and pad */
    qn_view denormalizer;
} spm_file;

static int spm_piece(spm_file *s, qn_view bytes)
{
    spm_reader r = {bytes.p, bytes.n, 0};
    spm_field f;
    qn_view text = {"", 0};
    float score = 0;
    int32_t type = QN_SPM_NORMAL;
    int rc;
    while ((rc = spm_next(&r, &f)) > 0) {
        uint32_t bits = (uint32_t)f.value;
        if (f.number == 1 && f.wire == 2)
            text = f.bytes;
        else if (f.number == 2 && f.wire == 5)
            memcpy(&score, &bits, sizeof score);
        else if (f.number == 3 && f.wire == 0)
            type = f.value <= 6 ? (int32_t)f.value : 0;
    }
    if (rc < 0 || type < QN_SPM_NORMAL || !isfinite(score) || text.n == 0 ||
        !qn_utf8_valid(text.p, text.n))
        return QN_EFORMAT;
    qn_vec_push(&s->pieces, text);
    qn_vec_push(&s->scores, score);
    qn_vec_push(&s->types, type);
    return 0;
}

static int spm_trainer(spm_file *s, qn_view bytes)
{
    spm_reader r = {bytes.p, bytes.n, 0};
    spm_field f;
    int rc;
    while ((rc = spm_next(&r, &f)) > 0) {
        if (f.number == 3 && f.wire == 0)
            s->m.kind = (int64_t)f.value;
        else if (f.number == 24 && f.wire == 0)
            s->m.suffix = f.value != 0;
        else if (f.number == 35 && f.wire == 0)
            s->m.byte_fallback = f.value != 0;
        else if (f.number == 44 && f.wire == 2)
            s->m.unk_surface = f.bytes;
        else if (f.number == 45 && f.wire == 2)
            s->name[QN_TOK_UNK] = f.bytes;
        else if (f.number == 46 && f.wire == 2)
            s->name[QN_TOK_BOS] = f.bytes;
        else if (f.number == 47 && f.wire == 2)
            s->name[QN_TOK_EOS] = f.bytes;
        else if (f.number == 48 && f.wire == 2)
            s->name[QN_TOK_PAD] = f.bytes;
    }
    return rc;
}

static int spm_normalizer(spm_file *s, qn_view bytes)
{
    spm_reader r = {bytes.p, bytes.n, 0};
    spm_field f;
    int rc;
    while ((rc = spm_next(&r, &f)) > 0) {
        if (f.number == 2 && f.wire == 2)
            s->m.charsmap = f.bytes;
        else if (f.number == 3 && f.wire == 0)
            s->m.dummy_prefix = f.value != 0;
        else if (f.number == 4 && f.wire == 0)
            s->m.drop_extra = f.value != 0;
        else if (f.number == 5 && f.wire == 0)
            s->m.escape = f.value != 0;
    }
    return rc;
}

static int spm_denormalizer(spm_file *s, qn_view bytes)
{
    spm_reader r = {bytes.p, bytes.n, 0};
    spm_field f;
    int rc;
    while ((rc = spm_next(&r, &f)) > 0)
        if (f.number == 2 && f.wire == 2)
            s->denormalizer = f.bytes;
    return rc;
}

static int spm_read(spm_file *s, qn_view model, const char *name, qn_err *err)
{
    spm_reader r = {model.p, model.n, 0};
    spm_field f;
    int rc;
    while ((rc = spm_next(&r, &f)) > 0) {
        if (f.number == 1 && f.wire == 2)
            rc = spm_piece(s, f.bytes);
        else if (f.number == 2 && f.wire == 2)
            rc = spm_trainer(s, f.bytes);
        else if (f.number == 3 && f.wire == 2)
            rc = spm_normalizer(s, f.bytes);
        else if (f.number == 5 && f.wire == 2)
            rc = spm_denormalizer(s, f.bytes);
        if (rc < 0 || s->pieces.n > QN_VOCAB_MAX_ID)
            break;
    }
    if (rc < 0 || s->pieces.n == 0 || s->pieces.n > QN_VOCAB_MAX_ID)
        return qn_fail(err, QN_EFORMAT,
                       "%s: not a SentencePiece model (the message is damaged "
                       "at byte %zu, after %zu pieces)",
                       name, r.i, s->pieces.n);
    if (s->denormalizer.n > 0 || s->m.kind < QN_SPM_UNIGRAM ||
        s->m.kind > QN_SPM_CHAR)
        return qn_fail(err, QN_EUNSUP, "%s: %s is not supported", name,
                       s->denormalizer.n > 0
                           ? "a denormalizer"
                           : "a model other than unigram, bpe, word and char");
    s->m.n = s->pieces.n;
    s->m.pieces = s->pieces.v;
    s->m.scores = s->scores.v;
    s->m.types = s->types.v;
    return QN_OK;
}

/* ---- a draft of it ------------------------------------------------------- */

uint32_t qn_spm_rank(float score)
{
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    uint32_t ascending = bits & UINT32_C(0x80000000)
                             ? ~bits
                             : bits | UINT32_C(0x80000000);
    uint32_t rank = ~ascending;
    return rank == UINT32_MAX ? rank - 1 : rank;
}

static int spm_vocab(qn_tok_draft *d, const qn_spm *m, qn_err *err)
{
    qn_vocab_init(&d->t->vocab, m->n);
    for (size_t k = 0; k < m->n; k++) {
        int rc = qn_vocab_add(&d->t->vocab, m->pieces[k], (int64_t)k, d->name,
                              err);
        QN_TRY(rc);
        if (m->types[k] == QN_SPM_UNKNOWN && d->o.unk < 0)
            d->o.unk = (int32_t)k;
    }
    if (d->o.unk < 0)
        return qn_fail(err, QN_EFORMAT, "%s: no piece is the unknown one",
                       d->name);
    return QN_OK;
}

/* Control tokens, and for BPE and Char user-defined symbols: they are cut out
 * of the normalized text and never merge. */
static int spm_added(qn_tok_draft *d, const qn_spm *m, qn_err *err)
{
    for (size_t k = 0; k < m->n; k++) {
        bool special = m->types[k] == QN_SPM_CONTROL ||
                       m->types[k] == QN_SPM_UNKNOWN;
        bool symbol = m->types[k] == QN_SPM_USER_DEFINED &&
                      (m->kind == QN_SPM_BPE || m->kind == QN_SPM_CHAR);
        if ((!special && !symbol) || m->pieces[k].n > QN_TOK_MAX_ADDED_LEN)
            continue;
        qn_tok_added_token tok = {.content = m->pieces[k],
                                  .id = (int32_t)k,
                                  .normalized = symbol,
                                  .hidden = !symbol && !m->parse_control};
        tok.special = m->types[k] == QN_SPM_CONTROL ||
                      (special && m->parse_control);
        if (m->types[k] == QN_SPM_UNKNOWN)
            tok.form = qn_view_cstr(SPM_UNKNOWN);
        QN_TRY(qn_tok_added_put(&d->t->added, &tok, d->name, err));
    }
    return QN_OK;
}

static int spm_norm(qn_tok_draft *d, const qn_spm *m, qn_err *err)
{
    qn_tok_step *s = qn_tok_steps_add(&d->t->norm, &qn_spm_normalizers,
                                      "SentencePiece");
    s->left = m->dummy_prefix;
    s->right = m->drop_extra;
    s->on = m->escape;
    s->scheme = m->suffix;
    for (size_t k = 0; k < m->n; k++) {
        if (m->types[k] != QN_SPM_USER_DEFINED)
            continue;
        if (!s->trie)
            s->trie = qn_xcalloc(1, sizeof *s->trie);
        qn_tok_trie_add(s->trie, m->pieces[k], (uint32_t)k);
    }
    return qn_tok_charsmap_set(s, m->charsmap, d->name, err);
}

/* The dummy prefix is taken off before the unknown token gets its spelling,
 * which may begin with a blank; until then two noncharacters stand for it. */
static int spm_decoder(qn_tok_draft *d, const qn_spm *m, qn_err *err)
{
    json_t *o = json_pack("{s:s, s:[{s:s, s:{s:s}, s:s}, {s:s}, {s:s}]}",
                          "type", "Sequence", "decoders", "type", "Replace",
                          "pattern", "String", SPM_BLANK, "content", " ",
                          "type", "ByteFallback", "type", "Fuse");
    int rc = qn_tok_steps_parse(&d->t->dec, &qn_tok_decoders, o, d->name, err);
    json_decref(o);
    QN_TRY(rc);
    if (m->dummy_prefix || m->drop_extra) {
        qn_tok_step *s = qn_tok_steps_add(&d->t->dec, &qn_tok_decoders,
                                          "Strip");
        qn_tok_step_set_text(s, " ", 1);
        s->cp = ' ';
        s->start = m->drop_extra ? SIZE_MAX : 1;
    }
    o = json_pack("{s:s, s:{s:s}, s:s%}", "type", "Replace", "pattern",
                  "String", SPM_UNKNOWN, "content", m->unk_surface.p,
                  m->unk_surface.n);
    rc = o ? qn_tok_steps_parse(&d->t->dec, &qn_tok_decoders, o, d->name, err)
           : qn_fail(err, QN_EFORMAT, "%s: unk_surface is not UTF-8", d->name);
    json_decref(o);
    return rc;
}

/* Words are looked up: none is a control token, whatever it says. */
static void spm_word_scores(qn_tok_draft *d, const qn_spm *m)
{
    for (size_t k = 0; k < m->n; k++)
        qn_vec_push(&d->scores,
                    m->types[k] == QN_SPM_CONTROL ? -INFINITY : 0.0);
}

static void spm_unigram_scores(qn_tok_draft *d, const qn_spm *m)
{
    for (size_t k = 0; k < m->n; k++) {
        double score = m->types[k] == QN_SPM_NORMAL ? (double)m->scores[k]
                       : m->types[k] == QN_SPM_USER_DEFINED
                           ? -0.1       /* wins over nearly anything */
                           : -INFINITY; /* is never in a text */
        qn_vec_push(&d->scores, score);
    }
    d->float_scores = true;
}

static void spm_bpe_ranks(qn_tok_draft *d, const qn_spm *m)
{
    d->own_ranks = qn_xmalloc((m->n + 1) * sizeof *d->own_ranks);
    for (size_t k = 0; k < m->n; k++)
        d->own_ranks[k] = m->kind == QN_SPM_BPE && m->types[k] == QN_SPM_NORMAL
                              ? qn_spm_rank(m->scores[k])
                              : UINT32_MAX;
    d->ranks = d->own_ranks;
    d->o.by_text = d->o.late_unknown = d->o.fuse_unk = true;
}

int qn_spm_fill(qn_tok_draft *d, const qn_spm *m, qn_err *err)
{
    QN_TRY(spm_vocab(d, m, err));
    QN_TRY(spm_norm(d, m, err));
    QN_TRY(spm_added(d, m, err));
    QN_TRY(spm_decoder(d, m, err));
    d->o.byte_fallback = m->byte_fallback;
    if (m->kind == QN_SPM_UNIGRAM) {
        d->model = &qn_tok_model_unigram;
        spm_unigram_scores(d, m);
    } else if (m->kind == QN_SPM_WORD) {
        d->model = &qn_tok_model_spm_word;
        spm_word_scores(d, m);
    } else {
        spm_bpe_ranks(d, m);
    }
    d->t->role[QN_TOK_UNK] = d->o.unk;
    return QN_OK;
}

/* ---- a file -------------------------------------------------------------- */

/* What the classes of transformers put around the text. */
typedef struct spm_class {
    const char *names;
    bool bos, eos;
} spm_class;

static const spm_class spm_classes[] = {
    {" LlamaTokenizer CodeLlamaTokenizer GemmaTokenizer Gemma2Tokenizer "
     "BaichuanTokenizer InternLMTokenizer InternLM2Tokenizer InternLM3Tokenizer "
     "OrionTokenizer MiniCPMTokenizer XverseTokenizer YiTokenizer "
     "MistralTokenizer DeciLMTokenizer ",
     true, false},
    {" T5Tokenizer ", false, true},
};

static int spm_template(qn_tok_draft *d, const json_t *config, qn_err *err)
{
    const char *name = json_string_value(
        json_object_get(config, "tokenizer_class"));
    char padded[80];
    const spm_class *c = NULL;
    if (!config)
        return QN_OK; /* SentencePiece itself adds nothing */
    if (!name)
        name = "LlamaTokenizer";
    size_t n = strlen(name);
    if (n > 4 && strcmp(name + n - 4, "Fast") == 0)
        n -= 4;
    snprintf(padded, sizeof padded, " %.*s ", (int)QN_MIN(n, 70), name);
    for (size_t k = 0; k < QN_COUNTOF(spm_classes) && !c; k++)
        if (strstr(spm_classes[k].names, padded))
            c = &spm_classes[k];
    if (!c)
        return qn_fail(err, QN_EUNSUP,
                       "%s: a tokenizer.model of the class %.60s is not "
                       "supported; a tokenizer.json would be",
                       d->name, name);
    bool bos = c->bos, eos = c->eos;
    int rc = qn_json_bool(config, "add_bos_token", &bos, d->name, err);
    if (rc >= 0)
        rc = qn_json_bool(config, "add_eos_token", &eos, d->name, err);
    QN_TRY(rc);
    const int32_t *role = d->t->role;
    bos = bos && role[QN_TOK_BOS] >= 0;
    eos = eos && role[QN_TOK_EOS] >= 0;
    if (bos || eos)
        qn_tok_add_template(d->t, bos ? role[QN_TOK_BOS] : -1,
                            eos ? role[QN_TOK_EOS] : -1);
    return QN_OK;
}

static void spm_roles(qn_tok_draft *d, const spm_file *s, const json_t *config)
{
    for (int k = 0; k <= QN_TOK_PAD; k++) {
        int32_t id = qn_vocab_find(&d->t->vocab, s->name[k].p, s->name[k].n);
        if (id >= 0 && s->types.v[id] == QN_SPM_CONTROL)
            d->t->role[k] = id;
    }
    qn_tok_read_roles(d->t, config);
}

int qn_tok_open_spm(qn_tok **out, qn_view model, const json_t *config,
                    const char *name, qn_err *err)
{
    spm_file s = {
        .m = {.kind = QN_SPM_UNIGRAM,
              .dummy_prefix = true,
              .drop_extra = true,
              .escape = true,
              .unk_surface = qn_view_cstr(" \xE2\x81\x87 "),
              .parse_control = config != NULL},
        .name = {qn_view_cstr("<s>"), qn_view_cstr("</s>"),
                 qn_view_cstr("<unk>"), qn_view_cstr("<pad>")},
    };
    qn_tok_draft d;
    qn_tok_draft_init(&d, name);
    int rc = model.n > SPM_MAX_BYTES
                 ? qn_fail(err, QN_ELIMIT, "%s: has %zu bytes", name, model.n)
                 : spm_read(&s, model, name, err);
    if (rc == 0)
        rc = qn_spm_fill(&d, &s.m, err);
    if (rc == 0 && config)
        rc = qn_tok_read_decoder_tokens(&d, config, err);
    if (rc == 0) {
        spm_roles(&d, &s, config);
        rc = spm_template(&d, config, err);
    }
    if (rc == 0)
        rc = qn_tok_build(&d, out, err);
    qn_tok_draft_deinit(&d);
    qn_vec_deinit(&s.pieces);
    qn_vec_deinit(&s.scores);
    qn_vec_deinit(&s.types);
    return rc;
}
