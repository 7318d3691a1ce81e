"""Pickles, archives, code and weights whose payload would make a file: each is found, and none is run.

The ways of hiding are those by which other scanners of models were passed by.
"""

import bz2
import contextlib
import gzip
import io
import lzma
import os
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch

from monai_patchgrow.handlers import share_weights
from monai_patchgrow.sealed_files import seal

MODEL = "models/model.pt"
BROKEN = "what stands before the break runs all the same"


def text(value):
    """Push a text, protocol 4."""
    return b"\x8c" + bytes([len(value)]) + value.encode()


def called(module, name, argument, *, end=b"."):
    """A pickle of protocol 2 that calls a function with one text."""
    return (
        b"\x80\x02c"
        + f"{module}\n{name}\n".encode()
        + b"X"
        + struct.pack("<I", len(argument))
        + argument.encode()
        + b"\x85R"
        + end
    )


def touch(mark, **options):
    return called("os", "system", f"touch {mark}", **options)


def memo_confusion(mark):
    """PUT and MEMOIZE write to one memo: a scanner that reads one of them takes os.system for a function of torch."""
    strings = (
        b"U\x02os"
        + b"q\x00"
        + b"U\x06system"
        + b"q\x01"
        + text("torch._utils")
        + b"\x94"
        + text("_rebuild_tensor_v2")
        + b"\x94"
    )
    return b"\x80\x04" + strings + b"0000h\x00h\x01\x93" + text(f"touch {mark}") + b"\x85R."


def attributes_of_a_function(mark):
    """BUILD sets attributes of a known function to texts, which a second name then finds."""
    steps = b"\x80\x05cnumpy\nprod\nN(U\x01aU\x05posixd\x86bN(U\x01bU\x06systemd\x86b0"
    return steps + b"cnumpy\nprod.a\ncnumpy\nprod.b\n\x93" + text(f"touch {mark}") + b"\x85R."


def made_name(mark):
    """The module's name is the result of a call."""
    name = b"\x80\x04" + text("builtins") + text("str") + b"\x93" + text("os") + b"\x85R"
    return name + text("system") + b"\x93" + text(f"touch {mark}") + b"\x85R."


def legacy(mark):
    """torch.save of before 1.6 writes five pickles, of which the fourth is the object."""
    file = io.BytesIO()
    torch.save({"weight": torch.ones(2)}, file, _use_new_zipfile_serialization=False)
    whole, place = file.getvalue(), io.BytesIO(file.getvalue())
    for _ in range(3):
        pickle.load(place)
    return whole[: place.tell()] + touch(mark) + whole[place.tell() :]


PICKLES = {
    "protocol 0": lambda mark: b"cos\nsystem\n(S'touch %s'\ntR." % os.fsencode(mark),
    "protocol 2": touch,
    "protocol 4": lambda mark: b"\x80\x04" + text("os") + text("system") + b"\x93" + text(f"touch {mark}") + b"\x85R.",
    "posix": lambda mark: called("posix", "system", f"touch {mark}"),
    "memo": memo_confusion,
    "attributes": attributes_of_a_function,
    "name that is made": made_name,
    "broken behind the call": lambda mark: touch(mark, end=b"\xff\xff\xff"),
    "broken without an end": lambda mark: touch(mark, end=b""),
    "result thrown away": lambda mark: touch(mark, end=b"0}."),
    "INST": lambda mark: b"(S'touch %s'\nios\nsystem\n." % os.fsencode(mark),
    "OBJ": lambda mark: (
        b"\x80\x02(cos\nsystem\nX" + struct.pack("<I", 6 + len(str(mark))) + f"touch {mark}".encode() + b"o."
    ),
    "nested pickle": lambda mark: b"\x80\x03c_pickle\nloads\nC" + bytes([len(touch(mark))]) + touch(mark) + b"\x85R.",
    "torch's loads": lambda mark: (
        b"\x80\x03ctorch.storage\n_load_from_bytes\nC" + bytes([len(touch(mark))]) + touch(mark) + b"\x85R."
    ),
    "marks": lambda mark: b"\x80\x02(0" + touch(mark)[2:],
    "timeit": lambda mark: called("timeit", "timeit", f"open('{mark}', 'w').close(); stop"),
    "exec of torch": lambda mark: called("torch.utils.collect_env", "run", f"touch {mark}"),
    "resolve_name": lambda mark: b"\x80\x02cpkgutil\nresolve_name\nX\x09\x00\x00\x00os:system\x85R" + touch(mark)[13:],
    "builtins": lambda mark: called("builtins", "exec", f"open({str(mark)!r}, 'w').close()"),
    "another first": lambda mark: pickle.dumps({}) + touch(mark),
    "legacy torch": legacy,
}


