"""The judge of the public API: lazy, recorded, safe in threads, event loops and other processes."""

import asyncio
import copy
import logging
import pickle
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from preceptor.backends.connection import Connection
from preceptor.backends.resolve import open_model
from preceptor.core.batching import Batcher
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.odds import log_odds
from preceptor.core.types import Comparison, JudgeFailure, Message, Preference, Prompt, Response, Score
from preceptor.judging.bias_correction import BiasCorrection, save
from preceptor.judging.constitution import load_constitution
from preceptor.judging.judge import Judge
from preceptor.judging.judges import judge_specs, shared_budget, shared_connection
from preceptor.judging.settings import PairwiseSettings
from preceptor.judging.specs import JudgeSpec, make_judge
from preceptor.store.comparisons import ComparisonRow, read_comparisons
from preceptor.store.ledger import Ledger

SKY = "Why is the sky blue?"


def random_judge(**changes: object) -> Judge:
    return Judge("scripted:random", **changes)  # pyright: ignore[reportArgumentType]


def comparison_in_a_file(folder: Path) -> Comparison:
    path = folder / "pairs.jsonl"
    path.write_text('{"prompt": "Why is the sky blue?", "response_a": "Rayleigh.", "response_b": "Because."}\n')
    [row] = read_comparisons(path)
    assert isinstance(row, ComparisonRow)
    return row.comparison


def test_a_comparison_from_texts_is_the_one_that_a_dataset_gives(tmp_path: Path) -> None:
    expected = comparison_in_a_file(tmp_path)
    preference = random_judge().compare(SKY, a="Rayleigh.", b="Because.")
    assert isinstance(preference, Preference)
    assert preference.comparison == expected
    with Ledger(Path(":memory:")) as ledger:
        spec = JudgeSpec(model="scripted:random")
        [direct] = make_judge(spec, open_model("scripted:random"), ledger).compare([expected])
    assert preference == direct


def test_prompts_and_responses_are_texts_messages_or_types() -> None:
    judge = random_judge()
    messages = [{"role": "user", "content": SKY}]
    prompt = Prompt(id="sky", conversation=(Message(role="user", content=SKY),))
    expected = judge.compare(SKY, "Rayleigh.", "Because.")
    assert isinstance(expected, Preference)
    for asked in (messages, prompt):
        for a in (
            "Rayleigh.",
            [{"role": "assistant", "content": "Rayleigh."}],
            Response(prompt_id="another", text="Rayleigh."),
        ):
            given = judge.compare(asked, a=a, b="Because.")
            assert isinstance(given, Preference)
            assert given.p_a == expected.p_a
    assert judge.calls == 2  # one for each order: whatever form they have, the questions are the same


def test_a_score_lies_on_the_scale_of_the_constitution() -> None:
    judge = random_judge(constitution="warm_tone")
    score = judge.score(SKY, "Rayleigh.")
    assert isinstance(score, Score)
    assert score.values == load_constitution("warm_tone").score.values
    assert judge.score_many([(SKY, "Rayleigh."), (SKY, "Because.")])[0] == score


def test_many_are_asked_in_order_and_each_question_once() -> None:
    judge = random_judge()
    pairs = [(f"question {i % 30}", "x", "y") for i in range(300)]
    outcomes = judge.compare_many(pair for pair in pairs)
    assert judge.compare_many([]) == []
    assert len(outcomes) == 300
    assert outcomes[30] == outcomes[0] == judge.compare(*pairs[0])
    assert judge.calls == 60
    assert judge.usage.prompt_tokens == 60
    assert judge.cost == 0.0


def test_nothing_is_opened_before_the_judge_is_asked(tmp_path: Path) -> None:
    judge = Judge("openai:nothing@http://localhost:9", ledger=tmp_path / "ledger.sqlite")
    assert (judge.calls, judge.cost) == (0, 0.0)
    assert "openai:nothing" in repr(judge)
    assert not (tmp_path / "ledger.sqlite").exists()


def test_a_ledger_on_disk_outlives_the_judge(tmp_path: Path) -> None:
    path = tmp_path / "judging" / "ledger.sqlite"
    with random_judge(ledger=path) as judge:
        first = judge.compare(SKY, "x", "y")
    again = random_judge(ledger=path)
    assert again.calls == 2  # read without opening the model
    assert again.compare(SKY, "x", "y") == first
    assert again.calls == 2
    again.close()
    assert again.compare(SKY, "x", "y") == first  # a closed judge opens again


