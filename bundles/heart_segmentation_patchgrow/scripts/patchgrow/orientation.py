"""MONAI's ``Orientation``, whose way back is the way that it came."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from monai.data import MetaTensor
from monai.transforms import Orientation
from monai.transforms.spatial.functional import orientation
from monai.utils import TraceKeys

__all__ = ["ReturningOrientation"]


class ReturningOrientation(Orientation):
    """Turns a volume to the given codes; ``inverse`` undoes the very turn.

    MONAI's own decides anew, from the affine of the turned volume, which axis is which. Between axes, at 45 degrees,
    that may come out in another way, and the volume that is turned back lies on other axes than before.

    Args:
        axcodes: such as "RAS".

    >>> volume = MetaTensor(np.zeros((1, 4, 5, 6)), np.diag([-1.0, 1, 1, 1]))
    >>> turn = ReturningOrientation("SAR", labels=None)
    >>> turned = turn(volume)
    >>> tuple(turned.shape), tuple(turn.inverse(turned).shape)
    ((1, 6, 5, 4), (1, 4, 5, 6))
    """

    def inverse(self, data: MetaTensor) -> MetaTensor:
        """Return the volume on the axes that it had."""
        affine = np.asarray(self.pop_transform(data)[TraceKeys.EXTRA_INFO]["original_affine"])
        before = nib.orientations.io_orientation(affine)
        after = nib.orientations.axcodes2ornt(self.axcodes[: len(before)])
        back = nib.orientations.ornt_transform(after, before)
        with self.trace_transform(False):
            return orientation(data, np.asarray(data.affine), back, False, self.get_transform_info())