def payload(kind, small_bundle):
    return PICKLES[kind](small_bundle.mark)


def zipped(members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def checkpoint(pickled):
    return zipped({"archive/data.pkl": pickled, "archive/version": b"3\n"})


@pytest.mark.parametrize("kind", PICKLES)
@pytest.mark.parametrize("place", ["plain", "checkpoint"])
def test_a_pickle_is_found(small_bundle, kind, place):
    pickled = payload(kind, small_bundle)
    small_bundle.write(MODEL, checkpoint(pickled) if place == "checkpoint" else pickled)
    lines = [line for line in small_bundle.lines() if "sha256" not in line and "behind the end" not in line]
    assert any(line.startswith(MODEL) for line in lines), lines


@pytest.mark.parametrize(
    "kind", [kind for kind in PICKLES if kind not in ("another first", "name that is made", "legacy torch")]
)
def test_python_runs_what_nobody_inspects(small_bundle, kind):
    with contextlib.suppress(Exception):  # it breaks behind what it has done
        pickle.loads(payload(kind, small_bundle))
    assert small_bundle.mark.exists()


@pytest.mark.parametrize("kind", ["protocol 0", "protocol 2", "broken without an end", "INST", "memo"])
@pytest.mark.parametrize("name", ["docs/picture.png", "LICENSE", "docs/notes.txt", "models/history.jsonl"])
def test_a_pickle_is_found_whatever_its_name(small_bundle, kind, name):
    small_bundle.write(name, payload(kind, small_bundle))
    assert any(line.startswith(f"{name}: os.system: loading imports it") for line in small_bundle.lines())


ARCHIVES = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zip": lambda pickled: zipped({"a": pickled}),
    "zip in zip": lambda pickled: zipped({"a": zipped({"b.zip": zipped({"c": pickled})})}, zipfile.ZIP_DEFLATED),
    "zip in gzip": lambda pickled: gzip.compress(zipped({"a": pickled})),
    "zip behind a picture": lambda pickled: b"\x89PNG\r\n\x1a\n" + bytes(100) + zipped({"a": pickled}),
    "array in npz": lambda pickled: zipped({"a.npy": pickled}),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_pickle_in_an_archive_is_found(small_bundle, kind):
    small_bundle.write("docs/data", ARCHIVES[kind](payload("protocol 2", small_bundle)))
    assert any("os.system: loading imports it" in line for line in small_bundle.lines())


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("is_old", [False, True])
def test_a_pickle_in_a_tar_is_found(small_bundle, form, is_old):
    file, pickled = io.BytesIO(), payload("protocol 2", small_bundle)
    member = tarfile.TarInfo("pickle")
    member.size = len(pickled)
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        archive.addfile(member, io.BytesIO(pickled))
    content = file.getvalue()
    if is_old:  # of before POSIX: no magic, another checksum
        header = content[:148] + b" " * 8 + content[156:257] + bytes(255)
        content = header[:148] + b"%06o\0 " % sum(header) + header[156:] + content[512:]
    small_bundle.write("docs/data", content)
    assert any("docs/data!pickle: os.system" in line for line in small_bundle.lines())


def test_a_frame_that_ends_inside_of_an_opcode(small_bundle):
    """Python's two unpicklers read different names behind it."""
    frame = b"\x95" + struct.pack("<Q", 4)
    small_bundle.write(MODEL, b"\x80\x04N" + frame + b"0ccollections\nOrderedDict\n.")
    assert f"{MODEL}: a broken pickle: {BROKEN}" in small_bundle.lines()


def test_a_pickle_that_only_imports(small_bundle):
    small_bundle.write("docs/data", b"\x80\x02cantigravity\nx\n.")
    assert any("docs/data: antigravity.x: loading imports it" in line for line in small_bundle.lines())


def test_a_tar_is_looked_into(small_bundle):
    file, pickled = io.BytesIO(), payload("protocol 2", small_bundle)
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("pickle")
        member.size = len(pickled)
        archive.addfile(member, io.BytesIO(pickled))
        for name in ("../out", "/etc/out"):
            archive.addfile(tarfile.TarInfo(name))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    small_bundle.write("models/old.tar", file.getvalue())
    assert small_bundle.lines() == [
        "models/old.tar: ../out: leads out of the folder",
        "models/old.tar: /etc/out: is an absolute path",
        "models/old.tar: link: /etc/passwd: is a link or a device",
        "models/old.tar!pickle: os.system: loading imports it, and may call it: no part of a checkpoint of tensors",
    ]


def test_more_archives_than_anybody_needs(small_bundle):
    content = payload("protocol 2", small_bundle)
    for _ in range(7):
        content = zipped({"a": content})
    small_bundle.write("docs/data", content)
    assert any("lies in more than 4 archives" in line for line in small_bundle.lines())


@pytest.mark.parametrize("begin", [b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x28\xb5\x2f\xfd"])
def test_an_archive_that_is_closed(small_bundle, begin):
    small_bundle.write(MODEL, begin + bytes(100))
    assert f"{MODEL}: is an archive that can't be looked into" in small_bundle.lines()


def changed(content, old, new, *, count=1):
    assert old in content
    return content.replace(old, new, count)


def encrypted(content):
    """The flag of encryption, which torch's reader does not look at."""
    place = content.index(b"PK\x01\x02") + 8
    return content[:place] + bytes([content[place] | 1]) + content[place + 1 :]


TRICKS = {
    "checksum": (lambda whole: changed(whole, b"system", b"sYstem"), "can't be read: another reader may"),
    "encrypted": (encrypted, "is encrypted, and can't be looked into"),
    "two names": (
        lambda whole: changed(whole, b"archive/data.pkl", b"archive/data.txt"),
        "has two headers that differ",
    ),
    "bytes before": (lambda whole: b"\x80\x02}." + whole, "4 before archive/data.pkl belong to no member"),
    "bytes behind": (lambda whole: whole + b"\x80\x02}.", "behind the archive belong to no member"),
    "cut": (lambda whole: whole[:-30], "is an archive that can't be read"),
}


@pytest.mark.parametrize("kind", TRICKS)
def test_what_readers_of_archives_differ_in(small_bundle, kind):
    change, line = TRICKS[kind]
    small_bundle.write(MODEL, change(checkpoint(payload("protocol 2", small_bundle))))
    assert any(line in found for found in small_bundle.lines()), small_bundle.lines()


def test_a_broken_member_hides_no_other(small_bundle):
    members = {"archive/a": b"broken", "archive/data.pkl": payload("protocol 2", small_bundle)}
    small_bundle.write(MODEL, changed(zipped(members), b"broken", b"brOken"))
    assert any("data.pkl: os.system" in line for line in small_bundle.lines())


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_stands_twice(small_bundle):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", payload("protocol 2", small_bundle))
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    small_bundle.write(MODEL, file.getvalue())
    lines = small_bundle.lines()
    assert f"{MODEL}: archive/data.pkl: stands twice in the archive" in lines
    assert any("data.pkl: os.system" in line for line in lines)


def test_an_archive_that_unfolds_to_too_much(small_bundle):
    small_bundle.write("models/a.zip", zipped({"zeros": bytes(32 << 20)}, zipfile.ZIP_DEFLATED))
    (line,) = small_bundle.lines()
    assert "unfold to 33554432: is a bomb" in line


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("../out", "leads out of the folder"),
        ("/etc/out", "is an absolute path"),
        ("C:out", "is an absolute path"),
        ("a\\..\\out", "leads out of the folder"),
    ],
)
def test_members_that_leave_the_folder(small_bundle, name, line):
    small_bundle.write("models/a.zip", zipped({name: b""}))
    assert any(line in found for found in small_bundle.lines()), small_bundle.lines()


@pytest.mark.parametrize("values", [np.array([{}], dtype=object), np.zeros(2, dtype=[("a", "f4"), ("b", "O")])])
def test_arrays_of_objects(small_bundle, values):
    file = io.BytesIO()
    np.save(file, values, allow_pickle=True)
    small_bundle.write("docs/a.npy", file.getvalue())
    small_bundle.write("docs/b.npz", zipped({"b.npy": file.getvalue()}))
    assert [line.partition(": ")[2] for line in small_bundle.lines()] == ["|O: is a type whose values are pickles"] * 2


@pytest.mark.parametrize("kind", ["float32", "int16", "U3", "bool", [("Offset", "f4"), ("at", "i2", (2,))]])
def test_arrays_of_numbers(small_bundle, kind):
    np.save(small_bundle.write("docs/a.npy", b""), np.zeros(2, dtype=kind))
    assert small_bundle.lines() == []


# ---- links and devices ----


def test_links_and_devices(small_bundle):
    (small_bundle.folder / "docs").mkdir()
    (small_bundle.folder / "docs" / "notes.md").symlink_to("/etc/passwd")
    (small_bundle.folder / "models").symlink_to("/tmp")
    os.mkfifo(small_bundle.folder / "pipe")
    assert small_bundle.lines() == [
        "docs/notes.md: /etc/passwd: is a link",
        "models: /tmp: is a link",
        "pipe: is no regular file",
    ]


# ---- code ----


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("scripts/evil.py", "import os"),
        ("scripts/command.py", "import os"),
        ("torch/__init__.py", "import os"),
        ("nibabel.py", ""),
        ("evil.so", b"\x7fELF"),
        ("libevil.so.1", b""),
        ("evil", b"\x7fELF\x02\x01"),
        ("docs/evil", "#!/bin/sh\ntouch mark"),
        ("evil.pth.sh", "touch mark"),
        ("evil.exe", b"MZ\x00"),
        ("scripts/__pycache__/command.cpython-311.pyc", b""),
        ("evil.whl", zipped({"evil.py": b"import os"})),
        ("models/model.zip", zipped({"code/__torch__.py": b"def forward(self): pass"})),
    ],
)
def test_code_is_found(small_bundle, name, content):
    small_bundle.write(name, content)
    (line,) = small_bundle.lines()
    assert line.startswith(name)
    assert "code" in line or "script" in line


