# %% [en]
# # 2. From a prompt to a text
#
# What happens between a prompt and its answer, step by step and measured: text becomes
# tokens, the prompt is read at once, tokens come out one by one, a cache grows, chance
# chooses. At the end the same through a server.
# %% [zh]
# # 2. 从提示到文本
#
# 从提示到回答之间发生了什么，一步一步地看并测量：文本变成 token，提示一次读完，token 一个一个地写出，缓存增长，
# 由概率选择。最后通过服务器再做一遍。
# %%
import time
import numpy as np
import kit
plt = kit.look()
import quern
model = quern.Model(kit.MODEL)
ids = model.tokenize("The miller's daughter counted 42 sacks.")
print([model.token_text(i) for i in ids])
print(repr(model.detokenize(ids)))
# %% [en]
# ## Prefill and decode
#
# The prompt is read many tokens at a time, in one pass over the weights (**prefill**); then each
# new token needs a pass of its own (**decode**). So a token that is read is cheaper than one that
# is written: the lines below are the milliseconds that so many of each took.
# %% [zh]
# ## 预填充与解码
#
# 读提示时，权重读一遍就处理许多 token（**预填充**）；之后每个新 token 都要单独读一遍权重（**解码**）。所以提示的
# token 比回答的 token 便宜得多：下图两条线是各自处理这么多 token 所用的毫秒数。
# %%
story = model.tokenize(model.generate("Once upon a time", max_new_tokens=200, ignore_eos=True,
                                      temperature=0.8, seed=3).text)
def ms(prompt, n):
    best = float("inf")
    for _ in range(5):
        t = time.perf_counter()
        model.generate(prompt, max_new_tokens=n, ignore_eos=True, temperature=0)
        best = min(best, time.perf_counter() - t)
    return 1000 * best

sizes = [8, 16, 32, 64, 128]
prefill = [ms(story[:n], 1) for n in sizes]
decode = [ms(story[:8], n) - ms(story[:8], 1) for n in sizes[:-1]]
fig, ax = plt.subplots()
ax.plot(sizes, prefill, "o-", label="prefill")
ax.plot(sizes[:-1], decode, "o-", label="decode")
ax.set_xlabel("tokens read, or written"); ax.set_ylabel("ms"); ax.set_ylim(0); ax.legend()
kit.plain(ax.xaxis, sizes)
plt.show()
# %% [en]
# ## The KV cache
#
# Keys and values of every token that was read are kept, so that nothing is computed twice.
# They take memory for each token of each sequence, and the program says how much before it
# loads anything. A sequence that runs reserves what it can ever need.
# %% [zh]
# ## KV 缓存
#
# 读过的每个 token 的键和值都保留下来，所以不会重复计算。每个序列的每个 token 都要占内存，程序在加载之前就说明要多少。
# 正在运行的序列会预留它可能用到的全部空间。
# %%
lengths = [256, 1024, 2048, 4096, 6144]
plan = [model.info(n, 1)["memory"] for n in lengths]
fig, ax = plt.subplots()
ax.plot(lengths, [p["kv"] / 2**20 for p in plan], "o-", label="KV cache")
ax.plot(lengths, [p["weights"] / 2**20 for p in plan], "--", label="weights")
ax.set_xlabel("tokens of all sequences together"); ax.set_ylabel("MiB"); ax.set_ylim(0)
kit.plain(ax.xaxis, lengths); ax.legend()
plt.show()
print(plan[0]["kv_per_token"], "bytes for each token")
# %% [en]
# ## Batching
#
# A pass reads the weights once, whether one sequence takes part or eight. More sequences
# make each of them a little slower and all of them together faster.
# %% [zh]
# ## 批处理
#
# 无论一个序列还是八个序列参与，权重只读一遍。序列越多，每个稍慢，合起来更快。
# %%
batches = [1, 2, 4, 8]
each, together = [], []
with quern.Model(kit.MODEL, max_seqs=8) as many:
    for b in batches:
        best = float("inf")
        for _ in range(5):
            t = time.perf_counter()
            many.generate(["Once upon a time"] * b, max_new_tokens=16, ignore_eos=True,
                          temperature=0)
            best = min(best, time.perf_counter() - t)
        each.append(16 / best)
        together.append(16 * b / best)
