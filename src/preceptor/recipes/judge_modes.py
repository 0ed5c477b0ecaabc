"""Which settings of a judge have a meaning in which of its modes."""

from preceptor.core.errors import UsageError
from preceptor.judging.groups.design import check_listwise
from preceptor.recipes.settings import ChoosingJudgeSettings, RewardingJudgeSettings


def check_mode(judge: RewardingJudgeSettings | ChoosingJudgeSettings) -> None:
    """Raises: UsageError for settings that have no meaning in the judge's mode, or that the variant does not fit."""
    if judge.mode == "rubric":
        for name in ("asking", "reward", "bias", "cascade"):
            if getattr(judge, name) != type(judge).model_fields[name].default:
                raise UsageError(
                    f'judge.{name} has no meaning with judge.mode = "rubric"; leave it out, or see judge.rubric'
                )
    elif judge.rubric is not None:
        raise UsageError(
            f'judge.rubric says how rubrics are judged, and judge.mode is "{judge.mode}"; set judge.mode = "rubric", '
            "or leave judge.rubric out"
        )
    if judge.mode != "siblings" and judge.design != "all":
        raise UsageError(
            f'judge.design = "{judge.design}" says how siblings are judged, and judge.mode is "{judge.mode}"; set '
            'judge.mode = "siblings", or leave judge.design out'
        )
    if judge.design == "listwise":
        check_listwise(judge.spec.resolved())
        if judge.cascade is not None:
            raise UsageError(
                'judge.cascade decides comparisons of two responses, and judge.design = "listwise" makes none; leave '
                "one of them out"
            )
        if judge.bias is not None:
            raise UsageError(
                'judge.bias corrects comparisons of two responses, and judge.design = "listwise" makes none; leave one '
                "of them out"
            )
