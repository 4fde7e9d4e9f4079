"""quern.py: the library libquern from Python, in one file, by ctypes.

    import quern
    model = quern.Model("facebook/opt-350m")      # or a folder, a .gguf file
    print(model.generate("Once upon a time", max_new_tokens=40).text)
    for event in model.stream("The mill", temperature=0):
        print(event.text, end="", flush=True)

No build and no packages: Python 3.8 or later and libquern.so are enough. With
numpy, logits come as an array; without, as lists.

Errors of the library are quern.Error with its code and its message, which
names the object and the remedy. A Model may be shared by threads; generating
uses one engine and takes a lock, one caller after the other (Error EBUSY inside
of the loop over a stream); many prompts at once belong into one call of
`generate`.

The library is looked for in $QUERN_LIBRARY, in a build folder or lib folder
near this file, and where the system keeps libraries.
"""
import ctypes as c
import ctypes.util
import glob
import json
import operator
import os
import threading
from contextlib import contextmanager

__all__ = ["Completion", "Error", "Event", "Model", "doctor", "pull",
           "version"]

# ---- the library ------------------------------------------------------------

EINVAL, EIO, EFORMAT, ENOENT, ENOMEM = -1, -2, -3, -4, -5
EUNSUP, ELIMIT, ECANCEL, EINTERNAL, EBUSY = -6, -7, -8, -9, -10

_PROGRESS = c.CFUNCTYPE(c.c_bool, c.c_void_p, c.c_uint64, c.c_uint64)


class _Err(c.Structure):
    _name_ = "qn_err"
    _fields_ = [("code", c.c_int), ("msg", c.c_char * 512)]


class _ModelParams(c.Structure):
    _name_ = "qn_model_params"
    _fields_ = [("n_threads", c.c_int), ("no_weights", c.c_bool),
                ("memory_limit", c.c_uint64), ("kernels", c.c_char_p),
                ("exact", c.c_bool), ("progress", _PROGRESS),
                ("progress_user", c.c_void_p), ("text_only", c.c_bool)]


class _PullStatus(c.Structure):
    _name_ = "qn_pull_status"
    _fields_ = [("done", c.c_uint64), ("total", c.c_uint64),
                ("files_done", c.c_int), ("files_total", c.c_int),
                ("note", c.c_char_p)]


_PULL = c.CFUNCTYPE(c.c_bool, c.c_void_p, c.POINTER(_PullStatus))


class _PullParams(c.Structure):
    _name_ = "qn_pull_params"
    _fields_ = [("file", c.c_char_p), ("n_parallel", c.c_int),
                ("progress", _PULL), ("progress_user", c.c_void_p)]


class _LogitBias(c.Structure):
    _name_ = "qn_logit_bias"
    _fields_ = [("id", c.c_int32), ("bias", c.c_float)]


class _Sampling(c.Structure):
    _name_ = "qn_sampling"
    _fields_ = [("temperature", c.c_float), ("top_k", c.c_int),
                ("top_p", c.c_float), ("min_p", c.c_float),
                ("typical_p", c.c_float), ("top_n_sigma", c.c_float),
                ("xtc_probability", c.c_float), ("xtc_threshold", c.c_float),
                ("dry_multiplier", c.c_float), ("dry_base", c.c_float),
                ("dry_allowed_length", c.c_int), ("dry_range", c.c_int),
                ("dry_breakers", c.POINTER(c.c_int32)),
                ("n_dry_breakers", c.c_size_t), ("mirostat", c.c_int),
                ("mirostat_tau", c.c_float), ("mirostat_eta", c.c_float),
                ("repetition_penalty", c.c_float),
                ("presence_penalty", c.c_float),
                ("frequency_penalty", c.c_float), ("penalty_last_n", c.c_int),
                ("logit_bias", c.POINTER(_LogitBias)),
                ("n_logit_bias", c.c_size_t),
                ("allowed_ids", c.POINTER(c.c_int32)),
                ("n_allowed", c.c_size_t),
                ("banned_ids", c.POINTER(c.c_int32)), ("n_banned", c.c_size_t),
                ("seed", c.c_uint64)]


