from __future__ import annotations

import pytest

from monai_patchgrow.data import DataError
from monai_patchgrow.data.synthetic.phantom_slides import write_phantom_slides
from monai_patchgrow.data.tasks.labels_csv import read_slides_csv
from monai_patchgrow.data.tiles.open import open_tiles

pytest.importorskip("tifffile", reason="needs the extra tiff")
pytest.importorskip("imagecodecs", reason="needs the extra tiff")


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    return write_phantom_slides(tmp_path_factory.mktemp("slides") / "task", num_slides=4, size=64, num_grades=3)


def test_the_csv_lists_the_slides_with_their_grades(slides):
    items = read_slides_csv(slides / "train.csv", slides / "train_images", 3)
    assert [item["label"] for item in items] == [0, 1, 2, 0]


def test_slides_are_of_several_sizes(slides):
    items = read_slides_csv(slides / "train.csv", slides / "train_images", 3)
    shapes = [open_tiles(item["image"]).shape for item in items]
    assert {(channels, columns) for channels, _, columns in shapes} == {(3, 64)}
    assert len({rows for _, rows, _ in shapes}) > 1


def test_the_same_slides_are_reused(slides):
    files = sorted((slides / "train_images").iterdir())
    times = [file.stat().st_mtime_ns for file in files]
    write_phantom_slides(slides, num_slides=4, size=64, num_grades=3)
    assert [file.stat().st_mtime_ns for file in files] == times


def test_slides_that_were_lost_are_written_again(slides):
    (slides / "train_images" / "phantom_0_64_002.tiff").unlink()
    write_phantom_slides(slides, num_slides=4, size=64, num_grades=3)
    assert len(list((slides / "train_images").iterdir())) == 4


def test_other_slides_are_not_overwritten(slides):
    with pytest.raises(DataError, match="holds other slides than these: delete it or name another folder"):
        write_phantom_slides(slides, num_slides=5, size=64, num_grades=3)


@pytest.mark.parametrize("wrong", [{"num_slides": 0}, {"num_grades": 1}, {"size": 8}, {"seed": -1}])
def test_arguments_that_cannot_be(tmp_path, wrong):
    with pytest.raises(ValueError, match="there must be 1 slide, 2 grades and 16 pixels or more"):
        write_phantom_slides(tmp_path / "task", **wrong)
    assert not (tmp_path / "task").exists()
