"""Evidence lies over the thumbnail: red for the prediction, blue against it, at the cells' own places."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from PIL import Image

from monai_patchgrow.data import TensorTiles
from monai_patchgrow.engines import PatchGDEvaluator
from monai_patchgrow.handlers import EvidenceMaps
from monai_patchgrow.handlers.patchgd.evidence_maps import draw_evidence
from monai_patchgrow.networks import MeanPoolingHead
from monai_patchgrow.schedules import PatchGrid


def drawn(evidence, image, patch, **options):
    grid = PatchGrid(image.shape[1:], patch, options.pop("stride", None))
    return draw_evidence(torch.tensor(evidence), TensorTiles(image), grid, **options).int()


def test_red_speaks_for_and_blue_against():
    picture = drawn([[1.0, 0.0], [0.0, -1.0]], torch.full((1, 4, 4), 100.0), (2, 2))
    red, _, blue = picture
    assert (red - blue).sign()[::2, ::2].tolist() == [[1, 0], [0, -1]]


def test_an_image_that_is_not_square_is_not_turned():
    picture = drawn([[0.0, 0.0, 1.0]], torch.zeros(1, 2, 6), (2, 2))
    assert (picture[0] > 0).tolist() == [[False] * 4 + [True] * 2] * 2


def test_cells_that_overlap_are_averaged():
    picture = drawn([[1.0, -1.0]], torch.zeros(1, 2, 3), (2, 2), stride=(2, 1))
    assert picture[0, 0].tolist() == [143, 0, 26]


def test_a_thumbnail_of_a_large_image():
    assert drawn([[0.5, 1.0]], torch.zeros(1, 100, 200), (100, 100), largest=50).shape == (3, 25, 50)


def test_of_a_volume_the_strongest_layer_is_drawn():
    volume = torch.zeros(1, 2, 2, 4)
    volume[..., 3] = 200.0
    picture = drawn([[[0.1, -0.5]]], volume, (2, 2, 2))
    assert picture[:, 0, 0].tolist() == [96, 122, 220]  # of the plane at 3, white, towards blue


def test_an_image_of_one_axis_is_refused():
    with pytest.raises(ValueError, match="evidence is drawn over images of 2 or 3 axes, got 1"):
        drawn([1.0], torch.zeros(1, 2), (2,))


def test_each_image_of_a_batch_gets_its_own_map(tmp_path):
    encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False))
    head = MeanPoolingHead(1, 1)
    with torch.no_grad():
        encoder[1].weight.fill_(1.0)
        head.output.weight.fill_(1.0)
    images = [torch.zeros(1, 2, 4), torch.zeros(1, 4, 2)]
    images[0][0, 0, 3] = images[1][0, 3, 0] = 1.0
    loader = [{"image": [TensorTiles(image) for image in images], "name": ["wide", "tall"]}]
    maps = EvidenceMaps(tmp_path, head=head, patch_size=(2, 2), evidence_of=lambda logits: 0)
    evaluator = PatchGDEvaluator(
        device=torch.device("cpu"),
        val_data_loader=loader,
        encoder=encoder,
        head=head,
        patch_size=(2, 2),
        val_handlers=[maps],
    )
    evaluator.run()
    wide, tall = (np.asarray(Image.open(tmp_path / f"{name}.png")).astype(int) for name in ("wide", "tall"))
    assert (wide[..., 0] > wide[..., 2]).tolist() == [[False, False, True, True]] * 2
    assert (tall[..., 0] > tall[..., 2]).tolist() == [[False] * 2] * 2 + [[True] * 2] * 2


def maps_of(folder, names, *, evidence_of=lambda logits: 0):
    """The names of the maps of one batch of images of one cell; None: an image without a name."""
    count = len(names)

    def iterate(engine, batch):
        mask = torch.ones(count, 1, 1, dtype=torch.bool)
        engine.state.latent = SimpleNamespace(z=torch.ones(count, 1, 1, 1), mask=mask)
        engine.state.batch = [{"image": torch.zeros(1, 2, 2)} | ({} if n is None else {"name": n}) for n in names]
        return [{"pred": torch.zeros(1)}] * count

    engine = Engine(iterate)
    EvidenceMaps(folder, head=MeanPoolingHead(1, 1), patch_size=(2, 2), evidence_of=evidence_of).attach(engine)
    engine.run([0])
    return sorted(path.name for path in folder.iterdir())


def test_folders_in_a_name_stay_in_the_name(tmp_path):
    written = maps_of(tmp_path / "maps", ["x/y.tif", "z/y.tif", "x%2Fy.tif"])
    assert written == ["x%252Fy.tif.png", "x%2Fy.tif.png", "z%2Fy.tif.png"]


def test_an_absolute_name_writes_nothing_outside(tmp_path):
    source = tmp_path / "slides" / "a"
    source.parent.mkdir()
    (written,) = maps_of(tmp_path / "maps", [str(source)])
    assert written.endswith("%2Fslides%2Fa.png")
    assert list(source.parent.iterdir()) == []


def test_a_name_that_comes_again_overwrites_nothing(tmp_path):
    assert maps_of(tmp_path, ["a", "a", "a-2", "a"]) == ["a-2-2.png", "a-2.png", "a-3.png", "a.png"]


def test_long_names_keep_their_ends(tmp_path):
    one, other = maps_of(tmp_path, ["x" * 300 + "1", "x" * 300 + "2"])
    assert (one, other) == ("x" * 199 + "1.png", "x" * 199 + "2.png")


def test_images_without_names_are_numbered(tmp_path):
    assert maps_of(tmp_path, [None, None]) == ["0.png", "1.png"]


def test_the_logit_to_explain_may_be_a_number_of_numpy_s(tmp_path):
    assert maps_of(tmp_path, ["a"], evidence_of=lambda logits: np.int64(0)) == ["a.png"]
