#!/usr/bin/env python3
"""Reference values for the tests of the default model, by transformers.

    golden.py MODEL.gguf TOKENIZER.json OUTPUT.json

The weights are those of the file, dequantized to float32 and computed on the
CPU; token ids and rendered chats come from the tokenizers and transformers
libraries, not from this project.
"""
import json
import random
import sys

import torch

import chatml
import generate
import gguf
import talk
import tools
from shape import (CONTEXT, D_FF, D_HEAD, D_MODEL, END_OF_TEXT, EPS, IM_END, N_HEAD, N_KV, N_LAYER,
                   N_VOCAB, ROPE_THETA)

PROMPTS = ["Once upon a time", "The future of artificial intelligence is",
           "<|im_start|>user\nWhat is 17 + 25?<|im_end|>\n<|im_start|>assistant\n",
           "<|im_start|>user\nWho are you?<|im_end|>\n<|im_start|>assistant\n",
           "One winter morning a small fox named Vola looked out of the window."]
TEXTS = ["", " ", "  ", "\n", "\n\n\n", "Hello", " Hello", "hello world", "Hello, world!", "HELLO WORLD",
         "don't you're we've I'll he'd it's I'm", "DON'T", "12345", "3.14159 and 2,000", "a1b2c3",
         "line one\nline two\r\nline three", "tabs\tand\t\tspaces   here", "   leading", "trailing   ",
         "na\u00efve caf\u00e9 \u00fcber stra\u00dfe", "\u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8", "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440!", "emoji \U0001f600\U0001f680 ok", "\u0645\u0631\u062d\u0628\u0627",
         "<|im_start|>user\nHi<|im_end|>\n", "x<|endoftext|>y", "<tool_call>\n{\"name\": \"f\"}\n</tool_call>",
         "def add(a, b):\n    return a + b\n", "{\"key\": [1, 2, null], \"s\": \"\\n\"}",
         "!!!???...---", "a\u00a0b\u2003c", "The quick brown fox jumps over the lazy dog."]


def chats():
    weather = tools.TOOLS[0][0]
    return [
        {"messages": [talk.user("Hello!")], "tools": None, "add_generation_prompt": True},
        {"messages": [talk.system("You are a helpful assistant."), talk.user("What is 2 + 3?"),
                      talk.assistant("2 + 3 = 5."), talk.user("And plus 4?")],
         "tools": None, "add_generation_prompt": True},
        {"messages": [talk.user("What is the weather in Oslo?"),
                      {"role": "assistant", "content": "", "tool_calls": [tools.call(weather, {"city": "Oslo"})]},
                      {"role": "tool", "content": '{"temperature": 3}'},
                      talk.assistant("It is 3 degrees in Oslo.")],
         "tools": [weather], "add_generation_prompt": False},
        {"messages": [talk.system("Answer briefly."), talk.user("Set a timer for 5 minutes.")],
         "tools": [tools.TOOLS[0][0], tools.TOOLS[7][0]], "add_generation_prompt": True},
    ]


def held_out_text():
    documents = generate.held_documents(4242, 3)
    picked = documents["story"][:2] + documents["facts"][:2] + documents["tools"][:1] + documents["document"][:1]
    return "".join(text for doc in picked for text, _ in doc)


def build(gguf_path, tokenizer_path):
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    _, tensors = gguf.read(gguf_path)
    config = LlamaConfig(vocab_size=N_VOCAB, hidden_size=D_MODEL, intermediate_size=D_FF,
                         num_hidden_layers=N_LAYER, num_attention_heads=N_HEAD, num_key_value_heads=N_KV,
                         head_dim=D_HEAD, max_position_embeddings=CONTEXT, rms_norm_eps=EPS,
                         rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
                         tie_word_embeddings=True, attention_bias=False, hidden_act="silu",
                         bos_token_id=END_OF_TEXT, eos_token_id=[IM_END, END_OF_TEXT])
    model = LlamaForCausalLM(config).float().eval()
    missing, unexpected = model.load_state_dict({k: torch.tensor(v) for k, v in tensors.items()}, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    model.tie_weights()
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=tokenizer_path, eos_token="<|im_end|>",
                                        pad_token="<|endoftext|>", chat_template=chatml.TEMPLATE,
                                        clean_up_tokenization_spaces=False)
    return model, tokenizer


@torch.no_grad()
def reference(model, tokenizer):
    def encode(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    out = {"model": "quern-14m", "computed": "transformers, float32, CPU, from the q8_0 weights", "prompts": []}
    for text in PROMPTS:
        ids = encode(text)
        logits = model(torch.tensor([ids])).logits[0, -1]
        top = torch.topk(logits, 10)
        row, greedy, margins = list(ids), [], []
        for _ in range(48):
            step = model(torch.tensor([row])).logits[0, -1]
            two = torch.topk(step, 2)
            greedy.append(int(two.indices[0]))
            margins.append(round(float(two.values[0] - two.values[1]), 5))
            row.append(greedy[-1])
        out["prompts"].append({"text": text, "ids": ids, "max_abs_logit": float(logits.abs().max()),
                               "top_ids": top.indices.tolist(),
                               "top_logits": [round(float(x), 6) for x in top.values],
                               "greedy": greedy, "greedy_text": tokenizer.decode(greedy), "margins": margins})
    out["tokenizer"] = [{"text": t, "ids": encode(t)} for t in TEXTS]
    out["chats"] = []
    for chat in chats():
        text = tokenizer.apply_chat_template(chat["messages"], tools=chat["tools"], tokenize=False,
                                             add_generation_prompt=chat["add_generation_prompt"])
        ours = chatml.render(chat["messages"], chat["tools"], chat["add_generation_prompt"])
        assert text == ours, (text, ours)
        out["chats"].append({**chat, "text": text, "ids": encode(text)})
    text = held_out_text()
    ids = encode(text)[:CONTEXT]
    loss = model(torch.tensor([ids]), labels=torch.tensor([ids])).loss
    out["held_out"] = {"text": tokenizer.decode(ids), "ids": ids, "mean_nll": round(float(loss), 6)}
    return out


def render_everything(tokenizer, count=300):
    """The template and chatml.render must agree on what training saw."""
    rng = random.Random(5)
    for _ in range(count):
        messages, tool_list, _, _ = tools.dialogue(rng, talk.train_fact)
        text = tokenizer.apply_chat_template(messages, tools=tool_list, tokenize=False)
        assert text == chatml.render(messages, tool_list), text


def main():
    model, tokenizer = build(sys.argv[1], sys.argv[2])
    render_everything(tokenizer)
    with open(sys.argv[3], "w", encoding="utf-8") as file:
        json.dump(reference(model, tokenizer), file, ensure_ascii=False, indent=1)


if __name__ == "__main__":
    main()
