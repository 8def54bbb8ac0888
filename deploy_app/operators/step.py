"""What all operators have in common: typed ports, timing, and failures that travel on as messages."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

from holoscan.core import ExecutionContext, Fragment, InputContext, Operator, OperatorSpec, OutputContext

from logs import Log
from messages import Failure, Job, Message


@dataclass(frozen=True)
class Port:
    """An input or output, and the type of what a `Message` on it holds."""

    name: str
    type: type


class Step(Operator):  # type: ignore[misc] # holoscan has no type information
    """An operator that turns what it receives about a study into one result.

    An exception must not end the graph, because further studies may follow: it becomes a `Failure`, which all later
    operators pass on.

    Parameters
    ----------
    fragment
        The application.
    log
        Told how long each study took.
    *args, name
        As holoscan's operators take them.
    """

    receives: ClassVar[tuple[Port, ...]]
    emits: ClassVar[Port | None] = None

    def __init__(self, fragment: Fragment, *args: Any, log: Log, name: str) -> None:
        self.log = log
        self.step = name
        super().__init__(fragment, *args, name=name)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        for port in self.receives:
            spec.input(port.name)
        if self.emits is not None:
            spec.output(self.emits.name)

    def process(self, *args: Any, **kwargs: Any) -> Any:
        """Do the work of one study.

        Parameters
        ----------
        *args
            The job, then what each port received, in the order of `receives`.
        """
        raise NotImplementedError

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:  # noqa: ARG002
        """Receive, process, emit; called by holoscan."""
        messages: list[Message[Any]] = [op_input.receive(port.name) for port in self.receives]
        job = messages[0].job
        failure = next((message.value for message in messages if isinstance(message.value, Failure)), None)
        result = failure or self._timed(job, [message.value for message in messages])
        self.deliver(op_output, job, result)

    def deliver(self, op_output: OutputContext, job: Job, result: Any) -> None:
        """Send the result of a study, or its failure, to the next operators."""
        if self.emits is not None:
            op_output.emit(Message(job, result), self.emits.name)

    def _timed(self, job: Job, values: list[Any]) -> Any:
        started = time.monotonic()
        try:
            for port, value in zip(self.receives, values, strict=True):
                if not isinstance(value, port.type):
                    raise TypeError(f"port {port.name} of {self.step} takes {port.type.__name__}")
            result = self.process(job, *values)
        except Exception as error:  # noqa: BLE001 - the last line of defence: every error becomes a code
            failure = Failure(error, self.step)
            self.log.error(
                "operator failed", error, failure.exit_code, operator=self.step, study=job.key, number=job.number
            )
            return failure
        self.log(
            "operator done",
            operator=self.step,
            study=job.key,
            number=job.number,
            seconds=round(time.monotonic() - started, 3),
        )
        return result