class _EngineParams(c.Structure):
    _name_ = "qn_engine_params"
    _fields_ = [("n_ctx", c.c_int64), ("max_seqs", c.c_int),
                ("max_batch", c.c_int), ("kv_type", c.c_int),
                ("prefix_cache", c.c_bool), ("max_prompt_rows", c.c_int),
                ("max_waiting", c.c_int), ("speculate", c.c_int),
                ("overcommit", c.c_bool), ("swap_bytes", c.c_uint64),
                ("max_step_ms", c.c_double)]


class _RequestParams(c.Structure):
    _name_ = "qn_request_params"
    _fields_ = [("prompt", c.POINTER(c.c_int32)), ("n_prompt", c.c_size_t),
                ("max_new_tokens", c.c_int), ("min_new_tokens", c.c_int),
                ("ignore_eos", c.c_bool), ("stop_ids", c.POINTER(c.c_int32)),
                ("n_stop_ids", c.c_size_t), ("stop", c.POINTER(c.c_char_p)),
                ("n_stop", c.c_size_t), ("n", c.c_int), ("n_beams", c.c_int),
                ("length_penalty", c.c_float), ("early_stopping", c.c_bool),
                ("n_logprobs", c.c_int), ("n_prompt_logprobs", c.c_int),
                ("prompt_logits", c.c_bool), ("skip_special", c.c_bool),
                ("priority", c.c_int), ("tenant", c.c_uint32),
                ("cache_salt", c.c_uint64), ("context_shift", c.c_bool),
                ("n_keep", c.c_int), ("kv_window", c.c_int),
                ("deadline_ms", c.c_double),
                ("format", c.c_int), ("schema", c.c_char_p),
                ("n_schema", c.c_size_t), ("include_stop", c.c_bool),
                ("answer", c.c_bool),
                ("sampling", _Sampling)]


class _TopLogprob(c.Structure):
    _name_ = "qn_top_logprob"
    _fields_ = [("id", c.c_int32), ("logprob", c.c_float)]


class _Event(c.Structure):
    _name_ = "qn_event"
    _fields_ = [("index", c.c_int), ("id", c.c_int32), ("logprob", c.c_float),
                ("top", c.POINTER(_TopLogprob)), ("n_top", c.c_size_t),
                ("text", c.POINTER(c.c_char)), ("text_len", c.c_size_t),
                ("finish", c.c_int), ("stop", c.c_int)]


_STRUCTS = [_Err, _ModelParams, _PullStatus, _PullParams, _LogitBias,
            _Sampling, _EngineParams, _RequestParams, _TopLogprob, _Event]

_FINISH = [None, "stop", "length", "cancel", "error"]
_KV_TYPES = ["auto", "f32", "f16", "bf16", "int8"]

_P, _PP = c.c_void_p, c.POINTER(c.c_void_p)
_ERRP = c.POINTER(_Err)
_IDS, _SIZE = c.POINTER(c.c_int32), c.POINTER(c.c_size_t)

