"""Labelling as tests do it: a job is the arguments of `label`, changed from call to call."""

from typing import Any

from preceptor.core.progress import Silence
from preceptor.results.label import LabelPlan, LabelResult
from preceptor.tasks.label import label, plan_label

Job = dict[str, Any]


def labelled(job: Job, **changes: Any) -> LabelResult:
    arguments: Job = {"progress": Silence(), **job, **changes}
    return label(**arguments)


def planned(job: Job, **changes: Any) -> LabelPlan:
    arguments: Job = {"progress": Silence(), **job, **changes}
    return plan_label(**{name: value for name, value in arguments.items() if name != "out"})
