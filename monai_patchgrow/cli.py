"""The `patchgrow` command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fire

from monai_patchgrow.bundle.one_line import one_line_errors
from monai_patchgrow.files import write_whole
from monai_patchgrow.schedules import GrowthSchedule
from monai_patchgrow.tools.exchange.command import from_nnunet, to_nnunet
from monai_patchgrow.tools.plan.command import new

__all__ = ["main"]


def plan(
    patch_size: Sequence[int],
    total_stride: Sequence[int],
    batch_size: int,
    max_epochs: int = 1000,
    curriculum: str = "efficiency",
    smallest_patch: Sequence[int] | None = None,
    axis_order: Sequence[int] | None = None,
    full_patch_share: float | None = None,
) -> str:
    """Print the stages of a run: patch size, patches per batch, epochs and voxels.

    Args:
        patch_size: full patch, voxels per axis, as 40,56,40
        total_stride: product of the network's strides per axis, as 8,8,8
        batch_size: patches per batch at the full patch
        max_epochs: epochs of the run
        curriculum: constant, pgps, pgps_plus, efficiency, performance or random
        smallest_patch: first patch, for networks that take none as small as their stride
        axis_order: which array axis plays the authors' axis 0, 1, 2; 2,1,0 for arrays (x, y, z)
        full_patch_share: share of the epochs on the full patch; default: the papers', 1 over the number of stages
    """
    return str(
        GrowthSchedule.plan(
            patch_size=_axes(patch_size),
            total_stride=_axes(total_stride),
            batch_size=batch_size,
            max_epochs=max_epochs,
            curriculum=curriculum,
            smallest_patch=None if smallest_patch is None else _axes(smallest_patch),
            axis_order=None if axis_order is None else _axes(axis_order),
            full_patch_share=full_patch_share,
        )
    )


def phantom(directory: str, num_cases: int = 40, seed: int = 0) -> str:
    """Write the phantom task, a small synthetic data set in Decathlon layout.

    Args:
        directory: folder to write
        num_cases: number of labelled cases
        seed: seed of the whole task
    """
    from monai_patchgrow.data import write_phantom_task

    return str(write_phantom_task(directory, num_cases=num_cases, seed=seed))


def verify_data(
    dataset_dir: str,
    trust_label_voxels: bool = False,
    num_classes: int | None = None,
    headers_only: bool = False,
    json: str | bool = False,
    repair: str | None = None,
    num_workers: int | None = None,
    split_file: str | None = None,
) -> None:
    """Find all that is wrong with a data set: file, rule, and what mends it; the exit code is 1 where there is a fault.

    Args:
        dataset_dir: folder in the Decathlon's or nnU-Net's layout, or of labelled images
        trust_label_voxels: take labels of their image's shape as they are, whatever their headers say
        num_classes: of labelled images; default: those that there are
        headers_only: read headers, and no voxel
        json: file that gets the result as JSON; without a name it is printed instead of the table
        repair: folder, new or empty, that gets a copy in which what is harmless is mended, and is checked again
        num_workers: processes; default: one per core, at most 8
        split_file: of one's own, nnU-Net's splits_final.json or a table, which is checked too
    """
    from monai_patchgrow.tools.verify_data import check_data, repair_data

    options: dict[str, Any] = {"trust_label_voxels": trust_label_voxels, "num_classes": num_classes}
    options |= {"headers_only": headers_only, "num_workers": num_workers}
    options |= {"split_file": None if split_file is None else str(split_file)}
    report = check_data(str(dataset_dir), **options)
    if repair is not None:
        mended, report = repair_data(report, str(repair), **options)
        if json is not True:
            print("\n".join([f"{repair}: mended {len(mended)}", *(f"{fault} [{fault.rule}]" for fault in mended), ""]))
    if isinstance(json, str):
        write_whole(report.as_json() + "\n", Path(json))
    print(report.as_json() if json is True else report.as_table())
    if not report.is_sound:
        raise SystemExit(1)


def quickstart(
    bundle: str,
    data: str | None = None,
    curriculum: str = "efficiency",
    epochs: int = 45,
    output_dir: str = "runs/quickstart",
    seed: int = 0,
) -> str:
    """Train with a growing patch and with the full one, for the same time, and compare their Dice.

    Args:
        bundle: folder of a training bundle
        data: folder in Decathlon layout; default: the phantom task
        curriculum: what to compare with constant
        epochs: epochs of the curriculum, of 20 iterations; constant gets those that the same time holds
        output_dir: gets the runs, the table and the picture
        seed: seed of both runs
    """
    from monai_patchgrow.tools.compare.quickstart import quickstart as run

    return run(bundle, data=data, curriculum=curriculum, epochs=epochs, output_dir=output_dir, seed=seed)


def quickstart_patchgd(bundle: str, epochs: int = 5, output_dir: str = "runs/quickstart_patchgd", seed: int = 0) -> str:
    """Learn the grades of phantom slides by PatchGD, and on slides shrunk to the same memory.

    Args:
        bundle: folder of panda_classification_patchgd
        epochs: epochs of 64 slides
        output_dir: gets the slides, the runs, the table and the picture
        seed: seed of all runs
    """
    from monai_patchgrow.tools.compare.quickstart_patchgd import quickstart_patchgd as run

    return run(bundle, epochs=epochs, output_dir=output_dir, seed=seed)


def bundle(plans: str, dataset: str, output: str, configuration: str = "3d_fullres", orientation: str = "RAS") -> str:
    """Turn a plan of nnU-Net v2 into a MONAI bundle.

    Args:
        plans: nnU-Net's nnUNetPlans.json
        dataset: the data set's dataset.json, nnU-Net's or the Decathlon's
        output: folder of the bundle, new or empty; the segmentation keyword of MONAI Label belongs into its name
        configuration: 3d_fullres, 3d_lowres or 2d
        orientation: codes of the axes along which most images are stored; all are turned to it
    """
    from monai_patchgrow.tools.render.bundle import BundleCard, render_bundle, write_bundle
    from monai_patchgrow.tools.render.nnunet_plans import read_nnunet_plan
    from monai_patchgrow.tools.render.plan_files import plan_files

    plan = read_nnunet_plan(str(plans), str(dataset), configuration=str(configuration), orientation=str(orientation))
    files = {**render_bundle(plan, BundleCard.of(plan)), **plan_files(str(plans), str(dataset))}
    return str(write_bundle(files, str(output)))


def inspect(bundle: str, allow: str | Sequence[str] = "", json: bool = False) -> None:
    """Read a bundle without running anything of it, and print what it holds beside known components and tensors.

    Exit code 1: there is a finding; each is one line, ``file: key: what: why``. SECURITY.md says what this promises.

    Args:
        bundle: folder or zip archive
        allow: packages, classes or functions that its configs may use beside the known ones, as mine,other.nets
        json: print the findings as JSON
    """
    from monai_patchgrow.tools.inspect import inspect_bundle

    names = allow.split(",") if isinstance(allow, str) else allow
    report = inspect_bundle(str(bundle), allow=[str(name) for name in names if name])
    print(report.as_json() if json else report)
    if report.findings:
        raise SystemExit(1)


def run(bundle: str, *words: str, allow: str = "", trust: str = "") -> None:
    """Inspect a bundle, and run it by `python -m monai.bundle run WORDS` where nothing was found.

    Config files of other folders that the words name are inspected too; values on the command line are the user's own.

    Args:
        bundle: folder
        words: of `python -m monai.bundle run`, as --config_file BUNDLE/configs/train.json --max_epochs 10
        allow: packages, classes or functions that its configs may use beside the known ones, as mine,other.nets
        trust: findings to accept, as configs/train.json or configs/train.json:run#0
    """
    from monai_patchgrow.tools.inspect.run import RunWords, inspect_run, start_run

    order = RunWords.parse([str(bundle), f"--allow={allow}", f"--trust={trust}", *words])
    report = inspect_run(order)
    print(report, file=sys.stderr)
    if report.findings:
        raise ValueError(
            "the bundle is not run: accept each finding by --trust FILE or FILE:KEY, or --allow a component"
        )
    start_run(order.words)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `patchgrow` command; a user's error is one line on stderr and exit code 1."""
    commands = {
        "plan": plan,
        "new": new,
        "bundle": bundle,
        "from_nnunet": from_nnunet,
        "to_nnunet": to_nnunet,
        "phantom": phantom,
        "verify_data": verify_data,
        "inspect": inspect,
        "run": run,
        "quickstart": quickstart,
        "quickstart_patchgd": quickstart_patchgd,
    }
    given = list(sys.argv[1:] if arguments is None else arguments)
    with one_line_errors():
        if given[:1] == ["run"] and not {"-h", "--help"} & {*given}:
            run(*(given[1:] or [""]))  # Fire would change MONAI's words
        else:
            fire.Fire(commands, command=given, name="patchgrow")


def _axes(value: Any) -> tuple[Any, ...]:
    """Fire reads 40,56,40 as a tuple and 40 as a number."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


if __name__ == "__main__":
    main()
