"""Gathering responses by themselves, each rated by a label or a score, from files."""

from collections import Counter

from preceptor.core.errors import UsageError
from preceptor.core.types import Frozen
from preceptor.recipes.settings import PreferenceSettings
from preceptor.runs.inputs import Split
from preceptor.runs.session import Session
from preceptor.store.rated_responses import RatedResponse, read_rated_responses


class UnpairedRecord(Frozen):
    """The responses that were learnt by themselves."""

    responses: int
    desirable: int
    """Those that are desirable with a probability above one half."""
    left_out: dict[str, int]
    """Rows that were not used, by reason."""


def gather_unpaired(session: Session, settings: PreferenceSettings, prompts: Split) -> list[RatedResponse]:
    """The rated responses to learn from, in every process. None of them has a held-out prompt.

    Raises: UsageError when files are named and hold none to learn from.
    """
    if not session.inputs.unpaired:
        return []
    held_out = {prompt.text for prompt in prompts.held_out}
    left_out = Counter[str]()
    gathered: list[RatedResponse] = []
    for path in session.inputs.unpaired:
        rated, why = read_rated_responses(path, threshold=settings.threshold)
        left_out.update(row.reason for row in why)
        for each in rated:
            if each.prompt.text in held_out:
                left_out["its prompt is held out"] += 1
            else:
                gathered.append(each)
    if not gathered:
        reasons = ", ".join(f"{reason} ({count} rows)" for reason, count in left_out.most_common(3))
        raise UsageError(f"preferences.unpaired: there is no response to learn: {reasons}")
    desirable = sum(each.desirable > 0.5 for each in gathered)
    record = UnpairedRecord(responses=len(gathered), desirable=desirable, left_out=dict(left_out))
    session.stage("unpaired", "gathering responses", UnpairedRecord, lambda: record)
    return gathered
