"""redrawn: new batches around a change, from the first batch of a run on."""

from ignite.engine import Engine, Events

from monai_patchgrow.handlers.redraw import prepare_redraw, redrawn


class Loader:
    """Counts its iterators."""

    def __init__(self):
        self.iterators = 0

    def __iter__(self):
        self.iterators += 1
        yield from range(3)


def run(redraws, *, handlers=1, runs=1):
    """Iterators over the loader after each epoch, where it is drawn anew at the start of epochs `redraws`."""
    engine, loader, counted = Engine(lambda engine, batch: None), Loader(), []

    def redraw(engine):
        if engine.state.epoch in redraws:
            with redrawn(engine):
                pass

    for _ in range(handlers):
        prepare_redraw(engine)
        engine.add_event_handler(Events.EPOCH_STARTED, redraw)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: counted.append(loader.iterators))
    for _ in range(runs):
        engine.run(loader, max_epochs=3, epoch_length=1)
    return counted


def test_an_iterator_goes_on_over_epochs_unless_redrawn():
    assert run([]) == [1, 1, 1]


def test_each_redraw_makes_a_new_iterator():
    assert run([2, 3]) == [1, 2, 3]


def test_before_the_first_batch_of_a_run_nothing_is_dropped():
    assert run([1]) == [1, 1, 1]
    assert run([1], runs=2) == [1, 1, 1, 2, 2, 2]


def test_several_handlers_share_what_is_known():
    engine = Engine(lambda engine, batch: None)
    prepare_redraw(engine), prepare_redraw(engine)
    seen = []
    engine.add_event_handler(Events.EPOCH_STARTED, lambda engine: seen.append(engine.state.has_iterator))
    engine.run([0], max_epochs=2)
    assert seen == [False, True]
