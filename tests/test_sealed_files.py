"""A file of torch that is not as it was written is found out, whatever happened to it."""

import random
import zipfile

import pytest
import torch

from monai_patchgrow.sealed_files import check_seal, seal

CONTENT = {"weight": torch.arange(400.0), "epoch": 3, "name": "network"}
SEAL = 71  # bytes at the end


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "last.pt"
    torch.save(CONTENT, path)
    return path


def loads_as_saved(path):
    loaded = torch.load(path, weights_only=True)
    return all(torch.equal(loaded[key], one) if key == "weight" else loaded[key] == one for key, one in CONTENT.items())


@pytest.mark.parametrize("mmap", [False, True])
def test_a_sealed_file_loads_as_before(path, mmap):
    seal(path)
    check_seal(path)
    assert torch.equal(torch.load(path, weights_only=True, mmap=mmap)["weight"], CONTENT["weight"])


def harm(content, kind, rng):
    place = rng.randrange(len(content))
    if kind == "bit":
        content[place] ^= 1 << rng.randrange(8)
    elif kind == "byte":
        content[place] = (content[place] + 1 + rng.randrange(255)) % 256
    elif kind == "block":
        content[place : place + 64] = bytes(len(content[place : place + 64]))
    else:
        del content[place:]


@pytest.mark.parametrize("kind", ["bit", "byte", "block", "cut"])
def test_no_damage_to_a_sealed_file_is_silent(path, kind):
    seal(path)
    sound, rng, passed = path.read_bytes(), random.Random(0), []
    for _ in range(250):
        content = bytearray(sound)
        harm(content, kind, rng)
        path.write_bytes(content)
        try:
            check_seal(path)
            passed.append(loads_as_saved(path))
        except Exception:  # torch's own are of many types
            continue
    # Damage to the seal alone passes: the content is as it was saved.
    assert all(passed)
    assert len(passed) < 20


@pytest.mark.parametrize("number", range(60))
def test_without_a_seal_the_records_checksums_count(path, number):
    content = bytearray(path.read_bytes())
    start = content.index(CONTENT["weight"].numpy().tobytes())
    content[start + 25 * number] ^= 16
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^its record last/data/0 is damaged \(CRC\)$"):
        check_seal(path)


def test_a_file_of_another_version_of_torch_is_left_to_torch(path):
    torch.save(CONTENT, path, _use_new_zipfile_serialization=False)
    check_seal(path)
    assert loads_as_saved(path)


def test_a_file_is_sealed_once(path):
    seal(path)
    with pytest.raises(
        ValueError, match=r"last\.pt can't be sealed: it does not end as a zip archive without a comment"
    ):
        seal(path)


def test_the_seal_is_a_comment_of_the_archive(path):
    seal(path)
    with zipfile.ZipFile(path) as archive:
        assert archive.comment.startswith(b"sha256:")
        assert len(archive.comment) == SEAL
