"""What is private in Ignite is still there: the handlers of an engine, whatever way they were attached."""

import functools

import pytest
from ignite.engine import Engine, Events

from monai_patchgrow.internals.ignite import attached_to


class Handler:
    def __call__(self, engine):
        pass

    def start(self, engine):
        pass


def function(engine):
    pass


def make_engine():
    return Engine(lambda engine, batch: None)


@pytest.mark.parametrize("event", [Events.EPOCH_STARTED, Events.EPOCH_STARTED(every=2), Events.EPOCH_STARTED(once=1)])
@pytest.mark.parametrize("method", [False, True])
def test_an_object_is_found_whatever_event_it_handles(event, method):
    engine, handler = make_engine(), Handler()
    engine.add_event_handler(event, handler.start if method else handler)
    assert attached_to(engine, Events.EPOCH_STARTED)[0] is handler


def test_a_function_is_found_itself():
    engine = make_engine()
    engine.add_event_handler(Events.STARTED, function)
    assert attached_to(engine) == [function]


def test_a_handler_of_many_events_is_found_once():
    engine, handler = make_engine(), Handler()
    engine.add_event_handler(Events.STARTED | Events.COMPLETED, handler)
    engine.add_event_handler(Events.EPOCH_STARTED, handler.start)
    assert attached_to(engine) == [handler]


def test_handlers_come_in_the_order_in_which_they_are_called():
    engine, called = make_engine(), []
    handlers = [functools.partial(called.append, number) for number in range(4)]
    for handler in handlers:
        engine.add_event_handler(Events.STARTED, handler)
    engine.run([0])
    assert called == [handlers.index(handler) for handler in attached_to(engine, Events.STARTED)]


def test_a_handler_that_was_removed_is_gone():
    engine = make_engine()
    engine.add_event_handler(Events.STARTED, function).remove()
    assert attached_to(engine) == []


def test_an_event_that_nothing_handles_has_no_handlers():
    assert attached_to(make_engine(), Events.STARTED) == []
