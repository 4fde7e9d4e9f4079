"""Worker processes that generate, tokenize and pack training rows.

A shard is a file of uint16 rows of CONTEXT + 1 token ids; bit 15 marks a
token that is not learned (what the user said). A row begins with a fresh
document and is filled with further ones; what is left of the last is dropped,
so that the model often sees position 0 as it will meet it: at a beginning.
Workers stop AHEAD shards before the trainer, which takes every shard once.
"""
import os
import time

import numpy as np

from generate import Generator
from shape import CONTEXT

ROWS = 256
AHEAD = 6
NOT_LEARNED = 0x8000


def path_of(folder, worker, index):
    return os.path.join(folder, f"{worker}_{index}.npy")


def rows(generator, encode, count):
    """count rows; encode(list of texts) gives lists of ids."""
    out = np.empty((count, CONTEXT + 1), np.uint16)
    done, fill = 0, 0
    while done < count:
        documents = [generator.document()[1] for _ in range(256)]
        texts = [text for document in documents for text, _ in document]
        ids = iter(encode(texts))
        for document in documents:
            if fill == CONTEXT + 1:
                done, fill = done + 1, 0
                if done == count:
                    break
            for _, learned in document:
                piece = np.asarray(next(ids), np.uint16)
                if not learned:
                    piece = piece | NOT_LEARNED
                take = min(len(piece), CONTEXT + 1 - fill)
                out[done, fill:fill + take] = piece[:take]
                fill += take
    return out


def work(worker, folder, tokenizer_path, books, seed, progress):
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.nice(5)
    import bpe
    tokenizer = bpe.load(tokenizer_path)

    def encode(texts):
        return [e.ids for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    generator = Generator(seed * 1000 + worker, books)
    index = 0
    while True:
        while index >= progress.value + AHEAD:
            time.sleep(0.05)
        data = rows(generator, encode, ROWS)
        path = path_of(folder, worker, index)
        np.save(path + ".part.npy", data)
        os.rename(path + ".part.npy", path)
        index += 1


class Stream:
    """Takes the shards of all workers in turn; waits for a late one."""

    def __init__(self, folder, workers, progress):
        self.folder, self.workers, self.progress = folder, workers, progress
        self.worker = self.index = 0
        self.waited = 0.0

    def next(self):
        path = path_of(self.folder, self.worker, self.index)
        start = time.time()
        while not os.path.exists(path):
            time.sleep(0.005)
        self.waited += time.time() - start
        data = np.load(path)
        os.unlink(path)
        self.worker += 1
        if self.worker == self.workers:
            self.worker, self.index = 0, self.index + 1
            self.progress.value = self.index
        return data
