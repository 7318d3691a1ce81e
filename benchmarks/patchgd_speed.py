"""Times one pass of PatchGD against the authors' algorithm step by step, and against plain gradient descent.

    bash scripts/setup.sh plot && . scripts/environment.sh && .venv/bin/python benchmarks/patchgd_speed.py

All take turns in one run, on the same images, weights and chunks. `authors_pass` is the algorithm as the paper and its
code have it, but for its defects that would change the result. The floor is 4/3 of gradient descent's time: every patch
forward once without gradient, then forward and backward. Writes a dated JSON and Markdown to benchmarks/results.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import fire
import torch
from results_file import median_and_range, table, write_results
from torch import Tensor, nn

from monai_patchgrow.engines.patchgd import patchgd_pass
from monai_patchgrow.networks import ConvHead, backbone
from monai_patchgrow.schedules.patch_grid import PatchGrid

CLASSES = 10
FLOOR = 4 / 3
OURS, AUTHORS, DESCENT = "patchgd_pass", "authors' steps", "gradient descent"


@dataclass
class Case:
    """A network, its images, and the chunks of a pass."""

    name: str
    encoder: nn.Module
    head: nn.Module
    images: Tensor
    target: Tensor
    patch: int
    chunks: list[list[int]]

    @classmethod
    def make(cls, name: str, encoder: nn.Module, *, latent_dim: int, size: int, patch: int, batch: int) -> Case:
        """A case with the paper's head and sampling, 1/8, and random images."""
        torch.manual_seed(0)
        grid = PatchGrid((size, size), (patch, patch))
        order = torch.randperm(grid.num_cells).tolist()
        chunk = grid.num_cells // 8
        chunks = [order[first : first + chunk] for first in range(0, len(order), chunk)]
        head = ConvHead(latent_dim, CLASSES, grid_shape=grid.shape, dropout=0)
        images, target = torch.rand(batch, 3, size, size), torch.randint(CLASSES, (batch,))
        return cls(name, encoder, head, images, target, patch, chunks)


def measure(rounds: int = 3) -> None:
    """Time both cases, `rounds` times in turn after one for warming up, and write the medians."""
    report({case.name: time_case(case, rounds) for case in make_cases()}, rounds)


def make_cases() -> list[Case]:
    """Few large patches with a real encoder, and many small ones with hardly any."""
    torch.manual_seed(0)
    return [
        Case.make(
            "ResNet18, 1024 px in 64 patches of 128 px, batch of 2",
            backbone("resnet18", in_channels=3, latent_dim=256),
            **{"latent_dim": 256, "size": 1024, "patch": 128, "batch": 2},
        ),
        Case.make(
            "one linear layer, 512 px in 1024 patches of 16 px, batch of 8",
            nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 256)),
            **{"latent_dim": 256, "size": 512, "patch": 16, "batch": 8},
        ),
    ]


