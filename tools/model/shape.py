"""The shape of the default model, said once."""

N_VOCAB = 4096
D_MODEL = 384
N_LAYER = 8
N_HEAD = 6
N_KV = 2
D_HEAD = 64
D_FF = 1024
CONTEXT = 1024
ROPE_THETA = 10000.0
EPS = 1e-5
END_OF_TEXT, IM_START, IM_END = 0, 1, 2
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MARKS = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
NAME = "quern-14m"
LICENSE = "apache-2.0"
