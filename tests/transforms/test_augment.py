"""A batch augmented at once agrees with a plain loop over its patches and channels, in draws and in voxels."""

import dataclasses
import math
from contextlib import nullcontext
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from monai_patchgrow.transforms.augment import BatchAugmentation, augment_patches
from monai_patchgrow.transforms.drawn_augmentation import Affected, Augmentation, draw_augmentation
from monai_patchgrow.transforms.recipe import AugmentationRecipe

KINDS = ("noise", "blur", "brightness", "contrast", "low_resolution", "inverted_gamma", "gamma")
NNUNET = AugmentationRecipe.nnunet((40, 56, 40))
ANISOTROPIC = AugmentationRecipe.nnunet((20, 320, 256), mirror_axes=(0, 2))
SIZES = [(8, 10, 7), (3, 1, 12), (13, 9)]
MANY = 20_000
every_kind = pytest.mark.parametrize("kind", KINDS)


def draw_plainly(recipe, random, *, num_channels, spatial_dims):
    """What happens to one patch: the values of each affected channel for each kind, and the axes to mirror."""

    def between(limits):
        return random.uniform(*limits)

    def around_one(limits):
        low, high = limits
        return random.uniform(low, 1) if random.random() < 0.5 else random.uniform(1, high)

    def zooms():
        zoom = between(recipe.low_resolution_zoom)
        return [zoom if axis in recipe.low_resolution_axes else 1.0 for axis in range(spatial_dims)]

    def channels(prob, values, channel_prob=1.0):
        if random.random() >= prob:
            return {}
        return {channel: values() for channel in range(num_channels) if random.random() < channel_prob}

    std = between(recipe.noise_std)  # one for all channels
    return {
        "noise": channels(recipe.noise_prob, lambda: [std]),
        "blur": channels(
            recipe.blur_prob,
            lambda: [between(recipe.blur_sigma) for _ in range(spatial_dims)],
            recipe.blur_channel_prob,
        ),
        "brightness": channels(recipe.brightness_prob, lambda: [around_one(recipe.brightness_range)]),
        "contrast": channels(recipe.contrast_prob, lambda: [around_one(recipe.contrast_range)]),
        "low_resolution": channels(recipe.low_resolution_prob, zooms, recipe.low_resolution_channel_prob),
        "inverted_gamma": channels(recipe.inverted_gamma_prob, lambda: [around_one(recipe.gamma_range)]),
        "gamma": channels(recipe.gamma_prob, lambda: [around_one(recipe.gamma_range)]),
        "mirror": [axis for axis in recipe.mirror_axes if random.random() < 0.5],
    }


def unpack(augmentation):
    """The same, patch by patch, of what was drawn for a batch."""
    patches = [
        {**{kind: {} for kind in KINDS}, "mirror": flags.nonzero().flatten().tolist()} for flags in augmentation.mirror
    ]
    for kind in KINDS:
        affected = getattr(augmentation, kind)
        for row, values in zip(affected.rows.tolist(), affected.values.tolist(), strict=True):
            patch, channel = divmod(row, augmentation.shape[1])
            patches[patch][kind][channel] = values
    return patches


def nearest_odd(size):
    rounded = round(size)
    if rounded % 2 == 0:
        rounded += 1 if size >= rounded else -1
    return rounded