def time_case(case: Case, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds of each way in each round: by the clock, and of the processor."""
    ways = {OURS: our_pass, AUTHORS: authors_pass, DESCENT: descend}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    losses: dict[str, float] = {}
    for number in range(rounds + 1):
        for name, way in ways.items():
            encoder, head = copy.deepcopy(case.encoder), copy.deepcopy(case.head)
            step = make_step(encoder, head)
            wall, cpu = time.perf_counter(), time.process_time()
            losses[name] = way(case, encoder, head, step)
            if number:
                times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
        print(case.name, number, losses, {name: some[-1:] for name, some in times.items()}, flush=True)
    if abs(losses[OURS] - losses[AUTHORS]) > 1e-4 * losses[AUTHORS]:
        raise RuntimeError(f"{case.name}: the losses differ: {losses}")
    return times


def make_step(encoder: nn.Module, head: nn.Module) -> Callable[[], None]:
    """A step of Adam that clears the gradients."""
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-3)

    def step() -> None:
        optimizer.step()
        optimizer.zero_grad()

    return step


def our_pass(case: Case, encoder: nn.Module, head: nn.Module, step: Callable[[], None]) -> float:
    """The exact variant: one head pass."""
    losses, _ = patchgd_pass(
        encoder=encoder,
        head=head,
        loss_function=nn.functional.cross_entropy,
        images=case.images,
        target=case.target,
        patch_size=(case.patch, case.patch),
        fill_chunks=case.chunks,
        inner_chunks=case.chunks,
        accumulation=len(case.chunks),
        exact=True,
        step=step,
    )
    return losses[0].item()


def authors_pass(case: Case, encoder: nn.Module, head: nn.Module, step: Callable[[], None]) -> float:
    """Fill Z, then J inner steps with a head pass each, gradients accumulated over all of them."""
    patches = cut(case)
    cells, steps = patches.shape[1], len(case.chunks)
    with torch.no_grad():
        latent = torch.cat([encode(encoder, patches, chunk) for chunk in case.chunks], dim=2)
        latent = latent[:, :, torch.tensor([cell for chunk in case.chunks for cell in chunk]).argsort()]
    side = int(cells**0.5)
    for chunk in case.chunks:
        latent = latent.detach()
        latent[:, :, chunk] = encode(encoder, patches, chunk)
        loss = nn.functional.cross_entropy(head(latent.unflatten(2, (side, side))), case.target)
        (loss / steps).backward()
    step()
    return loss.item()


def descend(case: Case, encoder: nn.Module, head: nn.Module, step: Callable[[], None]) -> float:
    """One step of gradient descent, all patches at once."""
    patches = cut(case)
    cells = patches.shape[1]
    side = int(cells**0.5)
    latent = encode(encoder, patches, range(cells)).unflatten(2, (side, side))
    loss = nn.functional.cross_entropy(head(latent), case.target)
    loss.backward()
    step()
    return loss.item()


def cut(case: Case) -> Tensor:
    """The patches of the images, ``(B, cells, C, patch, patch)``."""
    patch = case.patch
    return case.images.unfold(2, patch, patch).unfold(3, patch, patch).movedim(1, 3).flatten(1, 2)


def encode(encoder: nn.Module, patches: Tensor, chunk: Sequence[int]) -> Tensor:
    """Latents of a chunk, ``(B, D, cells)``."""
    some = patches[:, list(chunk)]
    return encoder(some.flatten(0, 1)).unflatten(0, some.shape[:2]).mT


def report(results: dict[str, dict[str, list[tuple[float, float]]]], rounds: int) -> None:
    """Write medians and ratios."""
    lines: list[str] = []
    for case, times in results.items():
        medians = {name: [statistics.median(kind) for kind in zip(*some, strict=True)] for name, some in times.items()}
        rows = [
            *([name, f"{wall:.2f}", f"{cpu:.2f}"] for name, (wall, cpu) in medians.items()),
            ["authors' steps / patchgd_pass", *ratios(times[AUTHORS], times[OURS])],
            ["patchgd_pass / its floor", *ratios(times[OURS], times[DESCENT], FLOOR)],
        ]
        lines += [f"## {case}", "", *table(["", "s", "processor's s"], rows), ""]
    page = write_results(
        "patchgd_speed",
        "Seconds of one PatchGD pass",
        script="benchmarks/patchgd_speed.py",
        record={"rounds": rounds, "wall_and_cpu_s": results},
        lines=[
            "The paper's head (256 channels; its dropout off, with which the steps would differ in what they drop), "
            "sampling 1/8: eight chunks. All cells are encoded with gradient, and one optimiser step is taken. "
            f"Medians of {rounds} rounds in turn; of the ratios within each round, also the range. Processor time is "
            "what other work on the machine changes least. The floor is 4/3 of gradient descent's time.",
            "",
            *lines,
        ],
    )
    print(page.read_text())


def ratios(some: Sequence[tuple[float, float]], others: Sequence[tuple[float, float]], factor: float = 1) -> list[str]:
    """Median and range of the ratios of each round: by the clock, and of the processor."""
    of_rounds = [[a[kind] / (factor * b[kind]) for a, b in zip(some, others, strict=True)] for kind in (0, 1)]
    return [median_and_range(found) for found in of_rounds]


if __name__ == "__main__":
    fire.Fire(measure)
