"""Channels that a TIFF has in a page each are channels; planes and points in time are not."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from monai_patchgrow.data import DataError, OpenImaged, TiffTiles

tifffile = pytest.importorskip("tifffile", reason="needs the extra tiff")
pytest.importorskip("imagecodecs", reason="needs the extra tiff")

EVERYTHING = [(slice(0, 40), slice(0, 50))]
TILED = {"tile": (16, 32), "compression": "zlib", "photometric": "minisblack"}
OME = {"ome": True, "metadata": {"axes": "CYX"}}


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 60000, (3, 40, 50), dtype=np.uint16)


def read(path, **options):
    with TiffTiles(path, **options) as source:
        return source.read(EVERYTHING)[0].numpy()


@pytest.mark.parametrize(
    "options",
    [
        {**TILED, **OME},
        {**TILED, **OME, "bigtiff": True},
        {**TILED, **OME, "compression": None},
        {**OME, "photometric": "minisblack"},
        {**OME, "photometric": "minisblack", "rowsperstrip": 8, "compression": "lzw"},
        {**OME, "photometric": "minisblack", "planarconfig": "separate", **{"metadata": {"axes": "CYX"}}},
        {**TILED, "metadata": {"axes": "CYX"}},
        {"photometric": "minisblack", "metadata": {"axes": "CYX"}},
        {"imagej": True, "metadata": {"axes": "CYX"}},
        {"imagej": True, "metadata": {"axes": "CYX"}, "byteorder": ">"},
    ],
    ids=str,
)
def test_a_page_per_channel(image, tmp_path, options):
    tifffile.imwrite(tmp_path / "a.ome.tif", image, **options)
    with TiffTiles(tmp_path / "a.ome.tif") as source:
        assert source.shape == (3, 40, 50)
        assert np.array_equal(source.read(EVERYTHING)[0].numpy(), image)


def test_a_file_that_describes_its_first_page_only(image, tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(image, photometric="minisblack", metadata={"axes": "CYX"}, contiguous=True, truncate=True)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert len(tiff.pages) == 1
    assert np.array_equal(read(tmp_path / "a.tif"), image)


def test_pages_of_several_channels(tmp_path):
    colours = np.random.default_rng(0).integers(0, 255, (2, 40, 50, 3), dtype=np.uint8)
    options = {"tile": (16, 32), "compression": "zlib", "photometric": "rgb"}
    tifffile.imwrite(tmp_path / "a.ome.tif", colours, ome=True, metadata={"axes": "CYXS"}, **options)
    assert np.array_equal(read(tmp_path / "a.ome.tif"), colours.transpose(0, 3, 1, 2).reshape(6, 40, 50))


def test_a_pyramid_of_pages_per_channel(image, tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        writer.write(image, subifds=1, metadata={"axes": "CYX"}, **TILED)
        writer.write(image[:, ::2, ::2], subfiletype=1, **TILED)
    with TiffTiles(tmp_path / "a.ome.tif", level=1) as source:
        assert (source.num_levels, source.shape) == (2, (3, 20, 25))
        assert np.array_equal(source.read([(slice(0, 20), slice(0, 25))])[0].numpy(), image[:, ::2, ::2])
    assert np.array_equal(read(tmp_path / "a.ome.tif"), image)


def test_jpeg_pages_have_tables_of_their_own(tmp_path):
    grey = np.stack([np.tile(np.linspace(low, high, 64), (64, 1)) for low, high in ((0, 90), (200, 110))]).astype(
        np.uint8
    )
    options = {**TILED, "tile": (32, 32), "compression": "jpeg", "compressionargs": {"level": 95}}
    tifffile.imwrite(tmp_path / "a.ome.tif", grey, **{**options, **OME})
    with TiffTiles(tmp_path / "a.ome.tif") as source:
        patch = source.read([(slice(0, 64), slice(0, 64))])[0].int().numpy()
    assert np.abs(patch - grey).max() <= 6


def test_a_tile_that_one_page_leaves_out_is_the_padding_of_its_channel(image, tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", image, **{**TILED, **OME})
    with tifffile.TiffFile(tmp_path / "a.ome.tif", mode="r+b") as tiff:
        for name in ("TileOffsets", "TileByteCounts"):
            tag = tiff.pages[1].aspage().tags[name]
            tag.overwrite([0, *tag.value[1:]])
    image[1, :16, :32] = 9
    assert np.array_equal(read(tmp_path / "a.ome.tif", padding=9), image)


def test_a_pickled_source_reads_on(image, tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", image, **{**TILED, **OME})
    source = TiffTiles(tmp_path / "a.ome.tif")
    assert np.array_equal(pickle.loads(pickle.dumps(source)).read(EVERYTHING)[0].numpy(), image)


def test_a_network_of_as_many_channels_takes_it(image, tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", image, **{**TILED, **OME})
    item = OpenImaged("image", channels=3)({"image": tmp_path / "a.ome.tif"})
    assert np.array_equal(item["image"].read(EVERYTHING)[0].numpy(), image)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((3, 40, 50), {"ome": True, "metadata": {"axes": "ZYX"}}),
        ((3, 40, 50), {"ome": True, "metadata": {"axes": "TYX"}}),
        ((2, 3, 40, 50), {"ome": True, "metadata": {"axes": "ZCYX"}}),
        ((2, 3, 40, 50), {"ome": True, "metadata": {"axes": "CTYX"}}),
        ((3, 40, 50), {"imagej": True, "metadata": {"axes": "ZYX"}, "tile": None, "compression": None}),
        ((3, 40, 50), {"metadata": None}),
        ((3, 40, 50), {}),
    ],
    ids=str,
)
def test_a_stack_is_refused_in_one_line(tmp_path, shape, options):
    options = {**TILED, **options}
    if options.get("imagej"):
        del options["tile"], options["compression"]
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, np.uint16), **options)
    with pytest.raises(
        DataError, match=r"a\.tif: .*one 2-D page with its channels is needed, or one page per"
    ) as error:
        TiffTiles(tmp_path / "a.tif")
    assert "\n" not in str(error.value)


def test_a_stack_whose_first_page_alone_is_described_is_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        stack = np.zeros((5, 40, 50), np.uint16)
        writer.write(stack, photometric="minisblack", metadata={"axes": "ZYX"}, contiguous=True, truncate=True)
    with pytest.raises(DataError, match=r"axes ZYX of shape \(5, 40, 50\)"):
        TiffTiles(tmp_path / "a.tif")


def test_single_planes_and_times_are_no_stack(image, tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", image[None, None], ome=True, metadata={"axes": "TZCYX"}, **TILED)
    assert np.array_equal(read(tmp_path / "a.ome.tif"), image)


def test_a_page_that_is_missing_is_named(image, tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", image[:2], **{**TILED, **OME})
    content = (tmp_path / "a.ome.tif").read_bytes()
    assert content.count(b'SizeC="2"') == 1
    (tmp_path / "a.ome.tif").write_bytes(content.replace(b'SizeC="2"', b'SizeC="3"'))
    with pytest.raises(
        DataError, match=r"a\.ome\.tif: no TIFF image that can be read \(the page of channel 2 is missing"
    ):
        TiffTiles(tmp_path / "a.ome.tif")


PLANE = '<TiffData FirstC="{channel}" IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{name}</UUID></TiffData>'


@pytest.mark.parametrize("names", [["a.ome.tif", "b.ome.tif"], ["b.ome.tif"], ["b.ome.tif", "a.ome.tif"]], ids="+".join)
def test_channels_in_other_files_are_not_read_from_this_one(image, tmp_path, names):
    planes = "".join(PLANE.format(channel=number, name=name) for number, name in enumerate(names))
    pixels = f'DimensionOrder="XYCZT" Type="uint16" SizeX="50" SizeY="40" SizeZ="1" SizeT="1" SizeC="{len(names)}"'
    for number, name in enumerate(("a.ome.tif", "b.ome.tif")):
        xml = f'<OME UUID="urn:uuid:{name}"><Image ID="Image:0"><Pixels ID="P" {pixels}>{planes}</Pixels></Image></OME>'
        tifffile.imwrite(tmp_path / name, image[number], description=xml, metadata=None, **TILED)
    with pytest.raises(DataError, match=r"its channels lie in .*b\.ome\.tif: save them in one file"):
        TiffTiles(tmp_path / "a.ome.tif")


@pytest.mark.parametrize("name", ["TileOffsets", "TileByteCounts", "StripOffsets", "StripByteCounts"])
@pytest.mark.parametrize("page", [0, 1])
def test_what_one_page_leaves_out_the_others_have(image, tmp_path, name, page):
    options = (
        {**TILED, "tile": (48, 64), "compression": None} if name.startswith("Tile") else {"photometric": "minisblack"}
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", image, **{**options, **OME})
    with tifffile.TiffFile(tmp_path / "a.ome.tif", mode="r+b") as tiff:
        tiff.pages[page].aspage().tags[name].overwrite(0)
    image[page] = 9
    assert np.array_equal(read(tmp_path / "a.ome.tif", padding=9), image)
