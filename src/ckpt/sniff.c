/* sniff.c: what a file is, by its first bytes.
 *
 * Most failed openings are a good path to the wrong bytes: a git-lfs pointer,
 * a web page saved under a model's name, a checkpoint of another framework.
 * Naming that helps more than "bad magic".
 */
#include "ckpt/ckpt_int.h"

#include "ckpt/le.h"

static const char lfs_magic[] = "version https://git-lfs";

/* First bytes, what they mean, and what to do about it. */
static const struct magic {
    const char *bytes;
    size_t n;
    const char *what;
    const char *remedy;
} magics[] = {
    {"GGUF", 4, "a GGUF file", "give it a name that ends in .gguf"},
    {"PK\3\4", 4, "a zip archive, as torch.save writes it",
     "give it a name that ends in .bin"},
    {"\x80\2", 2, "a Python pickle, as torch.save wrote it",
     "give it a name that ends in .bin"},
    {"lmgg", 4, "a GGML file from before GGUF", "use a GGUF version of it"},
    {"fmgg", 4, "a GGML file from before GGUF", "use a GGUF version of it"},
    {"tjgg", 4, "a GGML file from before GGUF", "use a GGUF version of it"},
    {"algg", 4, "a GGML adapter", "merge it into its base model first"},
    {"\x89HDF", 4, "an HDF5 file", "use the safetensors revision"},
    {"\x1f\x8b", 2, "compressed with gzip", "unpack it first"},
    {"\x28\xb5\x2f\xfd", 4, "compressed with zstd", "unpack it first"},
    {"<!DOCTYPE", 9, "a web page", "download the file itself, not its page"},
    {"<!doctype", 9, "a web page", "download the file itself, not its page"},
    {"<html", 5, "a web page", "download the file itself, not its page"},
    {"<?xml", 5, "an XML text", "download the file itself, not its page"},
    {"{", 1, "a JSON text", "give the directory in which it lies"},
};

int qn_ckpt_check_lfs(const char *path, const char *text, size_t n, qn_err *err)
{
    const char *size = NULL;
    char bytes[32] = "";

    if (n < sizeof lfs_magic - 1 || n > 1024 ||
        memcmp(text, lfs_magic, sizeof lfs_magic - 1) != 0)
        return 0;
    for (size_t i = 0; i + 6 < n && !size; i++)
        if (memcmp(text + i, "\nsize ", 6) == 0)
            size = text + i + 6;
    if (size) {
        uint64_t v = 0;
        while (size < text + n && *size >= '0' && *size <= '9' &&
               v < UINT64_MAX / 20)
            v = v * 10 + (uint64_t)(*size++ - '0');
        qn_fmt_bytes(bytes, sizeof bytes, v);
    }
    return qn_fail(err, QN_EFORMAT,
                   "%s is a git-lfs pointer, not the %s%sof data it stands "
                   "for; run `git lfs pull` where it was cloned, or download "
                   "the file itself",
                   path, bytes, *bytes ? " " : "");
}

int qn_ckpt_explain(const qn_file *f, const char *wanted, qn_err *err)
{
    char head[1024];
    size_t n = f->size < sizeof head ? (size_t)f->size : sizeof head;

    if (n == 0)
        return qn_fail(err, QN_EFORMAT,
                       "%s is empty; fetch it again, or check the disk",
                       f->path);
    QN_TRY(qn_file_pread(f, head, 0, n, err));
    if (n == f->size)
        QN_TRY(qn_ckpt_check_lfs(f->path, head, n, err));
    for (size_t i = 0; i < QN_COUNTOF(magics); i++)
        if (n >= magics[i].n && !memcmp(head, magics[i].bytes, magics[i].n))
            return qn_fail(err, QN_EFORMAT, "%s is %s, not %s; %s", f->path,
                           magics[i].what, wanted, magics[i].remedy);
    return 0;
}

static bool looks_like_safetensors(const unsigned char *p, size_t n)
{
    uint64_t len;

    if (n < 10)
        return false;
    len = qn_le(p, 8);
    return len <= 100000000 && (p[8] == '{' || p[8] == ' ' || p[8] == '\n');
}

int qn_ckpt_sniff(const char *path, qn_sniff *kind, qn_err *err)
{
    unsigned char head[16];
    qn_file f;
    size_t n;
    int rc;

    QN_TRY(qn_file_open(&f, path, err));
    n = f.size < sizeof head ? (size_t)f.size : sizeof head;
    rc = qn_file_pread(&f, head, 0, n, err);
    if (rc >= 0) {
        if (n >= 4 && !memcmp(head, "GGUF", 4))
            *kind = QN_SNIFF_GGUF;
        else if (looks_like_safetensors(head, n) ||
                 qn_ends(path, ".safetensors"))
            *kind = QN_SNIFF_SAFETENSORS;
        else if (qn_ends(path, ".gguf"))
            *kind = QN_SNIFF_GGUF;
        else if (n >= 4 &&
                 (!memcmp(head, "PK\3\4", 4) || !memcmp(head, "\x80\2", 2)))
            *kind = QN_SNIFF_TORCH;
        else {
            *kind = QN_SNIFF_OTHER;
            rc = qn_ckpt_explain(&f, "a model", err);
        }
    }
    qn_file_close(&f);
    return rc;
}