# ---- weights ----


def saved(weights, **options):
    file = io.BytesIO()
    torch.save(weights, file, **options)
    return file.getvalue()


WEIGHTS = {"a.weight": torch.ones(2, 2), "b": torch.zeros(3, dtype=torch.uint8), "c": torch.nn.Parameter(torch.ones(1))}


@pytest.mark.parametrize(
    "options",
    [{}, {"pickle_protocol": 4}, {"_use_new_zipfile_serialization": False}],
    ids=["zip", "protocol 4", "legacy"],
)
def test_weights_need_a_digest(small_bundle, options):
    path = small_bundle.write(MODEL, saved({**WEIGHTS, "state": torch.nn.Linear(1, 1).state_dict()}, **options))
    (finding,) = small_bundle.findings()
    assert finding.why.startswith("weights without sha256")
    small_bundle.write("docs/README.md", f"sha256 `{finding.what}`")
    assert small_bundle.lines() == []
    path.write_bytes(path.read_bytes() + b"\0")
    assert small_bundle.lines() != []


def test_sealed_weights(small_bundle):
    path = small_bundle.write(MODEL, saved(WEIGHTS))
    seal(path)
    assert small_bundle.lines() == []
    path.write_bytes(changed(path.read_bytes(), b"sha256:", b"sha255:"))
    assert any("weights without sha256" in line for line in small_bundle.lines())


