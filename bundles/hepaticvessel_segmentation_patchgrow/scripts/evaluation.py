"""Finds labelled cases, sets broken ones apart, and evaluates the others."""

from __future__ import annotations

import os
import runpy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.handlers import from_engine
from monai.transforms import Compose

__all__ = ["evaluate", "label_dice", "labelled_cases", "sound_cases"]

_SCRIPTS = Path(__file__).parent
_COMMAND = runpy.run_path(str(_SCRIPTS / "command.py"))
carried = runpy.run_path(str(_SCRIPTS / "carried.py"))["carried"]
LoaderAhead = runpy.run_path(str(_SCRIPTS / "ahead.py"))["LoaderAhead"]
_MEMORY = runpy.run_path(str(_SCRIPTS / "memory.py"))
OnCpuWhereFull, is_finite, saying_out_of_memory = (
    _MEMORY[name] for name in ("OnCpuWhereFull", "is_finite", "saying_out_of_memory")
)
register_readers = runpy.run_path(str(_SCRIPTS / "readers.py"))["register_readers"]
resample_per_case = runpy.run_path(str(_SCRIPTS / "resampling.py"))["resample_per_case"]
_SETTINGS = runpy.run_path(str(_SCRIPTS / "settings.py"))
is_first_process, writing_alone = (_SETTINGS[name] for name in ("is_first_process", "writing_alone"))
complain, reason_of, stop, warn = (_COMMAND[name] for name in ("complain", "reason_of", "stop", "warn"))

Items = list[dict[str, Any]]


def label_dice(*, channels: Sequence[str], labels: Mapping[str, Any], regions_class_order: Any = None) -> Any:
    """The metric of an evaluator that is given label maps: Dice per class or region, without what is to be ignored."""
    classes = _classes(channels, labels, regions_class_order)[1]
    return carried("label_dice").LabelDice(
        classes.num_labels,
        include_background=False,
        output_transform=from_engine(["pred", "label"]),
        regions=list(classes.regions.values()),
        ignore_label=classes.ignored,
    )


def labelled_cases(
    dataset_dir: str | os.PathLike[str],
    *,
    fold: int | str,
    channels: Sequence[str],
    labels: Mapping[str, Any],
    regions_class_order: Any = None,
    split_file: str | None = None,
) -> Items:
    """The cases of a data set that a fold validates on, sorted by name.

    Args:
        dataset_dir: folder in Decathlon's or nnU-Net's raw layout.
        fold: one of nnU-Net's five, 0 to 4, or of the split_file; "all"; "test" for the cases that it holds out.
        channels: the bundle's.
        labels: the bundle's.
        regions_class_order: the bundle's, where its labels are regions.
        split_file: nnU-Net's splits_final.json, or a CSV or JSON file of cases with a fold or a patient each.

    Returns:
        Items `{"image": path or [path per channel], "label": path, "name": name of the case}`, with absolute paths.

    Raises:
        ValueError: a data set or a split_file that can't be read or used, other channels or labels, or no such fold.
    """
    try:
        # A path that starts at the root is no formula to a spreadsheet that opens the table of metrics.
        task = carried("decathlon").read_task(Path(dataset_dir).absolute())
        names, known = _classes(channels, labels, regions_class_order)
        carried("segmentation_classes").check_classes(task, folder=str(dataset_dir), channels=names, labels=known)
        file = None if split_file is None else carried("plain_settings").parse_file(split_file, name="split_file")
        split = carried("split").find_split(task.cases, fold=fold, split_file=file)
    except ValueError as error:
        stop(str(error))
    if is_first_process():
        for note in split.notes:
            warn(note)
    return [{**case.as_item(), "name": case.name} for case in split.validation]


def sound_cases(
    cases: Items,
    *,
    channels: Sequence[str],
    labels: Mapping[str, Any],
    regions_class_order: Any = None,
    verify_data: bool | str,
    trust_label_voxels: bool | str,
) -> Items:
    """The cases of which every voxel, read once, proves sound; the others are named, one line each.

    Args:
        cases: as `labelled_cases` gives them.
        channels: the bundle's.
        labels: the bundle's.
        regions_class_order: the bundle's, where its labels are regions.
        verify_data: false: all cases are taken for sound.
        trust_label_voxels: a label of its image's shape belongs to its image's voxels, whatever its header says.

    Raises:
        ValueError: no case is sound.
    """
    parse_switch = carried("plain_settings").parse_switch
    try:
        verify = parse_switch(verify_data, name="verify_data")
        trust = parse_switch(trust_label_voxels, name="trust_label_voxels")
    except ValueError as error:
        stop(str(error))
    if not verify:
        return list(cases)
    task = carried("task")
    parsed = [task.Case(case["name"], _paths(case["image"]), Path(case["label"])) for case in cases]
    names = _classes(channels, labels, regions_class_order)[1].names
    whole = task.DecathlonTask("", tuple(channels), names, tuple(parsed))
    problems = carried("verification").find_problems(whole, trust_label_voxels=trust)
    for name, problem in problems.items():
        if is_first_process():
            complain(f"case {name} is left out: {problem}")
    sound = [case for case in cases if case["name"] not in problems]
    if not sound:
        stop(f"dataset_dir: none of the {len(cases)} cases can be evaluated")
    return sound


