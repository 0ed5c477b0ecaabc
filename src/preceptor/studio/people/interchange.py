"""Queues as JSON of Argilla and Label Studio, and their answers back.

The shapes are those of Argilla's Python client 2 (`Dataset.records.to_json`: a list of records with `fields` and
`responses`) and of Label Studio's JSON export (a list of tasks with `data` and `annotations`). Both show the responses
of a row to everybody in one order, so it is shuffled from row to row. When answers return, the texts tell which order
it was.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from preceptor.core.errors import UsageError
from preceptor.core.types import JsonObject
from preceptor.store.reading import parse_json
from preceptor.store.rows import Row
from preceptor.studio.database import Database, now
from preceptor.studio.people.assign import Assignment, screen_order
from preceptor.studio.people.opinions import Item, Opinions, Rating, opinions
from preceptor.studio.people.queues import Kind, Queue
from preceptor.studio.people.raters import imported_rater
from preceptor.studio.people.ratings import Answer, Choice, Ranking, Remarks, record

QUESTION = "preference"
"""Name of the question in both tools."""
_PLACES = (("1", "a", "left"), ("2", "b", "right"))
"""What an answer may call the first and the second response that was shown, beside the name of its field."""
_OTHERS = ("tie", "cannot_tell")
_PROMPTS = ("prompt", "instruction", "question")
_LONGEST_S = 1e7
"""Seconds of an answer that are believed."""
_RESPONSES = ("response", "answer", "completion", "text")
"""How names of fields with a prompt, or with responses, are or begin."""


@dataclass(frozen=True)
class Imported:
    """What became of the answers in a file."""

    answers: int
    """Stored."""
    known: int
    """Left out because their rater has rated the row already."""
    unmatched: int
    """Records whose id or responses are not in the queue."""
    unreadable: int
    """Answers that say something else than which response is better."""


def for_argilla(said: Opinions) -> list[JsonObject]:
    """The rows of a queue as records of Argilla, with people's answers so far; control rows are left out."""
    return [_argilla_record(said.queue, item, ratings) for item, ratings in said.of_rows()]


def for_label_studio(said: Opinions) -> list[JsonObject]:
    """The rows of a queue as tasks of Label Studio, with people's answers so far; control rows are left out."""
    return [_label_studio_task(said.queue, item, ratings) for item, ratings in said.of_rows()]


_PAIR = """<Header value="Response 1"/>
  <Text name="response_1" value="$response_1"/>
  <Header value="Response 2"/>
  <Text name="response_2" value="$response_2"/>
  <Choices name="preference" toName="prompt" choice="single" showInline="true">
    <Choice value="The first is better" alias="1"/>
    <Choice value="The second is better" alias="2"/>
    <Choice value="Equally good" alias="tie"/>
    <Choice value="Cannot tell" alias="cannot_tell"/>
  </Choices>"""
_SEVERAL = """<List name="responses" value="$items" title="Responses"/>
  <Ranker name="preference" toName="responses"/>"""


def label_studio_setup(queue: Queue) -> str:
    """The labelling configuration (XML) of a Label Studio project for these tasks."""
    question = f'<Text name="prompt" value="$prompt"/>\n  <Header value="{_xml(queue.guidelines.question)}"/>'
    return f"<View>\n  {question}\n  {_SEVERAL if queue.kind == 'rank' else _PAIR}\n</View>\n"


