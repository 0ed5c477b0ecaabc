"""The paper's ways of asking a labeller."""

from preceptor.judging.settings import PairwiseSettings, variant
from preceptor.judging.specs import JudgeSpec
from preceptor.methods.paper.data import CONSTITUTIONS
from preceptor.methods.paper.numbers import Task
from preceptor.methods.paper.scales import Scale

STANDARD = "detailed+cot"
"""The paper's own way where a table varies something else: "Detailed + CoT 0-shot"."""
_NAMES = {"base": "Base", "detailed": "Detailed", "cot": "CoT"}


def asked(model: str, task: Task, scale: Scale, way: str = STANDARD, **settings: object) -> JudgeSpec:
    """A judge of a task, in both orders, with rationales as long as the scale's.

    Args:
        way: a variant.
        settings: settings that have no part of a variant's name.
    """
    values = variant(way).model_dump() | settings
    if values["rationale"]:
        values["rationale_tokens"] = scale.rationale_tokens
    return JudgeSpec(model=model, constitution=CONSTITUTIONS[task], settings=PairwiseSettings.model_validate(values))


def as_in_the_paper(way: str) -> str:
    """A variant as the paper names it: "Detailed + CoT 0-shot"."""
    *parts, last = way.split("+")
    parts, shots = (parts, last) if last.endswith("-shot") else ([*parts, last], "0-shot")
    return f"{' + '.join(_NAMES[part] for part in parts)} {shots}"


def ways_of(scale: Scale) -> list[str]:
    """The prompts of Table 2 that a scale asks: both preambles, with and without rationale, each with exemplars. As in
    the paper, only the detailed preamble has exemplars beside a rationale, or eight of them.
    """
    plain = [("base", k) for k in scale.shots if k < 8] + [("detailed", k) for k in scale.shots]
    reasoned = [("base+cot", 0)] + [("detailed+cot", k) for k in scale.shots_with_rationale]
    return [f"{way}+{k}-shot" if k else way for way, k in sorted(plain + reasoned, key=lambda pair: pair[0])]
