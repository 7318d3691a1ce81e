"""Where patches come from: data sets on disk and synthetic ones."""

from monai_patchgrow.data.decathlon import (
    Case,
    DataError,
    DecathlonTask,
    read_task,
    split_cases,
    verify_cases,
)
from monai_patchgrow.data.phantom import phantom_case, write_phantom_task
from monai_patchgrow.data.preprocessed import PreprocessedDataset
from monai_patchgrow.data.seeded import SeededDataLoader

__all__ = [
    "Case",
    "DataError",
    "DecathlonTask",
    "PreprocessedDataset",
    "SeededDataLoader",
    "phantom_case",
    "read_task",
    "split_cases",
    "verify_cases",
    "write_phantom_task",
]
