"""A chunk's patches are read by as many threads as wanted, and reach the encoder as 0 to 1 from unsigned integers."""

import threading

import numpy as np
import pytest
import torch

from monai_patchgrow.data import ArrayTiles, merge_constant_patches
from monai_patchgrow.engines.patchgd.images import ImageBatch
from monai_patchgrow.engines.patchgd.model import to_device
from monai_patchgrow.engines.patchgd.options import ImageReading


def given(patches, dtype=torch.float32):
    return to_device(patches, device=torch.device("cpu"), dtype=dtype)


@pytest.mark.parametrize(("dtype", "largest"), [(torch.uint8, 255), (torch.uint16, 65535), (torch.uint32, 2**32 - 1)])
def test_unsigned_integers_are_scaled_by_the_range_of_their_type(dtype, largest):
    assert given(torch.tensor([0, largest], dtype=dtype)).tolist() == [0, 1]


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32, torch.float32])
def test_signed_integers_and_floats_stay_as_they_are(dtype):
    assert given(torch.tensor([-1000, 3000], dtype=dtype)).tolist() == [-1000, 3000]


def test_half_precision_holds_white():
    assert given(torch.tensor([65535], dtype=torch.uint16), torch.float16).tolist() == [1]


def test_chunks_of_16_bits_are_read_and_shared():
    images = [ArrayTiles(np.full((1, 4, 4), value, np.uint16), padding=7) for value in (9, 65535)]
    patches = ImageBatch(images, patch_size=(4, 4)).read((0,))
    kept, rows = merge_constant_patches(torch.cat([patches, patches]))
    assert (kept[:, 0, 0, 0].tolist(), rows.tolist()) == ([9, 65535], [0, 1, 0, 1])


class Meeting:
    """A source whose reads wait until as many threads read at the same time as should; its voxels tell the cell."""

    def __init__(self, readers):
        self.shape = (1, 12)
        self.barrier, self.threads = threading.Barrier(readers, timeout=10), set()

    def read(self, cells):
        self.barrier.wait()
        self.threads.add(threading.current_thread().name)
        return torch.tensor([[[cell[0].start]] for cell in cells])


CPU = torch.device("cpu")


def test_as_many_threads_as_asked_for_read_a_chunk_in_its_order():
    source = Meeting(3)
    batch = ImageBatch(source, patch_size=(1,), reading=ImageReading(prefetch=3))
    with batch.read_all([(4, 1, 2, 0, 9, 3, 7), (11, 10, 8)], device=CPU) as patches:
        assert [one.flatten().tolist() for one in patches] == [[4, 1, 2, 0, 9, 3, 7], [11, 10, 8]]
    assert len(source.threads) == 3
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("reader", "prefetch"))]


@pytest.mark.parametrize(
    ("prefetch", "device", "readers"), [(True, "cpu", 1), (True, "cuda", 5), (2, "cuda", 2), (4, "cpu", 4)]
)
def test_a_gpu_has_a_reader_per_cpu(monkeypatch, prefetch, device, readers):
    monkeypatch.setattr("monai_patchgrow.engines.patchgd.images.usable_cpus", lambda processes: 5 // processes)
    pinned = []
    monkeypatch.setattr(
        torch.Tensor, "pin_memory", lambda patches: pinned.append(threading.current_thread()) or patches
    )
    source = Meeting(readers)
    batch = ImageBatch(source, patch_size=(1,), reading=ImageReading(prefetch=prefetch))
    with batch.read_all([tuple(range(readers))], device=torch.device(device)) as patches:
        assert len(list(patches)) == 1
    assert len(source.threads) == readers
    assert threading.main_thread() not in pinned
    assert len(pinned) == (device == "cuda")


@pytest.mark.parametrize("prefetch", [-1, 1.5])
def test_readers_are_a_number(prefetch):
    with pytest.raises(ValueError, match="prefetch must be an integer of at least 0"):
        ImageReading(prefetch=prefetch)
