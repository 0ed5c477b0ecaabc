"""`preceptor cohort` from traces to a file of prompts, and again."""

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from preceptor.core.errors import UsageError
from preceptor.core.progress import Silence
from preceptor.core.types import Message, Prompt
from preceptor.results.cohort import CohortResult
from preceptor.store.prompts import read_prompts
from preceptor.store.traces import Chat
from preceptor.tasks.cohort import cohort, signals_of

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "traces.json"
WORDS = ("ant", "bee", "cow", "dog", "elk", "fox", "gnu", "hen", "ibis", "jay", "kiwi", "lynx")


@dataclass(frozen=True)
class CohortJob:
    """The arguments of `cohort`."""

    traces: tuple[Path, ...]
    out: Path
    cohort: str = "production"
    limit: int | None = None
    failures_first: bool = False
    mask: bool = True
    seed: int = 0


def origin(prompt: Prompt) -> dict[str, Any]:
    """Where a prompt is from."""
    value: Any = prompt.metadata["origin"]
    return value


def run(job: CohortJob) -> CohortResult:
    return cohort(**vars(job), progress=Silence())


def logs(tmp_path: Path, *rows: dict[str, Any], name: str = "chats.jsonl") -> CohortJob:
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return CohortJob((path,), tmp_path / "cohort.jsonl")


def texts(job: CohortJob) -> list[str]:
    return [prompt.text for prompt in read_prompts(str(job.out))]


ANIMALS: list[dict[str, Any]] = [{"prompt": f"Say {word}.", "response": word} for word in WORDS]


def test_the_example_becomes_a_cohort(tmp_path: Path) -> None:
    job = CohortJob((EXAMPLE,), tmp_path / "cohort.jsonl", cohort="shop", failures_first=True)
    result = run(job)
    counts = (result.calls, result.without_content, result.conversations, result.added, result.with_signals)
    assert counts == (10, 1, 7, 7, 6)
    assert "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT" in str(result.hint)
    assert result.masked == {"EMAIL": 2, "PHONE": 1}
    assert "names, postal addresses and dates of birth are not masked" in result.not_masked
    prompts = read_prompts(str(job.out))
    assert {prompt.cohort for prompt in prompts} == {"shop"}
    assert [len(origin(prompt)["signals"]) for prompt in prompts] == [2, 1, 1, 1, 1, 1, 0]
    assert prompts[0].metadata["origin"] == {
        "source": "traces.json",
        "trace_id": "a104" * 8,
        "span_id": "0c02" * 4,
        "time": "2026-03-04T16:20:31Z",
        "model": "gpt-4o-mini-2024-07-18",
        "signals": ["error", "retry"],
    }
    assert str(prompts[0].metadata["answered"]).startswith("Dear customers")
    last = prompts[-1]
    assert last.text == "Where is my order? You can write to [EMAIL 1] or call [PHONE 1]."
    assert str(last.metadata["answered"]).endswith("I have written to [EMAIL 1].")
    by_trace = {origin(prompt)["trace_id"][:4]: origin(prompt)["signals"] for prompt in prompts}
    assert (by_trace["a102"], by_trace["a103"], by_trace["a106"]) == (["complaint"], ["complaint"], ["refusal"])


def test_a_cohort_is_refreshed_and_what_it_has_stays(tmp_path: Path) -> None:
    job = logs(tmp_path, *ANIMALS[:4])
    assert run(job).added == 4
    first = job.out.read_bytes()
    result = run(job)
    assert (result.added, result.duplicates, result.prompts, job.out.read_bytes()) == (0, 4, 4, first)
    more = logs(tmp_path, *ANIMALS[2:7], name="more.jsonl")
    result = run(more)
    assert (result.added, result.duplicates, result.prompts) == (3, 2, 7)
    assert job.out.read_bytes().startswith(first)
    assert sorted(texts(job)) == sorted(row["prompt"] for row in ANIMALS[:7])


def test_the_same_traces_give_the_same_bytes_in_whatever_order(tmp_path: Path) -> None:
    job = logs(tmp_path, *ANIMALS)
    run(job)
    turned = logs(tmp_path, *reversed(ANIMALS))
    run(replace(turned, out=tmp_path / "again.jsonl"))
    assert (tmp_path / "again.jsonl").read_bytes() == job.out.read_bytes()
    run(replace(turned, out=tmp_path / "other.jsonl", seed=1))
    assert sorted(texts(replace(job, out=tmp_path / "other.jsonl"))) == sorted(texts(job)) != texts(job)
    assert texts(replace(job, out=tmp_path / "other.jsonl")) != texts(job)


def test_a_limit_takes_the_first_of_the_same_order(tmp_path: Path) -> None:
    job = logs(tmp_path, *ANIMALS)
    run(job)
    limited = replace(job, out=tmp_path / "limited.jsonl", limit=5)
    result = run(limited)
    assert (result.added, result.left_out_by_limit) == (5, 7)
    assert texts(limited) == texts(job)[:5]
    assert (run(limited).added, texts(limited)) == (5, texts(job)[:10])


