"""LabelPlacesd: the voxels of classes, of regions, and of what is annotated."""

import torch
from monai.transforms import ClassesToIndicesd

from monai_patchgrow.transforms import LabelPlacesd, RandPatchesd


def test_for_classes_the_voxels_are_those_of_monai():
    label = torch.randint(3, (1, 9, 8, 7), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    ours = LabelPlacesd("label", [[0], [1], [2]], max_samples=10)({"label": label})
    theirs = ClassesToIndicesd("label", num_classes=3, max_samples_per_class=10)({"label": label})
    assert len(ours["label_cls_indices"]) == 3
    for own, other in zip(ours["label_cls_indices"], theirs["label_cls_indices"], strict=True):
        assert torch.equal(own, torch.as_tensor(other))


def test_groups_may_overlap_and_be_empty():
    item = LabelPlacesd("label", [[0, 1, 2], [1, 2], [2], [3]])({"label": torch.tensor([[0, 1, 4, 2]])})
    assert [places.tolist() for places in item["label_cls_indices"]] == [[0, 1, 3], [1, 3], [3], []]


def test_annotated_voxels_go_beside_those_of_the_groups():
    item = LabelPlacesd("label", [[0], [1]], annotated=[0, 1])({"label": torch.tensor([[0, 1, 2, 1]])})
    assert item["label_annotated_indices"].tolist() == [0, 1, 3]
    assert "label_annotated_indices" not in LabelPlacesd("label", [[0], [1]])({"label": torch.tensor([[0, 1]])})


def test_patches_of_a_label_that_is_annotated_in_part_lie_on_annotated_voxels():
    label = torch.full((1, 40, 40), 2, dtype=torch.uint8)
    label[:, 10:12, 30:32] = 0
    item = LabelPlacesd("label", [[0], [1]], annotated=[0, 1])({"label": label})
    draw = RandPatchesd("label", "label", (4, 4), num_classes=2, num_samples=20).set_random_state(seed=0)
    assert (draw(item)["label"] == 0).flatten(1).any(1).all()