fig, ax = plt.subplots()
ax.plot(batches, each, "o-", label="each")
ax.plot(batches, together, "o-", label="together")
ax.set_xlabel("sequences"); ax.set_ylabel("tokens per second"); ax.set_ylim(0); ax.legend()
kit.plain(ax.xaxis, batches)
plt.show()
# %% [en]
# ## The same beginning
#
# Prompts that begin alike (a system prompt, a document, a conversation so far) need their
# beginning computed once. With the prefix cache on, the second request reads only what is
# new.
# %% [zh]
# ## 相同的开头
#
# 开头相同的提示（系统提示、文档、已有的对话）只需计算一次。打开前缀缓存后，第二个请求只读新的部分。
# %%
with quern.Model(kit.MODEL, prefix_cache=True) as cached:
    for what in ("first", "second", "third"):
        t = time.perf_counter()
        cached.generate(story[:180] + cached.tokenize(what), max_new_tokens=1, temperature=0)
        print("%-7s %6.1f ms" % (what, 1000 * (time.perf_counter() - t)))
# %% [en]
# ## Choosing a token
#
# The model gives a score for every token; sampling parameters shape the odds before chance
# decides. Temperature sharpens or flattens, top-k and top-p and min-p cut the tail.
# %% [zh]
# ## 选择一个 token
#
# 模型给每个 token 一个分数；采样参数在抽取之前改变概率。温度使分布更尖或更平，top-k、top-p、min-p 去掉尾部。
# %%
logits = np.asarray(model.logits("Once upon a time, in a"))[-1]
def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()

def top_p(p, keep):
    order = np.argsort(-p)
    n = np.searchsorted(np.cumsum(p[order]), keep) + 1
    q = np.zeros_like(p)
    q[order[:n]] = p[order[:n]]
    return q / q.sum()

p = softmax(logits)
shaped = {"temperature 1": p, "temperature 0.5": softmax(logits / 0.5),
          "temperature 1.5": softmax(logits / 1.5), "top-p 0.8": top_p(p, 0.8)}
best = np.argsort(-p)[:12]
fig, axes = plt.subplots(2, 2, sharex=True, sharey=True, figsize=(7.2, 4.4))
for ax, (title, q) in zip(axes.ravel(), shaped.items()):
    ax.bar(range(12), q[best]); ax.set_title(title); ax.grid(False, axis="x")
    ax.set_xticks(range(12))
    ax.set_xticklabels([model.detokenize([int(i)]).strip() for i in best], rotation=60, ha="right",
                       rotation_mode="anchor", fontsize=8.5)
for ax in axes[:, 0]:
    ax.set_ylabel("probability")
plt.show()
# %% [en]
# What is drawn follows these odds: 100 completions of one token, counted.
# %% [zh]
# 抽取的结果服从这个分布：抽 100 次，数一数。
# %%
with quern.Model(kit.MODEL, max_seqs=100) as wide:
    drawn = [c.ids[0] for c in wide.generate("Once upon a time, in a", n=100, max_new_tokens=1,
                                             temperature=1, top_k=0, top_p=1, seed=5) if c.ids]
for i in best[:6]:
    print("%-10s expected %5.1f  drawn %3d" % (model.detokenize([int(i)]).strip(), 100 * p[i],
                                               drawn.count(int(i))))
# %% [en]
# ## Long inputs
#
# A prompt that does not fit is refused with both numbers. A long one that fits is read in
# chunks. Models made for long texts look back only so far in some layers (a sliding window),
# often keeping the first tokens (sinks): the picture is which token may look at which. Any model
# can be run like the third one, with `kv_window`: then a text has no end, its memory stays the
# same, and what has left the window is forgotten.
# %% [zh]
# ## 长输入
#
# 放不下的提示会被拒绝，并说明两个数字。放得下的长提示分块读取。为长文本设计的模型在某些层只回看有限的距离
# （滑动窗口），常常保留最前面的几个 token（sinks）：图中是每个 token 可以看到哪些 token。任何模型都可以用 `kv_window`
# 像第三幅图那样运行：文本没有尽头，内存不变，离开窗口的内容则被忘记。
# %%
try:
    model.generate("mill " * 1500, max_new_tokens=8)
