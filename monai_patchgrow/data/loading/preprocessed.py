"""Cases that are preprocessed once, for all folds and runs, and then held in memory or mapped from their files."""

from __future__ import annotations

import logging
import os
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from monai.utils import convert_to_tensor, ensure_tuple
from torch.utils.data import DataLoader
from tqdm import tqdm

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.loading.available_memory import available_bytes
from monai_patchgrow.data.loading.fingerprint import fingerprint
from monai_patchgrow.data.loading.seeded import WORKER_TIMEOUT
from monai_patchgrow.data.whole_files import save_sealed
from monai_patchgrow.files import clear_stale, whole_file
from monai_patchgrow.internals.monai import PreparedDataset
from monai_patchgrow.sealed_files import check_seal

__all__ = ["PreprocessedDataset"]

_logger = logging.getLogger(__name__)

_GIB = 2**30
_KEY_DIGITS = 20
_STALE_SECONDS = 24 * 3600  # nobody writes one case for a day: an older temporary file is a dead run's


class PreprocessedDataset(PreparedDataset):
    """Cases whose deterministic transforms ran once; each access runs the random ones on the same tensors.

    What stands before the first random transform (a nested ``Compose`` counts as one, as in MONAI) is applied when
    the data set is made, and kept in one file per case. Other folds and runs, also at the same time, find it by its
    key: the item, size and time of its source files, the transforms with all parameters (not the code of their
    classes: after changing that, take another folder), MONAI's version.

    Items are not copied, and transforms must not write into them: it would stay there, in that process; the files
    never change. A spawned worker maps the files, also where the data set is in memory.

    Args:
        data: items as MONAI's dictionary transforms take them; a string that names a file is one of its sources.
        transform: a ``Compose``, or what it takes.
        cache_dir: folder of the files; made where it is missing.
        memory_gib: GiB that the cases may take; more are mapped from their files (default: half of what is available).
        num_workers: processes that preprocess; 0: this one.
        progress: show a bar where stderr is a terminal.

    Attributes:
        in_memory: whether the cases are held in memory.
        total_bytes: size of the cases' files.

    Raises:
        DataError: a case that can't be preprocessed (those that are done stay), a folder that can't be written, or
            (on access) a mapped file that has become shorter.
        ValueError: a transform that can't be told from another, as with an open file for a parameter.

    >>> import tempfile
    >>> from monai.transforms import Lambdad, RandScaleIntensityd
    >>> transform = [Lambdad("image", torch.tensor), RandScaleIntensityd("image", factors=0.1)]
    >>> dataset = PreprocessedDataset([{"image": [1.0, 2.0]}], transform, tempfile.mkdtemp())
    >>> len(dataset), dataset[0]["image"].shape, dataset.in_memory
    (1, torch.Size([2]), True)
    """

    def __init__(
        self,
        data: Sequence[Any],
        transform: Sequence[Callable] | Callable,
        cache_dir: str | os.PathLike[str],
        *,
        memory_gib: float | None = None,
        num_workers: int = 0,
        progress: bool = True,
    ) -> None:
        try:
            Path(cache_dir).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{cache_dir}: no folder for preprocessed cases ({error.strerror})") from None
        super().__init__(data, transform, cache_dir)
        self.memory_gib, self.num_workers, self.progress = memory_gib, num_workers, progress
        whole = self.transform
        options = [monai.__version__, whole.map_items, whole.unpack_items, whole.lazy, whole.overrides]
        self.set_transform_hash(lambda deterministic: fingerprint([options, deterministic]).encode())
        self._prepare()

    def set_data(self, data: Sequence[Any]) -> None:
        """Take other items; unlike MONAI's, this leaves the files, which others may use, where they are."""
        self.data, self._items = data, dict[Path, Any]()
        self._prepare()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_items": {}}  # whoever is sent the data set maps the files: no item is pickled

    def _prepare(self) -> None:
        self._files = [self.cache_dir / _file_name(item, self.transform_hash) for item in self.data]
        indices = {file: index for index, file in enumerate(self._files)}
        missing = [index for file, index in indices.items() if _load(file, check=True) is None]
        if missing:
            self._make_all(missing)
        self._sizes = {file: file.stat().st_size for file in indices}
        self.total_bytes = sum(self._sizes.values())
        budget = available_bytes() / 2 if self.memory_gib is None else self.memory_gib * _GIB
        self.in_memory = self.total_bytes <= budget
        self._items = {file: _load(file, mmap=not self.in_memory) for file in indices}
        counts = len(missing), len(indices) - len(missing), self.total_bytes / _GIB
        where = "in memory" if self.in_memory else "mapped from disk"
        _logger.info("%s: preprocessed cases: %d made, %d found, %.2f GiB %s", self.cache_dir, *counts, where)

    def _make_all(self, indices: Any) -> None:
        self._clear_up()
        # A generator of its own leaves the global one alone; runs that start together share the work by their orders.
        generator = torch.Generator().manual_seed(uuid.uuid4().int >> 65)
        workers = min(self.num_workers, len(indices))
        options: Any = {"collate_fn": self._make, "num_workers": workers, "shuffle": True}
        options["timeout"] = WORKER_TIMEOUT if workers else 0
        loader: Any = DataLoader(indices, batch_size=None, in_order=False, generator=generator, **options)
        try:
            with tqdm(loader, desc="preprocessing", unit="case", disable=None if self.progress else True) as problems:
                problem = next(filter(None, problems), None)
        except RuntimeError as error:
            problem = f"{self.cache_dir}: preprocessing stopped ({error}); fewer num_workers take less memory"
        if problem:
            raise DataError(problem)

    def _clear_up(self) -> None:
        """Delete what runs left behind that were killed while they wrote."""
        clear_stale(self.cache_dir.glob("*.tmp"), older_than=_STALE_SECONDS)

    def _make(self, index: int) -> str | None:
        """Preprocess one case, unless another run has by now; returns what went wrong."""
        file, item = self._files[index], self.data[index]
        if _load(file, warn=False, check=True) is not None:
            return None
        try:
            made = convert_to_tensor(self.apply_deterministic(deepcopy(item)), convert_numeric=False, track_meta=False)
            made = _map_leaves(made, _plain)
        except Exception as error:
            cause = error.__cause__ or error  # MONAI's own error tells an object's address, not the reason
            if isinstance(cause, DataError):
                return str(cause)
            return f"{_case_file(item) or item}: {type(cause).__name__} in preprocessing: {cause}"
        return _save(made, file)

    def make_item(self, index: int) -> Any:
        """The case of this index, its random transforms applied."""
        file = self._files[index]
        if self._items.get(file) is None:
            if _load(file) is None and (problem := self._make(index)):
                raise DataError(problem)
            self._items[file] = _load(file)
        if not self.in_memory:
            self._check_mapped(file)
        return self.apply_random(_map_leaves(self._items[file], lambda leaf: leaf))

    def _check_mapped(self, file: Path) -> None:
        """Refuse a mapped file that has become shorter: reading what is gone would end the process by SIGBUS."""
        with suppress(FileNotFoundError):  # the mapping keeps a file that was deleted
            if file.stat().st_size < self._sizes[file]:
                raise DataError(f"{file}: was cut short while the run read it: delete it, and start the run again")


