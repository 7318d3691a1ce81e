"""Predicts label maps, in a loop over cases that outlives a broken one, and reads and writes while it computes.

python scripts/predict.py --dataset_dir IMAGES --output_dir LABELS [--ckpt_path A.pt B.pt] [--KEY VALUE ...]

It needs MONAI and nibabel, ITK and pydicom for DICOM, highdicom to write DICOM, scipy for images of another voxel size
than the network's, and safetensors for weights of that kind.
"""

from __future__ import annotations

import argparse
import ast
import logging
import os
import re
import runpy
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose, LoadImage, SaveImaged

__all__ = ["check_format", "check_output", "main", "predict"]

_SCRIPTS = Path(__file__).parent
_COMMAND, _LABEL_MAPS = (runpy.run_path(str(_SCRIPTS / f"{name}.py")) for name in ("command", "label_maps"))
complain, ended_by_sigterm, is_command, reason_of = (
    _COMMAND[name] for name in ("complain", "ended_by_sigterm", "is_command", "reason_of")
)
_AHEAD = runpy.run_path(str(_SCRIPTS / "ahead.py"))
in_background, read_ahead = (_AHEAD[name] for name in ("in_background", "read_ahead"))
check_format, check_output, target_of, write = (
    _LABEL_MAPS[name] for name in ("check_format", "check_output", "target_of", "write")
)
_MEMORY = runpy.run_path(str(_SCRIPTS / "memory.py"))
OnCpuWhereFull, is_finite, saying_out_of_memory = (
    _MEMORY[name] for name in ("OnCpuWhereFull", "is_finite", "saying_out_of_memory")
)
register_readers = runpy.run_path(str(_SCRIPTS / "readers.py"))["register_readers"]
resample_per_case = runpy.run_path(str(_SCRIPTS / "resampling.py"))["resample_per_case"]
writing_alone = runpy.run_path(str(_SCRIPTS / "settings.py"))["writing_alone"]
_LOGGER = logging.getLogger("predict")


def predict(
    items: Sequence[dict[str, Any]],
    *,
    network: torch.nn.Module,
    inferer: Callable[..., torch.Tensor],
    preprocessing: Callable[[dict[str, Any]], dict[str, Any]],
    postprocessing: Compose,
    output_dir: str | os.PathLike[str],
    device: torch.device | str,
    amp: bool = False,
    amp_kwargs: Mapping[str, Any] | None = None,
    output_format: str = "nifti",
    labels: Mapping[str, Any] | None = None,
    regions_class_order: Sequence[int] | None = None,
    num_workers: int = 0,
) -> list[Path]:
    """Write one label map per case, NAME.nii.gz on the voxels of its image; a case that fails is named and skipped.

    Args:
        items: as `find_images` gives them.
        network: logits of patches.
        inferer: called with images (1, C, *spatial) and the network.
        preprocessing: of an item; changed in place, as `resample_per_case` says.
        postprocessing: of an item with "pred", the logits (K, *spatial); its SaveImaged is left out.
        output_dir: made if it is missing.
        device: that the network is on.
        amp: automatic mixed precision.
        amp_kwargs: of ``torch.autocast``, such as its ``dtype``.
        output_format: "nifti", or "dicom-seg" for a DICOM segmentation, NAME.dcm, of a DICOM series.
        labels: the bundle's, by which the segments of a DICOM segmentation are made.
        regions_class_order: the bundle's, where its labels are regions.
        num_workers: threads that preprocess the next cases, one each, while a case is computed and the label map of
            the one before is written; 0: one thing after the other. The label maps are the same.

    Returns:
        The files written.

    Raises:
        RuntimeError: cases failed; all others are written by then. A command ends with exit code 1 instead.
        ValueError: as `check_output` and `check_format`; another run writes to the folder.
    """
    check_output(items, output_dir)
    check_format(items, output_format, output_dir)
    register_readers(preprocessing)
    resample_per_case(preprocessing)
    network.eval()
    save_free = Compose([step for step in postprocessing.transforms if not isinstance(step, SaveImaged)])
    mixed = {"enabled": amp, **(amp_kwargs or {})}
    compute = partial(_compute, network=network, inferer=inferer, device=torch.device(device), mixed=mixed)
    where = (Path(output_dir), output_format, (labels, regions_class_order))
    ends = _Ends(items, output_dir, output_format)
    cases = read_ahead(items, partial(_read, preprocessing), save_free, num_workers=num_workers)
    alone, ending = writing_alone(output_dir), ended_by_sigterm()
    with alone, ending, in_background(num_workers > 0) as submit, closing(cases):
        for number, (item, case) in enumerate(zip(items, cases, strict=True)):
            start = time.perf_counter()
            try:
                written = submit(write, compute(*case.result()), item, *where)
            except Exception as error:
                ends.tell()
                case.say()
                ends.fail(item, error)
            else:
                ends.tell()
                case.say()
                ends.wait_for(number, start, written)
                if not num_workers:
                    ends.tell()
        ends.tell()
    if ends.failed:
        message = f"{len(ends.failed)} of {len(items)} cases failed: {', '.join(ends.failed)}"
        raise SystemExit(f"error: {message}") if is_command() else RuntimeError(message)
    return ends.targets


