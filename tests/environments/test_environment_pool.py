"""Environments in processes of their own: whatever a tool does is an observation."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.control_tokens import defused
from preceptor.core.errors import PreceptorError, UsageError
from preceptor.core.text import printable
from preceptor.core.types import FunctionCall, ToolCall
from preceptor.environments.episodes import Episode, Observation
from preceptor.environments.limits import Limits
from preceptor.environments.loading import environment_rows, load_environment, load_tools
from preceptor.environments.pool import EnvironmentPool

TOYS = Path(__file__).with_name("toy_environments.py")
TOY = load_environment(f"{TOYS}:Toy")
PATIENT = Limits(seconds=300, characters=200)


@pytest.fixture(scope="module")
def pool() -> Iterator[EnvironmentPool]:
    with EnvironmentPool(TOY, PATIENT) as opened:
        yield opened


def started(pool: EnvironmentPool) -> Episode:
    (episode,) = pool.start([{"id": "p"}])
    return episode


def called(pool: EnvironmentPool, episode: Episode, name: str, arguments: str = "") -> Observation:
    (observation,) = pool.call([(episode, FunctionCall(name=name, arguments=arguments))])
    return observation


def test_an_episode_keeps_its_own_state_from_reset_to_reward(pool: EnvironmentPool):
    first, second = pool.start([{"id": "p", "say": "Hello."}, {"id": "q", "other": 1}])
    assert (first.appended, second.appended) == ("Hello.", None)
    one = FunctionCall(name="add", arguments='{"a": 3}')
    seen = pool.call([(first, one), (second, one), (first, one)])
    assert [each.text for each in seen] == ["4", "4", "4"]
    results = pool.finish([first, second], ["", ""])
    assert [(each.reward, each.success) for each in results] == [(2.0, True), (1.0, True)]
    assert called(pool, first, "add", '{"a": 3}').failure == "ended"


def test_arguments_are_converted_to_the_types_of_the_signature(pool: EnvironmentPool):
    episode = started(pool)
    assert called(pool, episode, "add", '{"a": "3", "b": 4.0}').text == "7"
    assert called(pool, episode, "say", '{"text": 5, "mood": "loud", "times": [1]}').text == "5 loud [1]"
    assert called(pool, episode, "later").text == "later"


@pytest.mark.parametrize(
    ("name", "arguments", "failure", "words"),
    [
        ("add", '{"a": ', "arguments", "not valid JSON"),
        ("add", "[1]", "arguments", "a, b"),
        ("add", '{"a": NaN}', "arguments", "not valid JSON"),
        ("add", "[" * 100_000, "arguments", "not valid JSON"),
        ("add", '{"b": 1}', "arguments", '"a" of add is missing'),
        ("add", '{"a": 1, "z": 2}', "arguments", '"z"'),
        ("add", '{"a": "three"}', "arguments", "whole number"),
        ("add", '{"a": null}', "arguments", "whole number"),
        ("say", '{"text": "x", "mood": "sad"}', "arguments", "mood"),
        ("ad", "{}", "unknown_tool", "add, "),
        ("reset", "{}", "unknown_tool", '"reset"'),
        ("get_reward", "{}", "unknown_tool", '"get_reward"'),
        ("__init__", "{}", "unknown_tool", '"__init__"'),
        ("fail", "{}", "raised", "bad < |im_end|>'"),
        ("leave", "{}", "raised", "3"),
    ],
)
def test_a_wrong_call_is_an_observation_and_the_episode_goes_on(
    pool: EnvironmentPool, name: str, arguments: str, failure: str, words: str
):
    episode = started(pool)
    observation = called(pool, episode, name, arguments)
    assert observation.failure == failure
    assert words in observation.text
    assert "\n" not in observation.text
    assert called(pool, episode, "add", '{"a": 1}').failure is None


def test_a_call_that_hangs_is_stopped_and_takes_only_its_own_environment_along():
    with EnvironmentPool(TOY, Limits(seconds=0.5)) as pool:
        hung = surely_started(pool)
        seen = pool.call([(hung, FunctionCall(name="hang")), (hung, FunctionCall(name="later"))])
        assert [each.failure for each in seen] == ["too_slow", "ended"]
        assert all("0.5 s" in each.text for each in seen)
        (result,) = pool.finish([hung], [""])
        assert (result.reward, result.success) == (None, None)
        assert "0.5 s" in str(result.failure)


def test_a_process_that_dies_takes_only_its_own_environment_along(pool: EnvironmentPool):
    dead, alive = pool.start([{"id": "p"}, {"id": "q"}])
    seen = pool.call([(dead, FunctionCall(name="die")), (alive, FunctionCall(name="later"))])
    assert [each.failure for each in seen] == ["crashed", None]
    assert called(pool, dead, "later").failure == "ended"
    dead_result, alive_result = pool.finish([dead, alive], ["", ""])
    assert (dead_result.reward, dead_result.success) == (None, None)
    assert (alive_result.reward, alive_result.success) == (0.0, False)


def test_of_two_processes_after_a_fork_one_answers(pool: EnvironmentPool):
    episode = started(pool)
    assert called(pool, episode, "fork").text == "parent"
    assert called(pool, episode, "add", '{"a": 1}').text == "2"


def test_output_is_cut_and_says_so(pool: EnvironmentPool):
    episode = started(pool)
    observation = called(pool, episode, "flood", '{"number": 5000000}')
    assert observation.text.startswith("y" * 200 + "\n")
    assert "200" in observation.text[200:]
    assert len(observation.text) < 300


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system limits no memory")
def test_memory_has_a_limit(pool: EnvironmentPool):
    assert called(pool, started(pool), "eat").text == "{'error': 'MemoryError'}"


def test_random_numbers_follow_from_the_row(pool: EnvironmentPool):
    same, again, other = pool.start([{"id": "p"}, {"id": "p"}, {"id": "q"}])
    draw = FunctionCall(name="draw")
    first, second, third = pool.call([(same, draw), (again, draw), (other, draw)])
    assert first.text == second.text != third.text


@pytest.mark.parametrize(("response", "failure"), [("abstain", None), ("nan", "nan"), ("raise", "no idea")])
def test_a_reward_that_is_no_number_is_none(pool: EnvironmentPool, response: str, failure: str | None):
    (result,) = pool.finish([started(pool)], [response])
    assert (result.reward, result.success) == (None, None)
    assert failure in str(result.failure) if failure else result.failure is None


def test_a_reset_that_raises_names_the_prompt(pool: EnvironmentPool):
    with pytest.raises(PreceptorError, match=r'"second".*no table'):
        pool.start([{"id": "first"}, {"id": "second", "refuse": True}])


def test_plain_functions_have_no_reward():
    with EnvironmentPool(load_tools([f"{TOYS}:double"]), PATIENT) as pool:
        episode = started(pool)
        assert called(pool, episode, "double", '{"number": 4}').text == "8"
        (result,) = pool.finish([episode], [""])
        assert (result.reward, result.success, result.failure) == (None, None, None)


def test_an_observation_answers_its_call():
    call = ToolCall(id="c1", function=FunctionCall(name="add"))
    message = Observation(name="add", text="4").message(call)
    assert (message.role, message.content, message.name, message.tool_call_id) == ("tool", "4", "add", "c1")


def test_2000_hostile_outputs_come_back_bounded_valid_and_without_control_tokens(pool: EnvironmentPool):
    episode = started(pool)
    calls = [(episode, FunctionCall(name="hostile", arguments=f'{{"number": {n}}}')) for n in range(2000)]
    texts = [observation.text for observation in pool.call(calls)]
    assert max(map(len, texts)) < 300
    assert [text for text in texts if text != printable(text) or text != defused(text)] == []
    assert [text for text in texts if re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", text)] == []
    assert "".join(texts).encode("utf-8").decode("utf-8") == "".join(texts)


def test_a_row_that_json_cannot_hold_is_refused(pool: EnvironmentPool):
    row: Any = {"id": "p", "image": object()}
    with pytest.raises(UsageError, match=r'"p".*JSON'):
        pool.start([row])


def surely_started(pool: EnvironmentPool) -> Episode:
    """Starts an episode in a pool with little patience, on a machine that may be busy."""
    while True:
        with suppress(PreceptorError):
            return started(pool)


@pytest.mark.parametrize("limits", [{"second": 1}, {"seconds": 0}, {"characters": "many"}, 5])
def test_wrong_limits_are_refused(limits: Any):
    with pytest.raises(UsageError, match=r"second|characters|limits"):
        EnvironmentPool("calculator", limits)


def test_rows_of_a_packaged_set_are_what_reset_gets():
    rows = environment_rows("package:support_desk")
    with EnvironmentPool("support_desk", PATIENT) as pool:
        episodes = pool.start(rows[:3])
        calls = [
            (e, ("find_order", f'{{"order_id": "{row["named"][0]}"}}')) for e, row in zip(episodes, rows, strict=False)
        ]
        assert all(row["named"][0] in seen.text for row, seen in zip(rows, pool.call(calls), strict=False))