def _load(file: Path, *, mmap: bool = True, warn: bool = True, check: bool = False) -> Any:
    """The item in a file, None where there is none or it is broken; `check` reads all of it, and finds damage too."""
    try:
        if check:
            check_seal(file)
        return torch.load(file, map_location="cpu", mmap=mmap, weights_only=True)
    except Exception as error:  # of many types: it depends on where a file breaks off
        if warn and file.exists():
            _logger.warning("%s is broken (%s): its case is preprocessed again", file, str(error).partition("\n")[0])
        return None


def _save(item: Any, file: Path) -> str | None:
    """Put the item's file in place, whole; returns what went wrong."""
    try:
        with whole_file(file) as temporary:
            save_sealed(item, temporary)
            if _load(temporary, warn=False, check=True) is None:
                raise OSError("it can't be read back")
    except OSError as error:
        return str(error)
    return None


def _map_leaves(value: Any, function: Callable[[Any], Any]) -> Any:
    """New containers with what the function makes of the values in them."""
    if isinstance(value, Mapping):
        return {key: _map_leaves(part, function) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_map_leaves(part, function) for part in value]
    return function(value)


def _plain(leaf: Any) -> Any:
    """A value that can be loaded with ``weights_only``; of a tensor, no more than it shows."""
    if isinstance(leaf, torch.Tensor):
        return leaf.detach().cpu().clone()
    leaf = leaf.item() if isinstance(leaf, np.generic) else leaf
    if isinstance(leaf, (bool, int, float, str, type(None))):
        return leaf
    raise TypeError(f"a case must be made of tensors, numbers and text, got {type(leaf).__name__}")


def _file_name(item: Any, transform_hash: str) -> str:
    """The case's name, then the key that tells what its file was made of."""
    name = re.sub(r"[^\w.-]", "_", Path(_case_file(item).removesuffix(".gz")).stem)
    return f"{name or 'case'}_{fingerprint([transform_hash, _map_leaves(item, _stamp)])[:_KEY_DIGITS]}.pt"


def _case_file(item: Any) -> str:
    """The file that a case is called by: its label, else its image, else the first there is."""
    values = [item.get("label"), item.get("image"), *item.values()] if isinstance(item, Mapping) else [item]
    leaves = (leaf for value in values for leaf in ensure_tuple(value, wrap_array=True))
    return next((_stamp(leaf)[0] for leaf in leaves if _stamp(leaf) is not leaf), "")


def _stamp(leaf: Any) -> Any:
    """A source file's path, size and time of change; anything else as it is."""
    if not isinstance(leaf, (str, os.PathLike)) or not os.path.isfile(leaf):
        return leaf
    status = os.stat(leaf)
    return [os.path.abspath(leaf), status.st_size, status.st_mtime_ns]
