"""The binding python/quern.py: its structs against the header, its functions
against the library. Environment as ctest sets it."""
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = os.environ["QUERN_SOURCE_DIR"]
BUILD = os.environ["QUERN_BUILD_DIR"]
os.environ.setdefault("QUERN_LIBRARY",
                      os.path.join(BUILD, "lib", "libquern.so"))
sys.path.insert(0, os.path.join(ROOT, "python"))
import quern  # noqa: E402

BUILTIN = os.path.join(ROOT, "models", "quern-14m.gguf")
TINY = os.path.join(ROOT, "tests", "data", "models", "gpt2")


class Layout(unittest.TestCase):
    """A C program prints what the compiler makes of quern.h."""

    def header(self):
        with open(os.path.join(ROOT, "include", "quern.h")) as f:
            return f.read()

    def ask_compiler(self, lines):
        program = "#include <quern.h>\n#include <stddef.h>\n" \
            "#include <stdio.h>\nint main(void)\n{\n%s\nreturn 0;\n}\n"
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "layout.c")
            with open(path, "w") as f:
                f.write(program % "\n".join(lines))
            subprocess.run([os.environ.get("CC", "cc"), "-I",
                            os.path.join(ROOT, "include"), path, "-o",
                            os.path.join(d, "layout")], check=True)
            return subprocess.run([os.path.join(d, "layout")], check=True,
                                  stdout=subprocess.PIPE).stdout.decode()

    def test_structs(self):
        lines, want = [], []
        for s in quern._STRUCTS:
            name = s._name_
            lines.append('printf("%s %%zu\\n", sizeof(%s));' % (name, name))
            want.append("%s %d" % (name, quern.c.sizeof(s)))
            for field in s._fields_:
                lines.append('printf("%s.%s %%zu %%zu\\n", offsetof(%s, %s), '
                             'sizeof(((%s *)0)->%s));' % (
                                 name, field[0], name, field[0], name,
                                 field[0]))
                d = getattr(s, field[0])
                want.append("%s.%s %d %d" % (name, field[0], d.offset, d.size))
        self.assertEqual(self.ask_compiler(lines).split("\n")[:-1], want)

    def test_fields_are_all(self):
        """The header has no field that the binding lacks."""
        text = self.header()
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
        for s in quern._STRUCTS:
            body = re.search(r"typedef struct %s \{(.*?)\} %s;" % (
                s._name_, s._name_), text, re.S).group(1)
            names = []
            for statement in body.split(";"):
                for part in statement.split(","):
                    m = re.search(r"(\w+)\s*(\[\w+\])?\s*$", part.strip())
                    if m:
                        names.append(m.group(1))
            self.assertEqual(names, [f[0] for f in s._fields_], s._name_)

    def test_constants(self):
        names = ["EINVAL", "EIO", "EFORMAT", "ENOENT", "ENOMEM", "EUNSUP",
                 "ELIMIT", "ECANCEL", "EINTERNAL", "EBUSY"]
        kinds = ["QN_FINISH_STOP", "QN_FINISH_LENGTH", "QN_FINISH_CANCEL",
                 "QN_FINISH_ERROR", "QN_KV_AUTO", "QN_KV_F32", "QN_KV_F16",
                 "QN_KV_BF16", "QN_KV_INT8"]
        got = self.ask_compiler(
            ['printf("%%d ", (int)%s);' % n
             for n in ["QN_" + n for n in names] + kinds]).split()
        want = [getattr(quern, n) for n in names] + [
            quern._FINISH.index(k) for k in ("stop", "length", "cancel",
                                             "error")] + [
            quern._KV_TYPES.index(k)
            for k in ("auto", "f32", "f16", "bf16", "int8")]
        self.assertEqual(list(map(int, got)), want)

    def test_functions(self):
        """Those that the header declares, but for a few of no use here."""
        text = self.header()
        declared = set(re.findall(r"\b(qn_\w+)\s*\(", text))
        self.assertLessEqual(set(quern._FUNCTIONS), declared)


