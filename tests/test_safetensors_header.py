"""Headers of safetensors files: what the library writes is read, and whatever is no such file is named in one line."""

import io
import json
import subprocess
import sys

import pytest
import safetensors.torch
import torch

from monai_patchgrow.safetensors_header import metadata_of, read_header

TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
SECOND = {**TENSOR, "data_offsets": [8, 16]}
TYPES = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]


def file_of(header, data=bytes(8), length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return io.BytesIO((len(text) if length is None else length).to_bytes(8, "little") + text + data)


@pytest.mark.parametrize("name", TYPES)
def test_what_the_library_writes_is_read(name):
    tensors = {"a": torch.zeros(2, 3, dtype=getattr(torch, name)), "none": torch.zeros(0, 3), "one": torch.tensor(1.0)}
    header = read_header(io.BytesIO(safetensors.torch.save(tensors, {"format": "pt"})))
    assert header["a"]["shape"] == [2, 3]
    assert metadata_of(header) == {"format": "pt"}


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (io.BytesIO(), "it doesn't begin with a header"),
        (io.BytesIO(bytes(8)), "it doesn't begin with a header"),
        (file_of({"a": TENSOR}, length=1 << 40), r"a header of 1099511627776 bytes, where 16777216 are the most"),
        (file_of({"a": TENSOR}, length=9000), "it doesn't begin with a header"),
        (file_of(b"[" * 50), "it doesn't begin with a header"),
        (file_of(b'{"a":' + b"[" * 100_000), "its header is nested"),
        (file_of(b'{"a": \xff}'), "its header can't be read"),
        (file_of(b'{"a": NaN}'), r"its header can't be read \(NaN stands in it\)"),
        (file_of(b'{"a": 1.5}'), r"its header can't be read \(1.5 stands in it\)"),
        (file_of(b'{"a": 1} {}'), "its header can't be read"),
        (file_of(b'{"a": {}, "a": {}}'), r"its header can't be read \(a key stands in it twice\)"),
        (file_of({"__metadata__": {"a": 1}}), "__metadata__ holds more than texts by name"),
        (file_of({"__metadata__": []}), "__metadata__ holds more than texts by name"),
        (file_of({"a": [0, 8]}), "a isn't described by data_offsets, dtype, shape"),
        (file_of({"a": {**TENSOR, "code": "x"}}), "a isn't described by data_offsets, dtype, shape"),
        (file_of({"a": {**TENSOR, "dtype": "F33"}}), "a has the unknown type F33"),
        (file_of({"a": {**TENSOR, "dtype": ["F32"]}}), "a has the unknown type"),
        (file_of({"a": {**TENSOR, "shape": [-2]}}), "a has a shape or place that is none"),
        (file_of({"a": {**TENSOR, "shape": [True, 2]}}), "a has a shape or place that is none"),
        (file_of({"a": {**TENSOR, "shape": [1] * 99}}), "a has a shape or place that is none"),
        (file_of({"a": {**TENSOR, "data_offsets": [0, 8, 8]}}), "a has a shape or place that is none"),
        (file_of({"a": {**TENSOR, "data_offsets": [8, 0]}}), "a has -8 bytes"),
        (file_of({"a": {**TENSOR, "shape": [3]}}), "a has 8 bytes, which are none of its type and shape"),
        (file_of({"a": TENSOR}, bytes(9)), "its tensors take 8 bytes, and it has 9 for them"),
        (file_of({"a": TENSOR, "b": TENSOR}), "b begins at 0, and what stands before it ends at 8"),
        (file_of({"b": SECOND}, bytes(16)), "b begins at 8, and what stands before it ends at 0"),
    ],
)
def test_what_is_no_such_file_is_named(stream, reason):
    with pytest.raises(ValueError, match=rf"^it is no \.safetensors file, or not the whole one: {reason}[^\n]*$"):
        read_header(stream)


def test_neither_torch_nor_the_library_is_needed():
    code = "import sys, monai_patchgrow.safetensors_header, monai_patchgrow.sealed_files as s; "
    code += "sys.exit('torch' in sys.modules or 'safetensors' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
