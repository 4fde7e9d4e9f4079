#!/usr/bin/env python3
"""Varied tokenizers: does quern encode and decode as the libraries that made them?

    tools/vary_tokenizers.py QUERN [--count N | --only I,J] [--seed S] [--keep DIR] [--jobs J]

Each of N tokenizer.json files is put together at random: a small vocabulary
of one of the four models, trained on the project's own pages, normalizers,
pre-tokenizers, a post-processor, decoders, a truncation and a padding section,
added tokens with their flags (special ones that are normalized, too, are left
out: the library forgets that they are special when it decodes). Every fourth is a SentencePiece model instead, trained
with random settings. Texts of several scripts, of blanks, of odd characters
and of the added tokens go through both programs: ids with and without specials,
and the text of those ids again. Needs Hugging Face's tokenizers, sentencepiece.

Prints a line for every tokenizer that differs (WRONG, kept under --keep), that
quern does not open (REFUSED) or that ends it (CRASH). Status 1 if any is WRONG
or a CRASH.
"""
import argparse
import collections
import glob
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAGES = ["README.md", "README.zh.md", "docs/*.md", "docs/zh/*.md"]
WORDS = """Hello hello HELLO world the The of don't they'LL I'm we've naïve café
Ångström straße ΑΒΓ αβγς Привет мир שלום مرحبا नमस्ते สวัสดี 你好 世界 汉字 日本語
ひらがな カタカナ 한국어 한글 ﬁne ½ ² ① Ⅷ ﷺ 10 1234567 3.14159 1,000 x=y+z a_b foo.bar(baz)
http://a.b/c?d=e#f user@host.org C++ #include <stdio.h> {"k":[1,2]} -- --- ... … “quoted” ‘a’
🙂 👩‍👩‍👧 🇩🇪 ☃ ™ © € ∑ ≤ é e\u0301 o\u0308 \u0130 \u1e9e \u212b \ufb03 \uff21 \uff76\uff9e""".split()
BLANKS = [" ", "  ", "   ", "\n", "\n\n", "\t", "\r\n", " \n ", "\u00a0", "\u3000", "\u200b", "\u2581",
          "\u2028", "\ufeff", "\u00ad", "\u200d"]
ODD = [chr(c) for c in (0x00, 0x01, 0x1f, 0x7f, 0x80, 0x9f, 0x300, 0x301, 0x327, 0x483, 0x5b0, 0x64b, 0xe33,
                        0x1100, 0x1161, 0x11a8, 0xac00, 0xd7a3, 0x2126, 0xfdfa, 0xfffd, 0xffff, 0x10000,
                        0x1d400, 0x1f600, 0x20000, 0x2f800, 0xe0001, 0x10ffff)]
