"""The order of handlers: each rule is refused with its line, and what the bundles do is not."""

import monai.handlers
import pytest
import torch
from ignite.engine import Engine, Events

from monai_patchgrow import GrowthSchedule, PatchGrowth, PatchSize, handlers
from monai_patchgrow.handlers.order import OrderRule, broken_rules, check_order_on_start
from monai_patchgrow.transforms import AugmentationRecipe, BatchAugmentation

SCHEDULE = GrowthSchedule.plan(patch_size=(8, 8), total_stride=(8, 8), batch_size=2, max_epochs=2)
OPTIMIZER = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
MAKE = {
    "AugmentBatches": lambda folder: handlers.AugmentBatches(BatchAugmentation(AugmentationRecipe.nnunet((8, 8)))),
    "GrowthProgress": lambda folder: handlers.GrowthProgress(),
    "LoaderAdvice": lambda folder: handlers.LoaderAdvice(),
    "LossScaling": lambda folder: handlers.LossScaling(),
    "PatchGDLog": lambda folder: handlers.PatchGDLog(folder, optimizer=OPTIMIZER),
    "PatchGrowth": lambda folder: PatchGrowth(SCHEDULE, PatchSize((8, 8))),
    "Reproducibility": lambda folder: handlers.Reproducibility(0),
    "ResumableRun": lambda folder: handlers.ResumableRun(folder / "last.pt", {}),
    "RunLog": lambda folder: handlers.RunLog(folder, optimizer=OPTIMIZER),
    "Throughput": lambda folder: handlers.Throughput(),
    "ValidationHandler": lambda folder: monai.handlers.ValidationHandler(
        interval=2, validator=monai.engines.Evaluator("cpu", [0]), epoch_level=True
    ),
}
RULES = {
    ("LossScaling", "ResumableRun"): "which makes the scaler that a checkpoint is loaded into",
    ("ResumableRun", "GrowthProgress"): "which tells where a resumed run starts",
    ("ResumableRun", "RunLog"): "which tells whether the run is resumed",
    ("ResumableRun", "PatchGDLog"): "which tells whether the run is resumed",
    ("Throughput", "AugmentBatches"): "which reads the batch in the loader's memory",
    ("Throughput", "LoaderAdvice"): "which measures the epoch",
    ("Throughput", "PatchGrowth"): "which starts the clock that drawing anew counts on",
    ("Throughput", "Reproducibility"): "which starts the clock that drawing anew counts on",
    ("Throughput", "RunLog"): "which measures the epoch that is written",
    ("Throughput", "PatchGDLog"): "which measures the epoch that is written",
    ("Throughput", "ValidationHandler"): "which stops the epoch's clock",
    ("ValidationHandler", "RunLog"): "which makes the metrics that are written",
    ("ValidationHandler", "PatchGDLog"): "which makes the metrics that are written",
}


def make_engine(names, folder):
    engine = Engine(lambda engine, batch: None)
    for name in names:
        MAKE[name](folder).attach(engine)
    return engine


@pytest.mark.parametrize(("first", "second"), RULES)
def test_a_broken_rule_is_refused_on_start_with_its_line(first, second, tmp_path):
    line = f"{second} is attached before {first}, {RULES[first, second]}: attach {first} before {second}"
    with pytest.raises(ValueError, match=r"^[^\n]+$") as caught:
        make_engine([second, first], tmp_path).run([0])
    assert str(caught.value) == line


@pytest.mark.parametrize(("first", "second"), RULES)
def test_a_kept_rule_has_no_line(first, second, tmp_path):
    assert broken_rules(make_engine([first, second], tmp_path)) == []


@pytest.mark.parametrize("name", MAKE)
def test_a_handler_that_is_not_there_is_no_fault(name, tmp_path):
    assert broken_rules(make_engine([name], tmp_path)) == []


def test_all_other_orders_of_two_are_free(tmp_path):
    orders = [(one, other) for one in MAKE for other in MAKE if (other, one) not in RULES]
    assert [order for order in orders if broken_rules(make_engine(order, tmp_path))] == []


def test_every_broken_rule_is_named(tmp_path):
    lines = broken_rules(make_engine(["RunLog", "ValidationHandler", "Throughput"], tmp_path))
    assert [line.partition(",")[0] for line in lines] == [
        "RunLog is attached before Throughput",
        "RunLog is attached before ValidationHandler",
        "ValidationHandler is attached before Throughput",
    ]


def test_a_rule_counts_on_its_event_alone():
    class Second:
        follows = (OrderRule("First", Events.STARTED, "which opens the door"),)

        def __call__(self, engine):
            pass

    class First:
        def __call__(self, engine):
            pass

    engine = Engine(lambda engine, batch: None)
    check_order_on_start(engine)
    for event, handler in ((Events.COMPLETED, Second()), (Events.COMPLETED, First())):
        engine.add_event_handler(event, handler)
    engine.run([0])
    assert broken_rules(engine) == []


def test_a_second_run_of_one_engine_is_in_order(tmp_path):
    """ResumableRun then stands behind RunLog at the end of an epoch, where that is no fault."""
    engine = make_engine(["ResumableRun", "RunLog"], tmp_path)
    engine.add_event_handler(Events.EPOCH_STARTED, lambda engine: engine.terminate("skip_completed"))
    engine.run([0])
    assert broken_rules(engine) == []


def test_every_rule_has_its_line_here():
    classes = [vars(handlers)[name] for name in handlers.__all__]
    follows = {(rule.other, one.__name__) for one in classes for rule in getattr(one, "follows", ())}
    precedes = {(one.__name__, rule.other) for one in classes for rule in getattr(one, "precedes", ())}
    assert follows | precedes == set(RULES)


@pytest.mark.parametrize("first", ["Throughput", "LossScaling"], ids=["the bundles", "the bundles of version 0.1.0"])
def test_the_order_of_the_bundles_is_free_of_faults(first, tmp_path):
    names = ["LossScaling", "ResumableRun", "Throughput", "Reproducibility", "PatchGrowth", "AugmentBatches"]
    names += ["ValidationHandler", "ValidationHandler", "GrowthProgress", "RunLog"]
    names.remove(first)
    assert broken_rules(make_engine([first, *names], tmp_path)) == []
