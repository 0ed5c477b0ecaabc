"""Benchmarks of people's opinions: MT-Bench, PandaLM, AlpacaEval, HH-RLHF, HelpSteer; and UltraFeedback's ratings."""

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any

from preceptor.store.benchmarks.files import Placed
from preceptor.store.benchmarks.parts import Part, chosen_of, need, text
from preceptor.store.columns import WrongRowError
from preceptor.store.hub.columns import in_our_columns
from preceptor.store.hub.joined import joined
from preceptor.store.rows import Malformed, Row

_MT_BENCH = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
"""Ten of its questions each, from number 81."""
_WINNERS = {"model_a": "a", "model_b": "b", "tie": "tie", "tie (bothbad)": "tie", "tie (inconsistent)": "tie"}
_MIRROR = {"a": "b", "b": "a", "tie": "tie"}
_VOTES, _VOTERS = "votes", "voters"
"""Columns in which the rows of one comparison are joined."""
_ALL = "all"


def join_mt_bench(rows: Iterable[Placed]) -> Iterator[Placed]:
    """The votes on one question, turn and pair of models in one row, in the orientation of the first."""
    found: dict[tuple[Any, ...], tuple[str, str, Row]] = {}
    for place, folder, row in rows:
        if isinstance(row, Malformed):
            yield place, folder, row
            continue
        try:
            models = text(row, "model_a"), text(row, "model_b")
            key = (text(row, "question_id"), text(row, "turn"), *sorted(models))
            vote, voter = chosen_of(row, "winner", dict(_WINNERS)), text(row, "judge")
        except WrongRowError as error:
            yield place, folder, Malformed(0, place, str(error))
            continue
        _, _, joint = found.setdefault(key, (place, folder, row | {_VOTES: [], _VOTERS: []}))
        same = joint["model_a"] == row["model_a"]
        _add(joint, vote if same else _MIRROR[vote], voter)
    yield from found.values()