SHARED = "models/model.safetensors"


@pytest.fixture
def shared(small_bundle):
    """A sound safetensors file of ours in the bundle, and its bytes."""
    torch.save(WEIGHTS, small_bundle.folder / "model.pt")
    content = share_weights(small_bundle.folder / "model.pt").read_bytes()
    (small_bundle.folder / "model.pt").unlink()
    (small_bundle.folder / "model.safetensors").unlink()
    small_bundle.write(SHARED, content)
    return content


def test_sealed_safetensors(small_bundle, shared):
    assert small_bundle.lines() == []
    small_bundle.write(SHARED, shared[:-1] + b"\x01")
    (line,) = small_bundle.lines()
    assert "weights without sha256" in line


def test_safetensors_of_others_need_a_digest(small_bundle):
    small_bundle.write(SHARED, safetensors.torch.save(WEIGHTS))
    (finding,) = small_bundle.findings()
    assert finding.why.startswith("weights without sha256")
    small_bundle.write("docs/README.md", f"sha256 `{finding.what}`")
    assert small_bundle.lines() == []


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda content: content[:-1], "its tensors take 23 bytes, and it has 22 for them"),
        (lambda content: content + b"\0", "its tensors take 23 bytes, and it has 24 for them"),
        (lambda content: content[:4], "it doesn't begin with a header"),
        (lambda content: changed(content, b'"F32"', b'"F33"'), "has the unknown type F33"),
        (lambda content: changed(content, b"dtype", b"dtypf"), "isn't described by data_offsets, dtype, shape"),
    ],
)
def test_a_damaged_header_is_one_finding(small_bundle, shared, harm, reason):
    small_bundle.write(SHARED, harm(shared))
    (line,) = small_bundle.lines()
    assert reason in line
    assert line.endswith(": another reader may take it for something else")


