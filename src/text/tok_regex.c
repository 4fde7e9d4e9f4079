/* tok_regex.c - PCRE2 with its just-in-time compiler and with limits. */
#include "text/tok_regex.h"

#include "base/mem.h"
#include "text/unicode.h"

#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    REGEX_MAX_PATTERN = 1 << 16,
    REGEX_STACK_START = 32 << 10,
    REGEX_STACK_MAX = 8 << 20,
    REGEX_HEAP_KIB = 64 << 10,
    REGEX_STEPS = 50 * 1000 * 1000
};

struct qn_tok_regex {
    pcre2_code *code;
};

int qn_tok_regex_new(qn_tok_regex **out, qn_view pattern, const char *doc,
                     qn_err *err)
{
    if (pattern.n > REGEX_MAX_PATTERN)
        return qn_fail(err, QN_ELIMIT, "%s: a pattern of %zu bytes, limit %d",
                       doc, pattern.n, (int)REGEX_MAX_PATTERN);
    qn_str text;
    qn_str_init(&text);
    int rc = qn_onig_to_pcre(pattern, &text, doc, err);
    if (rc < 0) {
        qn_str_deinit(&text);
        return rc;
    }
    int code = 0;
    PCRE2_SIZE where = 0;
    pcre2_compile_context *cc = pcre2_compile_context_create(NULL);
    pcre2_set_newline(cc, PCRE2_NEWLINE_LF);
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)(text.p ? text.p : ""), text.n,
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE,
                                   &code, &where, cc);
    pcre2_compile_context_free(cc);
    qn_str_deinit(&text);
    if (!re) {
        char why[128] = "";
        (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
        return qn_fail(err, QN_EFORMAT, "%s: the regular expression %.*s: %s",
                       doc, (int)QN_MIN(pattern.n, 200), pattern.p, why);
    }
    /* Without a compiler for this machine the interpreter does it. */
    (void)pcre2_jit_compile(re, PCRE2_JIT_COMPLETE);
    *out = qn_xmalloc(sizeof **out);
    (*out)->code = re;
    return QN_OK;
}

void qn_tok_regex_free(qn_tok_regex *re)
{
    if (!re)
        return;
    pcre2_code_free(re->code);
    free(re);
}

static void regex_finder_init(qn_tok_finder *f)
{
    f->match = pcre2_match_data_create(1, NULL);
    f->context = pcre2_match_context_create(NULL);
    f->stack = pcre2_jit_stack_create(REGEX_STACK_START, REGEX_STACK_MAX, NULL);
    pcre2_set_match_limit(f->context, REGEX_STEPS);
    pcre2_set_heap_limit(f->context, REGEX_HEAP_KIB);
    if (f->stack)
        pcre2_jit_stack_assign(f->context, NULL, f->stack);
}

void qn_tok_finder_deinit(qn_tok_finder *f)
{
    pcre2_match_data_free(f->match);
    pcre2_match_context_free(f->context);
    pcre2_jit_stack_free(f->stack);
    *f = (qn_tok_finder){0};
}

int qn_tok_regex_next(const qn_tok_regex *re, qn_tok_finder *f, const char *p,
                      size_t n, size_t *at, size_t last, size_t *begin,
                      size_t *end, qn_err *err)
{
    if (!f->match)
        regex_finder_init(f);
    while (*at <= n) {
        int rc = pcre2_match(re->code, (PCRE2_SPTR)p, n, *at,
                             PCRE2_NO_UTF_CHECK, f->match, f->context);
        if (rc == PCRE2_ERROR_NOMATCH)
            return 0;
        if (rc < 0)
            return qn_fail(err, QN_ELIMIT,
                           "a regular expression of the tokenizer needs too "
                           "much backtracking on this text (PCRE2 error %d)",
                           rc);
        const PCRE2_SIZE *span = pcre2_get_ovector_pointer(f->match);
        /* \K in a lookahead can make a match end before it begins. */
        size_t b = QN_MIN(span[0], span[1]), e = span[1];
        if (b == e && e == last) {
            *at += *at < n ? qn_uni_len(p[*at]) : 1;
            continue;
        }
        *begin = b;
        *end = e;
        *at = e;
        return 1;
    }
    return 0;
}