# name: (result, arguments)
_FUNCTIONS = {
    "qn_version": (c.c_char_p, []),
    "qn_free": (None, [_P]),
    "qn_model_open": (c.c_int, [_PP, c.c_char_p, c.POINTER(_ModelParams),
                                _ERRP]),
    "qn_model_close": (None, [_P]),
    "qn_model_info": (c.c_int, [_P, c.c_int64, c.c_int, _PP, _ERRP]),
    "qn_model_n_vocab": (c.c_int, [_P]),
    "qn_model_n_ctx_train": (c.c_int64, [_P]),
    "qn_pull": (c.c_int, [c.c_char_p, c.POINTER(_PullParams), _PP, _ERRP]),
    "qn_tokenize": (c.c_int, [_P, c.c_char_p, c.c_size_t, c.c_bool, c.c_bool,
                              c.POINTER(_IDS), _SIZE, _ERRP]),
    "qn_detokenize": (c.c_int, [_P, _IDS, c.c_size_t, c.c_bool, _PP, _SIZE,
                                _ERRP]),
    "qn_token_text": (_P, [_P, c.c_int32, _SIZE]),
    "qn_token_bytes": (c.c_int, [_P, c.c_int32, _PP, _SIZE, _ERRP]),
    "qn_chat_render": (c.c_int, [_P, c.c_char_p, c.c_char_p, c.c_bool,
                                 c.c_char_p, _PP, _SIZE, _ERRP]),
    "qn_sampling_default": (None, [c.POINTER(_Sampling)]),
    "qn_sampling_from_model": (None, [_P, c.POINTER(_Sampling)]),
    "qn_sampling_complete": (None, [c.POINTER(_Sampling), c.c_int]),
    "qn_engine_new": (c.c_int, [_PP, _P, c.POINTER(_EngineParams), _ERRP]),
    "qn_engine_free": (None, [_P]),
    "qn_request_params_default": (None, [c.POINTER(_RequestParams)]),
    "qn_request_submit": (c.c_int, [_P, c.POINTER(_RequestParams), _PP,
                                    _ERRP]),
    "qn_request_free": (None, [_P]),
    "qn_engine_step": (c.c_int, [_P, _ERRP]),
    "qn_request_next": (c.c_int, [_P, c.POINTER(_Event)]),
    "qn_request_prompt_logits": (c.POINTER(c.c_float), [_P]),
    "qn_doctor": (c.c_int, [_PP, _ERRP]),
}