def rows_in(text: str, kind: Kind) -> list[Row]:
    """The rows of a file that either tool exported, whoever made its project: a field `prompt` (or `instruction`,
    `question`), and fields whose names begin alike, with `response` (or `answer`, `completion`, `text`).

    Raises: UsageError if the file is of neither tool, or a record has no prompt or too few responses.
    """
    rows: list[Row] = []
    for given in _records(text):
        prompt = next((given.fields[name] for name in _PROMPTS if given.fields.get(name)), None)
        responses = [str(given.fields[name]) for name in given.names]
        if prompt is None or len(responses) < 2 or (kind == "compare" and len(responses) > 2):
            wanted = "two responses" if kind == "compare" else "two responses or more"
            raise UsageError(f'record "{given.id}": expected a field "prompt" and fields with {wanted}')
        pair = {"response_a": responses[0], "response_b": responses[-1]}
        row = {"id": given.id, "prompt": str(prompt), **(pair if kind == "compare" else {"responses": responses})}
        about = ("selection", "selection_probability", "cohort", "category")
        rows.append(row | {name: given.about[name] for name in about if given.about.get(name) is not None})
    return rows


def import_answers(people: Database, queue: Queue, text: str) -> Imported:
    """Stores the answers of a file that Argilla or Label Studio exported, matched by the rows' ids. Their people become
    raters without a link. An answer that was imported before is not stored again.

    Raises: UsageError if the file is of neither tool.
    """
    items = {str(item.row["id"]): item for item in opinions(people, queue).items.values() if item.known is None}
    counts = {"answers": 0, "known": 0, "unmatched": 0, "unreadable": 0}
    with people.transaction():
        for given in _records(text):
            item = items.get(given.id)
            order = None if item is None else _order_in(given, item)
            if item is None or order is None:
                counts["unmatched"] += 1
                continue
            for person, value, seconds in given.answers:
                answer = _answer(value, order, given.names, queue.kind == "rank")
                what = "unreadable" if answer is None else _store(people, queue, item, order, person, answer, seconds)
                counts[what] += 1
    return Imported(**counts)


@dataclass(frozen=True)
class _Record:
    """A record of either tool."""

    id: str
    fields: Mapping[str, Any]
    """What was shown, the responses among it."""
    about: Mapping[str, Any]
    """What else is known about the row."""
    answers: Sequence[tuple[str, Any, float | None]]
    """Person, what they said, and seconds."""

    @property
    def names(self) -> list[str]:
        """The fields with responses, in the order in which they were shown."""
        listed = ([n for n in sorted(self.fields) if n.lower().startswith(beginning)] for beginning in _RESPONSES)
        return next((names for names in listed if len(names) > 1), [])


def _argilla_record(queue: Queue, item: Item, ratings: Sequence[Rating]) -> JsonObject:
    order = _order(queue, item)
    values = [(rating.name, _value(rating.answer, order)) for rating in ratings]
    return {
        "id": str(item.row["id"]),
        "fields": _fields(item, order),
        "metadata": _scalars(item.row),
        "suggestions": {},
        "responses": {
            QUESTION: [
                {"value": value, "user_id": str(uuid5(NAMESPACE_URL, f"preceptor:rater:{name}"))}
                for name, value in values
                if value is not None
            ]
        },
        "vectors": {},
    }


def _label_studio_task(queue: Queue, item: Item, ratings: Sequence[Rating]) -> JsonObject:
    order = _order(queue, item)
    data: JsonObject = {"id": str(item.row["id"]), **_fields(item, order)}
    if queue.kind == "rank":
        data["items"] = [
            {"id": f"response_{n}", "title": f"Response {n}", "body": data[f"response_{n}"]}
            for n in range(1, len(order) + 1)
        ]
    return {
        "id": item.number + 1,
        "data": data | _scalars(item.row),
        "annotations": [
            _annotation(value, rating) for rating in ratings if (value := _value(rating.answer, order)) is not None
        ],
        "predictions": [],
    }


def _annotation(value: Any, rating: Rating) -> JsonObject:
    ranked = isinstance(value, list)
    said: JsonObject = {
        "from_name": QUESTION,
        "to_name": "responses" if ranked else "prompt",
        "type": "ranker" if ranked else "choices",
        "value": {"ranker": value} if ranked else {"choices": [value]},
    }
    annotation: JsonObject = {"result": [said], "was_cancelled": False, "created_username": f" {rating.name}, 0"}
    return annotation if rating.seconds is None else annotation | {"lead_time": rating.seconds}


