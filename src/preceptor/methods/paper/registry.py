"""The tables, in the order in which they are run and shown: those that need only judges come first."""

from collections.abc import Sequence

from preceptor.core.errors import UsageError, nearest
from preceptor.methods.paper.alignment import AlignmentByPrompt
from preceptor.methods.paper.by_judge import LabellerSize, PositionBias, SingleOrder
from preceptor.methods.paper.cost import CostPerLabel
from preceptor.methods.paper.formatting import Formatting
from preceptor.methods.paper.harmless_rates import HarmlessRates
from preceptor.methods.paper.human_evaluation import HumanEvaluation
from preceptor.methods.paper.reward_tables import RewardAccuracyByLabels, RewardAccuracyByStart, RewardAccuracyByTask
from preceptor.methods.paper.self_consistency import SelfConsistency
from preceptor.methods.paper.table import PaperTable
from preceptor.methods.paper.win_rates import WinRates

TABLES: tuple[PaperTable, ...] = (
    AlignmentByPrompt(),
    SelfConsistency(),
    LabellerSize(),
    PositionBias(),
    SingleOrder(),
    CostPerLabel(),
    RewardAccuracyByTask(),
    RewardAccuracyByStart(),
    RewardAccuracyByLabels(),
    WinRates(),
    HarmlessRates(),
    HumanEvaluation(),
    Formatting(),
)
_BY_NAME = {table.name: table for table in TABLES}


def tables_named(names: Sequence[str]) -> list[PaperTable]:
    """The tables of these names, in their own order; all of them if none is named.

    Raises: UsageError for an unknown name.
    """
    for name in names:
        if name not in _BY_NAME:
            raise UsageError(f'there is no table "{name}"; {nearest(name, _BY_NAME)}')
    return [table for table in TABLES if not names or table.name in names]
