"""What the tests of a pass of PatchGD share."""

import pytest
import torch


@pytest.fixture
def double_precision():
    """Everything that is made has 64 bits, from a fixed seed."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)