def test_names_files_and_settings_are_checked_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="scripted"):
        Judge("scripted:randm")
    with pytest.raises(UsageError, match="helpful"):
        Judge("scripted:random", constitution="helpfull")
    with pytest.raises(UsageError, match="cott"):
        Judge("scripted:random", variant="cott")
    with pytest.raises(UsageError, match="variant"):
        Judge("scripted:random", variant="cot", settings=PairwiseSettings())
    with pytest.raises(UsageError, match="samplez"):
        Judge("scripted:random", settings={"samplez": 2})
    with pytest.raises(UsageError, match=r"c\.json"):
        Judge("scripted:random", calibration=tmp_path / "c.json")
    with pytest.raises(UsageError, match=r"b\.json"):
        Judge("scripted:random", bias=tmp_path / "b.json")


def test_what_a_judge_prefers_in_excess_of_people_is_taken_off(tmp_path: Path) -> None:
    """Seven characters beside three are one doubling more, so the longer response loses 0.3 log-odds."""
    plain, path = random_judge().compare(SKY, "abcdefg", "abc"), tmp_path / "bias.json"
    assert isinstance(plain, Preference)
    rater = plain.rater
    excess = BiasCorrection(
        preference={"length": 0.3},
        judge=rater.model,
        constitution_hash=rater.constitution_hash,
        settings=rater.settings,
        prompts=50,
    )
    save(excess, path)
    fixed = random_judge(bias=path)
    preference = fixed.compare(SKY, "abcdefg", "abc")
    assert isinstance(preference, Preference)
    assert preference.uncalibrated_p_a == plain.p_a
    assert log_odds(preference.p_a) == pytest.approx(log_odds(plain.p_a) - 0.3)
    assert "bias.json" in repr(fixed)
    assert "bias" not in repr(random_judge())


def test_malformed_prompts_and_responses_are_named() -> None:
    judge = random_judge()
    with pytest.raises(UsageError, match=r"^prompt: .*user"):
        judge.compare([{"role": "assistant", "content": "Hello"}], "x", "y")
    with pytest.raises(UsageError, match=r"^b: .*empty"):
        judge.compare(SKY, "x", [])


def test_threads_share_a_judge() -> None:
    judge = random_judge()
    alone = random_judge()
    expected = [alone.compare(f"question {i}", "x", "y") for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda i: judge.compare(f"question {i}", "x", "y"), range(40)))
    assert outcomes == expected


def test_inside_a_running_event_loop_both_kinds_of_calls_work() -> None:
    judge = random_judge()

    async def notebook() -> tuple[object, list[object]]:
        direct = judge.compare(SKY, "x", "y")
        gathered = await asyncio.gather(
            *(judge.acompare(SKY, "x", "y") for _ in range(5)), *(judge.ascore(SKY, "x") for _ in range(5))
        )
        return direct, list(gathered)

    direct, gathered = asyncio.run(notebook())
    assert gathered[:5] == [direct] * 5
    assert gathered[5:] == [judge.score(SKY, "x")] * 5


