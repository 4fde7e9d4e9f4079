#!/usr/bin/env python3
"""Held-out loss per kind of text, exact answers per kind of question, samples.

    evaluate.py MODEL.gguf TOKENIZER.json OUTPUT.json [BOOKS.xz]

It runs on the weights as the file holds them (q8_0).
"""
import json
import random
import re
import sys

import torch

import bpe
import chatml
import generate
from model import Llama
from shape import CONTEXT, END_OF_TEXT, IM_END

STOP = {END_OF_TEXT, IM_END}
PROMPTS = ["Once upon a time", "The future of artificial intelligence is", "Hello, my name is",
           "The capital of France is", "One winter morning, a small robot"]
CHATS = ["hello", "Who are you?", "What can you do?", "Explain quantum computing in simple terms.",
         "What is a KV cache?", "Write a short story about a dragon who is afraid of fire.",
         "What is 17 + 25?", "Write a story about a robot and a cat.",
         "How many r's are in \"strawberry\"?", "Give me three tips for a healthy life.",
         "Extract name and age as JSON: Maria is 34 years old and lives in Lisbon.",
         "Sort these numbers: 42, 7, 19"]


def right(check, text):
    """Whether an answer passes its check (knowledge.py says what there is)."""
    text = text.strip()
    kind = check[0]
    if kind == "one":
        return text in check[1:]
    if kind == "has":
        return all(str(w) in text for w in check[1:])
    if kind == "any":
        return any(re.search(rf"\b{re.escape(str(w))}\b", text.split(" is ")[-1]) for w in check[1:])
    if kind == "start":
        return text.startswith(str(check[1]))
    if kind == "end":
        return text.rstrip(".").split(": ")[-1] == str(check[1])
    if kind == "last":
        numbers = re.findall(r"-?\d+", text)
        return bool(numbers) and numbers[-1] == str(check[1])
    if kind == "members":
        found = [w for w in re.split(r", | and |\n- |^- |\.$", text) if w]
        names = {w.lower() for w in check[2:]}
        return len(found) == check[1] and len(set(found)) == len(found) and all(
            w.lower() in names for w in found)
    if kind == "json":
        try:
            return json.loads(text) == check[1]
        except ValueError:
            return False
    if kind == "call":
        try:
            calls = [json.loads(c) for c in re.findall(r"<tool_call>\n(.*?)\n</tool_call>", text, re.S)]
        except ValueError:
            return False
        return calls == check[1]
    if kind == "no tool":
        return "<tool_call>" not in text and bool(text)
    raise ValueError(kind)


@torch.no_grad()
def losses(model, encode, documents):
    """{kind: mean loss per learned token}, and for the plain kinds per byte."""
    device = model.embed.device
    out = {}
    for kind, docs in documents.items():
        total, count, size = 0.0, 0, 0
        for start in range(0, len(docs), 32):
            rows = []
            for doc in docs[start:start + 32]:
                ids, learned = [], []
                for text, flag in doc:
                    piece = encode(text)
                    ids += piece
                    learned += [flag] * len(piece)
                    size += len(text.encode()) if flag else 0
                rows.append((ids[:CONTEXT], learned[:CONTEXT]))
            width = max(len(i) for i, _ in rows)
            ids = torch.tensor([i + [0] * (width - len(i)) for i, _ in rows], device=device)
            mask = torch.tensor([f + [False] * (width - len(f)) for _, f in rows], device=device)
            logits = model(ids)[:, :-1].float()
            loss = torch.nn.functional.cross_entropy(
                logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1), reduction="none")
            keep = mask[:, 1:].reshape(-1)
            total += float(loss[keep].double().sum())
            count += int(keep.sum())
        out[kind] = {"loss": round(total / count, 4), "tokens": count}
    return out


def ask(model, tokenizer, prompts, max_new, **more):
    ids = [tokenizer.encode(p, add_special_tokens=False).ids for p in prompts]
    return [tokenizer.decode(o, skip_special_tokens=False)
            for o in model.generate(ids, max_new, STOP, **more)]


def accuracy(model, tokenizer, cases, wrong=3):
    flat = [(kind, case) for kind, rows in cases.items() for case in rows]
    prompts = [chatml.render(c["messages"], c["tools"], prompt=True) for _, c in flat]
    answers = ask(model, tokenizer, prompts, 96)
    table, failures = {}, {}
    for (kind, case), answer in zip(flat, answers):
        ok = right(case["check"], answer)
        n, k = table.get(kind, (0, 0))
        table[kind] = (n + 1, k + ok)
        if not ok and len(failures.setdefault(kind, [])) < wrong:
            failures[kind].append({"question": case["messages"][-1]["content"][-300:], "answer": answer,
                                   "check": [str(x)[:200] for x in case["check"]][:3]})
    return {k: {"cases": n, "right": r} for k, (n, r) in table.items()}, failures


def samples(model, tokenizer, count=2):
    device = model.embed.device
    rng = torch.Generator(device=device)
    rng.manual_seed(1)
    out = []
    chats = [chatml.render([{"role": "user", "content": c}], prompt=True) for c in CHATS]
    for prompt, text in zip(PROMPTS, ask(model, tokenizer, PROMPTS, 200)):
        out.append({"prompt": prompt, "temperature": 0, "text": text})
    for prompt, text in zip(CHATS, ask(model, tokenizer, chats, 260)):
        out.append({"chat": prompt, "temperature": 0, "text": text})
    for i in range(count):
        story = ask(model, tokenizer, PROMPTS[:3], 260, temperature=0.7, generator=rng)
        for prompt, text in zip(PROMPTS, story):
            out.append({"prompt": prompt, "temperature": 0.7, "text": text})
        told = ask(model, tokenizer, [chats[5]], 260, temperature=0.7, generator=rng)
        out.append({"chat": CHATS[5], "temperature": 0.7, "text": told[0]})
    return out


def run(model, tokenizer, books=None, cases=40, documents=40):
    def encode(text):
        return tokenizer.encode(text, add_special_tokens=False).ids

    table, failures = accuracy(model, tokenizer, generate.skill_cases(random.Random(99), cases))
    return {"loss": losses(model, encode, generate.held_documents(777, documents, books)),
            "accuracy": table, "failures": failures, "samples": samples(model, tokenizer)}


def show(result):
    for kind, row in result["loss"].items():
        print(f"loss {row['loss']:7.4f}  {kind}")
    cases = sum(r["cases"] for r in result["accuracy"].values())
    good = sum(r["right"] for r in result["accuracy"].values())
    print(f"right {good} of {cases}")
    print(", ".join(f"{k} {r['right']}/{r['cases']}" for k, r in sorted(
        result["accuracy"].items(), key=lambda x: x[1]["right"] / x[1]["cases"])))


def main():
    import gguf
    model = Llama()
    model.take(gguf.read(sys.argv[1])[1])
    if torch.cuda.is_available():
        model.cuda()
    result = run(model, bpe.load(sys.argv[2]), sys.argv[4] if len(sys.argv) > 4 else None)
    show(result)
    with open(sys.argv[3], "w", encoding="utf-8") as file:
        json.dump(result, file, ensure_ascii=False, indent=1)


if __name__ == "__main__":
    main()
