"""The prompts of a labelling, rendered by preceptor, for contestants without their own prompts."""

from pathlib import Path

from preceptor.backends.base import ChooseRequest
from preceptor.backends.scripted import ScriptedModel, first_choice
from preceptor.core.types import Comparison
from preceptor.judging.specs import JudgeSpec, make_judge
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.ledger import Ledger


def comparisons(data: Path) -> list[Comparison]:
    """The comparisons of a dataset. Raises: ValueError when a row is not a comparison."""
    rows = list(read_comparisons(data))
    items = [row.comparison for row in rows if isinstance(row, ComparisonRow)]
    if len(items) < len(rows):
        raise ValueError(f"{data}: {len(rows) - len(items)} rows are not comparisons")
    return items


def requests(data: Path, variant: str) -> list[ChooseRequest]:
    """A judge's requests for the comparisons, in their order and without duplicates: both orders of a comparison (ab,
    ba), or each criterion of a scored response.
    """
    model = ScriptedModel("rendering", first_choice)
    with Ledger(Path(":memory:")) as ledger:
        make_judge(JudgeSpec(variant=variant), model, ledger).compare(comparisons(data))
    return [request for request in model.asked if isinstance(request, ChooseRequest)]
