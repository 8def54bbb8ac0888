from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lib.retraining.starts import TrainingStarts


def test_one_at_a_time_and_pauses_that_grow_after_failures() -> None:
    now, tasks = 0.0, []

    def start(request: Mapping[str, Any]) -> Mapping[str, Any]:
        tasks.append({**request, "status": "SUBMITTED"})
        return tasks[-1]

    starts = TrainingStarts(lambda: {"new_labels": 5}, start, lambda: now)
    for _ in range(2):
        starts.consider()
    assert tasks == [{"new_labels": 5, "status": "SUBMITTED"}]
    started = []
    for now in range(0, 100, 10):  # every watch; each training fails at once
        tasks[-1]["status"] = "ERROR"
        before = len(tasks)
        starts.consider()
        started += [now] * (len(tasks) - before)
    assert started == [10, 40, 90]
    now = 1000.0
    tasks[-1]["status"] = "DONE"
    starts.consider()
    tasks[-1]["status"] = "ERROR"
    starts.consider()
    now += 10
    starts.consider()
    assert len(tasks) == 6, "after one that succeeded pauses begin anew"


def test_training_whose_process_could_not_be_started_is_tried_again() -> None:
    now, started = 0.0, []

    def start(request: Mapping[str, Any]) -> Mapping[str, Any]:
        started.append(now)
        return {**request, "status": "SUBMITTED"}

    starts = TrainingStarts(lambda: {"new_labels": 5}, start, lambda: now)
    while now < 200:
        starts.consider()
        now += 10
    assert started == [0, 80, 170]
