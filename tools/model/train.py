#!/usr/bin/env python3
"""Train the default model: one GPU, some minutes.

    train.py --out DIR --minutes 9 --workers 14 [--books BOOKS.xz] [--tokenizer T.json]

Text is generated and tokenized by worker processes while the model trains, so
that nearly nothing is seen twice. DIR receives the GGUF file, tokenizer.json,
the evaluation and the goldens. --minutes is wall-clock time from the start of
the program; the last --tail seconds of it are kept for the evaluation.
"""
import argparse
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time

START = time.time()


def log(*words):
    print(f"[{time.time() - START:6.1f}]", *words, flush=True)


def sample_text(seed, megabytes, books):
    from generate import Generator
    generator, out, size = Generator(seed, books), [], 0
    while size < megabytes * 1e6:
        text = "".join(t for t, _ in generator.document()[1])
        out.append(text)
        size += len(text)
    return out


def train_tokenizer(path, workers, books, megabytes):
    import bpe
    with multiprocessing.Pool(workers) as pool:
        lists = pool.starmap(sample_text, [(500 + i, megabytes / workers, books) for i in range(workers)])
    bpe.train((t for part in lists for t in part), path)


def schedule(done, args):
    """Learning-rate factor at the given share of the training time."""
    return min(1.0, (1 - done) / args.cooldown)


def fit(model, stream, seconds, args, steps=None):
    """Train for some seconds (or steps); returns the tokens seen."""
    import torch
    import torch.nn.functional as F
    from muon import Optimizer
    from shards import NOT_LEARNED
    from shape import N_VOCAB
    device = model.embed.device
    cuda = device.type == "cuda"
    optimizer = Optimizer(model, args.lr, args.lr_embed)

    def loss_of(x, y, w):
        logits = model(x)
        loss = F.cross_entropy(logits.reshape(-1, N_VOCAB).float(), y.reshape(-1), reduction="none")
        w = w.reshape(-1)
        return (loss * w).sum() / w.sum()

    compiled = torch.compile(loss_of) if cuda else loss_of

    def batches():
        held = None
        while True:
            while held is None or len(held) < args.batch:
                shard = torch.from_numpy(stream.next().astype("int32"))
                held = shard if held is None else torch.cat([held, shard])
            rows, held = held[:args.batch], held[args.batch:]
            if cuda:
                rows = rows.pin_memory().to(device, non_blocking=True)
            ids = (rows & (NOT_LEARNED - 1)).long()
            yield ids[:, :-1], ids[:, 1:].contiguous(), (rows[:, 1:] < NOT_LEARNED).float()

    tokens = step = 0
    begin = None
    mean = None
    for x, y, w in batches():
        done = 0.0 if begin is None else (step / steps if steps else (time.time() - begin) / seconds)
        if done >= 1:
            break
        loss = compiled(x, y, w)
        loss.backward()
        optimizer.step(schedule(done, args) * min(1.0, (step + 1) / args.warmup))
        step += 1
        tokens += x.numel()
        if begin is None:                  # the first step compiles
            value = loss.item()
            begin = time.time()
            log(f"first step done, loss {value:.3f}")
        if step % 16 == 0:
            value = loss.item()
            mean = value if mean is None else mean * 0.9 + value * 0.1
        if step % 256 == 0 or (not cuda):
            speed = tokens / (time.time() - begin) / 1e6
            log(f"step {step} loss {mean or value:.4f} {speed:.2f} M tokens/s, done {done:.2f}, "
                f"waited {stream.waited:.1f} s")
    return tokens, step, time.time() - begin


def save_resume(model, out):
    """bfloat16 weights in two files, small enough to carry."""
    import numpy as np
    import torch
    names = sorted(model.tensors())
    for part in range(2):
        t = {n: x.bfloat16().view(torch.int16).numpy() for n, x in model.tensors().items()
             if names.index(n) % 2 == part}
        np.savez(os.path.join(out, f"resume{part}.npz"), **t)


