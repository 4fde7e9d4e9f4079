#!/usr/bin/env python3
"""Writes the files of this folder, with nothing but Python's own library.

Right ones as torch.save lays them out (the archive since 1.6 and the stream
before it; torch/serialization.py and torch/_utils.py say how), and hostile
ones. Run it in this folder; the result is the same every time.
"""
import collections
import io
import os
import pickle
import struct
import sys
import types
import zipfile

# ---- stand-ins for torch's classes, pickled by their names ----

torch = types.ModuleType("torch")
utils = types.ModuleType("torch._utils")
sys.modules["torch"], sys.modules["torch._utils"] = torch, utils
torch._utils = utils
SIZES = {"Float": 4, "Half": 2, "BFloat16": 2, "Double": 8, "Long": 8, "Int": 4,
         "Short": 2, "Char": 1, "Byte": 1, "Bool": 1}
for kind in SIZES:
    name = kind + "Storage"
    setattr(torch, name, type(name, (), {"__module__": "torch"}))
for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter",
             "_rebuild_parameter_with_state"):
    def function(*args):
        pass
    function.__module__, function.__qualname__ = "torch._utils", name
    function.__name__ = name
    setattr(utils, name, function)


class Storage:
    def __init__(self, kind, data):
        self.kind, self.data = kind, data
        self.numel = len(data) // SIZES[kind]


class Tensor:
    def __init__(self, storage, offset, size, stride, parameter=False):
        self.args = (storage, offset, size, stride)
        self.parameter = parameter

    def __reduce__(self):
        hooks = collections.OrderedDict()
        if self.parameter:
            inner = Tensor(*self.args)
            if self.parameter == "state":
                return utils._rebuild_parameter_with_state, (inner, True, hooks, {"k": 1})
            return utils._rebuild_parameter, (inner, True, hooks)
        return utils._rebuild_tensor_v2, (*self.args, False, hooks)


class Pickler(pickle._Pickler):
    def __init__(self, out, legacy, protocol=2):
        super().__init__(out, protocol=protocol)
        self.storages, self.legacy = [], legacy

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        if obj not in self.storages:
            self.storages.append(obj)
        key = str(self.storages.index(obj))
        kind = getattr(torch, obj.kind + "Storage")
        pid = ("storage", kind, key, "cpu", obj.numel)
        return pid + (None,) if self.legacy else pid


