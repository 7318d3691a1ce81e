"""SamplePlan: which patches each sample of a growing run gives."""

from monai_patchgrow import GrowthSchedule
from monai_patchgrow.schedules.sample import SamplePatches, SamplePlan


def plan(curriculum, *, batch_size, volumes, seed=0):
    schedule = GrowthSchedule.plan(
        patch_size=(24, 24), total_stride=(8, 8), batch_size=batch_size, max_epochs=6, curriculum=curriculum
    )
    return SamplePlan(schedule=schedule, volumes=volumes, epoch_length=4, seed=seed)


def test_the_first_volumes_give_one_patch_more():
    some = plan("constant", batch_size=5, volumes=3)
    assert [some.patches_at(epoch=1, batch=1, sample=sample) for sample in range(3)] == [
        SamplePatches((24, 24), 2, 0),
        SamplePatches((24, 24), 2, 2),
        SamplePatches((24, 24), 1, 4),
    ]


def test_patches_before_are_counted_over_the_epoch_s_batches():
    assert plan("constant", batch_size=5, volumes=3).patches_at(epoch=2, batch=3, sample=1).before == 12


def test_the_stage_of_the_epoch_sets_size_and_count():
    some = plan("performance", batch_size=2, volumes=2)
    assert some.patches_at(epoch=1, batch=1, sample=0) == SamplePatches((8, 8), 9, 0)


def test_random_has_one_size_for_all_samples_of_a_batch():
    some = plan("random", batch_size=3, volumes=3)
    assert len({some.patches_at(epoch=2, batch=4, sample=sample).size for sample in range(3)}) == 1


def test_random_draws_from_its_seed():
    sizes = [
        [plan("random", batch_size=2, volumes=2, seed=seed).patches_at(epoch=1, batch=batch, sample=0).size
         for batch in range(1, 9)]
        for seed in (0, 0, 1)
    ]  # fmt: skip
    assert sizes[0] == sizes[1] != sizes[2]