def test_what_waits_during_a_batch_is_the_next_batch() -> None:
    entered, release, batches = threading.Event(), threading.Event(), list[list[int]]()

    def answer(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        entered.set()
        assert release.wait(10)
        if 13 in items:
            raise PreceptorError("unlucky")
        return [10 * item for item in items]

    batcher = Batcher(answer, threading.Lock())

    async def three_callers() -> list[list[int]]:
        with ThreadPoolExecutor(1) as pool:
            first = asyncio.create_task(batcher.ask_async([1, 2], pool))
            assert await asyncio.to_thread(entered.wait, 10)
            others = [asyncio.create_task(batcher.ask_async([n, n + 1], pool)) for n in (3, 5)]
            await asyncio.sleep(0)  # both begin, and wait
            release.set()
            return await asyncio.gather(first, *others)

    assert asyncio.run(three_callers()) == [[10, 20], [30, 40], [50, 60]]
    assert batches == [[1, 2], [3, 4, 5, 6]]
    with pytest.raises(PreceptorError, match="unlucky"):
        batcher.ask([13])


def test_a_copy_opens_its_own_model() -> None:
    judge = random_judge(constitution="warm_tone", variant="scored")
    first = judge.compare(SKY, "x", "y")
    for other in (pickle.loads(pickle.dumps(judge)), copy.deepcopy(judge)):
        assert other.spec == judge.spec
        assert other.calls == 0
        assert other.compare(SKY, "x", "y") == first
    reward = pickle.loads(pickle.dumps(judge.reward))
    assert reward([SKY], ["x"]) == judge.reward([SKY], ["x"])


def test_the_reward_follows_from_the_constitution() -> None:
    two_choices, ten = random_judge(constitution="warm_tone"), random_judge(constitution="helpful")
    score, other = two_choices.score(SKY, "x"), ten.score(SKY, "x")
    assert isinstance(score, Score)
    assert isinstance(other, Score)
    assert two_choices.reward([SKY], ["x"]) == [score.log_odds]
    assert asyncio.run(two_choices.areward(SKY, "x")) == score.log_odds
    assert ten.reward([SKY], ["x"]) == [other.rescaled]
    conversational = ten.reward(
        prompts=[[{"role": "user", "content": SKY}]],
        completions=[[{"role": "assistant", "content": "x"}]],
        completion_ids=[[1, 2]],
        trainer_state=None,
        cohort=["all"],
    )
    assert conversational == [other.rescaled]
    assert ten.reward.__name__ == "helpful_by_random"
    with pytest.raises(UsageError, match="1 prompts for 2 completions"):
        ten.reward([SKY], ["x", "y"])


def test_a_failure_is_no_reward(tiny_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    judge = Judge(str(tiny_folder), constitution="warm_tone")
    too_long = "long " * 500  # the model's window holds 512 bytes
    failure = judge.score(SKY, too_long)
    assert isinstance(failure, JudgeFailure)
    assert failure.reason == "prompt_too_long"
    with caplog.at_level(logging.WARNING, "preceptor.judge"):
        assert judge.reward([SKY], [too_long]) == [None]
        assert isinstance(asyncio.run(judge.areward(SKY, too_long)), JudgeFailure)
    assert "1 of 1" in caplog.text
    assert "prompt_too_long" in caplog.text


def test_judges_become_specifications(tmp_path: Path) -> None:
    file = tmp_path / "judges.toml"
    file.write_text('[[judges]]\nmodel = "scripted:first"\nweight = 2.0\n')
    judge, spec = random_judge(variant="base"), JudgeSpec(model="scripted:random", constitution="honest")
    assert judge_specs(judge) == (judge.spec,)
    assert judge_specs("scripted:random") == (JudgeSpec(model="scripted:random"),)
    assert judge_specs([judge, spec, "scripted:first", file]) == (
        judge.spec,
        spec,
        JudgeSpec(model="scripted:first"),
        JudgeSpec(model="scripted:first", weight=2.0),
    )
    with pytest.raises(UsageError, match="at least one"):
        judge_specs([])
    with pytest.raises(UsageError, match="int"):
        judge_specs([3])  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("prompt", [None, 3, {"role": "user", "content": "q"}])
def test_what_is_no_prompt_and_no_response_is_refused(prompt: Any) -> None:
    judge = random_judge()
    with pytest.raises(UsageError, match="prompt: expected a text or a list of messages"):
        judge.compare(prompt, "x", "y")
    with pytest.raises(UsageError, match="b: expected a text or a list of messages"):
        judge.compare(SKY, "x", prompt)
    with pytest.raises(UsageError, match="response: expected a text or a list of messages"):
        judge.reward([SKY], [prompt])


@pytest.mark.parametrize("item", [("q", "x"), "abc", {"prompt": "q", "response_a": "x", "response_b": "y"}, 3])
def test_an_item_that_is_not_a_prompt_with_its_responses_is_refused(item: Any) -> None:
    with pytest.raises(UsageError, match="item 2: expected a tuple of prompt, a and b"):
        random_judge().compare_many([(SKY, "x", "y"), item])


def test_an_item_that_is_not_a_prompt_with_a_response_is_refused() -> None:
    wrong: Any = ["ab"]
    with pytest.raises(UsageError, match="item 1: expected a tuple of prompt and response"):
        random_judge().score_many(wrong)


@pytest.mark.parametrize("changes", [{"budget": -1}, {"budget": float("nan")}, {"budget": "3"}, {"connection": 3}])
def test_a_wrong_setting_is_refused_before_the_judge_is_asked(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(changes))):
        random_judge(**changes)


def test_a_task_takes_the_judges_smallest_budget() -> None:
    judges = [random_judge(budget=3.0), random_judge(budget=2.0), random_judge()]
    assert shared_budget(judges, None) == 2.0
    assert shared_budget(judges, 5.0) == 5.0
    assert shared_budget(judges[2], None) is None


def test_judges_that_can_be_read_only_once_are_refused() -> None:
    once: Any = (judge for judge in [random_judge(connection=Connection(retries=1))])
    with pytest.raises(UsageError, match="got generator"):
        shared_connection(once, None)