def blur_plainly(voxels, sigmas):
    for axis, sigma in enumerate(sigmas):
        radius = min(nearest_odd(6 * sigma + 0.5) // 2, voxels.shape[axis] - 1)
        kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
        voxels = ndimage.correlate1d(voxels, kernel / kernel.sum(), axis, mode="mirror")
    return voxels


def contrast_plainly(voxels, factor):
    return np.clip((voxels - voxels.mean()) * factor + voxels.mean(), voxels.min(), voxels.max())


def coarsen_plainly(voxels, zooms):
    kept = [max(round(length * zoom), 1) for length, zoom in zip(voxels.shape, zooms, strict=True)]
    coarse = torch.nn.functional.interpolate(torch.tensor(voxels).float()[None, None], kept, mode="nearest-exact")
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[voxels.ndim]
    return torch.nn.functional.interpolate(coarse, voxels.shape, mode=mode)[0, 0].double().numpy()


def gamma_plainly(voxels, gamma):
    if voxels.size == 1:
        return voxels
    span = voxels.max() - voxels.min()
    bent = ((voxels - voxels.min()) / max(span, 1e-7)) ** gamma * span + voxels.min()
    return (bent - bent.mean()) / max(bent.std(ddof=1), 1e-7) * voxels.std(ddof=1) + voxels.mean()


PLAIN_WORKS = {
    "blur": blur_plainly,
    "brightness": lambda voxels, values: voxels * values[0],
    "contrast": lambda voxels, values: contrast_plainly(voxels, values[0]),
    "low_resolution": coarsen_plainly,
    "inverted_gamma": lambda voxels, values: -gamma_plainly(-voxels, values[0]),
    "gamma": lambda voxels, values: gamma_plainly(voxels, values[0]),
}


def augment_plainly(image, label, drawn, noise, *, order=KINDS):
    """One patch `(C, *spatial)`, its label, what was drawn for it, and normal noise for channels that have some."""
    image = image.copy()
    for kind in order:
        for channel, values in drawn[kind].items():
            if kind == "noise":
                image[channel] += noise[channel] * values[0]
            else:
                image[channel] = PLAIN_WORKS[kind](image[channel], values)
    axes = [axis + 1 for axis in drawn["mirror"]]
    return np.flip(image, axes), np.flip(label, axes)


def augment_batch_plainly(image, label, augmentation, generator, **options):
    noise = iter(torch.randn(len(augmentation.noise.rows), *image.shape[2:], generator=generator).double().numpy())
    results = []
    for patch, patch_label, drawn in zip(image.double().numpy(), label.numpy(), unpack(augmentation), strict=True):
        fields = {channel: next(noise) for channel in drawn["noise"]}
        results.append(augment_plainly(patch, patch_label, drawn, fields, **options))
    images, labels = zip(*results, strict=True)
    return torch.tensor(np.stack(images)).float(), torch.tensor(np.stack(labels))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def some_batch(size=(8, 8, 8), *, num_patches=12, num_channels=2):
    generator = seeded(99)
    image = torch.randn(num_patches, num_channels, *size, generator=generator) * 3 + 1
    return image, torch.randint(0, 3, (num_patches, 1, *size), generator=generator)


def only(*kinds, spatial_dims=3, **changes):
    """nnU-Net's recipe where these kinds always happen, the others never, and nothing is mirrored."""
    recipe = AugmentationRecipe.nnunet((64,) * spatial_dims, mirror_axes=())
    probs = {f"{kind}_prob": float(kind in kinds) for kind in KINDS}
    return dataclasses.replace(recipe, **{**probs, **changes})


def draw(recipe, image, seed=0):
    num_patches, num_channels, *size = image.shape
    return draw_augmentation(
        recipe, seeded(seed), num_patches=num_patches, num_channels=num_channels, spatial_dims=len(size)
    )


def given(image, **kinds):
    """An augmentation of these kinds alone: rows and their values."""
    nothing = Affected(torch.empty(0, dtype=torch.long), torch.empty(0, 1))
    affected = {kind: Affected(torch.tensor(rows), torch.tensor(values)) for kind, (rows, values) in kinds.items()}
    dims = image.ndim - 2
    mirror = torch.zeros(len(image), dims, dtype=torch.bool)
    return Augmentation(shape=(*image.shape[:2], dims), mirror=mirror, **{**dict.fromkeys(KINDS, nothing), **affected})


def augment(image, augmentation):
    return augment_patches(image, None, augmentation, generator=seeded())[0]


@pytest.fixture(scope="module")
def drawn_at_once():
    return unpack(draw_augmentation(ANISOTROPIC, seeded(), num_patches=MANY, num_channels=2, spatial_dims=3))


@pytest.fixture(scope="module")
def drawn_one_by_one():
    random = np.random.default_rng(0)
    return [draw_plainly(ANISOTROPIC, random, num_channels=2, spatial_dims=3) for _ in range(MANY)]


def values_of(patches, kind, column=0):
    return [values[column] for patch in patches for values in patch[kind].values()]


def is_share(count, share, total=MANY):
    """Whether a count is within four standard deviations of what a share of the total makes likely."""
    return abs(count - total * share) < 4 * math.sqrt(total * share * (1 - share))


@every_kind
@pytest.mark.parametrize("size", SIZES)
def test_a_kind_does_what_the_loop_does(kind, size):
    image, label = some_batch(size)
    augmentation = draw(only(kind, spatial_dims=len(size)), image)
    result, _ = augment_patches(image, label, augmentation, generator=seeded(1))
    expected, _ = augment_batch_plainly(image, label, augmentation, seeded(1))
    assert not torch.allclose(expected, image, atol=0.1)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_kinds_work_together_as_in_the_loop(size):
    image, label = some_batch(size)
    augmentation = draw(only(*KINDS, spatial_dims=len(size), mirror_axes=(0, 1)), image)
    result, mirrored = augment_patches(image, label, augmentation, generator=seeded(1))
    expected, expected_label = augment_batch_plainly(image, label, augmentation, seeded(1))
    torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-4)
    assert torch.equal(mirrored, expected_label)


