/* synth_vocab.c - see synth_vocab.h.
 *
 * Words count up like numbers: a, b, .. z, aa, ab, ..: with k letters 26^k of
 * them, and as many again behind a space. A word of n letters is merged from
 * its first n - 1 and its last. */
#include "cli/synth_vocab.h"

#include "base/utf8.h"

#include <stdio.h>

enum {
    MERGED_LETTERS = 3 /* longer words have no merges */
};

/* GPT-2's alphabet: printable bytes stand for themselves, the others for the
 * code points from 256 on, in order. */
static uint32_t byte_char(int b)
{
    uint32_t n = 0;
    for (int i = 0; i <= b; i++) {
        bool own = (i >= '!' && i <= '~') || (i >= 0xa1 && i <= 0xac) ||
                   i >= 0xae;
        if (i == b)
            return own ? (uint32_t)b : 256 + n;
        n += !own;
    }
    return 0;
}

static void add_quoted(qn_str *out, const char *p, size_t n)
{
    qn_str_addc(out, '"');
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '"' || p[i] == '\\')
            qn_str_addc(out, '\\');
        qn_str_addc(out, p[i]);
    }
    qn_str_addc(out, '"');
}

/* UTF-8 of a code point below 0x800. */
static size_t put_char(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = (char)(0xc0 | c >> 6);
    out[1] = (char)(0x80 | (c & 63));
    return 2;
}

typedef struct word {
    int letters; /* 1 .. */
    long number; /* of its length, below 26^letters */
    bool space;
    char text[16];
    size_t n;
} word;

static void spell(word *w)
{
    long rest = w->number;
    w->n = w->space ? put_char(w->text, byte_char(' ')) : 0;
    for (int i = w->letters - 1; i >= 0; i--) {
        w->text[w->n + (size_t)i] = (char)('a' + rest % 26);
        rest /= 26;
    }
    w->n += (size_t)w->letters;
}

/* All of one length behind a space, then without, then the next length. Single
 * letters are bytes already. */
static void next_word(word *w)
{
    long all = 1;
    for (int i = 0; i < w->letters; i++)
        all *= 26;
    if (++w->number == all) {
        w->number = 0;
        w->space = !w->space;
        w->letters += w->space;
        if (w->letters == 1 && !w->space) {
            w->letters = 2;
            w->space = true;
        }
    }
    spell(w);
}

static word first_word(void)
{
    word w = {.letters = 1, .space = true};
    spell(&w);
    return w;
}

static bool is_special(int id, int bos, int eos)
{
    return id == bos || id == eos;
}

static int add_vocab(int n_vocab, int bos, int eos, qn_str *out)
{
    word w = first_word();
    int byte = 0, merged = 0;
    qn_str_adds(out, "\"vocab\":{");
    for (int id = 0; id < n_vocab; id++) {
        char text[16];
        qn_str_adds(out, id ? "," : "");
        if (is_special(id, bos, eos)) {
            qn_str_adds(out, id == eos ? "\"<|end|>\"" : "\"<|begin|>\"");
        } else if (byte < 256) {
            add_quoted(out, text, put_char(text, byte_char(byte++)));
        } else {
            add_quoted(out, w.text, w.n);
            merged += w.letters <= MERGED_LETTERS;
            next_word(&w);
        }
        qn_str_addf(out, ":%d", id);
    }
    qn_str_adds(out, "}");
    return merged;
}

static void add_merges(int n, qn_str *out)
{
    word w = first_word();
    qn_str_adds(out, ",\"merges\":[");
    for (int i = 0; i < n; i++, next_word(&w))
        qn_str_addf(out, "%s\"%.*s %c\"", i ? "," : "", (int)w.n - 1, w.text,
                    w.text[w.n - 1]);
    qn_str_adds(out, "]");
}

static void add_special(int id, const char *text, bool first, qn_str *out)
{
    qn_str_addf(out,
                "%s{\"id\":%d,\"content\":\"%s\",\"single_word\":false,"
                "\"lstrip\":false,\"rstrip\":false,\"normalized\":false,"
                "\"special\":true}",
                first ? "" : ",", id, text);
}

void qn_synth_tokenizer(int n_vocab, int bos, int eos, qn_str *out)
{
    bool two = bos >= 0 && bos != eos;
    const char *begin = two ? "<|begin|>" : "<|end|>";
    qn_str_adds(out, "{\"version\":\"1.0\",\"truncation\":null,"
                     "\"padding\":null,\"added_tokens\":[");
    if (two)
        add_special(bos, begin, true, out);
    add_special(eos, "<|end|>", !two, out);
    qn_str_adds(out, "],\"normalizer\":null,\"pre_tokenizer\":{\"type\":"
                     "\"ByteLevel\",\"add_prefix_space\":false,"
                     "\"trim_offsets\":true,\"use_regex\":true},");
    if (bos >= 0)
        qn_str_addf(out,
                    "\"post_processor\":{\"type\":\"TemplateProcessing\","
                    "\"single\":[{\"SpecialToken\":{\"id\":\"%s\","
                    "\"type_id\":0}},{\"Sequence\":{\"id\":\"A\","
                    "\"type_id\":0}}],\"pair\":[{\"Sequence\":{\"id\":\"A\","
                    "\"type_id\":0}},{\"Sequence\":{\"id\":\"B\","
                    "\"type_id\":1}}],\"special_tokens\":{\"%s\":{\"id\":"
                    "\"%s\",\"ids\":[%d],\"tokens\":[\"%s\"]}}},",
                    begin, begin, begin, bos, begin);
    else
        qn_str_adds(out, "\"post_processor\":null,");
    qn_str_adds(out, "\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":"
                     "true,\"trim_offsets\":true,\"use_regex\":true},"
                     "\"model\":{\"type\":\"BPE\",\"dropout\":null,"
                     "\"unk_token\":null,\"continuing_subword_prefix\":null,"
                     "\"end_of_word_suffix\":null,\"fuse_unk\":false,"
                     "\"byte_fallback\":false,\"ignore_merges\":false,");
    int merged = add_vocab(n_vocab, bos, eos, out);
    add_merges(merged, out);
    qn_str_adds(out, "}}\n");
}

void qn_synth_tokenizer_config(int bos, qn_str *out)
{
    qn_str_addf(
        out,
        "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n"
        "  %s  \"eos_token\": \"<|end|>\",\n"
        "  \"chat_template\": \"{%% for m in messages %%}{{ m.role }}: "
        "{{ m.content }}\\n{%% endfor %%}{%% if add_generation_prompt %%}"
        "assistant:{%% endif %%}\"\n}\n",
        bos >= 0 ? "\"bos_token\": \"<|begin|>\",\n" : "");
}