def save_archive(path, obj, prefix="pytorch_model", byteorder=b"little", protocol=2):
    out = io.BytesIO()
    pickler = Pickler(out, False, protocol)
    pickler.dump(obj)
    entries = [("data.pkl", out.getvalue())]
    if byteorder:
        entries.append(("byteorder", byteorder))
    entries += [(f"data/{i}", s.data) for i, s in enumerate(pickler.storages)]
    entries.append(("version", b"3\n"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as z:
        for name, data in entries:
            info = zipfile.ZipInfo(f"{prefix}/{name}", (1980, 1, 1, 0, 0, 0))
            at = z.fp.tell() + 30 + len(info.filename) + 4
            pad = -at % 64  # torch aligns data by an extra field
            info.extra = b"FB" + struct.pack("<H", pad) + b"Z" * pad
            z.writestr(info, data)


def save_stream(path, obj):
    with open(path, "wb") as f:
        pickle.dump(0x1950A86A20F9469CFC6C, f, protocol=2)
        pickle.dump(1001, f, protocol=2)
        facts = {"protocol_version": 1001, "little_endian": True,
                 "type_sizes": {"short": 2, "int": 4, "long": 4}}
        pickle.dump(facts, f, protocol=2)
        pickler = Pickler(f, True)
        pickler.dump(obj)
        keys = [str(i) for i in range(len(pickler.storages))]
        pickle.dump(keys, f, protocol=2)
        for s in pickler.storages:
            f.write(struct.pack("<q", s.numel) + s.data)


# ---- right ones ----

def model():
    a = Storage("Float", struct.pack("<6f", 0, 1, 2, 3, 4, 5))
    shared = Tensor(a, 0, (2, 3), (3, 1))
    d = collections.OrderedDict()
    d["a"] = shared
    d["again"] = shared                            # one object, by the memo
    d["same"] = Tensor(a, 0, (2, 3), (3, 1), True)  # one storage
    d["row"] = Tensor(a, 3, (3,), (1,), "state")
    d["turned"] = Tensor(a, 0, (3, 2), (1, 3))
    d["column"] = Tensor(a, 1, (2,), (3,))
    d["spread"] = Tensor(a, 4, (2, 2), (0, 1))
    d["one"] = Tensor(a, 5, (), ())
    d["none"] = Tensor(a, 0, (0, 4), (4, 1))
    d["half"] = Tensor(Storage("Half", struct.pack("<2e", 0.5, -2)), 0, (2,), (1,))
    d["bf16"] = Tensor(Storage("BFloat16", b"\x80\x3f\x00\xc0"), 0, (1, 2), (2, 1))
    d["f64"] = Tensor(Storage("Double", struct.pack("<d", 0.25)), 0, (1,), (1,))
    d["i64"] = Tensor(Storage("Long", struct.pack("<2q", -7, 1 << 40)), 0, (2,), (1,))
    d["i32"] = Tensor(Storage("Int", struct.pack("<i", -3)), 0, (1,), (1,))
    d["i16"] = Tensor(Storage("Short", struct.pack("<h", 300)), 0, (1,), (1,))
    d["i8"] = Tensor(Storage("Char", b"\xff"), 0, (1,), (1,))
    d["u8"] = Tensor(Storage("Byte", b"\xff"), 0, (1,), (1,))
    d["bool"] = Tensor(Storage("Bool", b"\1\0"), 0, (2,), (1,))
    d["epoch"] = 3                                 # no tensor: left out
    d._metadata = collections.OrderedDict([("", {"version": 1})])
    return d


def floats(*v):
    return Tensor(Storage("Float", struct.pack(f"<{len(v)}f", *v)), 0, (len(v),), (1,))


def right():
    save_archive("archive.bin", model())
    save_archive("no_byteorder.bin", {"x": floats(1)}, "archive", None)
    save_archive("protocol4.bin", model(), protocol=4)
    save_stream("stream.bin", model())
    os.makedirs("sharded", exist_ok=True)
    one, two = ("pytorch_model-0000%d-of-00002.bin" % i for i in (1, 2))
    save_archive(f"sharded/{one}", {"x": floats(1, 2), "y": floats(3)})
    save_archive(f"sharded/{two}", {"z": floats(4)})
    with open("sharded/pytorch_model.bin.index.json", "w") as f:
        f.write('{"weight_map": {"x": "%s", "y": "%s", "z": "%s"}}\n' % (one, one, two))
    with open("sharded/config.json", "w") as f:
        f.write('{"model_type": "llama"}\n')


# ---- hostile ones: a data.pkl of these bytes in an otherwise right archive ----

class Call:
    def __init__(self, f, *args):
        self.f, self.args = f, args

    def __reduce__(self):
        return self.f, self.args


def hostile_pickles():
    yield "os_system", pickle.dumps(Call(os.system, "echo no"), protocol=2)
    yield "eval", pickle.dumps(Call(eval, "1"), protocol=2)
    yield "eval_p4", pickle.dumps(Call(eval, "1"), protocol=4)  # STACK_GLOBAL
    yield "getattr", pickle.dumps(Call(getattr, "a", "b"), protocol=2)
    yield "subprocess", b"\x80\x02csubprocess\nPopen\nX\x02\x00\x00\x00ls\x85R."
    # a dict whose only entry is right but for a call hidden in its hooks
    yield "nested", b"\x80\x02}X\x01\x00\x00\x00x" + pickle.dumps(
        Call(exec, "1"), protocol=2)[2:-1] + b"s."
    yield "reduce_result", b"\x80\x02ccollections\nOrderedDict\n)R)R."
    yield "call_type", b"\x80\x02ctorch\nFloatStorage\nK\x05\x85R."
    yield "newobj", b"\x80\x02ccollections\nOrderedDict\n)\x81."
    yield "inst", b"(ios\nsystem\n."
    yield "obj", b"\x80\x02(ccollections\nOrderedDict\no."
    yield "extension", b"\x80\x02\x82\x01."
    yield "build_on_class", b"\x80\x02ccollections\nOrderedDict\n}b."
    yield "text_opcodes", b"I1\n."
    yield "deep", b"\x80\x02" + b"(" * 2000000
    yield "self", b"\x80\x02]q\x00h\x00a."
    yield "memo_number", b"\x80\x02Nr\xff\xff\xff\xff."
    yield "memo_missing", b"\x80\x02h\x05."
    yield "memo_growth", b"\x80\x02]q\x00(" + b"h\x00" * 10000 + b"e" + \
        b"]r\x01\x00\x00\x00" + b"(h\x00h\x00h\x00h\x00e" * 1000 + b"."
    yield "long_text", b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\x7fx."
    yield "long_long", b"\x80\x02\x8b\xff\xff\xff\x7f1."
    yield "underflow", b"\x80\x02R."
    yield "mark_missing", b"\x80\x02t."
    yield "below_mark", b"\x80\x02N(0."
    yield "odd_items", b"\x80\x02}(Nu."
    yield "append_to_dict", b"\x80\x02}Na."
    yield "two_values", b"\x80\x02NN."
    yield "no_stop", b"\x80\x02N"
    yield "empty", b""
    yield "no_dict", b"\x80\x02K\x01."
    yield "list_of_none", b"\x80\x02]Na."


def tensor_pickle(storage=b"ctorch\nFloatStorage\n", key=b"0", numel=b"K\x06",
                  offset=b"K\x00", size=b"K\x02K\x03\x86", stride=b"K\x03K\x01\x86",
                  name=b"X\x01\x00\x00\x00x"):
    text = lambda s: b"X" + struct.pack("<I", len(s)) + s
    return (b"\x80\x02}" + name + b"ctorch._utils\n_rebuild_tensor_v2\n((" +
            text(b"storage") + storage + text(key) + text(b"cpu") + numel +
            b"tQ" + offset + size + stride + b"\x89)tRs.")


def bad_tensors():
    yield "good", tensor_pickle()
    yield "outside", tensor_pickle(offset=b"K\x01")
    yield "far", tensor_pickle(offset=b"\x8a\x08" + b"\xff" * 7 + b"\x7f")
    yield "wide", tensor_pickle(stride=b"\x8a\x08" + b"\xff" * 7 + b"\x7fK\x01\x86")
    yield "negative", tensor_pickle(stride=b"J\xff\xff\xff\xffK\x01\x86")
    yield "negative_size", tensor_pickle(size=b"J\xff\xff\xff\xffK\x03\x86")
    yield "uneven", tensor_pickle(size=b"K\x02\x85")
    yield "huge", tensor_pickle(size=b"\x8a\x08" + b"\xff" * 7 + b"\x7f" +
                                b"\x8a\x08" + b"\xff" * 7 + b"\x7f\x86",
                                stride=b"K\x00K\x00\x86")
    yield "many_dims", tensor_pickle(size=b"(" + b"K\x01" * 9 + b"t",
                                     stride=b"(" + b"K\x01" * 9 + b"t")
    yield "short_storage", tensor_pickle(numel=b"K\x07")
    yield "no_storage", tensor_pickle(key=b"9")
    yield "parent", tensor_pickle(key=b"../data.pkl")
    yield "no_class", tensor_pickle(storage=b"K\x01")
    yield "text_numel", tensor_pickle(numel=b"X\x01\x00\x00\x006")
    yield "nul_name", tensor_pickle(name=b"X\x02\x00\x00\x00x\x00")
    yield "bad_name", tensor_pickle(name=b"X\x01\x00\x00\x00\xff")


def archive_of(pkl, data=struct.pack("<6f", 0, 1, 2, 3, 4, 5), method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, entry in (("data.pkl", pkl), ("data/0", data)):
            z.writestr(zipfile.ZipInfo(f"a/{name}", (1980, 1, 1, 0, 0, 0)), entry,
                       compress_type=method)
    return out.getvalue()


def huge_view():
    """A stream with two views of one storage; the second says that it has 2^62
    elements, whose bytes are 0 in 64 bits, and lies far behind the file."""
    view = lambda at: b"(X\x01\x00\x00\x00v" + at + b"K\x04t"
    whole = tensor_pickle(numel=b"K\x04N", size=b"K\x04\x85", stride=b"K\x01\x85")
    far = tensor_pickle(numel=b"\x8a\x08" + struct.pack("<Q", 2 ** 62) +
                        view(b"\x8a\x06" + struct.pack("<Q", 2 ** 40)[:6]),
                        size=b"K\x04\x85", stride=b"K\x01\x85",
                        name=b"X\x01\x00\x00\x00y")
    heads = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    return (b"".join(pickle.dumps(h, 2) for h in heads) + whole[:-1] + far[3:] +
            pickle.dumps(["0"], 2) + struct.pack("<q4f", 4, 1, 2, 3, 4))


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def hostile():
    os.makedirs("hostile", exist_ok=True)
    for name, pkl in hostile_pickles():
        if name == "deep":
            continue  # two megabytes; the test makes it
        write(f"hostile/{name}.pkl", pkl)
    os.makedirs("tensors", exist_ok=True)
    for name, pkl in bad_tensors():
        write(f"tensors/{name}.bin", archive_of(pkl))
    write("tensors/huge_view.bin", huge_view())
    write("tensors/compressed.bin", archive_of(tensor_pickle(), method=zipfile.ZIP_DEFLATED))


if __name__ == "__main__":
    right()
    hostile()
