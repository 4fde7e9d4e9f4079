# %% [en]
# # 1. Making a model small
#
# A language model is mostly matrices. To write one token the machine reads every one of
# their numbers once, so that fewer bits per number make it smaller *and* faster. This
# notebook looks at what the bits are spent on, what 4 of them can still say, and what that
# costs. It uses the model that comes with quern, 14 million parameters, so every cell
# takes seconds.
# %% [zh]
# # 1. 把模型变小
#
# 语言模型的主体是矩阵。每写一个 token，机器都要把这些数全部读一遍，所以每个数用的位数越少，模型就越小、
# 也越快。这个笔记本看看这些位用在了哪里，4 位还能表达什么，代价是多少。使用 quern 自带的模型（1400 万参数），
# 每个单元只需几秒。
# %%
import json
import numpy as np
import kit
from kit import quern, path
plt = kit.look()
folder = kit.unpack()
weights = kit.tensors(folder)
matrices = {k: v for k, v in weights.items() if "_proj" in k}
print(len(matrices), "matrices,", sum(v.size for v in matrices.values()) // 1000, "thousand weights")
# %% [en]
# ## What weights look like
#
# Nearly a normal distribution, in every layer, with a width that differs from layer to
# layer. That is the fact that everything below lives on: one *shape* for all, one *scale*
# for each small group.
# %% [zh]
# ## 权重长什么样
#
# 每一层都接近正态分布，只是宽度各不相同。下面的一切都建立在这个事实上：*形状*共用，每一小组各有一个*缩放系数*。
# %%
name = "model.layers.3.mlp.up_proj.weight"
w = matrices[name]
fig, (a, b) = plt.subplots(1, 2)
a.hist(w.ravel(), 80, density=True, color="#e4d5bf", label="weights")
x = np.linspace(w.min(), w.max(), 200)
a.plot(x, np.exp(-(x / w.std()) ** 2 / 2) / (w.std() * np.sqrt(2 * np.pi)), label="normal curve")
a.set_title("layer 3, up_proj"); a.set_xlabel("weight"); a.set_ylabel("density"); a.legend()
for kind, label in (("mlp", "feed-forward"), ("self_attn", "attention")):
    b.plot([v.std() for k, v in matrices.items() if kind in k], "o-", ms=3, lw=1, label=label)
b.set_title("width of every matrix"); b.set_xlabel("matrix, from the first layer to the last")
b.set_ylabel("standard deviation"); b.set_ylim(0); b.legend()
plt.show()
# %% [en]
# ## Code books
#
# With 4 bits a weight is one of 16 values, times the scale of its group (here 64 weights,
# the scale being the largest magnitude among them, the *absmax*). Which 16? Evenly spaced
# integers waste values where few weights are. nf4 puts them where a normal distribution
# has its weights; fp4 is a tiny floating-point number. The lines below stand on the
# histogram of all weights of the matrix, each divided by its group's absmax.
# %% [zh]
# ## 码本
#
# 4 位的权重是 16 个值之一，再乘以所在组的缩放系数（这里 64 个权重一组，系数是其中最大的绝对值，即 absmax）。
# 选哪 16 个值？等距的整数把许多值浪费在很少有权重的地方。nf4 把值放在正态分布密集的地方；fp4 是一个极小的浮点数。
# 下图的竖线画在整个矩阵（各除以本组 absmax）的直方图上。
# %%
NF4 = np.array([-1, -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0,
                0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1])
FP4 = np.array([0, 0.0052083, 0.1666667, 0.25, 0.3333333, 0.5, 0.6666667, 1])
books = {"int4": np.arange(-8, 8) / 8, "fp4": np.unique(np.concatenate([-FP4, FP4])), "nf4": NF4}

def groups(w, n=64):
    g = w.reshape(-1, n)
    return g, np.abs(g).max(axis=1, keepdims=True)

g, scale = groups(w)
fig, axes = plt.subplots(3, 1, sharex=True, figsize=(7.2, 3.8))
for ax, (kind, book) in zip(axes, books.items()):
    ax.hist((g / scale).ravel(), 79, density=True, color="#e4d5bf")
    ax.vlines(book, 0, 1.4, color="#b3730c")
    ax.set_ylabel(kind, rotation=0, ha="right", va="center"); ax.set_yticks([]); ax.grid(False)
axes[-1].set_xlabel("weight / absmax of its group")
plt.show()
# %%
def quantize(w, book, n=64):
    g, scale = groups(w, n)
    edges = (book[1:] + book[:-1]) / 2
    return (book[np.searchsorted(edges, g / scale)] * scale).reshape(w.shape)

def error(w, book):
    return np.sqrt(np.mean((quantize(w, book) - w) ** 2)) / w.std()

books["int8"] = np.arange(-127, 128) / 127
errors = {kind: [error(v[::8], book) for v in matrices.values()]  # every eighth row
          for kind, book in books.items()}
fig, ax = plt.subplots()
for kind, e in errors.items():
    ax.semilogy(e, label=kind)
ax.set_xlabel("matrix, from the first layer to the last")
ax.set_ylabel("error / standard deviation"); ax.set_ylim(0.003, 0.2)
kit.plain(ax.yaxis, [0.005, 0.01, 0.02, 0.05, 0.1]); ax.legend(ncol=4, loc=(0.4, 0.4))
plt.show()
print({kind: round(float(np.mean(e)), 4) for kind, e in errors.items()})
# %% [en]
# The order is the same in every layer: nf4 below int4 and fp4, int8 an order of magnitude
# below all of them. But an error of weights is not yet an error of the model. Rounding can
# be done with knowledge of what goes *through* the matrix: **GPTQ** rounds column by column and
# lets the later columns make up for the error, **AWQ** scales up the channels that matter
# most. Both read a calibration text.
#
# ## The methods, measured
#
# `quern optimize` makes the checkpoints, `quern eval` says what was lost: the perplexity,
# and the KL divergence between the distributions of the original and of the small model
# over the next token, 0 meaning that nothing changed. *auto* gives each matrix as many bits as
# it needs, so that the mean comes out as asked; *q4_k_m* is one GGUF file.
#
# Bits and megabytes are of the whole file. The embedding, which is looked up and not
# multiplied, stays in float32 but for q4_k_m: 6.3 MB of every other file here, a few per cent
# of a large model. So compare the others with one another.
# %% [zh]
# 每一层的次序都一样：nf4 低于 int4 和 fp4，int8 再低一个数量级。但权重的误差还不是模型的误差。如果知道*流过*
# 矩阵的是什么，可以舍入得更好：**GPTQ** 逐列舍入，让后面的列弥补误差；**AWQ** 先放大最重要的通道。两者都要读一段校准文本。
#
# ## 各种方法的测量
#
# `quern optimize` 生成模型，`quern eval` 说明损失了什么：困惑度，以及原模型与小模型对下一个 token 的分布之间的
# KL 散度（0 表示没有变化）。*auto* 给每个矩阵它所需要的位数，使平均值符合要求；*q4_k_m* 是一个 GGUF 文件。
#
# 位数和 MB 都是整个文件的。词嵌入是查表而不是相乘，除 q4_k_m 之外都保持 float32：这里每个文件有 6.3 MB，在大模型里
# 只占百分之几。所以请把其余的方法互相比较。
# %%
def stories(seed, n):
    return "\n\n".join("Once upon a time" + json.loads(line)["text"] for line in quern(
        "run", "-q", "-p", "Once upon a time", "--n", n, "-n", 120, "--temperature", 0.9,
        "--seed", seed, "-o", "json").splitlines())

for name, seed in (("calibration.txt", 1), ("text.txt", 2)):
    with open(path(name), "w") as f:
        f.write(stories(seed, 4))

made = {"nf4": ["bitsandbytes", "--bits", 4],
        "int8": ["bitsandbytes", "--bits", 8],
        "rtn 4": ["rtn", "--bits", 4, "--group-size", 64],
        "gptq 4": ["gptq", "--bits", 4, "--group-size", 64],
        "awq 4": ["awq", "--bits", 4, "--group-size", 64],
        "auto 4.5": ["auto", "--target-bits", 4.5],
        "rtn 3": ["rtn", "--bits", 3, "--group-size", 64],
        "q4_k_m": ["gguf", "--quant-type", "q4_k_m"]}
place = {"original": folder}
for label, (method, *options) in list(made.items()):
    if method in ("gptq", "awq", "auto"):
        options += ["--calibration", path("calibration.txt"), "--calibration-samples", 6,
                    "--calibration-length", 64]
    out = path(label.replace(" ", "-"))
    try:
        quern("optimize", "-q", "-m", folder, "-o", out, "--report-tokens", 0, "--method", method,
              *options)
    except RuntimeError as e:
        print(label, "is left out:", e)
        continue
    place[label] = out + ("/model.gguf" if method == "gguf" else "")
report = json.loads(quern("eval", "-q", "--compare", *place.values(), "--no-speed", "--text",
                          path("text.txt"), "--context", 128, "-o", "json"))
rows = dict(zip(place, report["rows"]))
def value(row, key):
    v = row.get(key, row["model"].get(key))
    return v.get("mean", v.get("value")) if isinstance(v, dict) else v
print("%-10s %8s %8s %12s %10s %8s" % ("", "bits", "MB", "perplexity", "KL", "top 1"))
for label, r in rows.items():
    print("%-10s %8.2f %8.1f %12.4f %10.5f %8.2f" % (
        label, value(r, "bits_per_weight"), value(r, "file_bytes") / 1e6, value(r, "perplexity"),
        value(r, "kl") or 0, 100 * (value(r, "top1_agreement") or 1)))
# %% [en]
# ## The frontier
#
# Size against loss, and speed against loss. A method is worth having when no other is both
# better and smaller (or faster): those points are joined by the line. The speed is that of
# writing one answer, the best of some rounds in which each model had its turn. All of these
# models fit into the processor's cache, where reading them costs little: at this size the
# speeds lie close together, and unpacking the codes counts as much as their number. Weights of
# a billion parameters come from memory: there q4_0 writes more than twice as fast as bf16
# (figures in the README).
# %% [zh]
# ## 前沿
#
# 大小与损失，速度与损失。如果没有别的方法既更好又更小（或更快），这个方法就值得用：这些点由线相连。速度是写一个回答的
# 速度，各模型轮流测几轮，取最好的一次。这些模型都放得进处理器的缓存，读取几乎不花时间：在这个大小，速度相差不大，
# 解开编码的开销与位数同样重要。十亿参数的权重要从内存读取：q4_0 写得比 bf16 快一倍多（数字见 README）。
# %%
import contextlib
import time
from quern import Model
speed = {}
with contextlib.ExitStack() as opened:
    models = {label: opened.enter_context(Model(where)) for label, where in place.items()}
    for turn in range(7):
        for label, model in models.items():
            t = time.perf_counter()
            model.generate("Once upon a time", max_new_tokens=24, ignore_eos=True, temperature=0)
            speed[label] = max(speed.get(label, 0), 24 / (time.perf_counter() - t))
print({label: round(v) for label, v in speed.items()}, "tokens per second")

def frontier(ax, xs, sign):
    """Points and those that no other beats; sign: 1 when small is good, -1 when large is."""
    points = sorted((sign * xs[label], value(r, "kl"), label)
                    for label, r in rows.items() if value(r, "kl"))
    front, best = [], float("inf")
    for x, kl, label in points:
        if kl < best:
            front.append((sign * x, kl)); best = kl
    ax.plot(*zip(*front), "-", color="#999999", zorder=0)
    above, gap = 0, 0.05 * (points[-1][0] - points[0][0])
    for x, kl, label in sorted(points, key=lambda p: p[1]):
        x *= sign
        ax.plot(x, kl, "o", color="#b3730c" if (x, kl) in front else "#777777")
        above = max(kl, 1.8 * above)  # no label on the one below
        ax.annotate(label, (x, kl), xytext=(x + gap, above), va="center",
                    arrowprops={"arrowstyle": "-", "color": "#bbbbbb", "lw": 0.8})
    ax.set_yscale("log"); ax.set_ylabel("KL divergence, nats"); ax.margins(x=0.12)
    kit.plain(ax.yaxis, [0.0001, 0.001, 0.01, 0.1, 1])

fig, (a, b) = plt.subplots(2, 1, figsize=(7.2, 7.2))
frontier(a, {label: value(r, "file_bytes") / 1e6 for label, r in rows.items()}, 1)
a.set_xlabel("size of the file, MB")
frontier(b, speed, -1)
b.set_xlabel("tokens per second, one answer")
plt.show()
# %% [en]
# ## What to take from this
#
# - Eight bits are free of charge, near enough. Begin there.
# - Four bits cost something; which method they are spent by decides how much.
# - Below four bits rounding to the nearest falls apart.
# - Judge on *your* text: `quern eval small --base original --text FILE`.
#
# Next: [what happens between a prompt and its answer](02_inference_pipeline.ipynb).
# %% [zh]
# ## 结论
#
# - 8 位几乎没有代价，从这里开始。
# - 4 位有代价，代价多大取决于方法。
# - 低于 4 位时，直接舍入会失效。
# - 用*自己的*文本判断：`quern eval small --base original --text FILE`。
#
# 接下来：[从提示到回答之间发生了什么](02_inference_pipeline.ipynb)。
