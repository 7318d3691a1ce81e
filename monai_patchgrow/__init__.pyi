from . import bundle as bundle
from . import data as data
from . import engines as engines
from . import handlers as handlers
from . import losses as losses
from . import metrics as metrics
from . import networks as networks
from . import schedules as schedules
from . import state as state
from . import tools as tools
from . import transforms as transforms
from .engines.patchgd import PatchGDEvaluator, PatchGDTrainer
from .handlers.patch_growth import PatchGrowth
from .schedules.plan import GrowthSchedule
from .state.patch_size import PatchCount, PatchSize

__all__ = [
    "GrowthSchedule",
    "PatchCount",
    "PatchGDEvaluator",
    "PatchGDTrainer",
    "PatchGrowth",
    "PatchSize",
    "__version__",
]

__version__: str
