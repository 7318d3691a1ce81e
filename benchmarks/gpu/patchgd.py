"""Patch Gradient Descent with ResNet50: seconds and peak memory of a pass over images of several sizes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from monai_patchgrow.engines.patchgd import patchgd_pass
from monai_patchgrow.networks import AttentionPoolingHead, backbone
from monai_patchgrow.schedules.patch_grid import PatchGrid

__all__ = ["measure_patchgd"]

_PATCH, _LATENT, _CLASSES = 256, 256, 6


def measure_patchgd(device: str, folder: Path) -> dict[str, Any]:
    """One pass, a tenth of the patches at a time, in bfloat16 on a GPU; the second of two is measured."""
    sizes = (2048, 4096, 8192) if device == "cuda" else (512,)
    return {f"{size} px": _pass(size, device) for size in sizes}


def _pass(size: int, device: str) -> dict[str, Any]:
    torch.manual_seed(0)
    grid = PatchGrid((size, size), (_PATCH, _PATCH))
    encoder = backbone("resnet50", in_channels=3, latent_dim=_LATENT).to(device)
    head = AttentionPoolingHead(_LATENT, _CLASSES).to(device)  # ConvHead's batch norm takes no batch of one
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-4)
    order = torch.randperm(grid.num_cells).tolist()
    size_of_chunk = max(1, grid.num_cells // 10)
    chunks = [order[first : first + size_of_chunk] for first in range(0, len(order), size_of_chunk)]

    def step() -> None:
        optimizer.step()
        optimizer.zero_grad()

    def run() -> None:
        with torch.autocast("cuda", torch.bfloat16, enabled=device == "cuda"):
            patchgd_pass(
                encoder=encoder,
                head=head,
                loss_function=torch.nn.functional.cross_entropy,
                images=torch.rand(1, 3, size, size, device=device),
                target=torch.zeros(1, dtype=torch.long, device=device),
                patch_size=(_PATCH, _PATCH),
                fill_chunks=chunks,
                inner_chunks=chunks,
                accumulation=len(chunks),
                step=step,
            )

    run()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    peak = round(torch.cuda.max_memory_allocated() / 2**30, 3) if device == "cuda" else None
    return {"seconds": round(seconds, 3), "patches": grid.num_cells, "peak_GiB": peak}
