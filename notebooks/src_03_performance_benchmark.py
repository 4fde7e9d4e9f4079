# %% [en]
# # 3. How fast, and why not faster
#
# A figure without its bound says little. This notebook measures this very machine, puts
# quern's points on its roofline, and shows what clients feel when there are more of them.
# What is printed is of the machine that ran it; run it on yours.
# %% [zh]
# # 3. 有多快，为什么不能更快
#
# 没有上限作对照的数字说明不了什么。这个笔记本测量这台机器本身，把 quern 的结果画在它的 roofline 上，
# 并显示客户端增多时的感受。打印的数字属于运行它的那台机器；请在您的机器上运行。
# %%
import json
import kit
from kit import quern, path
plt = kit.look()
batches = [1, 2, 4]
report = json.loads(quern("bench", "-q", "--prefill", "32,128", "--depths", "0", "--batches",
                          ",".join(map(str, batches)), "--tokens", 16, "-r", 3, "-o", "json"))
results = {r["name"]: r for r in report["results"]}
m = report["model"]
print(report["machine"]["cpu"]["name"], report["machine"]["cpu"]["cores"], "cores,",
      report["machine"]["cpu"]["isa"])
for name, r in results.items():
    print("%-20s %10.1f %-6s" % (name, r["median"], r["unit"]),
          "%3.0f %% of the bound" % (100 * r["fraction"]) if r.get("fraction") else "")
# %% [en]
# ## Latency against batch
#
# With more sequences in a step each token takes longer to come, and more tokens come.
# %% [zh]
# ## 延迟与批大小
#
# 每一步的序列越多，每个 token 等得越久，而总的 token 越多。
# %%
speed = [results["decode %d at 0" % b]["median"] for b in batches]
fig, (a, b) = plt.subplots(1, 2)
a.plot(batches, [1000 * n / s for n, s in zip(batches, speed)], "o-")
a.set_ylim(0); a.set_xlabel("sequences"); a.set_title("ms per token of each")
b.plot(batches, speed, "o-")
b.set_ylim(0); b.set_xlabel("sequences"); b.set_title("tokens per second, together")
for ax in (a, b):
    kit.plain(ax.xaxis, batches)
plt.show()
# %% [en]
# ## The roofline
#
# Two things bound a program: how many bytes the machine reads in a second, and how many
# operations it does. Which of them counts depends on how many operations are done for each
# byte that is read. One token of one sequence does two operations per weight (a multiply and
# an add) and reads about a byte of it: far to the left, under the slanted roof. A prompt
# of 128 tokens does 128 times as many for the same bytes: under the flat one.
#
# Both roofs were measured just before and after the points. This model fits into the
# processor's cache, so that small batches may stand above the roof of the memory.
# %% [zh]
# ## Roofline
#
# 程序受两件事限制：机器每秒能读多少字节，能做多少次运算。哪一个起作用，取决于每读一个字节做多少次运算。
# 一个序列的一个 token 对每个权重做两次运算（一乘一加），读大约一个字节：在最左边，斜线之下。128 个 token 的提示
# 用同样的字节做 128 倍的运算：在水平线之下。
#
# 两条上限就在这些点的前后测得。这个模型放得进处理器的缓存，所以小批量的点可能高于内存的斜线。
# %%
import numpy as np
weights, size = m["parameters"], m["weight_bytes"]
read = max(results["read probe before"]["median"], results["read probe after"]["median"])
ops = max(results["int8 probe before"]["median"], results["int8 probe after"]["median"])
x = np.array([0.3, ops / read, 1000])
fig, ax = plt.subplots(figsize=(7.2, 4))
ax.loglog(x, np.minimum(x * read, ops), color="#777777")
ax.annotate("%.0f GB/s of memory" % read, (x[0], x[0] * read), xytext=(8, 0),
            textcoords="offset points", va="center")
ax.annotate("%.0f Gop/s of 8-bit products" % ops, (x[-1], ops), xytext=(0, 6),
            textcoords="offset points", ha="right")