def _order(queue: Queue, item: Item) -> tuple[int, ...]:
    """The order of a row's responses for everybody in the other tool."""
    return screen_order(len(_responses(item)), queue.seed, item.id, 0, repeat=False)


def _responses(item: Item) -> list[Any]:
    listed = item.row.get("responses")
    return listed if isinstance(listed, list) else [item.row.get("response_a"), item.row.get("response_b")]


def _fields(item: Item, order: Sequence[int]) -> JsonObject:
    responses = _responses(item)
    shown = {f"response_{place}": _words(responses[position]) for place, position in enumerate(order, start=1)}
    return {"prompt": _words(item.row.get("prompt")), **shown}


def _words(value: Any) -> str:
    """A text; a conversation as its roles and texts, with tool calls."""
    if not isinstance(value, list):
        return str(value)
    return "\n\n".join(f"{turn.get('role')}: {turn.get('content', '')}{_calls(turn)}" for turn in value)


def _calls(turn: Mapping[str, Any]) -> str:
    calls = [call.get("function", {}) for call in turn.get("tool_calls") or ()]
    return "".join(f"\n[calls {call.get('name')} {call.get('arguments', '')}]" for call in calls)


def _scalars(row: JsonObject) -> JsonObject:
    """What tells rows apart in the other tool, without who answered."""
    return {name: row[name] for name in ("cohort", "category", "selection", "selection_probability") if name in row}


def _value(answer: Answer, order: Sequence[int]) -> Any:
    """An answer as the tools have it; None for a skipped row, and for a ranking with ties, which they cannot hold."""
    if isinstance(answer, Ranking):
        ranked = sorted(range(len(order)), key=lambda place: answer.ranks[order[place]])
        return [f"response_{n + 1}" for n in ranked] if len(set(answer.ranks)) == len(order) else None
    if answer.choice in ("a", "b"):
        return str(order.index(0 if answer.choice == "a" else 1) + 1)
    return None if answer.choice == "skip" else answer.choice


def _answer(value: Any, order: Sequence[int], names: Sequence[str], ranked: bool) -> Answer | None:
    """What somebody said in the other tool, in the order of the row; None if it cannot be understood."""
    if ranked:
        return _ranking(value, order, names)
    if value in _OTHERS:
        return Choice(choice=value)
    said = str(value).strip().lower()
    place = next((place for place in (0, 1) if said in (*_PLACES[place], names[place].lower())), None)
    return None if place is None else Choice(choice="a" if order[place] == 0 else "b")


def _ranking(value: Any, order: Sequence[int], names: Sequence[str]) -> Ranking | None:
    """From names in the order of preference, or from a rank for each name."""
    if not isinstance(value, list):
        return None
    listed: list[Any] = value
    entries = [entry if isinstance(entry, dict) else {"value": entry} for entry in listed]
    ranks: dict[str, Any] = {str(e.get("value")): e.get("rank", place) for place, e in enumerate(entries, start=1)}
    if sorted(ranks) != sorted(names) or not all(rank in range(1, len(names) + 1) for rank in ranks.values()):
        return None
    by_position = {position: int(ranks[name]) for position, name in zip(order, names, strict=True)}
    return Ranking(ranks=tuple(by_position[position] for position in range(len(order))))


def _store(
    people: Database,
    queue: Queue,
    item: Item,
    order: tuple[int, ...],
    person: str,
    answer: Answer,
    seconds: float | None,
) -> str:
    rater = imported_rater(people, person)
    people.write(
        "INSERT INTO assignments (item, rater, repeat, reserved_until, created_at) VALUES (?, ?, 0, ?, ?) "
        "ON CONFLICT (item, rater, repeat) DO NOTHING",
        item.id, rater, now(), now(),
    )  # fmt: skip
    held = people.one("SELECT id FROM assignments WHERE item = ? AND rater = ? AND NOT repeat", item.id, rater)
    assert held is not None
    asked = Assignment(held["id"], rater, queue.id, item.row, False, order, now())
    return "answers" if record(people, asked, answer, Remarks(seconds=seconds)) else "known"


