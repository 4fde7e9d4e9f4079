/* model_word.c - see model_word.h. */
#include "cli/model_word.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "ckpt/ckpt.h"
#include "ckpt/hub_cache.h"

#include <string.h>

/* What is damaged or not whole is a model, too: opening it says what is wrong. */
static bool is_damaged(const char *word)
{
    if (!qn_path_is_dir(word))
        return qn_path_is_file(word) &&
               (qn_ends(word, ".gguf") || qn_ends(word, ".safetensors"));
    char *config = qn_path_join(word, "config.json");
    bool is = qn_path_is_file(config);
    qn_free(config);
    return is;
}

static bool is_here(const char *word)
{
    qn_ckpt *ck = NULL;
    qn_err why;
    if (strcmp(word, "builtin") == 0)
        return true;
    if (qn_ckpt_open(&ck, word, &why) < 0)
        return is_damaged(word);
    qn_ckpt_close(ck);
    return true;
}

static bool has_letter(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z'))
            return true;
    return false;
}

/* "org/name", and no "1/2". */
static bool names_repo(const char *word)
{
    qn_hub_name name;
    const char *slash = strchr(word, '/');
    return slash && qn_hub_name_parse(word, &name) &&
           has_letter(word, (size_t)(slash - word)) &&
           has_letter(slash + 1, strlen(slash + 1));
}

/* Before more words: "org/name-7b" or "org/name.v1", whose last part is no
 * word, or what stands before a prompt in quotes. "HTTP/1.1", "and/or",
 * "TCP/IP-based" and "IPv4/IPv6" begin prompts. */
static bool names_repo_before(const char *word, const char *next)
{
    const char *slash = strchr(word, '/');
    return names_repo(word) &&
           (strchr(next, ' ') ||
            (has_letter(slash + 1, 1) && strpbrk(slash + 1, "-._") &&
             strpbrk(slash + 1, "0123456789")));
}

static bool is_meant(const char *word, const char *next)
{
    if (qn_path_is_dir(word))
        return !next || strchr(word, '/');
    return next ? names_repo_before(word, next) : names_repo(word);
}

/* A prompt that is no word. */
static bool prompt_by_option(const qn_args *a)
{
    static const char *const names[] = {"prompt", "prompt-file", "prompts-file",
                                        "token-ids"};
    for (size_t i = 0; i < QN_COUNTOF(names); i++)
        if (qn_args_given(a, names[i]))
            return true;
    return false;
}

int qn_model_word_take(qn_args *a, qn_err *err)
{
    const char *word = qn_args_operand(a, 0), *next = qn_args_operand(a, 1);
    qn_opt_source from = qn_args_source(a, "model");
    if (!word || from == QN_FROM_FLAG || from == QN_FROM_FILE)
        return 0;
    bool here = is_here(word);
    if (here && (next || prompt_by_option(a))) {
        QN_TRY(qn_args_set(a, "model", word, err));
        a->operands.n--;
        memmove(a->operands.v, a->operands.v + 1,
                a->operands.n * sizeof *a->operands.v);
        return 0;
    }
    if (!here && !is_meant(word, next))
        return 0;
    return qn_usage(err,
                    "%.200s is a model, not a prompt: quern run --model %.200s "
                    "--prompt \"...\"",
                    word, word);
}