def evaluate(
    evaluator: Any,
    *,
    cases: Items,
    labelled: Items,
    trust_label_voxels: bool | str,
    postprocessing: Compose,
    output_dir: str | os.PathLike[str],
    num_workers: int = 0,
) -> None:
    """Run the evaluator over the sound cases; one that fails on the way is named, and the others are evaluated again.

    Args:
        evaluator: MONAI's, over a Dataset of the cases.
        cases: the sound ones.
        labelled: all that were asked for.
        trust_label_voxels: as `sound_cases` takes it; that a label is trusted is said.
        postprocessing: the evaluator's, of logits; changed in place to do with little memory.
        output_dir: where the metrics are written, by no other run meanwhile.
        num_workers: threads that prepare the next cases, one each, while a case is evaluated; 0: one after the other.

    Raises:
        ValueError: another run writes there.
        RuntimeError: a case was left out or failed; the metrics of the others are written by then. A command ends with
            exit code 1 instead.
    """
    dataset = evaluator.data_loader.dataset
    register_readers(dataset.transform)
    resample_per_case(dataset.transform)
    postprocessing.transforms = (OnCpuWhereFull(Compose(postprocessing.transforms)),)
    loader = evaluator.data_loader
    if num_workers:
        evaluator.data_loader = LoaderAhead(loader, postprocessing, num_workers=num_workers)
    else:
        evaluator.data_loader = carried("stall_watch").WatchedLoader(loader)
    trust = carried("plain_settings").parse_switch(trust_label_voxels, name="trust_label_voxels")
    dataset.transform, evaluator.inferer = _Prepared(dataset.transform, trust), _Finite(evaluator.inferer)
    left = {item["name"] for item in labelled} - {item["name"] for item in cases}
    with writing_alone(output_dir):
        left |= _evaluate_sound(evaluator)
    if left:
        stop(f"{len(left)} of {len(labelled)} cases were not evaluated: {', '.join(sorted(left))}")


def _evaluate_sound(evaluator: Any) -> set[str]:
    """Run the evaluator until all of its cases that can be evaluated are; the names of the others."""
    dataset, left = evaluator.data_loader.dataset, set[str]()
    while True:
        try:
            evaluator.run()
            return left
        except OSError as error:  # not of a case, which comes as a _CaseError
            reason = error.strerror or error
            stop(f"output_dir: the metrics can't be written ({reason}): make room there, or give another folder")
        except Exception as error:
            if isinstance(error, RuntimeError) and str(error).startswith("DataLoader "):  # of no case, but of a worker
                reason = str(error).rstrip(" .")
                stop(f"num_workers: {reason}: is /dev/shm or the memory full? fewer num_workers need less")
            name = _case_of(error, evaluator)
            if name not in {item["name"] for item in dataset.data} or len(dataset) == 1 or _has_others():
                stop(f"case {name} can't be evaluated: {reason_of(error)}")
            complain(f"case {name} failed and is left out: {reason_of(error)}")
            left.add(name)
            dataset.data = [item for item in dataset.data if item["name"] != name]
            evaluator.state.epoch_length = len(evaluator.data_loader)
            evaluator.run()  # Ignite 0.5.5 keeps what is left of a run that raised: this one finds it spent, and ends


class _CaseError(RuntimeError):
    """A case that can't be prepared."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


class _Prepared:
    """Preprocessing whose errors tell the case, and that lets no label of another grid and no NaN pass."""

    def __init__(self, transform: Any, trust_label_voxels: bool) -> None:
        self.transform, self.trust_label_voxels = transform, trust_label_voxels

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        try:
            data = self.transform(item)
            if not is_finite(data["image"]):
                raise ValueError("the image has voxels that are no finite number")
            self._check_grid(item, data["image"].meta, data["label"])
        except Exception as error:
            raise _CaseError(item["name"], reason_of(error)) from error
        return data

    def _check_grid(self, item: dict[str, Any], image: dict[str, Any], label: Any) -> None:
        header, shape = carried("nifti_header"), tuple(map(int, image["spatial_shape"]))
        if tuple(label.shape[1:]) != shape:
            raise ValueError(f"{item['label']}: shape {tuple(label.shape[1:])}, but its image has {shape}")
        moved = header.voxels_moved(shape, image["original_affine"], label.affine)
        if not moved < header.SAME_VOXEL:
            if not self.trust_label_voxels:
                raise ValueError(f"{item['label']}: {header.off_grid(moved)}")
            warn(f"{item['label']}: its header is {moved:.3g} voxels off its image's: its voxels are trusted")


class _Finite:
    """An inferer whose output is finite: of NaN the largest is class 0, which would be a silent wrong."""

    def __init__(self, inferer: Any) -> None:
        self.inferer = inferer

    def __call__(self, images: torch.Tensor, network: Any, *arguments: Any, **options: Any) -> torch.Tensor:
        logits = self.inferer(images, saying_out_of_memory(network), *arguments, **options)
        if not is_finite(logits):
            raise ValueError("the network's output has values that are no finite number")
        return logits


def _classes(channels: Any, labels: Any, regions_class_order: Any) -> tuple[Any, Any]:
    """Names of the channels, and what the labels stand for."""
    parse = carried("segmentation_classes")
    return parse.parse_channels(channels), parse.parse_labels(labels, regions_class_order)


def _paths(image: Any) -> Any:
    return tuple(map(Path, image)) if isinstance(image, list) else Path(image)


def _case_of(error: BaseException | None, evaluator: Any) -> str:
    """The name of the case at which an evaluation broke off."""
    while error is not None:
        if isinstance(error, _CaseError):
            return error.name
        error = error.__cause__
    batch = getattr(evaluator.state, "batch", None) or {}
    if isinstance(batch, list):  # postprocessing and metrics have the items of the batch one by one
        return str(batch[0]["name"])
    return str((batch.get("name") or ["?"])[0])


def _has_others() -> bool:
    """Whether other processes wait for this one's share of the metrics."""
    return torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1
