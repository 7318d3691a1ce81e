"""Writes a synthetic slide of any size as a tiled TIFF, tile by tile: 32768 pixels need no more memory than 512.

    .venv/bin/python scripts/make_huge_tiff.py slide_32768.tif --size 32768

Needs the extra "tiff" of setup.cfg.
"""

from __future__ import annotations

import sys

import fire

from monai_patchgrow.data.synthetic.phantom_slides import PhantomSlide
from monai_patchgrow.data.tiles.write import write_tiled_tiff


def make(path: str, *, size: int = 32768, seed: int = 0, tile_size: int = 256, level: int = 1) -> None:
    """Write the slide, deflate-compressed; a file that is there is replaced.

    Args:
        path: of the TIFF.
        size: rows and columns, pixels.
        seed: of the slide.
        tile_size: rows and columns of a tile, pixels.
        level: of the compression, 1 (fast) to 9.
    """
    try:
        written = write_tiled_tiff(path, PhantomSlide(size, seed=seed), tile_size=tile_size, level=level)
    except (OSError, ValueError) as error:
        sys.exit(f"make_huge_tiff: {error}")
    print(f"{written}: {size} x {size} pixels, {written.stat().st_size / 2**20:.0f} MiB")


if __name__ == "__main__":
    fire.Fire(make)