def main(arguments: Sequence[str] | None = None) -> None:
    """Run configs/inference.json of the bundle that this file belongs to, with any of its keys as --KEY VALUE."""
    parser = argparse.ArgumentParser(description="Predict label maps of images with this bundle.", allow_abbrev=False)
    parser.add_argument("--dataset_dir", nargs="+", required=True, help="NIfTI file, DICOM series, folder or list")
    parser.add_argument("--output_dir", help="folder for the label maps; default: predictions, in the bundle")
    parser.add_argument("--ckpt_path", nargs="+", help="weights; several are an ensemble; default: models/model.pt")
    given = sys.argv[1:] if arguments is None else arguments
    parts = [part.split("=", 1) if re.match(r"--[\w#:]+=", part) else [part] for part in given]
    known, rest = parser.parse_known_args([word for words in parts for word in words])
    keys, values = rest[::2], rest[1::2]
    if len(keys) != len(values) or not all(key.startswith("--") for key in keys):
        parser.error(f"give the keys of inference.json as --KEY VALUE, got {' '.join(rest)}")
    overrides = {key[2:]: _parse(value) for key, value in zip(keys, values, strict=True)}
    for key, value in vars(known).items():
        if value is not None:
            overrides[key] = value[0] if isinstance(value, list) and len(value) == 1 else value
    root = Path(__file__).resolve().parents[1]
    content = ConfigParser.load_config_file(root / "configs" / "inference.json")
    if unknown := [key for key in overrides if re.split("#|::", key)[0] not in content]:
        parser.error(f"inference.json has no {', '.join(unknown)}; its keys are {', '.join(content)}")
    config = ConfigParser(content)
    config.update({"bundle_root": str(root), **overrides})
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s - %(message)s")
    for section in ("initialize", "run"):
        config.get_parsed_content(section)


class _Ends:
    """Tells how cases end, in their order: one that is being written, before the next one's end.

    Args:
        items: of all cases.
        output_dir: of the label maps.
        output_format: of the label maps.
    """

    def __init__(self, items: Sequence[dict[str, Any]], output_dir: str | os.PathLike[str], output_format: str) -> None:
        self.items, self.output_dir, self.output_format = items, output_dir, output_format
        self.targets: list[Path] = []
        self.failed: list[str] = []
        self._awaited: tuple[int, float, Callable[[], Path]] | None = None

    def wait_for(self, number: int, start: float, written: Callable[[], Path]) -> None:
        """Note a case whose end `tell` waits for."""
        self._awaited = number, start, written

    def tell(self) -> None:
        """Wait for the case that was noted, if there is one, and tell how it ended."""
        if self._awaited is None:
            return
        (number, start, written), self._awaited = self._awaited, None
        try:
            self.targets.append(written())
        except Exception as error:
            self.fail(self.items[number], error)
        else:
            seconds = time.perf_counter() - start
            _LOGGER.info("%d/%d %s: %.1f s", number + 1, len(self.items), self.targets[-1], seconds)

    def fail(self, item: dict[str, Any], error: BaseException) -> None:
        """Tell why a case failed."""
        self.failed.append(item["name"])
        earlier = target_of(item, self.output_dir, self.output_format)
        left = f"; {earlier} is an earlier run's" if earlier.exists() else ""
        complain(f"case {item['name']} failed and is skipped: {_reason(error, item)}{left}")


def _read(preprocessing: Callable[[dict[str, Any]], dict[str, Any]], item: dict[str, Any]) -> dict[str, Any]:
    data = preprocessing(dict(item))
    if not is_finite(data["image"].as_tensor()):
        raise ValueError("the image has voxels that are no finite number")
    return data


def _compute(
    data: dict[str, Any],
    postprocessing: Callable[[dict[str, Any]], dict[str, Any]],
    *,
    network: torch.nn.Module,
    inferer: Callable[..., torch.Tensor],
    device: torch.device,
    mixed: Mapping[str, Any],
) -> MetaTensor:
    """The label map (1, *spatial) on the grid of the image file."""
    images = data["image"].as_tensor()[None]
    with torch.no_grad(), torch.autocast(device.type, **mixed):
        logits = inferer(images.to(device), saying_out_of_memory(network))[0]

    def labels_of(data: dict[str, Any]) -> dict[str, Any]:
        if not is_finite(data["pred"]):
            raise ValueError("the network's output has values that are no finite number")
        return postprocessing({**data, "pred": MetaTensor(data["pred"])})

    return OnCpuWhereFull(labels_of)({**data, "pred": logits})["pred"].cpu()


def _reason(error: BaseException, item: dict[str, Any]) -> str:
    """The first cause, in one line, and what would help."""
    reason = reason_of(error)
    if "scipy" in reason:
        return f"{reason} (voxels of another size than the network's are resampled by scipy: pip install scipy)"
    return f"{'all voxels are 0' if _is_blank(item) else reason} ({item['image']})"


def _is_blank(item: dict[str, Any]) -> bool:
    try:
        loader = LoadImage(image_only=True)
        register_readers(loader, is_quiet=True)  # the first reading has warned
        return not loader(item["image"]).any()
    except Exception:  # it cannot be read: the first error says so
        return False


def _parse(value: str) -> Any:
    """A literal of Python or JSON; anything else is text."""
    try:
        return ast.literal_eval({"true": "True", "false": "False", "null": "None"}.get(value, value))
    except (SyntaxError, ValueError):
        return value


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # MONAI's and torch's, of no use to who predicts
    main()
