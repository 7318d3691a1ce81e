"""The Ignite handler that records a stage's iteration as a CUDA graph and replays it for each batch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Protocol

import ignite.distributed as idist
import torch
from ignite.engine import Events
from monai.engines import IterationEvents
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor
from torch.optim import Optimizer

from monai_patchgrow.handlers.closing import call_at_end
from monai_patchgrow.internals.ignite import wrap_process
from monai_patchgrow.schedules.arguments import format_size

__all__ = ["CudaRecorder", "RecordedIterations", "Recorder"]

_logger = logging.getLogger(__name__)


class Recorder(Protocol):
    """Records what work does on a device, to do it again on the same memory."""

    def run(self, work: Callable[[], Any]) -> Any:
        """Do work that will be recorded later."""

    def record(self, work: Callable[[], Any]) -> Callable[[], None]:
        """Return what does the work; the recording itself leaves all tensors as they are."""

    def release(self) -> None:
        """Give back the memory of a recording that is not kept."""


class CudaRecorder:
    """Records work as a CUDA graph.

    Source: PyTorch, "CUDA semantics", section "Whole-network capture".
    """

    def run(self, work: Callable[[], Any]) -> Any:
        """Do work on another stream than the current one, as torch wants what it will record to be done before."""
        current, other = torch.cuda.current_stream(), torch.cuda.Stream()
        other.wait_stream(current)
        with torch.cuda.stream(other):
            result = work()
        current.wait_stream(other)
        return result

    def record(self, work: Callable[[], Any]) -> Callable[[], None]:
        """Return the graph's replay; its memory comes from a pool of its own, hence the cache is emptied first."""
        torch.cuda.empty_cache()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        return graph.replay

    def release(self) -> None:
        """Give the memory back to the GPU."""
        torch.cuda.empty_cache()


class RecordedIterations:
    """Records forward, loss, backward, clipping and optimiser of each kind of batch, and replays them.

    On small patches a GPU waits for Python to launch its kernels; a recorded iteration is one launch. The first
    iterations of a stage run as usual; at a change of stage the recording and its memory are dropped. Where recording
    fails, for memory or for an operation that can't be recorded, the stage runs as usual, and a line says so.

    Of MONAI's events within an iteration, a replay fires BACKWARD_COMPLETED and MODEL_COMPLETED only, and its output
    has no prediction. Attach it before a :class:`MicroBatches`, which then takes iterations apart that were not
    recorded. A curriculum that draws its sizes gains nothing.

    Args:
        recorder: what records; None: CUDA graphs.
        warm_up: iterations of a stage that run as usual, at least 1.

    Raises:
        ValueError: on start: several processes, a loss scale (float16), or an optimiser that can't be recorded, as one
            that is neither fused nor capturable.
    """

    def __init__(self, recorder: Recorder | None = None, *, warm_up: int = 3) -> None:
        self.recorder = CudaRecorder() if recorder is None else recorder
        self.warm_up = warm_up
        self._kind: tuple[Any, ...] = ()
        self._done = 0  # iterations of this kind of batch
        self._replay: Callable[[], None] | None = None
        self._is_refused = False
        self._rates: list[Tensor] = []
        self._image = self._label = self._loss = torch.empty(0)

    def attach(self, engine: Any) -> None:
        """Register on a MONAI SupervisedTrainer, whose iteration it then calls."""
        engine.add_event_handler(Events.STARTED, self._start)
        wrap_process(engine, self._wrap)
        call_at_end(engine, self._forget)

    def _start(self, engine: Any) -> None:
        if idist.get_world_size() > 1:
            raise ValueError("iterations are recorded in a run of one process: compile='cuda-graphs' with one GPU only")
        if engine.scaler is not None and engine.scaler.is_enabled():
            raise ValueError("a loss scale can't be recorded: compile='cuda-graphs' needs bfloat16, or amp=False")
        if not all(map(_is_recordable, engine.optimizer.param_groups)):
            name = type(engine.optimizer).__name__
            raise ValueError(f"{name} can't be recorded for compile='cuda-graphs': give it fused=True, or capturable")
        self._rates = [torch.zeros((), device=engine.state.device) for _ in engine.optimizer.param_groups]

    def _wrap(self, process: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def iterate(engine: Any, batch: Any) -> Any:
            image, label = engine.prepare_batch(batch, engine.state.device, engine.non_blocking, **engine.to_kwargs)[:2]
            self._meet((image.shape, label.shape, image.dtype, label.dtype))
            with _rates_as_tensors(engine.optimizer, self._rates):
                if self._replay is None and self._done > self.warm_up and not self._is_refused:
                    self._record(engine, image, label)
                if self._replay is None:
                    return self.recorder.run(lambda: process(engine, batch))
            return self._repeat(engine, image, label)

        return iterate

    def _meet(self, kind: tuple[Any, ...]) -> None:
        if kind != self._kind:
            self._forget()
            self._kind = kind
        self._done += 1

    def _forget(self) -> None:
        self._kind, self._done, self._is_refused = (), 0, False
        self._drop()

    def _drop(self) -> None:
        if self._replay is not None:
            self._replay = None
            self._image = self._label = self._loss = torch.empty(0)
            self.recorder.release()

    def _record(self, engine: Any, image: Tensor, label: Tensor) -> None:
        self._image, self._label = image.clone(), label.clone()
        engine.network.train()
        # The last iteration's graph and gradients would be recorded, or kept, otherwise.
        engine.state.output = None
        engine.optimizer.zero_grad(set_to_none=True)
        try:
            self._replay = self.recorder.record(lambda: self._compute(engine))
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            self._is_refused = True
            engine.optimizer.zero_grad(set_to_none=True)
            size = format_size(image.shape[2:])
            _logger.warning("patches of %s run without a CUDA graph, which could not be recorded: %s", size, reason)

    def _compute(self, engine: Any) -> None:
        with torch.autocast("cuda", **engine.amp_kwargs) if engine.amp else nullcontext():
            loss = engine.loss_function(engine.inferer(self._image, engine.network), self._label).mean()
        loss.backward()
        engine.optimizer.step()
        self._loss = loss.detach()

    def _repeat(self, engine: Any, image: Tensor, label: Tensor) -> dict[str, Any]:
        self._image.copy_(image)
        self._label.copy_(label)
        self._replay()  # type: ignore[misc]
        engine.fire_event(IterationEvents.BACKWARD_COMPLETED)
        engine.state.output = {Keys.IMAGE: image, Keys.LABEL: label, Keys.LOSS: self._loss.clone()}
        engine.fire_event(IterationEvents.MODEL_COMPLETED)
        return engine.state.output


def _is_recordable(group: dict[str, Any]) -> bool:
    """Whether an optimiser's step on a group of weights reads no number back from the device."""
    return bool(group["capturable"] if "capturable" in group else group.get("fused"))


@contextmanager
def _rates_as_tensors(optimizer: Optimizer, rates: Sequence[Tensor]) -> Iterator[None]:
    """Within it learning rates are tensors: as a number a rate would be recorded for good."""
    numbers = [group["lr"] for group in optimizer.param_groups]
    for group, rate, number in zip(optimizer.param_groups, rates, numbers, strict=True):
        rate.fill_(number)
        group["lr"] = rate
    try:
        yield
    finally:
        for group, number in zip(optimizer.param_groups, numbers, strict=True):
            group["lr"] = number