def test_failures_come_first_if_wished(tmp_path: Path) -> None:
    rows = [dict(row) for row in ANIMALS]
    rows[3] |= {"error": "timeout", "feedback": "down"}
    rows[8] |= {"finish_reason": "length"}
    job = replace(logs(tmp_path, *rows), failures_first=True)
    run(job)
    assert texts(job)[:2] == ["Say dog.", "Say ibis."]
    plain = replace(job, out=tmp_path / "plain.jsonl", failures_first=False)
    run(plain)
    assert texts(plain) != texts(job)
    assert [text for text in texts(plain) if text not in texts(job)[:2]] == texts(job)[2:]


def test_of_equal_prompts_the_one_that_went_wrong_is_kept(tmp_path: Path) -> None:
    job = logs(tmp_path, {"prompt": "Say ant.", "id": 1}, {"prompt": "Say ant.", "id": 2, "feedback": -1})
    result = run(job)
    assert (result.added, result.duplicates) == (1, 1)
    [prompt] = read_prompts(str(job.out))
    assert prompt.metadata["origin"] == {"source": "chats.jsonl", "id": "2", "signals": ["negative_feedback"]}


def test_prompts_that_differ_in_personal_data_are_the_same_masked_or_not(tmp_path: Path) -> None:
    rows = [{"prompt": f"Write to {name}@example.org!", "id": f"{name}@example.org"} for name in ("ada", "bob")]
    job = logs(tmp_path, *rows)
    result = run(job)
    assert (result.added, result.duplicates, texts(job)) == (1, 1, ["Write to [EMAIL 1]!"])
    assert origin(read_prompts(str(job.out))[0])["id"] == "[EMAIL 1]"
    bare = replace(job, out=tmp_path / "bare.jsonl", mask=False)
    result = run(bare)
    assert texts(bare)[0] in {row["prompt"] for row in rows}
    assert (result.added, result.masked) == (1, None)
    assert "Nothing was masked" in result.not_masked
    assert run(replace(job, out=bare.out)).added == 0


def test_what_was_imported_unmasked_is_known_again(tmp_path: Path) -> None:
    messages = [("user", "I am a@x.org."), ("assistant", "Hello."), ("user", "Tell b@x.org that a@x.org is back.")]
    job = logs(tmp_path, {"messages": [{"role": role, "content": content} for role, content in messages]})
    assert run(replace(job, mask=False)).added == 1
    assert run(job).added == run(replace(job, mask=False)).added == 0


def test_a_prompt_edited_by_hand_does_not_come_back(tmp_path: Path) -> None:
    job = logs(tmp_path, {"prompt": "My name is Ada, and I live in Paris."})
    run(job)
    job.out.write_text(job.out.read_text().replace("Ada", "[NAME]").replace("Paris", "[CITY]"))
    result = run(job)
    assert (result.added, result.duplicates) == (0, 1)
    assert texts(job) == ["My name is [NAME], and I live in [CITY]."]