# The pairs that are left out commute.
@pytest.mark.parametrize("first", ["noise", "contrast", "low_resolution", "inverted_gamma"])
def test_neighbours_act_in_the_stated_order(first):
    second = dict(pairwise(KINDS))[first]
    image, label = some_batch()
    augmentation = draw(only(first, second), image)
    result, _ = augment_patches(image, label, augmentation, generator=seeded(1))
    swapped, _ = augment_batch_plainly(image, label, augmentation, seeded(1), order=(second, first))
    assert not torch.allclose(result, swapped, atol=1e-2)


def test_blur_cuts_its_kernel_where_nnunet_does():
    image = torch.zeros(2, 1, 9, 9)
    image[:, :, 4] = 1.0
    blurred = augment(image, given(image, blur=([0, 1], [[0.5, 0.5], [1.0, 1.0]])))
    assert blurred[0, 0, :, 0].tolist() == pytest.approx([0, 0, 0, 0.10651, 0.78699, 0.10651, 0, 0, 0], abs=1e-5)
    widest = [0, 0.00443, 0.05401, 0.24204, 0.39905, 0.24204, 0.05401, 0.00443, 0]
    assert blurred[1, 0, :, 0].tolist() == pytest.approx(widest, abs=1e-5)


def test_blur_reflects_at_the_border():
    image = torch.zeros(1, 1, 9, 9)
    image[:, :, 1] = 1.0
    blurred = augment(image, given(image, blur=([0], [[0.5, 0.5]])))
    assert blurred[0, 0, :4, 0].tolist() == pytest.approx([2 * 0.10651, 0.78699, 0.10651, 0], abs=1e-5)


def test_blur_of_sigma_zero_changes_nothing():
    image, _ = some_batch(num_patches=1, num_channels=1)
    assert torch.equal(augment(image, given(image, blur=([0], [[0.0, 0.0, 0.0]]))), image)


@pytest.mark.parametrize(("length", "kept"), [(28, 23), (30, 29), (4, 2), (56, 41), (1, 0.3)])
def test_low_resolution_picks_the_voxels_that_interpolate_picks(length, kept):
    image, _ = some_batch((length, 3), num_patches=1, num_channels=1)
    coarse = augment(image, given(image, low_resolution=([0], [[kept / length, 1.0]])))
    expected = coarsen_plainly(image[0, 0].numpy(), (kept / length, 1.0))
    np.testing.assert_allclose(coarse[0, 0], expected, atol=2e-5)


def test_low_resolution_leaves_other_axes_alone():
    image = torch.arange(8.0).expand(1, 1, 8, 8).clone()
    coarse = augment(image, given(image, low_resolution=([0], [[0.5, 1.0]])))
    torch.testing.assert_close(coarse, image)


def test_contrast_keeps_the_range():
    image, _ = some_batch()
    wider = augment(image, draw(only("contrast", contrast_range=(2.0, 3.0)), image))
    assert torch.equal(wider.amin((2, 3, 4)), image.amin((2, 3, 4)))
    assert torch.equal(wider.amax((2, 3, 4)), image.amax((2, 3, 4)))


