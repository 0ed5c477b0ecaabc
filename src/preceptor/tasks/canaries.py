"""Asking recorded questions of a folder again before its work goes on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from preceptor.backends.names import is_served
from preceptor.core.errors import PreceptorError
from preceptor.core.progress import Progress
from preceptor.judging.canary import canaries_of
from preceptor.judging.drift import DriftCheck, check_drift
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.judging.specs import JudgeSpec, single_judges


@dataclass(frozen=True)
class Canaries:
    """How many of a ledger's questions each judge's model is asked again."""

    ledger: Path
    count: int
    """0 for none."""
    budget: float | None = None
    """The most dollars that each round may cost."""

    def checked(self, judge: PreferenceJudge, specs: Sequence[JudgeSpec], progress: Progress) -> list[DriftCheck]:
        """Whether the models of a judge have changed, one check for each member; empty if nothing is to be asked.

        Args:
            specs: of the judge, or of the judges that it combines.

        Raises: PreceptorError when the budget is spent or a model cannot be asked at all.
        """
        if not self.count:
            return []
        checks: list[DriftCheck] = []
        for member, spec in zip(judge.members, single_judges(specs), strict=True):
            progress.stage("asking recorded questions again")
            canaries = canaries_of(self.ledger, member.model.identity, self.count)
            check = check_drift(member, canaries, exact=not is_served(spec.model), budget=self.budget)
            progress.note(check.sentence)
            checks.append(check)
        return checks

    def check_unchanged(self, judge: PreferenceJudge, specs: Sequence[JudgeSpec], progress: Progress) -> None:
        """As `checked`, for work whose answers must all be of the same models.

        Raises: PreceptorError when a model has changed.
        """
        changed = [check for check in self.checked(judge, specs, progress) if check.verdict == "changed"]
        if changed:
            raise PreceptorError(
                f"{'. '.join(check.sentence for check in changed)}. Going on would mix the answers of two models: "
                "label the rest into another folder, or leave out the canary questions"
            )
