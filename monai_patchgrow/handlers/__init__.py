"""Floor 3: what happens on the events of a run? One file per Ignite handler."""

from monai_patchgrow.handlers.batch_augmentation import AugmentBatches
from monai_patchgrow.handlers.best_weights import BestWeights
from monai_patchgrow.handlers.checkpoint import ResumableRun
from monai_patchgrow.handlers.compilation import CompilationLog
from monai_patchgrow.handlers.engine_output import LossOutput
from monai_patchgrow.handlers.finite_output import FiniteOutput
from monai_patchgrow.handlers.finite_steps import FiniteSteps
from monai_patchgrow.handlers.gradient_clipping import GradientClipping
from monai_patchgrow.handlers.loader_advice import LoaderAdvice
from monai_patchgrow.handlers.loss_scaling import LossScaling, amp_dtype
from monai_patchgrow.handlers.micro_batches import MicroBatches
from monai_patchgrow.handlers.patch_growth import PatchGrowth
from monai_patchgrow.handlers.patchgd.evidence_maps import EvidenceMaps
from monai_patchgrow.handlers.patchgd.latent_images import LatentImages
from monai_patchgrow.handlers.patchgd.log import PatchGDLog
from monai_patchgrow.handlers.patchgd.prediction_table import PredictionTable
from monai_patchgrow.handlers.progress import GrowthProgress
from monai_patchgrow.handlers.recorded_iterations import RecordedIterations
from monai_patchgrow.handlers.reproducibility import Reproducibility
from monai_patchgrow.handlers.run_log import RunLog
from monai_patchgrow.handlers.shared_weights import share_weights
from monai_patchgrow.handlers.throughput import Throughput
from monai_patchgrow.metrics.class_metrics import balanced_accuracy, mean_roc_auc
from monai_patchgrow.metrics.inputs import image_scores
from monai_patchgrow.metrics.quadratic_kappa import QuadraticKappa

__all__ = [
    "AugmentBatches",
    "BestWeights",
    "CompilationLog",
    "EvidenceMaps",
    "FiniteOutput",
    "FiniteSteps",
    "GradientClipping",
    "GrowthProgress",
    "LatentImages",
    "LoaderAdvice",
    "LossOutput",
    "LossScaling",
    "MicroBatches",
    "PatchGDLog",
    "PatchGrowth",
    "PredictionTable",
    "QuadraticKappa",
    "RecordedIterations",
    "Reproducibility",
    "ResumableRun",
    "RunLog",
    "Throughput",
    "amp_dtype",
    "balanced_accuracy",
    "image_scores",
    "mean_roc_auc",
    "share_weights",
]