@pytest.mark.parametrize("kind", ["gamma", "inverted_gamma"])
def test_gamma_keeps_mean_and_deviation(kind):
    image, _ = some_batch()
    bent = augment(image, draw(only(kind), image))
    for now, before in zip(torch.std_mean(bent, (2, 3, 4)), torch.std_mean(image, (2, 3, 4)), strict=True):
        torch.testing.assert_close(now, before, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.long, torch.float32])
def test_image_and_label_are_mirrored_alike(dtype):
    label = some_batch()[1].to(dtype)
    augmentation = draw(dataclasses.replace(only(), mirror_axes=(0, 2)), label)
    image, mirrored = augment_patches(label.float(), label, augmentation, generator=seeded())
    assert torch.equal(image.to(dtype), mirrored)
    assert mirrored.dtype == dtype
    assert not torch.equal(mirrored, label)


def test_mirroring_reverses_the_drawn_axes():
    image = torch.arange(8.0).reshape(2, 1, 2, 2)
    augmentation = dataclasses.replace(given(image), mirror=torch.tensor([[False, True], [True, True]]))
    assert augment(image, augmentation).flatten().tolist() == [1, 0, 3, 2, 7, 6, 5, 4]


def test_what_is_not_affected_keeps_its_bits():
    image, _ = some_batch()
    result = augment(image, given(image, brightness=([3], [[1.25]])))
    assert torch.equal(result[1, 1], image[1, 1] * 1.25)
    changed = (result != image).flatten(2).any(2).flatten().nonzero().flatten()
    assert changed.tolist() == [3]


@pytest.mark.parametrize("size", [(8, 8, 8), (1, 4, 1), (1, 1, 1), (6, 6)])
@pytest.mark.parametrize("value", [0.0, -1000.0, 1e-9])
def test_constant_patches_stay_constant(size, value):
    image = torch.full((5, 1, *size), value)
    kinds = [kind for kind in KINDS if kind not in ("noise", "brightness")]
    result = augment(image, draw(only(*kinds, spatial_dims=len(size)), image))
    torch.testing.assert_close(result, image)


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 8, 1), (4, 4, 4), (1, 1), (2, 3)])
def test_short_axes_stay_finite(size):
    image, label = some_batch(size)
    augmentation = BatchAugmentation(only(*KINDS, spatial_dims=len(size)))
    assert augmentation(image, label, seed=0)[0].isfinite().all()


@pytest.mark.parametrize(
    ("kind", "share", "share_of_both"),
    [
        ("noise", 0.1, 0.1),
        ("blur", 0.1, 0.05),
        ("brightness", 0.15, 0.15),
        ("contrast", 0.15, 0.15),
        ("low_resolution", 0.125, 0.0625),
        ("inverted_gamma", 0.1, 0.1),
        ("gamma", 0.3, 0.3),
    ],
)
def test_patches_and_channels_are_affected_as_often_as_stated(drawn_at_once, kind, share, share_of_both):
    assert all(is_share(sum(channel in patch[kind] for patch in drawn_at_once), share) for channel in (0, 1))
    assert is_share(sum(len(patch[kind]) == 2 for patch in drawn_at_once), share_of_both)


@pytest.mark.parametrize(("first", "second", "share"), [("brightness", "contrast", 0.0225), ("noise", "gamma", 0.03)])
def test_kinds_happen_independently(drawn_at_once, first, second, share):
    assert is_share(sum(bool(patch[first]) and bool(patch[second]) for patch in drawn_at_once), share)


@pytest.mark.parametrize(
    ("kind", "column"),
    [*((kind, 0) for kind in KINDS if kind != "low_resolution"), ("blur", 1), ("blur", 2), ("low_resolution", 1)],
)
def test_values_are_distributed_as_one_by_one(drawn_at_once, drawn_one_by_one, kind, column):
    samples = (values_of(patches, kind, column) for patches in (drawn_at_once, drawn_one_by_one))
    assert stats.ks_2samp(*samples).pvalue > 0.01