def _records(text: str) -> Iterator[_Record]:
    try:
        listed: Any = parse_json(text)
        json.dumps(listed, ensure_ascii=False).encode("utf-8")  # half of a surrogate pair is no text
    except ValueError as error:
        raise UsageError(f"the file is not JSON ({error}); expected an export of Argilla or Label Studio") from error
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise UsageError("expected a list of Argilla's records or of Label Studio's tasks")
    entries: list[dict[str, Any]] = listed
    for number, entry in enumerate(entries, start=1):
        try:
            yield _of_argilla(entry) if "fields" in entry else _of_label_studio(entry)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            raise UsageError(
                f"record {number}: expected a record of Argilla (fields, responses) or a task of Label Studio (data, "
                "annotations)"
            ) from error


def _of_argilla(entry: Mapping[str, Any]) -> _Record:
    questions = entry.get("responses") or {}
    answers = [
        (f"argilla {said.get('user_id')}", said.get("value"), None)
        for said in questions.get(QUESTION, next(iter(questions.values()), []))
        if said.get("status", "submitted") in ("submitted", None)
    ]
    return _Record(str(entry["id"]), _texts(entry["fields"]), entry.get("metadata") or {}, answers)


def _of_label_studio(entry: Mapping[str, Any]) -> _Record:
    answers = [
        (_person(annotation), _said(annotation["result"]), _seconds(annotation.get("lead_time")))
        for annotation in entry.get("annotations") or ()
        if not annotation.get("was_cancelled")
    ]
    data = entry["data"]
    return _Record(str(data["id"] if "id" in data else entry["id"]), _texts(data), data, answers)


def _texts(fields: Mapping[str, Any]) -> dict[str, str]:
    return {name: text for name, text in fields.items() if isinstance(text, str)}


def _order_in(given: _Record, item: Item) -> tuple[int, ...] | None:
    """The positions of the row's responses in the order in which they were shown, by their texts; None if the texts are
    others.
    """
    texts = [_words(response).split() for response in _responses(item)]
    shown = [str(given.fields[name]).split() for name in given.names]
    if len(shown) != len(texts):
        return None
    left = list(range(len(texts)))
    order: list[int] = []
    for words in shown:
        position = next((position for position in left if texts[position] == words), None)
        if position is None:
            return None
        left.remove(position)
        order.append(position)
    return tuple(order)


def _person(annotation: Mapping[str, Any]) -> str:
    """Who annotated: `created_username` is " NAME, ID"; `completed_by` is a number, or has an email."""
    name = str(annotation.get("created_username") or "").rpartition(",")[0].strip()
    by: Any = annotation.get("completed_by")
    email = by.get("email") or by.get("id") if isinstance(by, dict) else by
    return name or f"label studio {email}"


def _seconds(value: Any) -> float | None:
    """Seconds of an answer; None if another tool says something else."""
    return float(value) if isinstance(value, int | float) and 0 <= value < _LONGEST_S else None


def _said(results: Sequence[Mapping[str, Any]]) -> Any:
    """The answer among the results of an annotation: of a choice, a pairwise comparison or a ranking."""
    for result in results:
        value = result["value"]
        if result.get("type") == "choices":
            return value["choices"][0]
        if result.get("type") == "pairwise":
            return value["selected"]
        if result.get("type") == "ranker":
            ranked = value["ranker"]
            return ranked if isinstance(ranked, list) else next(iter(ranked.values()), None)
    return None


def _xml(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


def as_json(records: Sequence[JsonObject]) -> str:
    """Records as the tools read them."""
    return json.dumps(records, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
