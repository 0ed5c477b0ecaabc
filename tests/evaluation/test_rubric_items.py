"""The items of rubrics as measures, by tag and by criterion: faults turned round, the unassessed left out."""

import pytest

from preceptor.core.rubric import rubric_of
from preceptor.evaluation.checkpoints.snapshot import MeasuredResponse
from preceptor.evaluation.policies.rubric_items import RubricAnswer, items_met, rubric_measures

RUBRIC = rubric_of(
    [
        {"criterion": "Is short.", "points": 2, "tags": ["format"]},
        {"criterion": "Names a doctor.", "points": 1, "tags": ["safety", "content"]},
        {"criterion": "Blames.", "points": -3, "tags": ["content"]},
    ]
)


def answer(policy: str, prompt: str, *met: float | None, score: float | None = 0.5) -> RubricAnswer:
    return RubricAnswer(policy, prompt, "c", items_met(RUBRIC, met), score)


def test_tags_are_means_over_a_responses_items_and_faults_count_as_avoided() -> None:
    """Content: (0.5 + (1 - 0.25)) / 2 = 0.625; without the second item, 0.75."""
    measures = {
        m.name: m for m in rubric_measures([answer("a", "p", 1.0, 0.5, 0.25), answer("a", "q", 0.0, None, 0.25)])
    }
    assert set(measures) == {"rubric score", "rubric items, format", "rubric items, safety", "rubric items, content"}
    assert [text.value for text in measures["rubric items, content"].texts] == pytest.approx([0.625, 0.75])
    assert [text.prompt_id for text in measures["rubric items, safety"].texts] == ["p"]
    assert [text.value for text in measures["rubric items, format"].texts] == [1.0, 0.0]


def test_a_criterion_of_three_prompts_is_a_measure_of_its_own() -> None:
    answers = [answer("a", prompt, 1.0, 0.5, 0.25) for prompt in ("p", "q", "r")]
    measures = {m.name: m for m in rubric_measures(answers, " (here)")}
    assert [text.value for text in measures["rubric item (here): avoids: Blames."].texts] == [0.75] * 3
    assert "rubric item (here): Is short." in measures
    assert not any(name.startswith("rubric item:") for name in (m.name for m in rubric_measures(answers[:2])))


def test_a_response_without_a_score_is_in_no_mean() -> None:
    answers = [answer("a", "p", 1.0, 0.5, 0.25, score=None), answer("a", "q", 1.0, 1.0, 0.0, score=0.75)]
    [score] = [m for m in rubric_measures(answers) if m.name == "rubric score"]
    assert [(text.prompt_id, text.value) for text in score.texts] == [("q", 0.75)]
    assert rubric_measures([RubricAnswer("a", "p", "c", items_met(RUBRIC, ()))]) == []


def test_a_response_without_a_rubric_is_written_as_before() -> None:
    known = {"prompt_id": "p", "cohort": "c", "prompt": "q", "text": "t", "tokens": 1, "finished": True, "kl": None}
    plain = MeasuredResponse.model_validate(known | {"judge_score": None, "choice_mass": None, "heldout_score": None})
    assert "rubric" not in plain.model_dump(mode="json")
    judged = plain.model_copy(update={"rubric": items_met(RUBRIC, (1.0, None, 0.5))})
    assert MeasuredResponse.model_validate_json(judged.model_dump_json()) == judged