class Tiny(unittest.TestCase):
    """Random weights without a tokenizer, and what transformers makes of
    them."""

    @classmethod
    def setUpClass(cls):
        cls.model = quern.Model(TINY, threads=1, exact=True)
        with open(os.path.join(TINY, "reference.safetensors"), "rb") as f:
            raw = f.read()
        n = int.from_bytes(raw[:8], "little")
        cls.header, cls.data = json.loads(raw[8:8 + n]), raw[8 + n:]

    @classmethod
    def tearDownClass(cls):
        cls.model.close()

    def reference(self, name):
        import struct
        t = self.header[name]
        b, e = t["data_offsets"]
        kind = {"F32": "f", "I64": "q", "I32": "i"}[t["dtype"]]
        return list(struct.unpack(
            "<%d%s" % ((e - b) // struct.calcsize(kind), kind),
            self.data[b:e]))

    def test_logits(self):
        ids = self.reference("prompt_0")
        want = self.reference("logits_0")
        got = self.model.logits(ids)
        self.assertEqual((len(got), len(got[0])),
                         (len(ids), self.model.n_vocab))
        flat = [x for row in got for x in row]
        bound = 2e-4 * max(map(abs, want))
        self.assertLess(max(abs(a - b) for a, b in zip(flat, want)), bound)

    def test_matrix_without_numpy(self):
        p = (quern.c.c_float * 6)(*range(6))
        saved = sys.modules.get("numpy")
        sys.modules["numpy"] = None
        try:
            got = quern._matrix(quern.c.cast(
                p, quern.c.POINTER(quern.c.c_float)), 2, 3)
        finally:
            del sys.modules["numpy"]
            if saved:
                sys.modules["numpy"] = saved
        self.assertEqual(got, [[0, 1, 2], [3, 4, 5]])

    def test_greedy(self):
        ids = self.reference("prompt_0")
        want = self.reference("greedy_0")
        got = self.model.generate(ids, temperature=0, ignore_eos=True,
                                  max_new_tokens=8)
        self.assertEqual(got.ids, want[:8])
        self.assertEqual(got.finish, "length")

    def test_batch(self):
        a, b = self.reference("prompt_0"), self.reference("prompt_1")
        options = dict(temperature=0, ignore_eos=True, max_new_tokens=5,
                       n_logprobs=2)
        together = self.model.generate([a, b], **options)
        alone = [self.model.generate(p, **options) for p in (a, b)]
        self.assertEqual([t.ids for t in together], [t.ids for t in alone])
        self.assertEqual(len(together[0].logprobs), 5)

    def test_chance(self):
        """What asks for chance without a temperature gets it."""
        def text(**options):
            return self.model.generate([1, 2, 3], max_new_tokens=12,
                                       ignore_eos=True, **options).ids
        self.assertEqual(text(seed=1), text(seed=2))
        self.assertNotEqual(text(seed=1, top_k=50), text(seed=2, top_k=50))
        self.assertEqual(text(seed=1, top_k=50, temperature=0), text())

    def test_choices(self):
        got = self.model.generate([1, 2, 3], n=3, max_new_tokens=4, seed=7,
                                  ignore_eos=True)
        self.assertEqual([len(g.ids) for g in got], [4, 4, 4])
        banned = self.model.generate([1, 2, 3], temperature=0,
                                     max_new_tokens=1, ignore_eos=True,
                                     logit_bias={5: 1e6})
        self.assertEqual(banned.ids, [5])
        one = self.model.generate([1, 2, 3], allowed_ids=[9], ignore_eos=True,
                                  max_new_tokens=3)
        self.assertEqual(one.ids, [9, 9, 9])

    def test_errors(self):
        with self.assertRaises(quern.Error) as e:
            quern.Model("/nowhere/at all")
        self.assertEqual(e.exception.code, quern.ENOENT)
        self.assertIn("/nowhere/at all", str(e.exception))
        with self.assertRaises(TypeError):
            self.model.generate([1], temprature=0)
        with self.assertRaises(quern.Error):
            self.model.generate([[]])
        with self.assertRaises(quern.Error):
            self.model.generate([self.model.n_vocab])
        closed = quern.Model(TINY, weights=False)
        closed.close()
        closed.close()
        with self.assertRaises(ValueError):
            closed.info()

    def test_progress_stops(self):
        with self.assertRaises(quern.Error) as e:
            quern.Model(TINY, threads=1, progress=lambda d, t: False)
        self.assertEqual(e.exception.code, quern.ECANCEL)

    def test_pull_refuses(self):
        with self.assertRaises(quern.Error) as e:
            quern.pull("no such name")
        self.assertEqual(e.exception.code, quern.EINVAL)


@unittest.skipUnless(os.path.exists(BUILTIN), "no built-in model")
class BuiltIn(unittest.TestCase):
    """The model of the repository, which has a tokenizer and a template."""

    @classmethod
    def setUpClass(cls):
        cls.model = quern.Model(BUILTIN, n_ctx=512)

    @classmethod
    def tearDownClass(cls):
        cls.model.close()

    def test_text(self):
        for text in ("Once upon a time", "caf\u00e9 \U0001f600", ""):
            ids = self.model.tokenize(text, special=False)
            self.assertEqual(self.model.detokenize(ids), text)
            self.assertEqual(b"".join(map(self.model.token_bytes, ids)),
                             text.encode())
        self.assertIsNone(self.model.token_text(10 ** 8))
        self.assertIsInstance(self.model.token_text(5), str)

    def test_info(self):
        self.assertIn("architecture", json.dumps(self.model.info()))
        self.assertGreater(self.model.n_ctx_train, 0)
        self.assertTrue(quern.doctor())
        self.assertRegex(quern.version(), r"^\d+\.\d+\.\d+$")

    def test_stream(self):
        whole = self.model.generate("The mill", temperature=0,
                                    max_new_tokens=12)
        events = list(self.model.stream("The mill", temperature=0,
                                        max_new_tokens=12))
        self.assertEqual("".join(e.text for e in events), whole.text)
        self.assertEqual(events[-1].finish, whole.finish)
        for _ in self.model.stream("The mill", max_new_tokens=100):
            break  # the request ends with the loop
        again = self.model.generate("The mill", temperature=0,
                                    max_new_tokens=12)
        self.assertEqual(again.text, whole.text)

    def test_inside_of_a_stream(self):
        for _ in self.model.stream("The", max_new_tokens=5):
            with self.assertRaises(quern.Error) as e:
                self.model.generate("Once", max_new_tokens=1)
            self.assertEqual(e.exception.code, quern.EBUSY)
            self.assertRaises(quern.Error, self.model.logits, "Once")
        self.model.generate("Once", max_new_tokens=1)

    def test_closed_in_a_stream(self):
        model = quern.Model(TINY)
        stream = model.stream([1, 2], max_new_tokens=50, ignore_eos=True)
        next(stream)
        model.close()
        with self.assertRaises(ValueError):
            list(stream)

    def test_ids_of_other_types(self):
        class Id:
            def __init__(self, i):
                self.i = i

            def __index__(self):
                return self.i

        ids = self.model.tokenize("Once upon")
        want = self.model.generate(ids, max_new_tokens=3, temperature=0)
        got = self.model.generate(list(map(Id, ids)), max_new_tokens=3,
                                  temperature=0)
        self.assertEqual(got.ids, want.ids)

        class Row(list):  # as arrays are, with more than one number
            def __index__(self):
                raise TypeError("only integer scalar arrays")

        rows = self.model.generate([Row(map(Id, ids)), Row(ids)],
                                   max_new_tokens=3, temperature=0)
        self.assertEqual([r.ids for r in rows], [want.ids] * 2)

    def test_words(self):
        with self.assertRaisesRegex(ValueError, "format is 'xml'; there are"):
            self.model.generate("Once", format="xml")
        with self.assertRaisesRegex(ValueError, "kv_type is 'f8'"):
            quern.Model(kv_type="f8")

    def test_stop(self):
        whole = self.model.generate("The mill", temperature=0,
                                    max_new_tokens=20).text
        word = whole.split()[3]
        cut = self.model.generate("The mill", temperature=0, stop=word,
                                  max_new_tokens=20)
        self.assertEqual(cut.finish, "stop")
        self.assertEqual(cut.text, whole[:whole.index(word)])

    def test_chat(self):
        messages = [{"role": "user", "content": "Hello"}]
        prompt = self.model.render_chat(messages)
        self.assertIn("Hello", prompt)
        answer = self.model.chat(messages, temperature=0, max_new_tokens=8)
        pieces = self.model.chat(messages, stream=True, temperature=0,
                                 max_new_tokens=8)
        self.assertEqual("".join(e.text for e in pieces), answer.text)

    def test_formats(self):
        schema = {"properties": {"n": {"type": "integer", "minimum": 1,
                                       "maximum": 9}}, "required": ["n"]}
        out = self.model.generate("One", schema=schema, max_new_tokens=99)
        self.assertEqual(out.finish, "stop")
        self.assertIn(json.loads(out.text)["n"], range(1, 10))
        out = self.model.generate("One", format="json_object",
                                  max_new_tokens=5)
        self.assertTrue(out.text.lstrip().startswith("{"))
        with self.assertRaises(quern.Error) as caught:
            self.model.generate("One", schema={"not": {"type": "null"}})
        self.assertEqual(caught.exception.code, quern.EUNSUP)

    def test_tokenizer_alone(self):
        with quern.Model(BUILTIN, weights=False) as m:
            self.assertEqual(m.tokenize("a b"), self.model.tokenize("a b"))
            with self.assertRaises(quern.Error):
                m.generate("a")


if __name__ == "__main__":
    unittest.main()
