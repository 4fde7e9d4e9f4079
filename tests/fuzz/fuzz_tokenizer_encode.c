/* fuzz_tokenizer_encode.c - any bytes as text, on tokenizers that between them
 * use every kind of step. The first byte chooses tokenizer and flags. What
 * must hold: tokens and spans are as many, spans lie in the text, decoding
 * gives UTF-8, and gives the same token by token. */
#include "base/utf8.h"
#include "text/tokenizer.h"

#include <stdlib.h>

#define VOCAB                                                                  \
    "\"vocab\":{\"<unk>\":0,\"<s>\":1,\"</s>\":2,\"<0x0A>\":3,\"<0xE2>\":4,"   \
    "\"a\":5,\"b\":6,\"ab\":7,\"\u2581\":8,\"\u2581a\":9,\"\u2581\u2581\":10," \
    "\"e\":11,\"\u0120\":12,\"\u0120a\":13,\"\u00C3\":14,\"\u00A9\":15,"       \
    "\"\u00C3\u00A9\":16,\"1\":17,\"aab\":18,\"##b\":19,\"c\":20},"            \
    "\"merges\":[\"a b\",\"\u2581 a\",\"\u2581 \u2581\",\"\u0120 a\","         \
    "\"\u00C3 \u00A9\",\"a ab\"]"
#define ADDED                                                              \
    "\"added_tokens\":[{\"id\":1,\"content\":\"<s>\",\"special\":true},"   \
    "{\"id\":2,\"content\":\"</s>\",\"special\":true,\"lstrip\":true},"    \
    "{\"id\":21,\"content\":\"ing\",\"single_word\":true,\"rstrip\":true," \
    "\"normalized\":true},{\"id\":22,\"content\":\"  \",\"normalized\":"   \
    "true}],"

static const char *const definitions[] = {
    "{" ADDED "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":"
    "true,\"trim_offsets\":true,\"use_regex\":true},\"post_processor\":{"
    "\"type\":\"RobertaProcessing\",\"sep\":[\"</s>\",2],\"cls\":[\"<s>\",1],"
    "\"trim_offsets\":true,\"add_prefix_space\":true},\"decoder\":{\"type\":"
    "\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\"," VOCAB
    "}}",
    "{" ADDED "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{"
    "\"type\":\"NFKC\"},{\"type\":\"Prepend\",\"prepend\":\"\u2581\"},{"
    "\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":"
    "\"\u2581\"}]},\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":"
    "\"Replace\",\"pattern\":{\"String\":\"\u2581\"},\"content\":\" \"},{"
    "\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\","
    "\"content\":\" \",\"start\":1,\"stop\":1}]},\"model\":{\"type\":\"BPE\","
    "\"unk_token\":\"<unk>\",\"fuse_unk\":true,\"byte_fallback\":true," VOCAB
    "}}",
    "{" ADDED "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{"
    "\"type\":\"NFD\"},{\"type\":\"StripAccents\"},{\"type\":\"Lowercase\"},{"
    "\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true},{\"type\":"
    "\"Replace\",\"pattern\":{\"Regex\":\"x*\"},\"content\":\"b\"}]},"
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":"
    "\"Metaspace\",\"replacement\":\"\u2581\",\"prepend_scheme\":\"first\","
    "\"split\":true},{\"type\":\"Digits\",\"individual_digits\":true},{"
    "\"type\":\"Punctuation\",\"behavior\":\"MergedWithNext\"},{\"type\":"
    "\"Split\",\"pattern\":{\"Regex\":\"[a-c&&[^b]]+|\\\\p{N}{1,3}+\"},"
    "\"behavior\":\"Contiguous\",\"invert\":true}]},\"decoder\":{\"type\":"
    "\"Metaspace\",\"replacement\":\"\u2581\"},\"model\":{\"type\":\"BPE\"," //
    VOCAB "}}",
    "{" ADDED "\"normalizer\":{\"type\":\"BertNormalizer\"},"
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":"
    "\"Whitespace\"},{\"type\":\"ByteLevel\",\"use_regex\":false,"
    "\"add_prefix_space\":true},{\"type\":\"WhitespaceSplit\"}]},\"model\":{"
    "\"type\":\"BPE\",\"ignore_merges\":true,\"continuing_subword_prefix\":"
    "\"##\",\"vocab\":{\"a\":0,\"##b\":1,\"ab\":2,\"\u0120\":3},\"merges\":["
    "[\"a\",\"##b\"]]}}",
    "{" ADDED "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{"
    "\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}"
    "\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},"
    "\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\","
    "\"add_prefix_space\":false,\"use_regex\":false}]},\"decoder\":{\"type\":"
    "\"BPEDecoder\",\"suffix\":\"a\"},\"model\":{\"type\":\"BPE\"," VOCAB "}}",
    "{" ADDED "\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":true},"
    "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"decoder\":{\"type\":"
    "\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true},\"model\":{\"type\":"
    "\"WordPiece\",\"unk_token\":\"<unk>\",\"continuing_subword_prefix\":\"##\","
    "\"max_input_chars_per_word\":9,\"vocab\":{\"<unk>\":0,\"a\":3,\"##a\":4,"
    "\"##b\":5,\"ab\":6,\"\u4E2D\":7,\"##e\":8}}}",
    "{" ADDED "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":"
    "\"\u2581\",\"prepend_scheme\":\"always\",\"split\":false},\"decoder\":{"
    "\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteFallback\"},{\"type\":"
    "\"CTC\",\"pad_token\":\"a\",\"word_delimiter_token\":\"\u2581\","
    "\"cleanup\":true}]},\"model\":{\"type\":\"Unigram\",\"unk_id\":0,"
    "\"byte_fallback\":true,\"vocab\":[[\"<unk>\",0.0],[\"<s>\",0.0],[\"</s>\","
    "0.0],[\"\u2581\",-2.5],[\"a\",-3.0],[\"ab\",-3.25],[\"\u2581ab\",-4e0],"
    "[\"<0x0A>\",-9],[\"<0xC3>\",-9],[\"<0xA9>\",-9],[\"e\",-5.5]]}}",
};