def load_resume(model, folder):
    import numpy as np
    import torch
    t = {}
    for part in range(2):
        with np.load(os.path.join(folder, f"resume{part}.npz")) as data:
            t.update({n: torch.from_numpy(data[n]).view(torch.bfloat16).float() for n in data.files})
    model.take(t)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--tail", type=float, default=45, help="seconds kept for evaluation")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    parser.add_argument("--books")
    parser.add_argument("--tokenizer", help="use this tokenizer.json instead of training one")
    parser.add_argument("--resume", help="folder with resume*.npz to start from")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=6e-3)
    parser.add_argument("--lr-embed", type=float, default=4e-3)
    parser.add_argument("--warmup", type=int, default=100)
    parser.add_argument("--cooldown", type=float, default=0.6)
    parser.add_argument("--trials", help="learning rates to compare, e.g. 0.004,0.01")
    parser.add_argument("--trial-seconds", type=float, default=30)
    parser.add_argument("--steps", type=int, help="train this many steps instead of a time")
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--keep-weights", action="store_true")
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    tokenizer_path = os.path.join(args.out, "tokenizer.json")
    if args.tokenizer:
        shutil.copy(args.tokenizer, tokenizer_path)
    else:
        train_tokenizer(tokenizer_path, args.workers, args.books, 40)
        log("tokenizer trained")

    import shards
    folder = tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    progress = multiprocessing.Value("i", 0)
    workers = [multiprocessing.Process(target=shards.work, daemon=True, args=(
        i, folder, tokenizer_path, args.books, args.seed, progress)) for i in range(args.workers)]
    for worker in workers:
        worker.start()
    stream = shards.Stream(folder, args.workers, progress)

    import torch
    import bpe
    import evaluate
    import gguf
    from model import Llama
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.manual_seed(args.seed)
    log("torch", torch.__version__, torch.cuda.get_device_name() if device == "cuda" else "cpu")

    def fresh():
        model = Llama().to(device)
        if args.resume:
            load_resume(model, args.resume)
        return model

    tokenizer = bpe.load(tokenizer_path)
    report = {"arguments": vars(args)}
    try:
        if args.trials:
            import generate
            documents = generate.held_documents(778, 32, args.books)
            for lr in map(float, args.trials.split(",")):
                args.lr = lr
                model = fresh()
                tokens, steps, seconds = fit(model, stream, args.trial_seconds, args, args.steps)
                table = evaluate.losses(model, lambda t: tokenizer.encode(t, add_special_tokens=False).ids, documents)
                mean = sum(r["loss"] * r["tokens"] for r in table.values()) / sum(r["tokens"] for r in table.values())
                log(f"trial lr {lr}: {steps} steps, {tokens / 1e6:.0f} M tokens, held-out loss {mean:.4f}",
                    {k: r["loss"] for k, r in table.items()})
        else:
            model = fresh()
            left = args.minutes * 60 - args.tail - (time.time() - START)
            tokens, steps, seconds = fit(model, stream, left - 25, args, args.steps)
            report.update(tokens=tokens, steps=steps, seconds=round(seconds, 1), waited=round(stream.waited, 1))
            log("trained", report)
    finally:
        for worker in workers:
            worker.terminate()
        shutil.rmtree(folder, ignore_errors=True)

    path = os.path.join(args.out, "quern-14m.gguf")
    kept = gguf.write(path, {k: v.numpy() for k, v in model.tensors().items()}, tokenizer_path)
    if args.keep_weights:
        save_resume(model, args.out)
    log("written", os.path.getsize(path))
    model.take(kept)
    back = gguf.read(path)[1]
    assert all((back[k] == kept[k]).all() for k in kept)
    report.update(evaluate.run(model, tokenizer, args.books, args.cases))
    with open(os.path.join(args.out, "evaluation.json"), "w", encoding="utf-8") as file:
        json.dump(report, file, ensure_ascii=False, indent=1)
    evaluate.show(report)
    log("evaluated")
    for sample in report["samples"][:17]:
        print("---", sample.get("prompt") or sample.get("chat"))
        print(sample["text"])
    try:
        import golden
        reference_model, fast = golden.build(path, tokenizer_path)
        golden.render_everything(fast)
        reference = golden.reference(reference_model, fast)
        ids = torch.tensor([reference["held_out"]["ids"]])
        ours = Llama().eval()
        ours.take(kept)
        with torch.no_grad():
            far = (ours(ids) - reference_model(ids).logits).abs().max()
        log(f"largest difference to transformers: {float(far):.2e}, held-out NLL "
            f"{reference['held_out']['mean_nll']}")
        with open(os.path.join(args.out, "reference.json"), "w", encoding="utf-8") as file:
            json.dump(reference, file, ensure_ascii=False, indent=1)
    except ImportError as error:
        log("no goldens:", error)
    log("done")


if __name__ == "__main__":
    sys.exit(main())