@pytest.mark.parametrize("kind", ["brightness", "contrast", "inverted_gamma", "gamma"])
def test_factors_lie_below_and_above_one_equally_often(drawn_at_once, kind):
    factors = values_of(drawn_at_once, kind)
    assert is_share(sum(factor < 1 for factor in factors), 0.5, len(factors))


def test_channels_share_the_noise_s_deviation(drawn_at_once):
    assert all(patch["noise"][0] == patch["noise"][1] for patch in drawn_at_once if patch["noise"])


@pytest.mark.parametrize("kind", ["brightness", "contrast", "inverted_gamma", "gamma"])
def test_channels_draw_their_own_values(drawn_at_once, kind):
    pairs = [(patch[kind][0][0], patch[kind][1][0]) for patch in drawn_at_once if patch[kind]]
    assert stats.spearmanr(*zip(*pairs, strict=True)).pvalue > 0.01


def test_axes_are_blurred_independently(drawn_at_once):
    sigmas = [values_of(drawn_at_once, "blur", axis) for axis in range(3)]
    assert all(stats.spearmanr(one, other).pvalue > 0.01 for one, other in pairwise(sigmas))


def test_low_resolution_has_one_zoom_on_its_axes_alone(drawn_at_once):
    zooms = [values for patch in drawn_at_once for values in patch["low_resolution"].values()]
    assert {zoom for zoom, _, _ in zooms} == {1.0}
    assert all(one == other < 1 for _, one, other in zooms)


def test_every_axis_is_mirrored_half_of_the_time_and_others_never(drawn_at_once):
    assert all(is_share(sum(axis in patch["mirror"] for patch in drawn_at_once), 0.5) for axis in (0, 2))
    assert is_share(sum(patch["mirror"] == [0, 2] for patch in drawn_at_once), 0.25)
    assert not any(1 in patch["mirror"] for patch in drawn_at_once)


@every_kind
def test_patches_have_their_own_values(kind):
    image, _ = some_batch((2, 2, 2), num_patches=100, num_channels=1)
    values = getattr(draw(only(kind), image), kind).values
    assert len(values.unique(dim=0)) == len(values) > 40


def test_a_patch_draws_the_same_whatever_comes_behind_it():
    some, more = (draw(NNUNET, torch.empty(num_patches, 2, 1, 1, 1)) for num_patches in (40, 70))
    assert unpack(some) == unpack(more)[:40]


def test_a_patch_draws_the_same_whatever_happens_to_others():
    image = torch.empty(40, 2, 1, 1, 1)
    gammas = unpack(draw(NNUNET, image))
    without_noise = unpack(draw(dataclasses.replace(NNUNET, noise_prob=0.0), image))
    assert [patch["gamma"] for patch in gammas] == [patch["gamma"] for patch in without_noise]
    assert any(patch["noise"] for patch in gammas)


def test_a_range_on_one_side_of_one_is_drawn_evenly():
    image = torch.empty(MANY, 1, 1, 1, 1)
    factors = draw(only("brightness", brightness_range=(1.2, 1.4)), image).brightness.values.flatten()
    assert stats.kstest(factors, stats.uniform(1.2, 0.2).cdf).pvalue > 0.01


def test_a_seed_decides_on_every_bit():
    image, label = some_batch(num_patches=40)
    augmentation = BatchAugmentation(NNUNET)
    first, again, other = (augmentation(image, label, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])


def test_noise_is_normal_and_goes_on_behind_the_draws():
    image = torch.zeros(4000, 1, 1, 1, 1)
    std = draw(only("noise"), image, seed=3).noise.values
    noise = BatchAugmentation(only("noise"))(image, None, seed=3)[0].flatten(1) / std
    assert stats.kstest(noise.flatten(), stats.norm.cdf).pvalue > 0.01
    assert not torch.allclose(noise, torch.randn(4000, 1, generator=seeded(3)))