ADDED = ["<s>", "</s>", "<unk>", "<pad>", "[MASK]", "<|end|>", "Tok", " gap ", "é", "世", "##x", "a b"]
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
PATTERNS = [{"String": " "}, {"String": "e"}, {"Regex": r"\s+"}, {"Regex": r"\p{N}{1,3}"}, {"Regex": r"[\p{L}']+"},
            {"Regex": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"},
            {"Regex": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                      r"|\s*[\r\n]+|\s+(?!\S)|\s+"},
            {"Regex": r"[^\n]+|[\n]+"}, {"Regex": r"\d"}, {"Regex": r"[一-龥]+"}, {"Regex": r"\p{P}|\p{S}"},
            {"Regex": r"(?<=[a-z])(?=[A-Z])|\s++"}, {"Regex": r"[[:alpha:]]+|[[:digit:]]{1,2}"}, {"Regex": r"\h+"},
            {"Regex": r"[\p{Han}\p{Hiragana}]+|\w+"}, {"Regex": r"[a-z&&[^aeiou]]+"}, {"Regex": r"\b"},
            {"Regex": r"(?:\r?\n)+|\S+?"}, {"Regex": r"[^\W\d_]+"}, {"Regex": r"\p{Lu}?\p{Ll}++|.{1,3}"},
            {"Regex": r"\w+"}, {"Regex": r"\W"}, {"Regex": r"[^\W\s]+|\S"}, {"Regex": r"[[:punct:]]"}, {"Regex": r"\p{Han}+"},
            {"Regex": r"(?i)the|[\x21-\x2f]"}, {"Regex": r"\X"}, {"Regex": r"(\w)\1|\A.|.\z"}]


def one_of(r, *options):
    return r.choice(options)()


def flag(r):
    return r.random() < 0.5


def charsmap(r, made={}):
    """That of a SentencePiece model, in base64: field 2 of its field 3."""
    import base64
    import io
    import sentencepiece as spm

    rule = r.choice(["nmt_nfkc", "nmt_nfkc_cf", "nfkc", "nfkc_cf"])
    if rule not in made:
        out = io.BytesIO()
        spm.SentencePieceTrainer.train(sentence_iterator=iter(["a b c"] * 9), model_writer=out, model_type="char",
                                       vocab_size=8, hard_vocab_limit=False, normalization_rule_name=rule, minloglevel=3)
        made[rule] = base64.b64encode(member(member(out.getvalue(), 3), 2)).decode()
    return made[rule]


def member(b, wanted):
    """The bytes of a field of a protobuf message."""
    at = 0

    def number():
        nonlocal at
        v = shift = 0
        while True:
            v |= (b[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if b[at - 1] < 128:
                return v
    while at < len(b):
        key = number()
        n = number() if key & 7 in (0, 2) else 4 if key & 7 == 5 else 8
        if key & 7 == 0:
            continue
        if key >> 3 == wanted:
            return b[at:at + n]
        at += n


def normalizer(r):
    return one_of(
        r, lambda: {"type": r.choice(["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt"])},
        lambda: {"type": "ByteLevel"} if r.random() < 0.3 else {"type": "Precompiled", "precompiled_charsmap": charsmap(r)},
        lambda: {"type": "Strip", "strip_left": flag(r), "strip_right": flag(r)},
        lambda: {"type": "Replace", "pattern": r.choice([{"String": " "}, {"String": "``"}, {"Regex": " {2,}"},
                                                         {"Regex": r"[\n\r]"}, {"Regex": "e+"}]),
                 "content": r.choice(["▁", "", " ", "\"", "xy"])},
        lambda: {"type": "Prepend", "prepend": r.choice(["▁", " ", "x"])},
        lambda: {"type": "BertNormalizer", "clean_text": flag(r), "handle_chinese_chars": flag(r),
                 "strip_accents": r.choice([None, True, False]), "lowercase": flag(r)})


def pre_tokenizer(r):
    return one_of(
        r, lambda: {"type": r.choice(["Whitespace", "WhitespaceSplit", "BertPreTokenizer", "UnicodeScripts"])},
        lambda: {"type": "Split", "pattern": r.choice(PATTERNS), "behavior": r.choice(BEHAVIORS),
                 "invert": r.random() < 0.3},
        lambda: {"type": "Digits", "individual_digits": flag(r)},
        lambda: {"type": "Punctuation", "behavior": r.choice(BEHAVIORS)},
        lambda: {"type": "CharDelimiterSplit", "delimiter": r.choice([" ", "e", "世"])},
        lambda: {"type": "FixedLength", "length": r.choice([1, 2, 5])})


def metaspace(r, decoder):
    m = {"type": "Metaspace", "replacement": r.choice("▁▁_"), "prepend_scheme": r.choice(["always", "never", "first"]),
         "split": flag(r)}
    return m if not decoder else {**m, "split": True}


def byte_level(r):
    return {"type": "ByteLevel", "add_prefix_space": flag(r), "trim_offsets": flag(r), "use_regex": flag(r)}


def decoder(r):
    return one_of(
        r, lambda: {"type": "ByteFallback"}, lambda: {"type": "Fuse"},
        lambda: {"type": "Strip", "content": r.choice([" ", "▁"]), "start": r.choice([0, 1, 2]),
                 "stop": r.choice([0, 0, 1])},
        lambda: {"type": "Replace", "pattern": r.choice([{"String": "▁"}, {"Regex": "[▁_]"}]), "content": " "},
        lambda: {"type": "WordPiece", "prefix": "##", "cleanup": flag(r)},
        lambda: {"type": "BPEDecoder", "suffix": "</w>"},
        lambda: {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": flag(r)},
        lambda: metaspace(r, True), lambda: byte_level(r))


def sequence(r, key, what, most, last=None):
    parts = [what(r) for _ in range(r.randrange(most + 1))] + ([last] if last else [])
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else {"type": "Sequence", key: parts}


def post_processor(r, ids):
    special = {t: ids[t] for t in ("<s>", "</s>") if t in ids}
    if len(special) < 2:
        return None
    a, b = ["<s>", special["<s>"]], ["</s>", special["</s>"]]
    piece = [{"SpecialToken": {"id": t, "type_id": 0}} for t in special]
    single = [p for p in ([piece[0]] if flag(r) else []) + [{"Sequence": {"id": "A", "type_id": 0}}] +
              ([piece[1]] if flag(r) else [])]
    if r.random() < 0.15:  # the text twice, a token of several ids
        single = single + [piece[1], {"Sequence": {"id": "A", "type_id": 1}}]
    several = [special["</s>"], special["<s>"]] if r.random() < 0.2 else [special["</s>"]]
    named = {"<s>": [special["<s>"]], "</s>": several}
    template = {"type": "TemplateProcessing", "single": single,
                "pair": single + [{"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {t: {"id": t, "ids": i, "tokens": [t] * len(i)} for t, i in named.items()}}
    return one_of(r, lambda: None, lambda: template, lambda: template,
                  lambda: {"type": "BertProcessing", "sep": b, "cls": a},
                  lambda: {"type": "RobertaProcessing", "sep": b, "cls": a, "trim_offsets": flag(r),
                           "add_prefix_space": flag(r)},
                  lambda: {"type": "Sequence", "processors": [byte_level(r), template]})


def trained(r, pages):
    """A tokenizer's JSON with a model and the parts that belong to it."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    kind = r.choice(["bytes", "bytes", "spm", "spm", "unigram", "unigram", "wordpiece", "wordlevel", "suffix"])
    size = r.choice([320, 600, 1500])
    special = ["<unk>", "<s>", "</s>", "<pad>"]
    if kind == "bytes":
        t = Tokenizer(models.BPE(ignore_merges=flag(r)))
        t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=flag(r), use_regex=flag(r))
        t.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, show_progress=False,
                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    elif kind == "spm":
        t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=flag(r), byte_fallback=flag(r)))
        t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
                                       decoders.Strip(" ", 1, 0)])
        trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special + bytes_of(r), show_progress=False,
                                      max_token_length=12)
    elif kind == "unigram":
        t = Tokenizer(models.Unigram())
        t.pre_tokenizer = pre_tokenizers.Metaspace()
        t.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=size, special_tokens=special + bytes_of(r), unk_token="<unk>",
                                          show_progress=False)
    elif kind == "wordpiece":
        t = Tokenizer(models.WordPiece(unk_token="<unk>", max_input_chars_per_word=r.choice([10, 100])))
        t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        t.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    elif kind == "wordlevel":
        t = Tokenizer(models.WordLevel(unk_token="<unk>"))
        t.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.WordLevelTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    else:
        t = Tokenizer(models.BPE(unk_token=r.choice(["<unk>", None]), end_of_word_suffix="</w>",
                                 continuing_subword_prefix=r.choice([None, "##"])))
        t.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        t.decoder = decoders.BPEDecoder(suffix="</w>")
        trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special, end_of_word_suffix="</w>",
                                      show_progress=False)
    t.train_from_iterator(pages, trainer)
    j = json.loads(t.to_str())
    if kind == "unigram" and flag(r):
        j["model"]["byte_fallback"] = True
    return kind, j


def bytes_of(r):
    return [f"<0x{b:02X}>" for b in range(256)] if flag(r) else []


def change(r, kind, j):
    """Parts of the tokenizer's own are exchanged for others."""
    vocab = j["model"]["vocab"]
    ids = dict(vocab) if isinstance(vocab, dict) else {v[0]: i for i, v in enumerate(vocab)}
    keep = r.random()
    if r.random() < 0.5:
        own = j["normalizer"] if keep < 0.7 else None
        j["normalizer"] = sequence(r, "normalizers", normalizer, 3, own)
    if r.random() < 0.5:
        own = j["pre_tokenizer"] if keep < 0.8 else metaspace(r, False) if keep < 0.9 else None
        j["pre_tokenizer"] = sequence(r, "pretokenizers", pre_tokenizer, 2, own)
    if r.random() < 0.3:
        own = j["decoder"] if keep < 0.7 else None
        j["decoder"] = sequence(r, "decoders", decoder, 3, own)
    j["post_processor"] = post_processor(r, ids)
    n = 1 + max(ids.values())
    for t in r.sample(ADDED, r.randrange(5)):
        old = next((a for a in j["added_tokens"] if a["content"] == t), None)
        special, normalized = flag(r), flag(r)
        new = {"id": old["id"] if old else ids.get(t, n), "content": t, "single_word": r.random() < 0.2,
               "lstrip": r.random() < 0.3, "rstrip": r.random() < 0.3, "normalized": normalized and not special, "special": special}
        n += new["id"] == n
        if old:
            old.update(new)
        else:
            j["added_tokens"].append(new)
    j["added_tokens"].sort(key=lambda a: a["id"])
    if r.random() < 0.25:
        j["truncation"] = {"direction": r.choice(["Left", "Right"]), "max_length": r.choice([4, 7, 12, 40]),
                           "strategy": r.choice(["LongestFirst", "OnlyFirst"]), "stride": r.choice([0, 0, 1])}
    if r.random() < 0.25:
        j["padding"] = {"strategy": r.choice(["BatchLongest", {"Fixed": 20}, {"Fixed": 9}]),
                        "direction": r.choice(["Left", "Right"]), "pad_to_multiple_of": r.choice([None, 8, 5]),
                        "pad_id": r.choice([0, ids.get("<pad>", 0)]), "pad_type_id": 0, "pad_token": "<pad>"}
    older(r, j)


def older(r, j):
    """The same, as earlier versions of the library wrote it."""
    m = j["model"]
    if m.get("merges") and flag(r) and not any(" " in part for pair in m["merges"] for part in pair):
        m["merges"] = [" ".join(pair) for pair in m["merges"]]
    if flag(r):
        for k in ("dropout", "ignore_merges", "byte_fallback", "continuing_subword_prefix", "end_of_word_suffix",
                  "fuse_unk"):
            if k in m and m[k] in (None, False):
                del m[k]
    for part in (j["pre_tokenizer"], j["decoder"]):
        for step in (part or {}).get("pretokenizers", (part or {}).get("decoders", [part])):
            if step and step["type"] == "Metaspace" and flag(r) and step["prepend_scheme"] != "first":
                step["add_prefix_space"] = step.pop("prepend_scheme") == "always"
                step.pop("split", None)
            if step and step["type"] == "ByteLevel" and flag(r) and step.get("use_regex"):
                del step["use_regex"]


def texts(r, pages, j):
    added = [a["content"] for a in j["added_tokens"][:4] + j["added_tokens"][-4:]]
    out = ["", " ", "  hello", "a", "\n"]
    for _ in range(60):
        pools = r.choice([[WORDS, [" "]], [WORDS, BLANKS], [WORDS, BLANKS, ODD], [WORDS, added, [" ", ""]],
                          [added, ["", " ", "a"]], [ODD]])
        out.append("".join(r.choice(r.choice(pools)) for _ in range(r.randrange(1, 24))))
    for _ in range(10):
        p = r.choice(pages)
        at = r.randrange(len(p))
        out.append(p[at:at + r.randrange(300)])
    return out


def held(args, i, label, checks):
    """The verdict on tokenizer i. A check: subcommand, its flags, what goes in,
    what the library makes of each."""
    folder = f"{args.keep}/{i}"
    for what, flags, lines, want in checks:
        p = subprocess.run([args.quern, what, folder, "--jsonl", *flags], capture_output=True, text=True, timeout=60,
                           input="".join(json.dumps(x) + "\n" for x in lines))
        if p.returncode:
            return i, label, "REFUSED" if p.returncode in (1, 2) else "CRASH", p.stderr.strip()[-200:]
        got = [json.loads(x) for x in p.stdout.split("\n")[:-1]]
        for x, w, g in zip(lines, want, got + [None] * len(want)):
            if w != g:
                return i, label, "WRONG", f"{what} {' '.join(flags)} {x!r}: {w!r} here {g!r}"[:400]
    shutil.rmtree(folder)
    return i, label, "same", ""


def sentencepiece(r, folder, pages):
    """Trains one into the folder; returns it and what it is."""
    import sentencepiece as spm

    options = {
        "vocab_size": r.choice([400, 800, 1500]), "model_type": r.choice(["bpe", "unigram", "unigram", "char", "word"]),
        "byte_fallback": flag(r), "add_dummy_prefix": flag(r), "remove_extra_whitespaces": flag(r),
        "normalization_rule_name": r.choice(["nmt_nfkc", "nmt_nfkc_cf", "nfkc", "nfkc_cf", "identity"]),
        "treat_whitespace_as_suffix": r.random() < 0.2, "split_digits": flag(r), "split_by_whitespace": r.random() < 0.8,
        "allow_whitespace_only_pieces": flag(r), "character_coverage": r.choice([0.95, 0.9995, 1.0]),
        "user_defined_symbols": r.sample(ADDED[3:], r.randrange(4)), "control_symbols": r.choice([[], ["<ctl>"]]),
        "escape_whitespaces": r.random() < 0.9, "max_sentencepiece_length": r.choice([4, 16]),
        "split_by_unicode_script": flag(r), "split_by_number": flag(r), "required_chars": r.choice(["", "é世☃"]),
        **r.choice([{}, {}, {"unk_id": 3, "bos_id": 0, "eos_id": 1, "pad_id": 2}, {"bos_id": -1, "eos_id": -1},
                    {"unk_surface": " ?? "}, {"unk_piece": "<UNK>", "eos_piece": "<end>"}]),
    }
    lines = [x for p in pages for x in p.split("\n") if x][:4000]
    spm.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_prefix=folder + "/tokenizer", minloglevel=3,
                                   hard_vocab_limit=False, num_threads=1, **options)
    os.remove(folder + "/tokenizer.vocab")
    sp = spm.SentencePieceProcessor(model_file=folder + "/tokenizer.model")
    return sp, "sentencepiece " + json.dumps(options, ensure_ascii=False)


def compare_sentencepiece(args, i, r, pages):
    folder = f"{args.keep}/{i}"
    os.makedirs(folder, exist_ok=True)
    try:
        sp, label = sentencepiece(r, folder, pages)
    except Exception as e:
        return i, "", "SKIPPED", f"{type(e).__name__}: {e}"[:100]
    lines = [x for x in texts(r, pages, {"added_tokens": [{"content": a} for a in ADDED]}) if "\0" not in x]
    if "\"word\"" in label:  # of a word that spells a control token the library makes that token
        lines = [x for x in lines if "<" not in x]
    want = [sp.encode(x) for x in lines]
    return held(args, i, label, [("tokenize", ("--no-special", "--no-parse-special"), lines, want),
                                 ("detokenize", (), want, [sp.decode(w) for w in want])])


def compare(job):
    args, i, pages = job
    from tokenizers import Tokenizer

    r = random.Random(f"{i}/{args.seed}")
    if i % 4 == 3:
        return compare_sentencepiece(args, i, r, pages)
    try:
        kind, j = trained(r, pages)
        change(r, kind, j)
        t = Tokenizer.from_str(json.dumps(j))
    except BaseException as e:  # the library panics, too
        return i, "", "SKIPPED", f"{type(e).__name__}: {e}"[:100]
    folder = f"{args.keep}/{i}"
    os.makedirs(folder, exist_ok=True)
    with open(folder + "/tokenizer.json", "w") as f:
        json.dump(j, f)
    said = {k: j[k] if k != "post_processor" or not j[k] else j[k]["type"]
            for k in ("normalizer", "pre_tokenizer", "post_processor", "decoder") if j[k]}
    label = kind + " " + json.dumps(said, ensure_ascii=False)[:500]
    lines = texts(r, pages, j)
    try:
        want = {add: [t.encode(x, add_special_tokens=add).ids for x in lines] for add in (True, False)}
        back = {skip: [t.decode(w, skip_special_tokens=skip) for w in want[False]] for skip in (False, True)}
    except BaseException as e:
        return i, label, "SKIPPED", f"{type(e).__name__}: {e}"[:100]
    return held(args, i, label, [("tokenize", (), lines, want[True]),
                                 ("tokenize", ("--no-special",), lines, want[False]),
                                 ("detokenize", (), want[False], back[False]),
                                 ("detokenize", ("--skip-special",), want[False], back[True])])


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("quern")
    a.add_argument("--count", type=int, default=200)
    a.add_argument("--only", help="numbers of those to make again, with commas between")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--keep", default=None)
    a.add_argument("--jobs", type=int, default=os.cpu_count())
    args = a.parse_args()
    args.keep = args.keep or tempfile.mkdtemp(prefix="quern-vary-")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["RUST_BACKTRACE"] = "0"
    pages = []
    for pattern in PAGES:
        for path in sorted(glob.glob(os.path.join(ROOT, pattern))):
            with open(path, encoding="utf-8") as f:
                pages.append(f.read()[:20000])
    pages.append(" ".join(WORDS) + "".join(BLANKS))
    counts = collections.Counter()
    with multiprocessing.get_context("spawn").Pool(args.jobs, maxtasksperchild=100) as pool:
        which = [int(x) for x in args.only.split(",")] if args.only else range(args.count)
        for i, label, verdict, why in pool.imap_unordered(compare, [(args, i, pages) for i in which]):
            counts[verdict] += 1
            if verdict not in ("same", "SKIPPED"):
                print(verdict, i, label, why, flush=True)
            elif verdict == "SKIPPED":
                counts["skipped: " + why[:50]] += 1
    print(", ".join(f"{n} {v}" for v, n in counts.most_common()), f"({args.keep})")
    return 1 if counts["WRONG"] + counts["CRASH"] else 0


if __name__ == "__main__":
    sys.exit(main())
