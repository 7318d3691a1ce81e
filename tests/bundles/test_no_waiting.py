"""A whole iteration of a bundle's training halts no GPU: from the loader's batch to the end of its last handler."""

from pathlib import Path

import pytest
from ignite.engine import Events
from monai.bundle import ConfigWorkflow

from monai_patchgrow.transforms import BatchAugmentation
from tests.support.waiting import NoWaiting

BUNDLES = Path(__file__).parents[2] / "bundles"


@pytest.mark.parametrize(("batch_dice", "warp_on_device"), [(False, False), (True, True)])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_no_operation_of_an_iteration_waits(phantom_task, tmp_path, monkeypatch, batch_dice, warp_on_device):
    monkeypatch.setattr("monai_patchgrow.handlers.finite_steps._is_asynchronous", lambda device: True)
    workflow = ConfigWorkflow(
        str(BUNDLES / "hippocampus_segmentation_patchgrow" / "configs" / "train.json"),
        workflow_type="train",
        logging_file=False,
        dataset_dir=str(phantom_task),
        output_dir=str(tmp_path),
        cache_dir=str(tmp_path / "cache"),
        labels={"0": "background", "1": "Anterior", "2": "Posterior"},
        patch_size=[8, 8, 8],
        smallest_patch=[8, 8, 8],
        features=[4, 4, 8, 8],
        batch_dice=batch_dice,
        num_workers=0,
        max_epochs=1,
        iterations_per_epoch=3,
        device="cpu",
        **{"train#random_transforms#0#warp_on_device": warp_on_device},
    )
    workflow.initialize()
    trainer = workflow.parser.get_parsed_content("train#trainer")
    waiting, augment, ends = NoWaiting(trainer.network.parameters()), BatchAugmentation.__call__, []

    def augment_on_gpu(self, image, label, **options):
        waiting.put_on_gpu(image)
        waiting.put_on_gpu(label)
        return augment(self, image, label, **options)

    def send(tensors, device):
        sent = [one.clone() for one in tensors]
        for one in sent:
            waiting.put_on_gpu(one)
        return sent

    monkeypatch.setattr(BatchAugmentation, "__call__", augment_on_gpu)
    monkeypatch.setattr("monai_patchgrow.transforms.augment.sent_together", send)
    trainer.add_event_handler(Events.GET_BATCH_COMPLETED, waiting.__enter__)
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: ends.append(waiting.__exit__(None, None, None)))
    trainer.add_event_handler(Events.ITERATION_COMPLETED(once=3), trainer.terminate)  # before the validation
    trainer.run()
    assert len(ends) == 3