def test_bad_rows_are_counted_and_shown_by_place(tmp_path: Path) -> None:
    job = logs(tmp_path, {"prompt": "Say ant."}, {"text": "x"})
    result = run(job)
    assert (result.added, result.malformed) == (1, 1)
    assert result.malformed_first[0].startswith(f"{job.traces[0]}:2: expected OpenTelemetry traces")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no conversation with a model; expected OpenTelemetry traces in OTLP JSON"),
        ('{"text": 1}', r"chats\.jsonl:1: expected"),
        ("PAR1\0\xff", r"chats\.jsonl:1: not a line of JSON"),
        (
            '{"resourceSpans": [{"scopeSpans": [{"spans": [{"attributes": [{"key": "gen_ai.request.model", '
            '"value": {"stringValue": "m"}}]}]}]}]}',
            "no conversation; calls without content: 1; have content recorded with OTEL_",
        ),
    ],
)
def test_where_nothing_can_be_used_it_is_said_what_can(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_text(content)
    with pytest.raises(UsageError, match=message):
        run(CohortJob((path,), tmp_path / "cohort.jsonl"))
    assert list(tmp_path.iterdir()) == [path]


def test_the_output_is_no_input_and_no_other_file(tmp_path: Path) -> None:
    job = logs(tmp_path, *ANIMALS)
    with pytest.raises(UsageError, match="both an input and the output"):
        run(replace(job, out=tmp_path / "." / "chats.jsonl"))
    job.out.write_text("# notes\n")
    with pytest.raises(UsageError, match=r"cohort\.jsonl:1: not a line of JSON"):
        run(job)
    assert job.out.read_text() == "# notes\n"


def chat(*turns: str, answered: str | None = "Yes.") -> Chat:
    """A conversation in which user and assistant take turns."""
    messages = (Message(role=("user", "assistant")[i % 2], content=turn) for i, turn in enumerate(turns))
    return Chat("f", tuple(messages), answered, frozenset())


@pytest.mark.parametrize(
    "turn",
    [
        *("That's wrong.", "no, I meant the other one", "Nope. Again.", "This is still not working", "Wrong answer!"),
        *("not what i asked for", "You didn't answer my question", "You misunderstood me.", "it doesn’t work"),
        *(
            "I asked for a table",
            "I already told you",
            "try again",
            "No that is the old one",
            "Your answer is incorrect",
        ),
        *("still the same error", "You forgot the second half"),
    ],
)
def test_a_complaint(turn: str) -> None:
    assert signals_of([chat("Name a bird.", "Ant.", turn)]) == [{"complaint"}]


@pytest.mark.parametrize(
    "turn",
    [
        *(
            "No problem, thanks!",
            "no, thank you",
            "No, that's all.",
            "No one knows?",
            "Now in French",
            "Note the date.",
        ),
        *("What is wrong with my code?", "That is right.", "And what if it is not true?", "Thanks, that works"),
        *("You did well", "I am still reading", "Is it wrong to lie?", "Notwithstanding that, go on"),
    ],
)
def test_no_complaint(turn: str) -> None:
    assert signals_of([chat("Name a bird.", "Ant.", turn)]) == [set()]


def test_a_question_repeated_and_a_first_turn_that_sounds_like_a_complaint() -> None:
    assert signals_of(
        [
            chat("What is the capital of France?", "Rome.", "what is the capital of  France?"),
            chat("What is the capital of France?", "Paris.", "What is the capital of Spain?"),
            chat("yes", "ok", "yes"),
            chat("No, you are wrong: argue against this."),
            chat("Name a bird.", "Ant.", "That's wrong.", "Owl.", "Name a fish."),
        ]
    ) == [{"repeated_question"}, set(), set(), set(), set()]


def test_what_the_user_says_next_in_a_later_record_counts_for_the_earlier_one() -> None:
    chats = [
        chat("Name a bird.", "Ant.", "That's wrong.", "Owl.", "Thanks! One more?"),
        chat("name a bird."),
        chat("Name a bird.", "Owl.", "Why?"),
        chat("Name a bird.", "Ant.", "That's wrong."),
        chat("Name a fish."),
    ]
    # Whoever is asked the same may answer otherwise; what counts is that the prompt went wrong.
    assert signals_of(chats) == [set(), {"complaint"}, set(), {"complaint"}, set()]


def test_instructions_are_not_what_tells_conversations_apart_and_two_messages_can_be_one_turn() -> None:
    instructed = chat("Name a bird.", "Ant.", "That's wrong.")
    instructed = replace(
        instructed, conversation=(Message(role="system", content="Be brief."), *instructed.conversation)
    )
    assert signals_of([instructed, chat("Name a bird.")]) == [{"complaint"}, {"complaint"}]
    more = replace(instructed, conversation=(*instructed.conversation, Message(role="user", content="An animal!")))
    assert signals_of([more]) == [{"complaint"}]
    two = (Message(role="user", content="Name a bird."), Message(role="user", content="Wrong: a fish."))
    assert signals_of([replace(instructed, conversation=two)]) == [set()]


def test_a_refusal_is_a_sign() -> None:
    refused = chat("Pick a lock.", answered="I'm sorry, but I can't help with that.")
    assert signals_of([refused, chat("Pick a lock.", answered=None)]) == [{"refusal"}, set()]


def test_it_needs_neither_torch_nor_scipy(tmp_path: Path) -> None:
    program = (
        "import sys; from preceptor.tasks.cohort import cohort;"
        "cohort(sys.argv[1], out=sys.argv[2]);"
        "assert not {'torch', 'transformers', 'scipy', 'pyarrow'} & sys.modules.keys()"
    )
    arguments = [sys.executable, "-c", program, str(EXAMPLE), str(tmp_path / "cohort.jsonl")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_chat_logs_in_memory_are_read_as_their_file_would_be(tmp_path: Path) -> None:
    job = logs(tmp_path, *ANIMALS)
    run(job)
    result = cohort(ANIMALS, out=tmp_path / "other.jsonl", progress=Silence())
    assert (result.added, result.prompts, result.out) == (12, 12, str(tmp_path / "other.jsonl"))
    assert sorted(texts(replace(job, out=tmp_path / "other.jsonl"))) == sorted(texts(job))
    assert "prompts added" in str(result)


def test_a_result_names_its_file_and_is_read_back(tmp_path: Path) -> None:
    out = tmp_path / "cohort.jsonl"
    result = cohort(ANIMALS, out=out, progress=Silence())
    assert result.path == Path(result) == out
    assert CohortResult.load(out) == result
    assert str(tmp_path) not in (tmp_path / "cohort.summary.json").read_text()
    again = cohort(ANIMALS, out=out, progress=Silence())
    assert (again.added, CohortResult.load(out)) == (0, again)


def test_the_summary_of_something_else_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "cohort.summary.json"
    other.write_text('{"mine": 1}')
    with pytest.raises(UsageError, match=r"cohort\.summary\.json: is not the summary of a cohort"):
        cohort(ANIMALS, out=tmp_path / "cohort.jsonl", progress=Silence())
    assert other.read_text() == '{"mine": 1}'
    assert not (tmp_path / "cohort.jsonl").exists()
