"""Floor 2: where do patches come from? Its folders: tasks, loading, tiles, synthetic."""

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.loading.case_spacing import CaseSpacingd
from monai_patchgrow.data.loading.image_grid import OnImageGridd
from monai_patchgrow.data.loading.nifti import NiftiReader, load_images
from monai_patchgrow.data.loading.preprocessed import PreprocessedDataset
from monai_patchgrow.data.loading.rank_share import cases_of_rank
from monai_patchgrow.data.loading.seeded import SeededDataLoader
from monai_patchgrow.data.loading.worker_signals import outlive_signals
from monai_patchgrow.data.synthetic.digits import read_digits
from monai_patchgrow.data.synthetic.phantom import phantom_case, write_phantom_task
from monai_patchgrow.data.synthetic.phantom_like import PhantomKind, write_phantom_like
from monai_patchgrow.data.synthetic.phantom_slides import PhantomSlide, write_phantom_slides
from monai_patchgrow.data.synthetic.ultramnist import UltraMNIST
from monai_patchgrow.data.tasks.decathlon import read_task
from monai_patchgrow.data.tasks.folds import split_cases
from monai_patchgrow.data.tasks.labelled_images import find_images, read_labelled_images, split_images
from monai_patchgrow.data.tasks.labels_csv import read_slides_csv
from monai_patchgrow.data.tasks.split import find_split
from monai_patchgrow.data.tasks.task import Case, DecathlonTask
from monai_patchgrow.data.tasks.verification import find_problems, verify_cases
from monai_patchgrow.data.tiles.array import ArrayTiles, MemmapTiles, ZarrTiles
from monai_patchgrow.data.tiles.constant import merge_constant_patches
from monai_patchgrow.data.tiles.items import PaintBackgroundd, collate_tiles
from monai_patchgrow.data.tiles.open import OpenImaged, open_tiles
from monai_patchgrow.data.tiles.painted import PaintedTiles
from monai_patchgrow.data.tiles.slide import SlideTiles
from monai_patchgrow.data.tiles.source import TensorTiles, TileSource, as_tile_source
from monai_patchgrow.data.tiles.thumbnail import coarse_thumbnail, thumbnail
from monai_patchgrow.data.tiles.tiff import TiffTiles
from monai_patchgrow.data.tiles.turned import RandTurnTilesd, TurnedTiles
from monai_patchgrow.data.tiles.write import write_tiled_tiff

__all__ = [
    "ArrayTiles",
    "Case",
    "CaseSpacingd",
    "DataError",
    "DecathlonTask",
    "MemmapTiles",
    "NiftiReader",
    "OnImageGridd",
    "OpenImaged",
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
    "find_problems",
    "find_split",
    "load_images",
    "merge_constant_patches",
    "open_tiles",
    "outlive_signals",
    "phantom_case",
    "read_digits",
    "read_labelled_images",
    "read_slides_csv",
    "read_task",
    "split_cases",
    "split_images",
    "thumbnail",
    "verify_cases",
    "write_phantom_like",
    "write_phantom_slides",
    "write_phantom_task",
    "write_tiled_tiff",
]
