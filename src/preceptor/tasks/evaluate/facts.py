"""Who took part in an evaluation and what it took, for its result."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from preceptor.backends.names import same_model
from preceptor.core.errors import UsageError
from preceptor.core.types import JudgeFailure, Prompt, Response
from preceptor.evaluation.intervals import mean_by_prompt, rate_by_prompt
from preceptor.evaluation.judge_audit import Audit, JudgeAudit
from preceptor.evaluation.result import CostPart, JudgeFacts, PolicyFacts
from preceptor.judging.constitution import load_constitution
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.judging.outcome_counts import count_outcomes
from preceptor.judging.specs import JudgeSpec
from preceptor.judging.trajectory import response_text
from preceptor.store.calls import calls_by_role
from preceptor.store.files import write_rows, writing
from preceptor.store.outcomes import Outcomes
from preceptor.store.reading import check_file
from preceptor.tasks.evaluate.contestants import Answers, Contestant
from preceptor.tasks.evaluate.contests import responses_of


def policy_facts(policy: Contestant, answers: Answers) -> PolicyFacts:
    """A policy and its responses."""
    given = list(answers.responses.values())
    known = [[each for each in responses if isinstance(each, Response)] for responses in given]
    return PolicyFacts(
        name=policy.name,
        source=policy.source,
        identity=answers.identity,
        responses=sum(len(responses) for responses in known),
        failed=sum(isinstance(each, JudgeFailure) for responses in given for each in responses),
        characters=mean_by_prompt([[float(len(response_text(r))) for r in responses] for responses in known]),
        finished=rate_by_prompt([[float(r.finished) for r in rs] for rs in known]) if policy.model else None,
    )


def judge_facts(judge: PreferenceJudge, specs: Sequence[JudgeSpec], outcomes: Outcomes) -> JudgeFacts:
    """A judge and what became of the comparisons it was asked about."""
    counted = count_outcomes(outcomes)
    counts = counted.counts
    constitutions = dict.fromkeys(load_constitution(spec.constitution).name for spec in specs)
    alone = all(spec.resolved().shown == "alone" for spec in specs)
    return JudgeFacts(
        name=" and ".join(dict.fromkeys(member.rater.model.partition("#")[0] for member in judge.members)),
        identity=judge.rater.model,
        constitution=", ".join(constitutions),
        variant=", ".join(dict.fromkeys(spec.way for spec in specs)),
        compared=counts["preferences"],
        failures=counts["failures_by_reason"],
        position_bias=None if alone else counts["position_bias"],
        first_position_rate=None if alone else counts["first_position_rate"],
        conduct=counted.conduct,
    )


def cost_part(part: str, ledger: Path, role: str, asked: int, seconds: float) -> CostPart:
    """What the calls of one role in a ledger took.

    Args:
        asked: calls in this process; the seconds are only told where that is all of them.
    """
    calls = calls_by_role([ledger]).get(role)
    return CostPart(
        part=part,
        calls=calls.calls if calls else 0,
        tokens=calls.tokens if calls else 0,
        seconds=seconds if calls and calls.calls == asked else None,
        cost_usd=None if calls is None or calls.unpriced else calls.cost_usd,
        estimated=calls is not None and calls.estimated > 0,
    )


def read_audits(path: Path | None) -> list[JudgeAudit]:
    """The judges of an `audit.json`; none without one.

    Raises: UsageError when the file holds no audit.
    """
    if path is None:
        return []
    check_file(path, "the audit")
    try:
        return list(Audit.model_validate_json(path.read_text(encoding="utf-8")).judges)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: holds no audit; give the audit.json that `preceptor audit` writes") from error


def audit_of(judge: PreferenceJudge, specs: Sequence[JudgeSpec], audits: Sequence[JudgeAudit]) -> JudgeAudit | None:
    """The audit of this very judge: the same weights, constitution and way of asking.

    Raises: UsageError when there are audits, and none of them is of it.
    """
    if not audits:
        return None
    rater, way = judge.rater, specs[0].way + (", calibrated" if specs[0].calibration else "")
    for audit in audits:
        if same_model(audit.judge, rater.model) and (audit.constitution, audit.variant) == (rater.constitution, way):
            return audit
    listed = "; ".join(f"{audit.judge}, {audit.constitution}, {audit.variant}" for audit in audits)
    raise UsageError(f"--audit: is of {listed}; the judge is {rater.model}, {rater.constitution}, {way}")


def write_responses(folder: Path, answers: dict[str, Answers], prompts: Sequence[Prompt]) -> None:
    """Every policy's responses in a file of its own, a line each, as `preceptor evaluate` reads them too."""
    with writing(folder):
        folder.mkdir(exist_ok=True)
    for number, (name, given) in enumerate(answers.items()):
        file = "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
        rows = [_row(*each) for each in responses_of({name: given}, prompts)]
        write_rows(folder / f"{number}-{file}.jsonl", rows)


def _row(policy: str, prompt: Prompt, response: Response) -> dict[str, Any]:
    trajectory = [message.wire() for message in response.trajectory]
    return {
        "policy": policy,
        "id": prompt.id,
        "cohort": prompt.cohort,
        "prompt": [message.wire() for message in prompt.conversation],
        "response": trajectory or response.text,
        "finished": response.finished,
        **({"reference": prompt.reference} if prompt.reference else {}),
    }