except quern.Error as e:
    print(e)
c = model.generate("mill " * 1500, max_new_tokens=8, ignore_eos=True, kv_window=256, n_keep=4)
print("with a window of 256:", len(c.ids), "tokens more")
n, window, sinks = 48, 12, 3
i, j = np.arange(n)[:, None], np.arange(n)[None, :]
causal = j <= i
fig, axes = plt.subplots(1, 3, figsize=(7.2, 2.8))
for ax, (title, mask) in zip(axes, {"all": causal, "window": causal & (i - j < window),
                                    "window and sinks": causal & ((i - j < window) | (j < sinks))}.items()):
    ax.imshow(mask, cmap=plt.matplotlib.colors.ListedColormap(["#f3efe7", "#b3730c"]))
    ax.set_title(title); ax.set_xlabel("looks at"); ax.set_xticks([]); ax.set_yticks([]); ax.grid(False)
axes[0].set_ylabel("token")
plt.show()
# %% [en]
# How large a chunk? Those who write wait for the step in which it is read, so that a large one is
# a pause for them; a small one reads the weights more often, which costs little here, where they are
# in the processor's cache. 800 tokens, read in steps of so many:
# %% [zh]
# 每一块多大？正在写的序列要等这一步读完，所以块大了，它们就停顿一下；块小了，权重就要读更多遍（这里权重
# 在处理器的缓存里，所以代价很小）。800 个 token，每一步读这么多：
# %%
text = (story * 8)[:800]
print("%6s %14s %14s" % ("chunk", "all of it, ms", "one step, ms"))
for chunk in (8, 32, 128, 512):
    with quern.Model(kit.MODEL, max_batch=chunk) as chunked:
        best = float("inf")
        for _ in range(3):
            t = time.perf_counter()
            chunked.generate(text, max_new_tokens=1, temperature=0)
            best = min(best, time.perf_counter() - t)
    print("%6d %14.0f %14.1f" % (chunk, 1000 * best, 1000 * best / np.ceil(len(text) / chunk)))
# %% [en]
# ## Through the server
#
# The same model behind OpenAI's API. Any of OpenAI's clients takes its address; in Python it is
#
# ```python
# from openai import OpenAI
# client = OpenAI(base_url=url + "/v1", api_key="none")
# client.chat.completions.create(model="quern-14m", messages=[...], temperature=0)
# ```
#
# Below it is OpenAI's client for JavaScript, `examples/clients/openai.mjs`, one of seven small
# programs there, which the tests run; where `node` or the package is missing the cell says so. Then
# the same with Python's own library, and how sure the model was of each token.
# %% [zh]
# ## 通过服务器
#
# 同一个模型放在 OpenAI 的 API 后面。OpenAI 的任何客户端都可以用这个地址；用 Python 是这样：
#
# ```python
# from openai import OpenAI
# client = OpenAI(base_url=url + "/v1", api_key="none")
# client.chat.completions.create(model="quern-14m", messages=[...], temperature=0)
# ```
#
# 下面用的是 OpenAI 的 JavaScript 客户端，即 `examples/clients/openai.mjs`，那里共有七个小程序，测试会运行它们；
# 没有 `node` 或没有这个包时，单元会说明。然后用 Python 自带的库发同样的请求，并看看模型对每个 token 有多大把握。
# %%
with kit.serve("--model", kit.MODEL) as url:
    print(kit.javascript("openai.mjs", url, "What is 2 + 3?"))
    r = kit.post(url + "/v1/chat/completions", temperature=0, logprobs=True, top_logprobs=2,
                 messages=[{"role": "user", "content": "What is 17 + 25?"}])
print(r["choices"][0]["message"]["content"], r["usage"])
for t in r["choices"][0]["logprobs"]["content"][:6]:
    print(repr(t["token"]), round(float(np.exp(t["logprob"])), 4))
model.close()
