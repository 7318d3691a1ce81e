"""Where patches come from: data sets on disk and synthetic ones."""

from monai_patchgrow.data.decathlon import read_task
from monai_patchgrow.data.folds import split_cases
from monai_patchgrow.data.phantom import phantom_case, write_phantom_task
from monai_patchgrow.data.phantom_like import PhantomKind, write_phantom_like
from monai_patchgrow.data.preprocessed import PreprocessedDataset
from monai_patchgrow.data.rank_share import cases_of_rank
from monai_patchgrow.data.seeded import SeededDataLoader
from monai_patchgrow.data.task import Case, DataError, DecathlonTask
from monai_patchgrow.data.verification import verify_cases

__all__ = [
    "Case",
    "DataError",
    "DecathlonTask",
    "PhantomKind",
    "PreprocessedDataset",
    "SeededDataLoader",
    "cases_of_rank",
    "phantom_case",
    "read_task",
    "split_cases",
    "verify_cases",
    "write_phantom_like",
    "write_phantom_task",
]
