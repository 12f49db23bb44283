"""Numbers over steps, in the files that TensorBoard reads.

Its own writers have a thread, which ends in a traceback on a full disk; this one is a line at a
time, and says so where it is called.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

from transfer.files import writable


class ScalarLog:
    """Appends to a file of its own in a run's folder; a context manager that closes it."""

    def __init__(self, run: Path, after_step: int) -> None:
        """Go on after a step; what was logged of later ones counts no more.

        Raises:
            StoreUnavailable: the folder cannot be written; so do all methods.
        """
        self._run = run
        seconds, nanoseconds = divmod(time.time_ns(), 10**9)
        with writable(run):
            name = f"events.out.tfevents.{seconds:010d}.{nanoseconds:09d}"
            self._file = (run / name).open("xb")
        self._records = RecordWriter(self._file)
        self._write(Event(file_version="brain.Event:2", wall_time=time.time()))
        begins = SessionLog(status=SessionLog.START)
        self._write(Event(session_log=begins, step=after_step + 1, wall_time=time.time()))
        self.flush()

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Log values by name."""
        summary = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(Event(step=step, wall_time=time.time(), summary=Summary(value=summary)))

    def flush(self) -> None:
        """Show what was logged to those who read along."""
        with writable(self._run):
            self._file.flush()

    def __enter__(self) -> ScalarLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with writable(self._run):
            self._file.close()

    def _write(self, event: Event) -> None:
        with writable(self._run):
            self._records.write(event.SerializeToString())
