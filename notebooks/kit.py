"""kit.py: what the notebooks share: the program, the binding, a server, a look."""
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("QUERN_BUILD_DIR", os.path.join(ROOT, "build/release"))
QUERN = os.path.join(BUILD, "bin/quern")
MODEL = os.path.join(ROOT, "models/quern-14m.gguf")
os.environ.setdefault("QUERN_LIBRARY", os.path.join(BUILD, "lib/libquern.so"))
sys.path.insert(0, os.path.join(ROOT, "python"))

WORK = tempfile.TemporaryDirectory()


def path(name):
    """A place in the scratch folder of this notebook."""
    return os.path.join(WORK.name, name)


def quern(*args):
    """Runs the program; what it prints, or an exception with its message."""
    p = subprocess.run([QUERN, *map(str, args)], capture_output=True, text=True)
    if p.returncode:
        raise RuntimeError(p.stderr.strip())
    return p.stdout


def unpack():
    """The built-in model as an unquantized Hugging Face folder."""
    folder = path("quern-14m")
    subprocess.run([sys.executable, os.path.join(ROOT, "bench/unpack-gguf"),
                    MODEL, folder], check=True, capture_output=True)
    return folder


def tensors(folder):
    """{name: float32 array} of a safetensors file: eight bytes of length, a JSON
    head, then the numbers."""
    import numpy as np
    with open(os.path.join(folder, "model.safetensors"), "rb") as f:
        data = f.read()
    n = int.from_bytes(data[:8], "little")
    out = {}
    for name, t in json.loads(data[8:8 + n]).items():
        if name != "__metadata__" and t["dtype"] == "F32":
            a, b = t["data_offsets"]
            out[name] = np.frombuffer(data[8 + n + a:8 + n + b],
                                      np.float32).reshape(t["shape"])
    return out


@contextlib.contextmanager
def serve(*args):
    """A server on a free port; gives its address."""
    log = open(path("server.log"), "w+")
    p = subprocess.Popen([QUERN, "serve", "--port", "0", "--access-log", "none",
                          *args], stderr=log)
    try:
        for _ in range(600):
            log.seek(0)
            found = re.search(r"http://[0-9.:]+", log.read())
            if found:
                break
            time.sleep(0.1)
        yield found.group(0)
    finally:
        p.terminate()
        p.wait()
        log.close()


def post(url, **body):
    """A JSON request and its answer."""
    r = urllib.request.Request(url, json.dumps(body).encode(),
                               {"Content-Type": "application/json"})
    with urllib.request.urlopen(r) as answer:
        return json.load(answer)


def javascript(name, url, question):
    """What a program of examples/clients prints, or why it cannot run here."""
    clients = os.path.join(ROOT, "examples/clients")
    places = [os.path.join(p, "node_modules")
              for p in (clients, os.path.join(BUILD, "npm-clients"))]
    modules = next((p for p in places if os.path.isdir(p + "/openai")), None)
    if not modules or not shutil.which("node"):
        return name + " was left out: it wants node, and npm install in examples/clients"
    folder = tempfile.mkdtemp(dir=WORK.name)
    shutil.copy(os.path.join(clients, name), folder)
    os.symlink(modules, os.path.join(folder, "node_modules"))
    return subprocess.run(["node", os.path.join(folder, name), question], text=True, check=True,
                          capture_output=True, timeout=60,
                          env={**os.environ, "QUERN_URL": url}).stdout.strip()


def look():
    """Quiet plots that stay small in the file."""
    import matplotlib
    import matplotlib.pyplot as plt
    plt.rcParams.update({
        "figure.figsize": (7.2, 3.4), "figure.dpi": 96, "savefig.dpi": 96,
        "figure.autolayout": True, "legend.frameon": False,
        "axes.spines.top": False, "axes.spines.right": False,
        "axes.titlesize": 10, "axes.titlelocation": "left",
        "axes.grid": True, "grid.alpha": 0.25, "font.size": 9.5,
        "lines.markersize": 5, "axes.prop_cycle": matplotlib.cycler(
            color=["#b3730c", "#2f6f96", "#5a8f29", "#a0326e", "#777777"])})
    return plt


def plain(axis, ticks=None):
    """Numbers as people write them, at these places or, on a logarithmic axis, at
    1, 2, 5, 10 ..."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
    if ticks is not None:
        axis.set_ticks(ticks)
    else:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda x, _: "%g" % x))
    axis.set_minor_formatter(NullFormatter())
