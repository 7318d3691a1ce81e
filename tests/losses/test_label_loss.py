"""LabelLoss: values and gradients of nnU-Net's loss, for regions, for a label to ignore, for both."""

import pytest
import torch
from monai.losses import DiceCELoss

from monai_patchgrow.losses import DeepSupervisionLoss, LabelLoss, LossOverRanks, label_loss
from monai_patchgrow.losses.patch_mean import is_mean_over_patches

REGIONS = [(1, 2, 3), (2, 3), (3,)]
IGNORE = 4
WEIGHTS = [2 / 3, 1 / 3]
KINDS = {
    "regions": {"regions": REGIONS},
    "ignore": {"ignore_label": IGNORE},
    "both": {"regions": REGIONS, "ignore_label": IGNORE},
}


def labels_of(kind, seed=0, size=8):
    """Labels (3, 1, X, Y, Z) in float64, the last patch annotated in a corner alone."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (3, 1, size, size, size), generator=generator).double()
    if "ignore_label" in kind:
        labels[torch.rand(labels.shape, generator=generator) < 0.3] = IGNORE
        labels[2, :, 2:] = IGNORE
    return labels


def logits_of(kind, seed=1, size=8):
    """Logits of two decoder levels, in float64."""
    generator = torch.Generator().manual_seed(seed)
    channels = len(REGIONS) if "regions" in kind else 4
    levels = [torch.randn(3, channels, *[voxels] * 3, generator=generator).double() for voxels in (size, size // 2)]
    return [level.requires_grad_() for level in levels]


def plain_loss(logits, labels, *, batch, regions=None, ignore_label=None):
    """The same with a list of voxels for each patch, from which those to ignore are taken out."""
    patches = []
    for scores, label in zip(logits, labels, strict=True):
        kept = label[0] != (-1 if ignore_label is None else ignore_label)
        patches.append((scores[:, kept].T, label[0][kept]))
    entropy = 0.0
    sums = []
    for scores, values in patches:
        if regions is None:
            probabilities = scores.exp() / scores.exp().sum(1, keepdim=True)
            entropy = entropy - sum(probabilities[i, int(v)].log() for i, v in enumerate(values))
            columns = [(probabilities[:, k], (values == k).double()) for k in range(1, scores.shape[1])]
        else:
            probabilities = 1 / (1 + (-scores).exp())
            truths = [torch.tensor([float(int(v) in own) for v in values]).double() for own in regions]
            for own, truth in zip(probabilities.T, truths, strict=True):
                entropy = entropy - (truth * own.log() + (1 - truth) * (1 - own).log()).sum()
            columns = [*zip(probabilities.T, truths, strict=True)]
        sums.append(torch.stack([torch.stack([(p * t).sum(), p.sum() + t.sum()]) for p, t in columns]))
    sums = torch.stack(sums)
    sums = sums.sum(0, keepdim=True) if batch else sums
    dice = ((2 * sums[..., 0] + 1e-5) / (sums[..., 1] + 1e-5)).mean()
    voxels = sum(len(values) for _, values in patches)
    # nnU-Net's binary cross-entropy is a mean over voxels and regions, but a sum over regions where voxels are ignored.
    terms = voxels * len(regions) if regions and ignore_label is None else voxels
    return 1 - dice + entropy / terms


def plain_levels(logits, labels, **options):
    """Both levels: of the coarse one the voxel whose centre lies nearest, the second of two."""
    levels = zip(logits, (labels, labels[..., 1::2, 1::2, 1::2]), WEIGHTS, strict=True)
    return sum(weight * plain_loss(scores, own, **options) for scores, own, weight in levels)


class InFloat64(DeepSupervisionLoss):
    """DeepSupervisionLoss, which takes logits in float32, in double."""

    def forward(self, input, target):
        weights = self.get_weights(levels=len(input))
        return sum(weight * self.get_loss(logits, target) for weight, logits in zip(weights, input, strict=True))


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_of_both_levels_are_those_of_a_plain_implementation(kind, batch):
    options = {**KINDS[kind], "batch": batch}
    labels, logits = labels_of(options), logits_of(options)
    ours = InFloat64(LabelLoss(**options), weights=WEIGHTS)(logits, labels)
    theirs = plain_levels(logits, labels, **options)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    for our_gradient, their_gradient in zip(
        torch.autograd.grad(ours, logits), torch.autograd.grad(theirs, logits), strict=True
    ):
        torch.testing.assert_close(our_gradient, their_gradient, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("kind", ["ignore", "both"])
def test_logits_of_ignored_voxels_have_no_gradient(kind):
    options = KINDS[kind]
    labels, logits = labels_of(options), logits_of(options)
    fine, coarse = torch.autograd.grad(InFloat64(LabelLoss(**options), weights=WEIGHTS)(logits, labels), logits)
    ignored = labels == IGNORE
    assert (fine == 0)[ignored.expand_as(fine)].all() and (fine != 0)[~ignored.expand_as(fine)].all()
    ignored = ignored[..., 1::2, 1::2, 1::2]
    assert (coarse == 0)[ignored.expand_as(coarse)].all() and (coarse != 0)[~ignored.expand_as(coarse)].all()


def test_classes_without_any_ignored_voxel_have_the_loss_of_monai():
    labels, [logits, _] = labels_of({}), logits_of({})
    theirs = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True)
    torch.testing.assert_close(LabelLoss(ignore_label=IGNORE)(logits, labels), theirs(logits, labels))


@pytest.mark.parametrize("kind", ["ignore", "both"])
def test_a_batch_without_an_annotated_voxel_moves_nothing(kind):
    [logits, _] = logits_of(KINDS[kind])
    loss = LabelLoss(**KINDS[kind])(logits, torch.full((3, 1, 8, 8, 8), float(IGNORE)))
    assert loss == 0 and not torch.autograd.grad(loss, logits)[0].any()


def test_one_region_is_a_channel():
    logits, labels = torch.tensor([[[9.0, -9.0]]]), torch.tensor([[[2.0, 0.0]]])
    assert LabelLoss(regions=[(1, 2)])(logits, labels) < 1e-3


def test_logits_of_another_number_than_regions_are_refused():
    with pytest.raises(ValueError, match=r"^3 regions need as many channels of logits, got 4$"):
        LabelLoss(regions=REGIONS)(torch.zeros(1, 4, 8, 8), torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [False, True])
def test_on_one_rank_the_loss_over_ranks_is_the_loss(kind, batch):
    options = {**KINDS[kind], "batch": batch}
    loss = DeepSupervisionLoss(label_loss(**options), weights=WEIGHTS)
    labels, logits = labels_of(options), logits_of(options)
    torch.testing.assert_close(LossOverRanks(loss)(logits, labels), loss(logits, labels))


def test_only_a_loss_of_all_voxels_can_be_taken_apart():
    assert is_mean_over_patches(label_loss(regions=REGIONS))
    assert not is_mean_over_patches(label_loss(ignore_label=IGNORE))