enum {
    N_DEFINITIONS = sizeof definitions / sizeof *definitions
};

static qn_tok *tokenizer(unsigned which)
{
    static qn_tok *opened[N_DEFINITIONS];
    qn_err err = {0};
    if (!opened[which] &&
        qn_tok_open_json(&opened[which], qn_view_cstr(definitions[which]), NULL,
                         "fuzz", &err) < 0)
        abort();
    return opened[which];
}

static void check_decoding(const qn_tok *t, const qn_tok_ids *ids)
{
    qn_err err = {0};
    qn_str whole, parts;
    qn_str_init(&whole);
    qn_str_init(&parts);
    if (qn_tok_decode(t, ids->v, ids->n, false, &whole, &err) < 0)
        abort();
    qn_detok *d = qn_detok_new(t, false);
    for (size_t k = 0; k <= ids->n; k++) {
        size_t before = parts.n;
        int rc = k < ids->n ? qn_detok_push(d, ids->v[k], &parts, &err)
                            : qn_detok_flush(d, &parts, &err);
        if (rc < 0 || (parts.n > before &&
                       !qn_utf8_valid(parts.p + before, parts.n - before)))
            abort();
    }
    if (whole.n != parts.n || (whole.n && memcmp(whole.p, parts.p, whole.n)))
        abort();
    qn_detok_free(d);
    qn_str_deinit(&whole);
    qn_str_deinit(&parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 16)
        return 0;
    const qn_tok *t = tokenizer((data[0] >> 2) % N_DEFINITIONS);
    const char *text = (const char *)data + 1;
    size_t n = size - 1;
    unsigned flags = data[0] & 3;
    qn_err err = {0};
    qn_tok_ids ids = {0}, again = {0};
    qn_tok_spans spans = {0};
    if (qn_tok_encode(t, text, n, flags, &ids, &spans, &err) < 0)
        abort();
    if (ids.n != spans.n)
        abort();
    size_t points = qn_utf8_count(text, n);
    for (size_t k = 0; k < spans.n; k++)
        if (spans.v[k].begin > spans.v[k].end || spans.v[k].end > points)
            abort();
    /* Spans or not, the tokens are the same. */
    if (qn_tok_encode(t, text, n, flags, &again, NULL, &err) < 0 ||
        again.n != ids.n ||
        (ids.n && memcmp(again.v, ids.v, ids.n * sizeof *ids.v)))
        abort();
    check_decoding(t, &ids);
    qn_vec_deinit(&ids);
    qn_vec_deinit(&again);
    qn_vec_deinit(&spans);
    return 0;
}
