"""Where patches come from: data sets on disk and synthetic ones."""

from monai_patchgrow.data.array_tiles import ArrayTiles, MemmapTiles, ZarrTiles
from monai_patchgrow.data.background import share_constant
from monai_patchgrow.data.decathlon import read_task
from monai_patchgrow.data.digits import read_digits
from monai_patchgrow.data.folds import split_cases
from monai_patchgrow.data.labelled_images import find_images, read_labelled_images, split_images
from monai_patchgrow.data.load_image import OpenImaged
from monai_patchgrow.data.painted_tiles import PaintedTiles
from monai_patchgrow.data.phantom import phantom_case, write_phantom_task
from monai_patchgrow.data.phantom_like import PhantomKind, write_phantom_like
from monai_patchgrow.data.phantom_slide import PhantomSlide
from monai_patchgrow.data.phantom_slides import write_phantom_slides
from monai_patchgrow.data.preprocessed import PreprocessedDataset
from monai_patchgrow.data.random_turns import RandTurnTilesd
from monai_patchgrow.data.rank_share import cases_of_rank
from monai_patchgrow.data.seeded import SeededDataLoader
from monai_patchgrow.data.slide_tiles import SlideTiles
from monai_patchgrow.data.slides_csv import read_slides_csv
from monai_patchgrow.data.task import Case, DataError, DecathlonTask
from monai_patchgrow.data.thumbnails import coarse_thumbnail, thumbnail
from monai_patchgrow.data.tiff_tiles import TiffTiles
from monai_patchgrow.data.tiff_writer import write_tiled_tiff
from monai_patchgrow.data.tile_formats import open_tiles
from monai_patchgrow.data.tile_items import OpenTilesd, PaintBackgroundd, collate_tiles
from monai_patchgrow.data.tiles import TensorTiles, TileSource, as_tile_source
from monai_patchgrow.data.turned_tiles import TurnedTiles
from monai_patchgrow.data.ultramnist import UltraMNIST
from monai_patchgrow.data.verification import verify_cases

__all__ = [
    "ArrayTiles",
    "Case",
    "DataError",
    "DecathlonTask",
    "MemmapTiles",
    "OpenImaged",
    "OpenTilesd",
    "PaintBackgroundd",
    "PaintedTiles",
    "PhantomKind",
    "PhantomSlide",
    "PreprocessedDataset",
    "RandTurnTilesd",
    "SeededDataLoader",
    "SlideTiles",
    "TensorTiles",
    "TiffTiles",
    "TileSource",
    "TurnedTiles",
    "UltraMNIST",
    "ZarrTiles",
    "as_tile_source",
    "cases_of_rank",
    "coarse_thumbnail",
    "collate_tiles",
    "find_images",
    "open_tiles",
    "phantom_case",
    "read_digits",
    "read_labelled_images",
    "read_slides_csv",
    "read_task",
    "share_constant",
    "split_cases",
    "split_images",
    "thumbnail",
    "verify_cases",
    "write_phantom_like",
    "write_phantom_slides",
    "write_phantom_task",
    "write_tiled_tiff",
]
