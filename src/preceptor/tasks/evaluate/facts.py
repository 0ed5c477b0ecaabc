"""Facts for the result of an evaluation: its policies, its judges, and what the work cost."""

from collections.abc import Sequence
from pathlib import Path

from preceptor.backends.names import same_model
from preceptor.core.errors import UsageError
from preceptor.core.types import JudgeFailure, Response
from preceptor.evaluation.intervals import mean_by_prompt, rate_by_prompt
from preceptor.evaluation.judges.judge_audit import Audit, JudgeAudit
from preceptor.evaluation.policies.result import CostPart, JudgeFacts, PolicyFacts
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.judging.outcome_counts import count_outcomes
from preceptor.judging.specs import JudgeSpec, shown_constitutions, single_judges
from preceptor.judging.trajectory import response_text
from preceptor.store.calls import calls_by_role
from preceptor.store.outcomes import Outcomes
from preceptor.store.reading import check_file
from preceptor.tasks.evaluate.policies import EvaluatedPolicy
from preceptor.tasks.evaluate.responses import PolicyResponses

RUBRICS = "the prompts' rubrics"
"""In place of a constitution's name."""


def policy_facts(policy: EvaluatedPolicy, responses: PolicyResponses) -> PolicyFacts:
    """The numbers of a policy and its responses."""
    prompts = list(responses.by_prompt.values())
    known = [[response for response in of_prompt if isinstance(response, Response)] for of_prompt in prompts]
    return PolicyFacts(
        name=policy.name,
        source=policy.source,
        identity=responses.identity,
        responses=sum(len(of_prompt) for of_prompt in known),
        failed=sum(isinstance(response, JudgeFailure) for of_prompt in prompts for response in of_prompt),
        characters=mean_by_prompt([[float(len(response_text(r))) for r in of_prompt] for of_prompt in known]),
        finished=rate_by_prompt([[float(r.finished) for r in of_prompt] for of_prompt in known])
        if policy.model
        else None,
        unfinished_thoughts=sum(response.unfinished_thought for of_prompt in known for response in of_prompt),
    )


def judge_facts(judge: PreferenceJudge, specs: Sequence[JudgeSpec], outcomes: Outcomes) -> JudgeFacts:
    """The numbers of a judge and the outcomes of its comparisons."""
    counted = count_outcomes(outcomes)
    counts = counted.counts
    constitutions = dict.fromkeys(constitution.name for constitution in shown_constitutions(specs))
    rubrics = [RUBRICS] if any(spec.goes_by_rubrics for spec in single_judges(specs)) else []
    alone = all(spec.resolved().shown != "together" for spec in specs)
    return JudgeFacts(
        name=" and ".join(dict.fromkeys(member.rater.model.partition("#")[0] for member in judge.members)),
        identity=judge.rater.model,
        constitution=", ".join([*constitutions, *rubrics]),
        variant=", ".join(dict.fromkeys(spec.way for spec in specs)),
        compared=counts.preferences,
        failures=counts.failures_by_reason,
        position_bias=None if alone else counts.position_bias,
        first_position_rate=None if alone else counts.first_position_rate,
        conduct=counted.conduct,
    )


def cost_part(part: str, ledger: Path, role: str, asked: int, seconds: float) -> CostPart:
    """The cost of the calls of one role in a ledger.

    Args:
        asked: calls in this process; seconds are reported only if these are all calls.
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


def read_audits(file: str | Path | None) -> list[JudgeAudit]:
    """The judges in an `audit.json`, or in that of a folder; none without a file.

    Raises: UsageError if the file is not an audit.
    """
    if file is None:
        return []
    path = Path(file)
    path = path / "audit.json" if path.is_dir() else path
    if path != Path(file) and not path.exists():
        raise UsageError(f"{file}: holds no audit (there is no audit.json in it); give the folder of an audit")
    check_file(path, "the audit")
    try:
        return list(Audit.model_validate_json(path.read_text(encoding="utf-8")).judges)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: is not an audit; give an audit.json that `preceptor audit` wrote") from error


def audit_of(judge: PreferenceJudge, specs: Sequence[JudgeSpec], audits: Sequence[JudgeAudit]) -> JudgeAudit | None:
    """The audit of this judge: the same weights, constitution and settings.

    Raises: UsageError if there are audits but none of this judge.
    """
    if not audits:
        return None
    rater, way = judge.rater, specs[0].corrected_way
    for audit in audits:
        if same_model(audit.judge, rater.model) and (audit.constitution, audit.variant) == (rater.constitution, way):
            return audit
    listed = "; ".join(f"{audit.judge}, {audit.constitution}, {audit.variant}" for audit in audits)
    raise UsageError(f"the audit is of {listed}; the judge is {rater.model}, {rater.constitution}, {way}")