def mt_bench(row: Row, _folder: str) -> list[tuple[Row, Part]]:
    """`question_id`, `model_a`, `model_b`, `winner`, `judge`, `conversation_a`, `conversation_b`, `turn`
    (lmsys/mt_bench_human_judgments, split `human`). The responses end with the turn that was voted on.
    """
    question, turn = text(row, "question_id"), text(row, "turn")
    if turn not in ("1", "2"):
        raise WrongRowError(f"turn: expected 1 or 2, got {turn[:40]!r}")
    number = int(question) - 81 if question.isdigit() else -1
    category = _MT_BENCH[number // 10] if 0 <= number < 10 * len(_MT_BENCH) else _ALL
    sides = [_messages(row, side)[: 2 * int(turn)] for side in ("conversation_a", "conversation_b")]
    ours = in_our_columns(
        {
            "conversation_a": sides[0],
            "conversation_b": sides[1],
            "winner": "tie",
            "model_a": row["model_a"],
            "model_b": row["model_b"],
        }
    )
    assert ours is not None  # no table of messages
    ours.pop("label", None)
    name = f"{question}-{turn}-{row['model_a']}-{row['model_b']}"
    ours |= {"id": name, "category": category, "ratings": row[_VOTES], "raters": row[_VOTERS]}
    return [(ours, Part(name, f"turn {turn}"))]


def _messages(row: Row, name: str) -> list[Any]:
    value: Any = need(row, name)
    if not isinstance(value, list):
        raise WrongRowError(f"{name}: expected a list of messages, got {type(value).__name__}")
    return value


def pandalm(row: Row, _folder: str) -> list[tuple[Row, Part]]:
    """`idx`, `instruction`, `input`, `response1`, `response2`, `annotator1` to `annotator3`: 1, 2, or 0 for a tie
    (PandaLM, `testset-v1.json`).
    """
    name, raters = text(row, "idx"), ["annotator1", "annotator2", "annotator3"]
    ours: Row = {
        "id": name,
        "prompt": _with_input(row),
        "response_a": _as_text(need(row, "response1")),
        "response_b": _as_text(need(row, "response2")),
        "ratings": [chosen_of(row, rater, {0: "tie", 1: "a", 2: "b"}) for rater in raters],
        "raters": raters,
        "category": row.get("motivation_app"),
    }
    return [(ours, Part(name, _ALL))]


def join_alpaca_eval(rows: Iterable[Placed]) -> Iterator[Placed]:
    """The opinions of all annotators on one instruction and pair of outputs in one row."""
    found: dict[tuple[Any, ...], tuple[str, str, Row]] = {}
    for place, folder, row in rows:
        if isinstance(row, Malformed):
            yield place, folder, row
            continue
        try:
            key = tuple(text(row, name) for name in ("instruction", "output_1", "output_2"))
            vote = chosen_of(row, "preference", {1: "a", 2: "b", 0: "tie", 1.5: "tie"})
        except WrongRowError as error:
            yield place, folder, Malformed(0, place, str(error))
            continue
        _, _, joint = found.setdefault(key, (place, folder, row | {_VOTES: [], _VOTERS: []}))
        _add(joint, vote, str(row.get("annotator_index", f"opinion {len(joint[_VOTES]) + 1}")))
    yield from found.values()


def alpaca_eval(row: Row, _folder: str) -> list[tuple[Row, Part]]:
    """`instruction`, `output_1`, `output_2`, `preference`, `annotator_index` (tatsu-lab/alpaca_eval,
    `alpaca_farm_human_crossannotations.json`).
    """
    subset = str(row.get("dataset") or _ALL)
    ours: Row = {
        "prompt": _with_input(row),
        "response_a": need(row, "output_1"),
        "response_b": need(row, "output_2"),
        "ratings": row[_VOTES],
        "raters": row[_VOTERS],
        "category": subset,
    }
    return [(ours, Part("", subset))]


def hh_rlhf(row: Row, folder: str) -> list[tuple[Row, Part]]:
    """`chosen` and `rejected`, two transcripts (Anthropic/hh-rlhf); its folders are the subsets."""
    ours = in_our_columns({"chosen": text(row, "chosen"), "rejected": text(row, "rejected")}) or {}
    subset = folder if folder.startswith(("helpful", "harmless")) else _ALL
    return [(ours | {"category": subset}, Part("", subset))]


def join_helpsteer(rows: Iterable[Placed]) -> Iterator[Placed]:
    """HelpSteer2's two rated responses to a prompt in one row; all other rows as they are."""
    folders: dict[str, str] = {}
    wrong: list[Placed] = []

    def usable() -> Iterator[tuple[str, Row | str]]:
        for place, folder, row in rows:
            if isinstance(row, Malformed):
                wrong.append((place, folder, row))
            else:
                folders[place] = folder
                yield place, row

    for place, row in joined(usable()):
        if not isinstance(row, str):
            yield place, folders.pop(place, ""), row
    yield from wrong


def helpsteer(row: Row, _folder: str) -> list[tuple[Row, Part]]:
    """HelpSteer3 (`context`, `response1`, `response2`, `overall_preference`), HelpSteer2's preferences (`prompt`,
    `response_1`, `response_2`, `preference_strength`) or rated responses (`prompt`, `response`, `helpfulness`).
    """
    ours = in_our_columns({**row, "id": None}) or {}
    if "label" not in ours:
        raise WrongRowError('expected "overall_preference", "preference_strength" or two rows with "helpfulness"')
    subset = str(ours.get("category") or _ALL)
    return [(ours | {"category": subset}, Part("", subset))]


def ultrafeedback(row: Row, _folder: str) -> list[tuple[Row, Part]]:
    """`instruction` and `completions` with `response` and `overall_score` (openbmb/UltraFeedback), compared in pairs;
    or `prompt`, `chosen`, `rejected` as binarised. A model gave the ratings.
    """
    subset = str(row.get("source") or _ALL)
    if row.get("completions") is None:
        ours = in_our_columns({name: need(row, name) for name in ("prompt", "chosen", "rejected")}) or {}
        return [(ours | {"category": subset}, Part("", subset))]
    listed: Any = row["completions"]
    rated = [_rated(each) for each in listed] if isinstance(listed, list) else []
    return [
        (
            {
                "prompt": need(row, "instruction"),
                "response_a": a,
                "response_b": b,
                "label": "tie" if x == y else "a" if x > y else "b",
                "category": subset,
            },
            Part("", subset, (i, j)),
        )
        for (i, (a, x)), (j, (b, y)) in combinations(enumerate(rated), 2)
    ]


def _rated(completion: Any) -> tuple[str, float]:
    fields: Row = completion if isinstance(completion, dict) else {}
    score: Any = fields.get("overall_score")
    if isinstance(score, bool) or not isinstance(score, int | float) or not isinstance(fields.get("response"), str):
        raise WrongRowError('completions: expected objects with "response" and a number as "overall_score"')
    return fields["response"], float(score)


def _as_text(value: Any) -> Any:
    """A response as text: the published file has some that say True or a number as such values of JSON."""
    return str(value) if isinstance(value, bool | int | float) else value


def _with_input(row: Row) -> str:
    instruction, below = text(row, "instruction"), row.get("input")
    return f"{instruction}\n\n{below}" if isinstance(below, str) and below.strip() else instruction


def _add(joint: Row, vote: str, voter: str) -> None:
    """Adds a vote. A second one of the same person has a name of its own, since one person stands at one place."""
    times = sum(name == voter or name.startswith(f"{voter} (") for name in joint[_VOTERS])
    joint[_VOTES].append(vote)
    joint[_VOTERS].append(voter if not times else f"{voter} ({times + 1})")
