"""What an audit returns: judges measured against people, and which one to use."""

import re
from typing import ClassVar

from preceptor.core.numbers import p_equals, percent, points, points_interval
from preceptor.display.table import Column, Table
from preceptor.evaluation.judges.attack_rates import JudgeAttacks
from preceptor.evaluation.judges.attack_words import in_sentences
from preceptor.evaluation.judges.audit_words import headline, sample, with_short_labels
from preceptor.evaluation.judges.benchmarks.words import in_words as benchmark_in_words
from preceptor.evaluation.judges.bias_words import excess_in_words
from preceptor.evaluation.judges.cascade_words import in_words, named
from preceptor.evaluation.judges.judge_audit import Audit, JudgeAudit
from preceptor.evaluation.judges.recommendation import recommendation
from preceptor.evaluation.judges.replacement_words import in_words as replacement_in_words
from preceptor.judging.drift import DriftCheck
from preceptor.judging.judge import Judge
from preceptor.judging.specs import JudgeSpec
from preceptor.judging.warnings import judge_warnings
from preceptor.results.base import ReportedResult

_HASH = re.compile(r"#[0-9a-f]{8,}:\w+")
"""Version and precision in a model's identity: in the report, too long for a table of 80 columns."""
_LEGEND = (
    "1 order: aligned when a stands first; bias: the same position wins after the swap; first, longer: the response "
    "shown first, or the longer one, wins"
)
_NUMBERS = ("n", "aligned", "95%", "1 order", "bias", "first", "longer", "failed")


class AuditResult(Audit, ReportedResult):
    """Judges measured against people. `result[judge]` has all measures of one of them.

    Examples:
        >>> rows = [{"prompt": f"q{i}", "response_a": "x", "response_b": "yes", "label": "a"} for i in range(20)]
        >>> result = audit(rows, judges="scripted:first")
        >>> result["scripted:first"].alignment.value
        0.5
        >>> result.recommended is None
        True
    """

    FILE: ClassVar[str] = "audit.json"
    drift: tuple[DriftCheck, ...] = ()
    """Whether the judges' models have changed since their earlier answers; empty if that was not asked for."""
    attacks: tuple[JudgeAttacks, ...] = ()
    """How often attacks fooled each judge; empty if none were asked for."""

    @property
    def recommended(self) -> JudgeSpec | None:
        """Of the judges that are fit for use, the one that agrees most with people; None if there is none. `reason`
        says why.
        """
        by_label = {judge.label: judge.spec for judge in self.judges}
        return next((spec for label in self.usable if (spec := by_label[label]) is not None), None)

    @property
    def reason(self) -> str:
        """Which judge to use, and whether it beats the next one by more than chance; or why to use none."""
        return headline(with_short_labels(self))

    @property
    def recommendation(self) -> tuple[str, str, str]:
        """What to do, in three sentences: `reason`; how to ask the judge; and how many more labels would decide what is
        open. A sentence is empty where nothing can be said.
        """
        return recommendation(with_short_labels(self))

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons to doubt the numbers: how the rows were chosen, and how each judge answered."""
        audit, names = self._named()
        doubts = [w.sentence for j in audit.judges for w in judge_warnings(j.conduct, names[j.label])]
        changed = (f"{check.sentence}." for check in self.drift if check.verdict == "changed")
        return (*changed, *sample(self), *(f"{doubt}." for doubt in doubts))

    def __getitem__(self, judge: Judge | JudgeSpec | str) -> JudgeAudit:
        """The measures of one judge.

        Args:
            judge: the judge itself, its specification, or its label or model string as text.

        Raises: KeyError if it was not audited, or if the text names several judges.
        """
        matching = [audited for audited in self.judges if _is(audited, judge)]
        if len(matching) != 1:
            many = f"{len(matching)} judges of this audit match" if matching else "no judge of this audit matches"
            labels = ", ".join(f'"{audited.label}"' for audited in self.judges)
            raise KeyError(f"{many} {judge!r}; the judges are {labels}")
        return matching[0]

    def __contains__(self, judge: object) -> bool:
        return isinstance(judge, Judge | JudgeSpec | str) and any(_is(audited, judge) for audited in self.judges)

    def table(self) -> Table:
        """The judges side by side, shares in per cent."""
        audit, names = self._named()
        by_label = {judge.label: names[short.label] for judge, short in zip(self.judges, audit.judges, strict=True)}
        return Table(
            (Column("judge"), *(Column(name, "right") for name in _NUMBERS)),
            [(names[judge.label], *_cells(judge)) for judge in audit.judges],
            title="Judges against people, in %",
            warnings=self.warnings,
            headline=headline(audit),
            notes=[
                _LEGEND,
                *filter(None, recommendation(audit)[1:]),
                *([] if audit.benchmark is None else benchmark_in_words(audit.benchmark, names)),
                *_beside(audit, names),
                *filter(None, (excess_in_words(judge.biases, names[judge.label]) for judge in audit.judges)),
                *replacement_in_words(
                    [judge.model_copy(update={"label": names[judge.label]}) for judge in audit.judges]
                ),
                *([] if audit.cascade is None else in_words(named(audit.cascade, names))),
                *(check.sentence for check in self.drift if check.verdict != "changed"),
                *(sentence for attacks in self.attacks for sentence in in_sentences(attacks, by_label[attacks.label])),
                *([f"report {self.report}"] if self._output is not None else []),
            ],
        )

    def _named(self) -> tuple[Audit, dict[str, str]]:
        """The audit with short labels, and the table's name for each label."""
        audit = with_short_labels(self)
        names = {judge.label: _HASH.sub("", judge.label) for judge in audit.judges}
        unique = len(set(names.values())) == len(names)  # not unique: the same model name with different weights
        return audit, names if unique else {label: label for label in names}


def _is(audited: JudgeAudit, judge: Judge | JudgeSpec | str) -> bool:
    if isinstance(judge, str):
        return judge in (audited.label, audited.judge) or (audited.spec is not None and judge == audited.spec.model)
    spec = judge.spec if isinstance(judge, Judge) else judge
    return audited.spec is not None and _way(audited.spec) == _way(spec)


def _way(spec: JudgeSpec) -> tuple[object, ...]:
    """The settings that determine a judge's answers, however the judge was named."""
    return spec.model, spec.constitution, spec.resolved(), spec.calibration, spec.bias


def _cells(judge: JudgeAudit) -> list[str]:
    aligned, single = judge.alignment, judge.single_order_alignment
    shares = (
        single and single.value,
        judge.position_bias,
        judge.first_position_rate,
        judge.longer_preferred_rate,
        judge.failure_rate,
    )
    interval = points_interval(aligned.low, aligned.high) if aligned else ""
    return [str(judge.n), _share(aligned and aligned.value), interval, *(_share(share) for share in shares)]


def _share(value: float | None) -> str:
    return "" if value is None else points(value)


def _beside(audit: Audit, names: dict[str, str]) -> list[str]:
    """What to compare the judges with: always preferring the longer response, people, each other."""
    first = audit.judges[0]
    people = "" if first.human_agreement is None else f"; two people agree on {percent(first.human_agreement)}"
    lines = [f"Always the longer response: {percent(first.longer_baseline)}{people}"]
    apart = [pair for pair in audit.comparisons if pair.significant]
    for pair in apart:
        by = f"{points(pair.difference, signed=True)} points, {p_equals(pair.p_holm)}"
        lines.append(f"{names[pair.judge_1]} against {names[pair.judge_2]}: {by}")
    return lines if apart or len(audit.judges) == 1 else [*lines, "No two judges differ by more than chance."]
