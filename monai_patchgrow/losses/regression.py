"""A loss for a number per image, and the nearest grade of such a number."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from monai_patchgrow.internals.torch import Loss

__all__ = ["RegressionLoss", "regression_grades"]


class RegressionLoss(Loss):
    """Torch's squared or Huber error of one output per image, whatever the shape and type of the target.

    Torch's own would broadcast an output ``(B, 1)`` against a target ``(B,)`` to ``(B, B)``.

    Args:
        kind: "mse" or "huber".
        delta: of "huber": where the error goes from squared to linear, in the target's unit.

    Shape:
        input ``(B, 1)`` or ``(B,)``, target ``(B, 1)`` or ``(B,)`` of any number type; a scalar, the mean over images.

    Raises:
        ValueError: an unknown kind, or more than one output per image.

    >>> import torch
    >>> RegressionLoss()(torch.tensor([[1.0], [4.0]]), torch.tensor([1, 2]))
    tensor(2.)
    """

    def __init__(self, kind: Literal["mse", "huber"] = "mse", *, delta: float = 1.0) -> None:
        super().__init__()
        if kind not in ("mse", "huber"):
            raise ValueError(f'kind must be "mse" or "huber", got {kind!r}')
        self.error = nn.MSELoss() if kind == "mse" else nn.HuberLoss(delta=delta)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The mean error."""
        if input.numel() != input.shape[0] or target.numel() != input.shape[0]:
            raise ValueError(
                f"a regression has one output and one target per image, got {tuple(input.shape)} and "
                f"{tuple(target.shape)}"
            )
        return self.error(input.flatten(), target.flatten().to(input.dtype))


def regression_grades(prediction: Tensor, num_grades: int) -> Tensor:
    """Return the nearest of the grades 0 to ``num_grades - 1``, ``(..., 1)`` to ``(...)``.

    >>> import torch
    >>> regression_grades(torch.tensor([[-0.7], [1.6], [7.0]]), 6)
    tensor([0, 2, 5])
    """
    return prediction.squeeze(-1).round().clamp(0, num_grades - 1).long()
