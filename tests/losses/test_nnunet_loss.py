"""LabelLoss beside nnU-Net's own losses, where the variable PATCHGROW_NNUNET_PYTHON names an interpreter that has them.

nnU-Net is imported in its own process, which takes some seconds.
"""

import os
import subprocess

import pytest
import torch

from monai_patchgrow.losses import LabelLoss

PYTHON = os.environ.get("PATCHGROW_NNUNET_PYTHON")
REGIONS = [(1, 2, 3), (2, 3), (3,)]
THEIRS = """
import sys
import torch
from nnunetv2.training.loss.compound_losses import DC_and_BCE_loss, DC_and_CE_loss
from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

for kind, batch, logits, labels in torch.load(sys.argv[1]):
    dice = {"batch_dice": batch, "smooth": 1e-5, "ddp": False}
    if kind == "ignore":
        loss = DC_and_CE_loss({**dice, "do_bg": False}, {}, ignore_label=4, dice_class=MemoryEfficientSoftDiceLoss)
        target = labels
    else:
        masks = [torch.isin(labels, torch.tensor(own)) for own in [(1, 2, 3), (2, 3), (3,)]]
        target = torch.cat([*masks, labels == 4] if kind == "both" else masks, 1)
        target = target if kind == "both" else target.float()
        options = {"use_ignore_label": kind == "both", "dice_class": MemoryEfficientSoftDiceLoss}
        loss = DC_and_BCE_loss({}, {**dice, "do_bg": True}, **options)
    logits.requires_grad_()
    value = loss(logits, target)
    value.backward()
    results = globals().setdefault("results", [])
    results.append((value.detach(), logits.grad))
torch.save(results, sys.argv[1])
"""


@pytest.mark.skipif(PYTHON is None, reason="PATCHGROW_NNUNET_PYTHON names no interpreter with nnunetv2")
def test_values_and_gradients_are_those_of_nnunet(tmp_path):
    generator, cases = torch.Generator().manual_seed(0), []
    for kind in ("regions", "ignore", "both"):
        for batch in (False, True):
            labels = torch.randint(4 if kind == "regions" else 5, (3, 1, 8, 8, 8), generator=generator).float()
            channels = 4 if kind == "ignore" else 3
            cases.append((kind, batch, torch.randn(3, channels, 8, 8, 8, generator=generator), labels))
    torch.save(cases, tmp_path / "cases.pt")
    subprocess.run([PYTHON, "-W", "ignore", "-c", THEIRS, str(tmp_path / "cases.pt")], check=True, capture_output=True)
    for (kind, batch, logits, labels), (value, gradient) in zip(cases, torch.load(tmp_path / "cases.pt"), strict=True):
        regions = () if kind == "ignore" else REGIONS
        ours = LabelLoss(regions=regions, ignore_label=None if kind == "regions" else 4, batch=batch)(
            logits.requires_grad_(), labels
        )
        ours.backward()
        torch.testing.assert_close(ours, value + 1, rtol=0, atol=1e-5)
        torch.testing.assert_close(logits.grad, gradient, rtol=1e-4, atol=1e-8)