points = [("decode %d" % b, b, s) for b, s in zip(batches, speed)] + \
    [("prefill %d" % n, n, results["prefill %d" % n]["median"]) for n in (32, 128)]
for k, (name, n, rate) in enumerate(points):
    intensity, done = 2 * weights * n / size, 2 * weights * rate * 1e-9
    ax.plot(intensity, done, "o", color="#b3730c" if name[0] == "d" else "#2f6f96")
    ax.annotate(name, (intensity, done), xytext=(0, 7 if k % 2 else -15),
                textcoords="offset points", ha="center")
ax.set_xlabel("operations per byte of weights"); ax.set_ylabel("Gop/s"); ax.set_ylim(None, 2 * ops)
kit.plain(ax.xaxis, [1, 10, 100, 1000]); kit.plain(ax.yaxis)
plt.show()
# %% [en]
# ## What clients feel
#
# `quern bench serve` is a number of clients that each ask again when they have their answer.
# More of them use the machine better, until waiting is all that grows.
# %% [zh]
# ## 客户端的感受
#
# `quern bench serve` 模拟若干客户端，各自得到回答后再问。客户端多了，机器用得更充分，直到只剩等待在增长。
# %%
clients = [1, 2, 4]
load = []
with kit.serve() as url:
    for c in clients:
        load.append(json.loads(quern("bench", "serve", "--url", url, "--num-prompts", 3 * c,
                                     "--max-concurrency", c, "--random-input-len", 32,
                                     "--random-output-len", 6, "--output-format", "json")))
fig, (a, b) = plt.subplots(1, 2)
for q in ("p50", "p99"):
    a.plot(clients, [r[q + "_ttft_ms"] for r in load], "o-", label=q)
a.set_ylim(0); a.set_xlabel("clients"); a.set_title("time to first token, ms"); a.legend()
b.plot(clients, [r["output_throughput"] for r in load], "o-")
b.set_ylim(0); b.set_xlabel("clients"); b.set_title("tokens per second")
for ax in (a, b):
    kit.plain(ax.xaxis, clients)
plt.show()
# %% [en]
# ## Before and after
#
# A smaller checkpoint in the same minute, so that both saw the same machine.
# %% [zh]
# ## 前后对比
#
# 同一分钟里测量一个更小的模型，使两者面对同样的机器。
# %%
quern("optimize", "-q", "-m", kit.MODEL, "-o", path("small"), "--method", "gguf", "--quant-type",
      "q4_k_m")
print("%-10s %8s %12s %12s" % ("", "MB", "prefill 32", "decode"))
for label, where in (("q8_0", kit.MODEL), ("q4_k_m", path("small/model.gguf"))):
    r = json.loads(quern("bench", "-q", "-m", where, "--prefill", 32, "--depths", 0, "--batches", 1,
                         "--tokens", 16, "-r", 3, "-o", "json"))
    by = {x["name"]: x["median"] for x in r["results"]}
    print("%-10s %8.1f %12.1f %12.1f" % (label, r["model"]["weight_bytes"] / 1e6, by["prefill 32"],
                                         by["decode 1 at 0"]))
# %% [en]
# ## What to take from this
#
# - Decode is reading: fewer bytes are faster. Prefill is arithmetic: shorter prompts, or those
#   whose beginning is known already.
# - The part of the bound that was reached says whether there is anything to gain in the
#   program, or only in the machine and the model.
# - Throughput and latency are bought with one another; decide what a first token may take,
#   and find the number of clients that keeps it.
# %% [zh]
# ## 结论
#
# - 解码就是读取：字节越少越快。预填充就是运算：缩短提示，或让开头已经算过。
# - 达到上限的多少，说明提升空间在程序里，还是只在机器和模型里。
# - 吞吐量与延迟互相交换；先决定第一个 token 可以等多久，再找出能保持它的客户端数目。
