"""The tokenizer: byte-level BPE, trained with the tokenizers library.

    bpe.py OUTPUT.json TEXT...

Ids: the special tokens, the tool-call marks (ordinary added tokens), the 256
bytes, then the merges. Digits are always single tokens.
"""
import json
import sys

from shape import MARKS, N_VOCAB, SPECIAL

PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
           r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def train(texts, path):
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=N_VOCAB, special_tokens=SPECIAL + MARKS, min_frequency=2, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(texts, trainer)
    data = json.loads(tokenizer.to_str())
    for token in data["added_tokens"]:
        token["special"] = token["content"] in SPECIAL
    with open(path, "w", encoding="utf-8") as file:
        json.dump(data, file, ensure_ascii=False, indent=1)
    assert tokenizer.get_vocab_size() == N_VOCAB, tokenizer.get_vocab_size()


def load(path):
    from tokenizers import Tokenizer
    return Tokenizer.from_file(path)


if __name__ == "__main__":
    train((open(name, encoding="utf-8").read() for name in sys.argv[2:]), sys.argv[1])