def test_a_pickle_that_is_called_safetensors(small_bundle):
    small_bundle.write(SHARED, touch(small_bundle.mark))
    lines = small_bundle.lines()
    assert any("it is no .safetensors file" in line for line in lines)
    assert any("os.system" in line for line in lines)


def test_an_archive_behind_tensors(small_bundle):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("a/data.pkl", touch(small_bundle.mark))
    hidden = {"a": torch.frombuffer(bytearray(archive.getvalue()), dtype=torch.uint8)}
    small_bundle.write(SHARED, safetensors.torch.save(hidden))
    assert any("!a/data.pkl: os.system: " in line for line in small_bundle.lines())


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({"path": "models/model.pt", "url": "https://example.org/model.pt"}, "a download without sha256"),
        ({"path": "m", "url": "u", "hash_type": "md5", "hash_val": "0" * 32}, "a download without sha256"),
        ({"path": "../m", "url": "u", "hash_type": "sha256", "hash_val": "0" * 64}, "is written outside"),
    ],
)
def test_downloads(small_bundle, entry, line):
    small_bundle.change({"large_files": [entry]}, name="large_files.json")
    (found,) = small_bundle.lines()
    assert line in found


def test_a_module_is_no_checkpoint_of_tensors(small_bundle):
    small_bundle.write(MODEL, saved(torch.nn.Linear(1, 1)))
    assert any("torch.nn.modules.linear.Linear: loading imports it" in line for line in small_bundle.lines())
