"""Judges code in a bundle: that of our own templates is known by its content, at its place; any other is not."""

from __future__ import annotations

import functools
import hashlib
import re
from pathlib import PurePosixPath

from monai_patchgrow.tools.render.bundle_scripts import bundle_scripts

__all__ = ["code_fault", "is_code", "known_scripts"]

_SUFFIX = re.compile(
    r"\.(bash|bat|cmd|com|dll|dylib|egg|exe|jar|js|lib|lnk|msi|o|pkg|pl|ps1|rb|sh|so(\.\d+)*|vbs|whl|zsh|py[cdiowxz]?|pxd)$"
)
_BEGINNINGS = (b"\x7fELF", b"MZ", b"#!", b"\xfe\xed\xfa", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")


@functools.cache
def known_scripts() -> dict[str, str]:
    """SHA-256 of the files under scripts/ that the installed package renders, by path in the bundle."""
    return {path: hashlib.sha256(text.encode()).hexdigest() for path, text in bundle_scripts().items()}


def is_code(name: str, head: bytes) -> bool:
    """Whether Python, a shell or the system would run a file, by its suffix or its beginning."""
    return _SUFFIX.search(name.lower()) is not None or head.startswith(_BEGINNINGS)


def code_fault(name: str, content: bytes) -> str | None:
    """Why a file of code is not known.

    Args:
        name: path in the bundle.
        content: of the file.
    """
    known = known_scripts().get(name)
    if known is not None and hashlib.sha256(content).hexdigest() == known:
        return None
    if known is not None:
        return "is not the script of that name that this version of monai-patchgrow has"
    if "__pycache__" in PurePosixPath(name).parts:
        return "is compiled code, which Python takes for the script beside it: remove the folder __pycache__"
    return "is code, and none of ours"
