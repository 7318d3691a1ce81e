from __future__ import annotations

import pytest
import torch

from monai_patchgrow.data.synthetic.phantom_slides import GLASS, PhantomSlide


def whole(slide):
    _, rows, columns = slide.shape
    return slide.read([(slice(0, rows), slice(0, columns))])[0]


def test_a_pixel_does_not_depend_on_its_cell():
    slide = PhantomSlide((300, 200))
    assert torch.equal(slide.read([(slice(100, 164), slice(30, 94))])[0], whole(slide)[:, 100:164, 30:94])


def test_beyond_the_border_is_glass():
    assert PhantomSlide(64).read([(slice(64, 80), slice(0, 16))]).unique().tolist() == [244]


def test_there_is_glass_and_tissue():
    share = (whole(PhantomSlide(512)) == GLASS).all(0).double().mean().item()
    assert 0.3 < share < 0.7


def test_seeds_differ():
    assert not torch.equal(whole(PhantomSlide(64, seed=0)), whole(PhantomSlide(64, seed=1)))


def test_a_size_that_cannot_be():
    with pytest.raises(ValueError, match=r"size must be 1 pixel or more on both axes, got \(0, 5\)"):
        PhantomSlide((0, 5))


def test_more_tumour_changes_more_of_the_tissue_but_not_the_glass():
    plain, some, much = (whole(PhantomSlide(512, tumour=share)) for share in (0.0, 0.3, 0.8))
    assert torch.equal(plain == GLASS, much == GLASS)
    tissue = (plain != GLASS).any(0)
    changed = [(other != plain).any(0)[tissue].double().mean().item() for other in (some, much)]
    assert 0.1 < changed[0] < changed[1] - 0.2


def test_tumour_has_the_colours_of_tissue():
    plain, full = (whole(PhantomSlide(512, tumour=share)).double() for share in (0.0, 1.0))
    tissue = (plain != GLASS).any(0)
    assert (plain[:, tissue].mean(1) - full[:, tissue].mean(1)).abs().max() < 1
    assert (plain[:, tissue].std(1) - full[:, tissue].std(1)).abs().max() < 1


@pytest.mark.parametrize("tumour", [-0.1, 1.1])
def test_a_share_that_is_none(tumour):
    with pytest.raises(ValueError, match=f"tumour is a share from 0 to 1, got {tumour}"):
        PhantomSlide(64, tumour=tumour)
