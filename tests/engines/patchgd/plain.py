"""PatchGD's algorithm as its text has it, one patch and one step after the other: what the package is held against."""

from __future__ import annotations

from copy import deepcopy
from itertools import product

import numpy as np
import torch
from torch import nn


def cut(image, patch_size, stride=None):
    """The patches of an image `(C, *spatial)` by their place in its grid; beyond the border there are zeros."""
    stride = stride or patch_size
    counts = []
    for axis, (size, step) in enumerate(zip(patch_size, stride, strict=True), start=1):
        count = 1
        while (count - 1) * step + size < image.shape[axis]:
            count += 1
        missing = (count - 1) * step + size - image.shape[axis]
        image = torch.cat([image, image.new_zeros([*image.shape[:axis], missing, *image.shape[axis + 1 :]])], axis)
        counts.append(count)
    for axis, (size, step) in enumerate(zip(patch_size, stride, strict=True), start=1):
        image = image.unfold(axis, size, step)
    return {place: image[(slice(None), *place)] for place in product(*map(range, counts))}


def plain_pass(
    *, encoder, head, loss_function, images, target, patch_size, fill, inner, accumulation, step, stride=None
):
    """Losses of the inner steps, and the final Z `(B, D, *grid)`."""
    patches = [cut(image, patch_size, stride) for image in images]
    grid = tuple(np.max([list(own) for own in patches for own in own], axis=0) + 1)
    mask = torch.tensor([[place in own for place in product(*map(range, grid))] for own in patches])
    mask = mask.reshape(len(images), *grid)

    def encode(network, z, chunk):
        places = [tuple(np.unravel_index(cell, grid)) for cell in chunk]
        who = [(image, place) for image, own in enumerate(patches) for place in places if place in own]
        latents = network(torch.stack([patches[image][place] for image, place in who]))
        z = torch.zeros(len(images), latents.shape[1], *grid, dtype=latents.dtype) if z is None else z
        for (image, place), latent in zip(who, latents, strict=True):
            z[(image, slice(None), *place)] = latent
        return z

    z, untouched = None, deepcopy(encoder)
    with torch.no_grad():
        for chunk in fill:
            z = encode(untouched, z, chunk)
    losses = []
    for number, chunk in enumerate(inner, start=1):
        z = encode(encoder, z.detach().clone(), chunk)
        logits = head(z, mask) if getattr(head, "takes_mask", False) else head(z)
        loss = loss_function(logits, target)
        (loss / accumulation).backward()
        losses.append(loss.item())
        if number % accumulation == 0 or number == len(inner):
            step()
    return losses, z.detach()


class Run:
    """Copies of an encoder and a head, under an optimiser that notes the gradients of each of its steps."""

    def __init__(self, encoder, head, *, lr=0.1):
        self.network = nn.ModuleDict({"encoder": deepcopy(encoder), "head": deepcopy(head)})
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=lr, momentum=0.9)
        self.gradients = []

    def step(self):
        gradients = {name: parameter.grad for name, parameter in self.network.named_parameters()}
        self.gradients.append({name: None if grad is None else grad.clone() for name, grad in gradients.items()})
        self.optimizer.step()
        self.optimizer.zero_grad()

    @property
    def parts(self):
        return {"encoder": self.network["encoder"], "head": self.network["head"], "step": self.step}


def farthest(first, second):
    """The largest difference between tensors of two dictionaries."""
    assert first.keys() == second.keys()
    return max(float((first[name].double() - second[name].double()).abs().max()) for name in first)