def test_global_generator_is_left_alone():
    before = torch.get_rng_state()
    BatchAugmentation(NNUNET)(*some_batch(), seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_inputs_are_left_alone():
    image, label = some_batch()
    copies = image.clone(), label.clone()
    BatchAugmentation(only(*KINDS, mirror_axes=(0, 1, 2)))(image, label, seed=0)
    assert torch.equal(image, copies[0])
    assert torch.equal(label, copies[1])


def test_nothing_drawn_changes_nothing():
    image, label = some_batch()
    result = BatchAugmentation(only())(image, label, seed=0)
    assert torch.equal(result[0], image)
    assert torch.equal(result[1], label)


def test_an_image_comes_without_label():
    image, label = some_batch()
    augmentation = BatchAugmentation(NNUNET)
    alone, nothing = augmentation(image, None, seed=0)
    assert torch.equal(alone, augmentation(image, label, seed=0)[0])
    assert nothing is None


def test_strides_do_not_matter():
    image, label = some_batch()
    augmentation = BatchAugmentation(only(*KINDS))
    strided = image.contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(augmentation(strided, label, seed=0)[0], augmentation(image, label, seed=0)[0])


def test_autocast_changes_nothing():
    image, label = some_batch()
    augmentation = BatchAugmentation(only(*KINDS))
    expected, _ = augmentation(image, label, seed=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result, _ = augmentation(image, label, seed=0)
    assert torch.equal(result, expected)


def test_no_device_is_waited_for(monkeypatch):
    # Tensors without voxels refuse whatever would read one; autocast, alone, doesn't know them.
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    image, label = (one.to("meta") for one in some_batch())
    augmentation = draw(only(*KINDS, mirror_axes=(0, 1, 2)), image)
    result, mirrored = augment_patches(image, label, augmentation, generator=seeded())
    assert (result.shape, mirrored.shape) == (image.shape, label.shape)


@pytest.mark.parametrize(
    ("image", "label", "message"),
    [
        (torch.zeros(3, 1, 8, 8, 8), None, r"got torch.float32, \(3, 1, 3\)"),
        (torch.zeros(2, 2, 8, 8, 8), None, r"got torch.float32, \(2, 2, 3\)"),
        (torch.zeros(2, 1, 8, 8), None, r"got torch.float32, \(2, 1, 2\)"),
        (torch.zeros(2, 1, 8, 8, 8).half(), None, "image must be float32.*got torch.float16"),
        (torch.zeros(2, 1, 8, 8, 8), torch.zeros(2, 1, 8, 8, 4), r"label must have the shape \(2, 1, 8, 8, 8\)"),
        (torch.zeros(2, 1, 8, 8, 8), torch.zeros(2, 3, 8, 8, 8), r"got \(2, 3, 8, 8, 8\)"),
    ],
)
def test_another_batch_than_was_drawn_for_is_refused(image, label, message):
    drawn = draw_augmentation(NNUNET, seeded(), num_patches=2, num_channels=1, spatial_dims=3)
    with pytest.raises(ValueError, match=message):
        augment_patches(image, label, drawn, generator=seeded())


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"mirror_axes": (0, 2)}, "mirror_axes"),
        ({"low_resolution_axes": (-1,), "mirror_axes": ()}, "low_resolution_axes"),
    ],
)
def test_axes_that_patches_do_not_have_are_refused(changes, name):
    recipe = dataclasses.replace(AugmentationRecipe.nnunet((64, 64)), **changes)
    with pytest.raises(ValueError, match=rf"{name} must lie in 0\.\.1"):
        BatchAugmentation(recipe)(torch.zeros(2, 1, 8, 8), None, seed=0)


# a part of a larger batch


@pytest.mark.parametrize(("before", "count"), [(0, 5), (5, 4), (8, 1)])
def test_a_part_of_a_batch_is_augmented_as_in_the_whole(before, count):
    augment = BatchAugmentation(dataclasses.replace(AugmentationRecipe.nnunet((6, 7, 8)), noise_prob=0.6))
    torch.manual_seed(0)
    image, label = torch.rand(9, 2, 6, 7, 8), torch.randint(3, (9, 1, 6, 7, 8))
    whole = augment(image, label, seed=1)
    own = slice(before, before + count)
    part = augment(image[own], label[own], seed=1, before=before, total=9)
    assert torch.equal(part[0], whole[0][own])
    assert torch.equal(part[1], whole[1][own])
