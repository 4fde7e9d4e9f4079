#!/usr/bin/env python3
"""make.py: the models and vectors of this folder, by sentencepiece itself
(Debian: python3-sentencepiece, 0.1.97). Run it here; it takes a text to train
on and a reference.json of which the texts are taken, and makes all of them or
those that are named:

    ./make.py CORPUS.txt REFERENCE.json [NAME...]
"""
import io
import json
import sys

import sentencepiece as spm

KINDS = {
    "unigram_nmt_nfkc": dict(model_type="unigram", vocab_size=600),
    "unigram_symbols": dict(
        model_type="unigram", vocab_size=700, byte_fallback=True,
        normalization_rule_name="identity",
        user_defined_symbols=["<mask>", "<|im_start|>", "  ", "he"]),
    "bpe_nfkc_cf": dict(
        model_type="bpe", vocab_size=600, normalization_rule_name="nfkc_cf",
        pad_id=0, unk_id=1, bos_id=-1, eos_id=2),
    "bpe_symbols": dict(
        model_type="bpe", vocab_size=700, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False,
        user_defined_symbols=["<mask>", "<|im_start|>", "  ", "\n", "a b"]),
    "bpe_gemma": dict(
        model_type="bpe", vocab_size=700, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False,
        add_dummy_prefix=False, split_digits=True,
        user_defined_symbols=["<start_of_turn>", "\n\n", "    "]),
    "bpe_drop": dict(
        model_type="bpe", vocab_size=500, normalization_rule_name="identity",
        add_dummy_prefix=False),
    "char": dict(model_type="char", vocab_size=90,
                 normalization_rule_name="identity"),
    "word": dict(model_type="word", vocab_size=400,
                 normalization_rule_name="identity",
                 user_defined_symbols=["<mask>", "he"]),
    "word_suffix": dict(
        model_type="word", vocab_size=500, byte_fallback=True,
        normalization_rule_name="identity", treat_whitespace_as_suffix=True,
        remove_extra_whitespaces=False),
    "bpe_suffix": dict(
        model_type="bpe", vocab_size=500, normalization_rule_name="identity",
        treat_whitespace_as_suffix=True),
}
MORE = ["<mask>", " <mask> ", "a<mask>b", "a <mask>  b", "<mask><mask>",
        "<|im_start|>user\nhello<|im_end|>", "  <|im_start|>  x  ", "the he",
        "a b", "a  b", " a b ", "a b<mask>a b", "<start_of_turn>x\n\n\ny",
        "        deep", "<s>", "</s> x <s>", "<unk>", "<0x41>", "<pad>",
        "\u2581a \u2581", "\uff21\uff22\uff23", "\u00b4x", "x\u00b4",
        "\ufb01ne \u2460", "A\u0301\u0328", "\u1e9e STRASSE", "\u0130i"]


def main(corpus, reference, *names):
    lines = open(corpus, encoding="utf-8").read().split("\n")[:6000]
    texts = [c["text"] for c in json.load(open(reference))["encode"]]
    texts = MORE + [t for t in texts if len(t) <= 120 and "\0" not in t]
    texts = [t for t in texts if not any(0xD800 <= ord(c) < 0xE000 for c in t)]
    # Ways to divide these are equally good but for rounding, which differs
    # between versions of the library.
    texts = [t for t in texts if "---" not in t]
    for name, options in KINDS.items():
        if names and name not in names:
            continue
        out = io.BytesIO()
        spm.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=out,
            minloglevel=2, **options)
        open(name + ".model", "wb").write(out.getvalue())
        sp = spm.SentencePieceProcessor(model_proto=out.getvalue())
        # A word that spells a control token is that token there.
        mine = [t for t in texts if not name.startswith("word") or "s>" not in t]
        cases = [{"text": t, "ids": sp.encode(t),
                  "decode": sp.decode(sp.encode(t))} for t in mine]
        with open(name + ".json", "w", encoding="utf-8") as f:
            f.write('{"sentencepiece": "%s", "encode": [\n' % spm.__version__)
            f.write(",\n".join(json.dumps(c) for c in cases))
            f.write("\n]}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
