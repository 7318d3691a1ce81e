"""How much of a prediction's evidence lies where the tumour is, on phantom slides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ignite.engine import Events
from monai.bundle import ConfigWorkflow

from monai_patchgrow.data.synthetic.phantom_slides import phantom_slide
from monai_patchgrow.networks.heads.evidence import cell_evidence
from monai_patchgrow.schedules.patch_grid import PatchGrid

__all__ = ["SlideEvidence", "evidence_in_tumour"]


@dataclass(frozen=True)
class SlideEvidence:
    """One slide's evidence: its share inside the tumour, and the tumour's share of the tissue, what chance would give.

    name: of the slide.
    inside: of the evidence for a higher grade, 0 to 1.
    chance: 0 to 1.
    """

    name: str
    inside: float
    chance: float


def evidence_in_tumour(
    config: str, settings: Mapping[str, Any], numbers: Mapping[str, int], size: int, num_grades: int
) -> list[SlideEvidence]:
    """Classify slides by a bundle's inference.json, which draws their evidence, and say how much points at the tumour.

    Counted is what speaks for a higher grade, as the map shows it in red. Of a patch that is partly tumour, as much is
    inside as the tumour has of it.

    Args:
        config: path of the inference.json.
        settings: its overrides.
        numbers: of the phantom slides, by the names of their files.
        size: of the slides: the longer side, pixels.
        num_grades: of the task.
    """
    workflow = ConfigWorkflow(config, workflow_type="infer", logging_file=False, **settings)
    workflow.initialize()
    evaluator = workflow.parser.get_parsed_content("evaluator")
    head = workflow.parser.get_parsed_content("network").head
    patch = tuple(settings["patch_size"])
    found = []

    def measure(engine: Any) -> None:
        latent = engine.state.latent
        name = Path(str(engine.state.batch[0]["name"])).name
        slide = phantom_slide(numbers[name], size=size, num_grades=num_grades)
        grid = PatchGrid(slide.shape[1:], patch)
        evidence = cell_evidence(head, latent.z, latent.mask, None)[0][tuple(map(slice, grid.shape))].flatten()
        cells = [grid.slices(cell) for cell in range(grid.num_cells)]
        tissue, tumour = slide.shares(cells).T
        above = evidence.clamp(min=0)
        within = float((above * tumour).sum() / above.sum().clamp(min=1e-12))
        found.append(SlideEvidence(name, within, float(tumour.sum() / tissue.sum())))

    evaluator.add_event_handler(Events.ITERATION_COMPLETED, measure)
    workflow.run()
    workflow.finalize()
    return found
