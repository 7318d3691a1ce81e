"""Which components and names a config may use.

Known are, exactly, those that our own templates name, and by package the classes that do nothing with their
arguments but compute: they are given numbers, tensors, and other components that are looked at as well. A package is
not known as a whole. Left out are functions, and all that takes the name of code, a command, an address or a pickle as
text: such a text would be code that nobody has looked at. Where a class takes one among other things, as a reader of
images, its key is looked at instead, wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from monai_patchgrow.tools.inspect.library import classes_of_monai
from monai_patchgrow.tools.inspect.vocabulary import Vocabulary, known_vocabulary

__all__ = ["Allowed", "is_under"]

_CLASS = re.compile(r"[A-Z]\w*")
_DTYPE = re.compile(r"(torch|numpy)\.(float|uint|int|bfloat|complex)\d+|torch\.(bool|half|float|double|long|int)")

_PACKAGES_OF_MONAI = (
    "monai.engines",
    "monai.handlers",
    "monai.inferers",
    "monai.losses",
    "monai.metrics",
    "monai.networks.blocks",
    "monai.networks.nets",
    "monai.optimizers",
    "monai.transforms",
)
_DATA_OF_MONAI = ("CacheDataset", "DataLoader", "Dataset", "SmartCacheDataset", "ThreadDataLoader")
_NOT_OF_MONAI = re.compile(
    r".*(TorchVision|Torchvision|TorchIO|CuCIM|ImageFilter|Perceptual|FlexUNetEncoderRegister|MILModel|CellSam).*"
    r"|.*(MLFlow|ClearML|Trt|HoVerNet|Bert|MultiModal|Transchex|TextEncoder|WriteFileMapping|ProbMapProducer|LogfileHandler).*"
)
"""Take the name of code, load weights or code from elsewhere, send, or write text that a config says."""

_OTHER_PACKAGES = ("ignite.metrics", "torch.nn", "torch.optim", "torch.optim.lr_scheduler")
_NOT_OF_OTHERS = {"ignite.metrics.FID", "ignite.metrics.InceptionScore"}  # download a network
_OUR_FOLDERS = ("data", "engines", "handlers", "losses", "metrics", "networks", "transforms")
_FUNCTIONS = {
    "glob.glob",
    "ignite.distributed.get_rank",
    "math.ceil",
    "math.floor",
    "math.prod",
    "math.sqrt",
    "monai.data.list_data_collate",
    "monai.data.pad_list_data_collate",
    "monai.handlers.from_engine",
    "monai.utils.set_determinism",
    "os.path.basename",
    "os.path.dirname",
    "os.path.join",
    "re.sub",
    "torch.cuda.device_count",
    "torch.cuda.is_available",
    "torch.device",
    "torch.nn.parallel.DistributedDataParallel",
}
_MODULES = {"glob", "ignite", "ignite.distributed", "math", "monai", "numpy", "os", "re", "torch"}
_ATTRIBUTES = {"cpu", "cuda", "data", "dataset", "eval", "parameters", "run", "shape", "to", "train", "transforms"}
_TAKES_CODE_BY_NAME = re.compile(r"(LoadImage|SaveImage|PatchInferer|NumpyReader).*")


@dataclass(frozen=True)
class Allowed:
    """What configs may name.

    vocabulary: of our own templates.
    prefixes: dotted names that the user allows, with all that is below them.
    """

    vocabulary: Vocabulary
    prefixes: tuple[str, ...] = ()

    @classmethod
    def with_prefixes(cls, prefixes: Sequence[str]) -> Allowed:
        """What is known, and what the user allows."""
        return cls(known_vocabulary(), tuple(prefixes))

    def target(self, name: str) -> bool:
        """Whether a value of ``_target_`` is known."""
        return name in self.vocabulary.targets or self._by_user(name) or _is_known(name)

    def callable_target(self, name: str) -> bool:
        """Whether it may be handed on uncalled: what is given arguments later must not find code by their text."""
        return self._by_user(name) or not _TAKES_CODE_BY_NAME.fullmatch(name.rpartition(".")[2])

    def name(self, dotted: str) -> bool:
        """Whether an expression may use or call the content of a module."""
        if dotted in self.vocabulary.names or dotted in _FUNCTIONS or _DTYPE.fullmatch(dotted):
            return True
        return self.target(dotted) and self.callable_target(dotted)

    def module(self, dotted: str) -> bool:
        """Whether an expression may import a module."""
        return dotted in self.vocabulary.modules or dotted in _MODULES or self._by_user(dotted)

    def attribute(self, name: str) -> bool:
        """Whether an expression may read an attribute of an object."""
        return name in self.vocabulary.attributes or name in _ATTRIBUTES

    @property
    def modules(self) -> set[str]:
        """Names of modules that no other module may be imported by."""
        return {name.partition(".")[0] for name in (*self.vocabulary.modules, *_MODULES)} | {"np"}

    def _by_user(self, name: str) -> bool:
        return any(is_under(name, prefix) for prefix in self.prefixes)


def is_under(name: str, prefix: str) -> bool:
    """Whether a dotted name is a prefix or below it.

    >>> is_under("mine.nets.UNet", "mine"), is_under("mined.UNet", "mine")
    (True, False)
    """
    return name == prefix or name.startswith(f"{prefix}.")


def _is_known(name: str) -> bool:
    package, _, last = name.rpartition(".")
    if name in _FUNCTIONS:
        return True
    if not _CLASS.fullmatch(last) or name in _NOT_OF_OTHERS:
        return False
    if package in _OTHER_PACKAGES:
        return True
    if package in {f"monai_patchgrow.{folder}" for folder in _OUR_FOLDERS}:
        return True
    return _is_known_class_of_monai(package, last)


def _is_known_class_of_monai(package: str, name: str) -> bool:
    """A class by its bare name must be that of known packages alone: MONAI takes the first that it finds."""
    if package and not is_under(package, "monai"):
        return False
    homes = classes_of_monai().get(name, frozenset())
    if package:
        homes = frozenset(home for home in homes if is_under(home, package))
    if not homes or _NOT_OF_MONAI.fullmatch(name):
        return False
    if package and package not in (*homes, *_PACKAGES_OF_MONAI, "monai.data"):
        return False
    return all(
        any(is_under(home, known) for known in _PACKAGES_OF_MONAI)
        or (is_under(home, "monai.data") and name in _DATA_OF_MONAI)
        for home in homes
    )