class Error(Exception):
    """What the library refused; `code` is one of the constants above."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def _candidates():
    here = os.path.dirname(os.path.abspath(__file__))
    if os.environ.get("QUERN_LIBRARY"):
        yield os.environ["QUERN_LIBRARY"]
        return
    for up in ("..", "../..", "../../.."):
        for lib in ("build/release/lib", "lib"):
            yield os.path.join(here, up, lib, "libquern.so")
    yield ctypes.util.find_library("quern") or "libquern.so.0"


def _load():
    tried = []
    for path in _candidates():
        if os.path.sep in path and not os.path.exists(path):
            continue
        try:
            lib = c.CDLL(path)
        except OSError as e:
            tried.append(str(e))
            continue
        for name, (result, arguments) in _FUNCTIONS.items():
            f = getattr(lib, name)
            f.restype, f.argtypes = result, arguments
        lib.path = os.path.realpath(path)
        return lib
    raise ImportError("libquern.so was not found; build it (./start), or set "
                      "QUERN_LIBRARY to it. " + "; ".join(tried))


_lib = _load()


def _call(name, *args):
    """Calls a function whose last parameter is the error."""
    err = _Err()
    rc = getattr(_lib, name)(*args, c.byref(err))
    if rc < 0:
        raise Error(rc, err.msg.decode("utf-8", "replace"))
    return rc


def _take(pointer, n=None):
    """Bytes that the library handed out, freed here."""
    try:
        return c.string_at(pointer.value, -1 if n is None else n)
    finally:
        _lib.qn_free(pointer)


def _bytes(text):
    return text if isinstance(text, bytes) else text.encode("utf-8")


def _ids(values):
    values = [operator.index(v) for v in values]
    return (c.c_int32 * max(len(values), 1))(*values), len(values)


def _is_id(value):
    """Is it a number, not a list of them? Arrays have __index__, too."""
    try:
        len(value)
    except TypeError:
        return hasattr(value, "__index__")
    return False


def _place(name, value, words):
    if value not in words:
        raise ValueError("%s is %r; there are %s" % (
            name, value, ", ".join(map(repr, words))))
    return words.index(value)


def version():
    """The version of the library, as "0.1.0"."""
    return _lib.qn_version().decode()


def doctor():
    """What this machine has and what quern uses of it: a dict."""
    out = c.c_void_p()
    _call("qn_doctor", c.byref(out))
    return json.loads(_take(out))


def pull(name, file=None, parallel=0, progress=None):
    """Downloads "org/name[@revision]" from the Hugging Face hub into its
    cache and returns where it lies there (str). What is there already is not
    downloaded again.

    file: part of the name of a GGUF file, where a repository has several.
    progress(done, total, note): called about ten times a second with bytes;
    returning False stops the download (Error with code ECANCEL).
    """
    def report(_user, status):
        s = status.contents
        note = s.note.decode("utf-8", "replace") if s.note else None
        return progress(s.done, s.total, note) is not False

    p = _PullParams(file=_bytes(file) if file else None, n_parallel=parallel)
    if progress:
        p.progress = _PULL(report)
    out = c.c_void_p()
    _call("qn_pull", _bytes(name), c.byref(p), c.byref(out))
    return os.fsdecode(_take(out))


def _builtin():
    """The built-in model near the library, or None: let the library look."""
    if os.environ.get("QUERN_DEFAULT_MODEL"):
        return None
    root = os.path.dirname(os.path.dirname(_lib.path))
    found = glob.glob(os.path.join(root, "share/quern/models/*.gguf"))
    return found[0] if found else None


# ---- results ----------------------------------------------------------------

class Event:
    """What happened to a completion: `index` says which of the n, `id` is a
    token or None, `text` what became certain ("" if nothing), `logprob` and
    `top` (a list of (id, logprob)) are there if logprobs were asked for,
    `finish` is None or "stop", "length", "cancel", "error"."""
    __slots__ = ("index", "id", "text", "logprob", "top", "finish")

    def __init__(self, raw):
        self.index = raw.index
        self.id = raw.id if raw.id >= 0 else None
        self.text = c.string_at(raw.text, raw.text_len).decode(
            "utf-8", "replace") if raw.text_len else ""
        self.logprob = raw.logprob
        self.top = [(raw.top[i].id, raw.top[i].logprob)
                    for i in range(raw.n_top)]
        self.finish = _FINISH[raw.finish]

    def __repr__(self):
        return "Event(index=%d, id=%r, text=%r, finish=%r)" % (
            self.index, self.id, self.text, self.finish)


class Completion:
    """A whole completion: `text`, `ids`, `finish`, and with logprobs asked
    for `logprobs`, one per id."""
    __slots__ = ("text", "ids", "logprobs", "finish")

    def __init__(self):
        self.text, self.ids, self.logprobs, self.finish = "", [], [], None

    def _add(self, event, with_logprobs):
        self.text += event.text
        if event.id is not None:
            self.ids.append(event.id)
            if with_logprobs:
                self.logprobs.append(event.logprob)
        self.finish = event.finish or self.finish

    def __repr__(self):
        return "Completion(text=%r, finish=%r)" % (self.text, self.finish)


# ---- requests ---------------------------------------------------------------

class _Request:
    """A request with the memory that its parameters point to."""

    _lists = {"dry_breakers": "n_dry_breakers", "allowed_ids": "n_allowed",
              "banned_ids": "n_banned"}
    _direct = {"max_new_tokens", "min_new_tokens", "ignore_eos", "n",
               "n_beams", "length_penalty", "early_stopping", "n_logprobs",
               "prompt_logits", "skip_special", "priority", "tenant",
               "cache_salt", "context_shift", "n_keep", "kv_window",
               "deadline_ms", "answer"}
    _formats = ["text", "json", "json_object"]
    _knobs = {f[0] for f in _Sampling._fields_}

    def __init__(self, model, engine, ids, options):
        self.params = p = _RequestParams()
        self.keep = []
        _lib.qn_request_params_default(c.byref(p))
        _lib.qn_sampling_from_model(model, c.byref(p.sampling))
        p.prompt, p.n_prompt = self._array(ids)
        for name, value in options.items():
            self._set(name, value)
        if "temperature" not in options:
            _lib.qn_sampling_complete(c.byref(p.sampling), p.n)
        self.handle = c.c_void_p()
        _call("qn_request_submit", engine, c.byref(p), c.byref(self.handle))

    def _array(self, values):
        array, n = _ids(values)
        self.keep.append(array)
        return c.cast(array, _IDS), n

    def _set(self, name, value):
        p, s = self.params, self.params.sampling
        if name == "stop":
            words = [value] if isinstance(value, (str, bytes)) else value
            array = (c.c_char_p * max(len(words), 1))(*map(_bytes, words))
            self.keep.append(array)
            p.stop, p.n_stop = c.cast(array, c.POINTER(c.c_char_p)), len(words)
        elif name == "stop_ids":
            p.stop_ids, p.n_stop_ids = self._array(value)
        elif name == "logit_bias":
            array = (_LogitBias * max(len(value), 1))(*value.items())
            self.keep.append(array)
            s.logit_bias = c.cast(array, c.POINTER(_LogitBias))
            s.n_logit_bias = len(value)
        elif name == "format":
            p.format = _place(name, value, self._formats)
        elif name == "schema":
            raw = _bytes(value if isinstance(value, (str, bytes))
                         else json.dumps(value))
            p.format, p.schema, p.n_schema = 3, raw, len(raw)
        elif name in self._lists:
            array, n = self._array(value)
            setattr(s, name, array)
            setattr(s, self._lists[name], n)
        elif name in self._direct:
            setattr(p, name, value)
        elif name in self._knobs and not name.startswith("n_"):
            setattr(s, name, value)
        else:
            raise TypeError("there is no option %r" % name)

    def events(self):
        raw = _Event()
        while self.handle and _lib.qn_request_next(self.handle, c.byref(raw)):
            yield Event(raw)

    def free(self):
        if self.handle:
            _lib.qn_request_free(self.handle)
        self.handle = None


# ---- models -----------------------------------------------------------------

class Model:
    """An open model.

    path: a Hugging Face folder, a .gguf or .safetensors file, the name of a
        model in the hub's cache ("org/name"), or None for the built-in model.
    threads: 0 means as many as the machine grants.
    weights: False opens the tokenizer and the description alone.
    text_only: True opens the tokenizer and the chat template alone; a folder
        that has nothing else will do.
    memory_limit: bytes, 0 means what is available.
    kernels: "ref", "avx2", "avx512", ... at most these.
    exact: f32 arithmetic on the dequantized weights; slower.
    progress(done, total): bytes; returning False stops the opening.
    n_ctx, max_seqs, max_batch, kv_type ("auto", "f32", "f16", "bf16", "int8"): of the
        engine, which is made when it is first needed; 0 lets it choose.
    prefix_cache: keep what was computed for prompts that begin alike.

    Use it in a `with` statement, or call close().
    """

    def __init__(self, path=None, threads=0, weights=True, memory_limit=0,
                 kernels=None, exact=False, progress=None, text_only=False,
                 n_ctx=0, max_seqs=0, max_batch=0, kv_type="auto",
                 prefix_cache=False):
        self._model = self._engine = None
        p = _ModelParams(n_threads=threads, no_weights=not weights,
                         memory_limit=memory_limit,
                         kernels=_bytes(kernels) if kernels else None,
                         exact=exact, text_only=text_only)
        if progress:
            p.progress = _PROGRESS(
                lambda _user, done, total: progress(done, total) is not False)
        self._engine_params = _EngineParams(
            n_ctx=n_ctx, max_seqs=max_seqs, max_batch=max_batch,
            kv_type=_place("kv_type", kv_type, _KV_TYPES),
            prefix_cache=prefix_cache)
        self._lock, self._owner = threading.Lock(), None
        handle = c.c_void_p()
        path = path if path is not None else _builtin()
        _call("qn_model_open", c.byref(handle),
              os.fsencode(path) if path is not None else None, c.byref(p))
        self._model = handle

    def close(self):
        """Frees everything; calling it again does nothing. A stream that is
        left open ends with a ValueError. Not while another thread generates."""
        if self._engine:
            _lib.qn_engine_free(self._engine)
        if self._model:
            _lib.qn_model_close(self._model)
        self._engine = self._model = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        self.close()

    def _handle(self):
        if not self._model:
            raise ValueError("the model is closed")
        return self._model

    def _the_engine(self):
        if not self._engine:
            handle = c.c_void_p()
            _call("qn_engine_new", c.byref(handle), self._handle(),
                  c.byref(self._engine_params))
            self._engine = handle
        return self._engine

    @contextmanager
    def _alone(self):
        """One caller at a time: the engine belongs to one thread. A second
        call inside of the loop over a stream would wait for itself."""
        if self._owner == threading.get_ident():
            raise Error(EBUSY, "the model is in a stream of this thread: leave "
                        "that loop first, or let one generate() have all the "
                        "prompts")
        with self._lock:
            self._owner = threading.get_ident()
            try:
                yield
            finally:
                self._owner = None

    # ---- what it is ----

    def info(self, n_ctx=0, n_seq=0):
        """Everything that can be said of the model, as a dict: architecture,
        parameters, formats, the memory that n_ctx tokens x n_seq sequences
        would take, kernels."""
        out = c.c_void_p()
        _call("qn_model_info", self._handle(), n_ctx, n_seq, c.byref(out))
        return json.loads(_take(out))

    @property
    def n_vocab(self):
        """Rows of the logits."""
        return _lib.qn_model_n_vocab(self._handle())

    @property
    def n_ctx_train(self):
        """Longest prompt and completion the model was made for, in tokens."""
        return _lib.qn_model_n_ctx_train(self._handle())

    # ---- text ----

    def tokenize(self, text, special=True, parse_special=False):
        """Text (str, or bytes of UTF-8) to a list of ids. `special` adds what
        the tokenizer adds around a text; `parse_special` takes special tokens
        that are written out for what they say, not for text from strangers."""
        raw = _bytes(text)
        ids, n = _IDS(), c.c_size_t()
        _call("qn_tokenize", self._handle(), raw, len(raw), special,
              parse_special, c.byref(ids), c.byref(n))
        try:
            return ids[:n.value]
        finally:
            _lib.qn_free(ids)

    def detokenize(self, ids, skip_special=True):
        """Ids to text (str)."""
        array, n = _ids(ids)
        out, size = c.c_void_p(), c.c_size_t()
        _call("qn_detokenize", self._handle(), array, n, skip_special,
              c.byref(out), c.byref(size))
        return _take(out, size.value).decode("utf-8")

    def token_text(self, id):
        """The vocabulary's own spelling of an id (str), or None."""
        size = c.c_size_t()
        p = _lib.qn_token_text(self._handle(), id, c.byref(size))
        return c.string_at(p, size.value).decode("utf-8", "replace") \
            if p else None

    def token_bytes(self, id):
        """What an id adds to a text that has begun (bytes, which need not be
        whole characters); of a special token, its text."""
        out, size = c.c_void_p(), c.c_size_t()
        _call("qn_token_bytes", self._handle(), id, c.byref(out),
              c.byref(size))
        return _take(out, size.value)

    def render_chat(self, messages, tools=None, add_generation_prompt=True,
                    **variables):
        """The prompt (str) that the model's chat template makes of messages,
        a list of {"role": ..., "content": ...}; further keyword arguments are
        variables of the template. Error EUNSUP: it has none."""
        out, size = c.c_void_p(), c.c_size_t()
        _call("qn_chat_render", self._handle(),
              _bytes(json.dumps(messages)),
              _bytes(json.dumps(tools)) if tools is not None else None,
              add_generation_prompt,
              _bytes(json.dumps(variables)) if variables else None,
              c.byref(out), c.byref(size))
        return _take(out, size.value).decode("utf-8")

    # ---- generating ----

    def _prompt(self, prompt):
        return self.tokenize(prompt) if isinstance(prompt, (str, bytes)) \
            else list(prompt)

    def _run(self, prompts, options):
        """Yields (number of the prompt, event) until all have ended."""
        with self._alone():
            engine, requests = self._the_engine(), []
            try:
                for ids in prompts:
                    requests.append(_Request(self._handle(), engine, ids,
                                             options))
                running = 1
                while running > 0:
                    if engine is not self._engine:
                        raise ValueError("the model is closed")
                    running = _call("qn_engine_step", engine)
                    for k, request in enumerate(requests):
                        for event in request.events():
                            yield k, event
            finally:
                for request in requests:
                    request.free()

    def stream(self, prompt, **options):
        """An iterator of Events for one prompt (str or ids). Leaving the loop
        early ends the request. Options as for `generate`."""
        for _, event in self._run([self._prompt(prompt)], options):
            yield event

    def generate(self, prompt, **options):
        """A Completion for a prompt (str or list of ids), or a list of them
        for a list of prompts, which run together; with n > 1 or n_beams > 1 a
        list of n for each.

        Options: max_new_tokens, min_new_tokens, ignore_eos, stop (str or list
        of str), stop_ids, n, n_beams, length_penalty, early_stopping,
        n_logprobs (-1 none, k the chosen and the top k), skip_special,
        priority, tenant, cache_salt, context_shift, n_keep, kv_window,
        deadline_ms, answer (True: the text is one of its own, as after a chat
        template; its first word has no blank in front of it),
        format ("json", "json_object"), schema (a JSON schema as dict or str:
        the text is what it describes), and the sampling ones: temperature (0: greedy), top_k,
        top_p, min_p, typical_p,
        top_n_sigma, xtc_probability, xtc_threshold, dry_multiplier, dry_base,
        dry_allowed_length, dry_range, dry_breakers, mirostat, mirostat_tau,
        mirostat_eta, repetition_penalty, presence_penalty, frequency_penalty,
        penalty_last_n, logit_bias ({id: bias}), allowed_ids, banned_ids, seed.
        What is not given is what the model's own settings say; where these
        say temperature 0 and the options ask for chance, it is 1.
        Error ELIMIT: the prompt and its completion cannot fit."""
        single = isinstance(prompt, (str, bytes)) or (
            len(prompt) > 0 and _is_id(prompt[0]))
        prompts = [self._prompt(p) for p in ([prompt] if single else prompt)]
        done = [{} for _ in prompts]
        logprobs = options.get("n_logprobs", -1) >= 0
        for k, event in self._run(prompts, options):
            done[k].setdefault(event.index, Completion())._add(event, logprobs)
        results = [[d[i] for i in sorted(d)] for d in done]
        if options.get("n", 1) <= 1:
            results = [r[0] for r in results]
        return results[0] if single else results

    def chat(self, messages, tools=None, variables=None, stream=False,
             **options):
        """The answer (Completion) to a conversation, rendered by the model's
        template; with stream=True an iterator of Events. `variables` are those
        of the template, options as for `generate`."""
        text = self.render_chat(messages, tools, True, **(variables or {}))
        ids = self.tokenize(text, special=False, parse_special=True)
        options.setdefault("answer", True)
        return self.stream(ids, **options) if stream \
            else self.generate(ids, **options)

    def logits(self, prompt):
        """The logits after each token of a prompt (str or ids): float32
        [n_tok, n_vocab], a numpy array if numpy is there, else a list of
        lists."""
        ids = self._prompt(prompt)
        n_vocab = self.n_vocab
        with self._alone():
            engine = self._the_engine()
            request = _Request(self._handle(), engine, ids,
                               {"prompt_logits": True, "max_new_tokens": 0})
            try:
                while _call("qn_engine_step", engine) > 0:
                    pass
                p = _lib.qn_request_prompt_logits(request.handle)
                if not p:
                    raise Error(EINTERNAL, "no logits came of the prompt")
                return _matrix(p, len(ids), n_vocab)
            finally:
                request.free()


def _matrix(p, rows, columns):
    try:
        import numpy
    except ImportError:
        flat = p[:rows * columns]
        return [flat[i * columns:(i + 1) * columns] for i in range(rows)]
    return numpy.ctypeslib.as_array(p, (rows, columns)).copy()
