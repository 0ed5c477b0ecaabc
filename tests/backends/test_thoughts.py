"""Thought and answer of a policy in the tokens that it sampled, with limits counted by hand."""

from collections import Counter
from typing import Any

import pytest

from conftest import make_model, make_tokenizer
from preceptor.backends.transformers.chat import encode_text
from preceptor.backends.transformers.sampling import SampledResponse, sample_groups
from preceptor.backends.transformers.thinking import ThinkingTemplate
from preceptor.backends.transformers.thoughts import PLAIN, Budget, Parts, ThoughtReader, policy_template

ONE_TOKEN = ThinkingTemplate("", "|", "", ())  # of the tests' tokenizer, in which every byte is a token


def reader(template: ThinkingTemplate = PLAIN) -> ThoughtReader:
    return ThoughtReader(make_tokenizer(), template)


def ids(text: str) -> tuple[int, ...]:
    return tuple(encode_text(make_tokenizer(), text))


def said(text: str, *, finished: bool = False) -> SampledResponse:
    tokenizer: Any = make_tokenizer()
    return SampledResponse(ids(text) + ((tokenizer.eos_token_id,) if finished else ()), finished)


@pytest.mark.parametrize(
    ("text", "thought", "answer", "length"),
    [
        ("so 4\n</think>\n\nFour.", "so 4", "Four.", 13),
        ("</think>Four.", "", "Four.", 8),
        ("so 4\n</think>", "so 4", "", 13),
        ("a</think>b</think>c <think>d", "a", "b</think>c <think>d", 9),  # the first end counts
        ("<think>a</think>b", "<think>a", "b", 16),
        ("</thin</think>k>", "</thin", "k>", 14),
        ("é</think>é", "é", "é", 10),
        ("<|im_end|>\n<|im_start|>user\nno</think>yes", "<|im_end|>\n<|im_start|>user\nno", "yes", 38),  # spelled out
    ],
)
@pytest.mark.parametrize("finished", [False, True])
def test_a_thought_ends_at_its_first_end(text: str, thought: str, answer: str, length: int, finished: bool) -> None:
    assert reader().parts(said(text, finished=finished)) == Parts(thought, answer, length)


@pytest.mark.parametrize("text", ["so 4", "so 4\n</think", "</ think>", "<think>"])
def test_a_thought_without_an_end_has_no_answer(text: str) -> None:
    assert reader().parts(said(text)) == Parts(text, None, len(text))
    assert reader().parts(said(text, finished=True)) == Parts(text, None, len(text) + 1)


def test_an_end_of_one_token_is_found_and_its_spelling_too() -> None:
    tokenizer: Any = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["</think>"]})
    one = ThoughtReader(tokenizer, PLAIN)
    end = tokenizer.convert_tokens_to_ids("</think>")
    assert one.parts(SampledResponse((*ids("so\n"), end, *ids("\n\nFour"), end, *ids("!")), False)) == Parts(
        "so", "Four!", 4
    )
    assert one.parts(said("so</think>Four")) == Parts("so", "Four", 10)
    assert one.parts(said("so")) == Parts("so", None, 2)


def test_what_a_template_puts_before_the_answer_is_not_part_of_it() -> None:
    tokenizer: Any = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|end|>", "<|message|>"]})
    end, message = tokenizer.convert_tokens_to_ids(["<|end|>", "<|message|>"])
    channels = ThoughtReader(tokenizer, ThinkingTemplate("", "<|end|>final<|message|>", "", ()))
    assert channels.parts(SampledResponse((*ids("so"), end, *ids("final"), message, *ids("Four")), False)) == Parts(
        "so", "Four", 3
    )


@pytest.mark.parametrize(
    ("text", "stops"),
    [
        ("aaaaaaa", 4),  # a thought of 4 tokens
        ("aaa|aaaaaaa", 4 + 3),  # its end is the fourth, then an answer of 3
        ("|aaaaaaa", 1 + 3),
        ("a||a|aaa", 2 + 3),
        ("aaaa|aaa", 4),  # the end comes too late
    ],
)
def test_thought_and_answer_have_limits_of_their_own(text: str, stops: int) -> None:
    budget = Budget(reader(ONE_TOKEN), thought=4, answer=3)
    is_last = budget.limits()
    assert budget.whole == 7
    assert [n for n in range(1, stops + 1) if is_last(0, ids(text)[:n])] == [stops]
    assert budget.cut(ids(text)) == ids(text)[:stops]
    assert not is_last(1, ids("aa"))  # another row


def test_sampling_stops_where_the_limits_say_and_changes_nothing_before() -> None:
    model = make_model()
    prompts, seeds = [ids("one prompt"), ids("2")], [3, 4]

    def sampled(tokens: int, last_of: Any = None) -> list[list[SampledResponse]]:
        return sample_groups(
            model.model, prompts, seeds_P=seeds, group_size=4, max_new_tokens=tokens, temperature=1.0,
            eos_ids=model.eos_ids, last_of=last_of, rows_at_once=4,
        )  # fmt: skip

    free = sampled(20)
    texts = [model.tokenizer.decode(list(row.token_ids[:11])) for group in free for row in group]
    [(tag, _)] = Counter(c for text in texts for c in set(text) if "!" <= c <= "~").most_common(1)
    budget = Budget(ThoughtReader(model.tokenizer, ThinkingTemplate("", tag, "", ())), thought=12, answer=8)
    limited = sampled(budget.whole, budget.limits)
    expected = [[budget.cut(row.token_ids) for row in group] for group in free]
    assert [[row.token_ids for row in group] for group in limited] == expected
    assert len({len(row) for group in expected for row in group}) > 1  # some thoughts ended, others did not


def test_models_without_a_place_for_thoughts_get_plain_tags() -> None:
    assert policy_template(make_tokenizer()) == PLAIN
    assert (PLAIN.opening, PLAIN.end) == ("<think>\n", "</think>")
