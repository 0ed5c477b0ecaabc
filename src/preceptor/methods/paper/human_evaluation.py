"""Human evaluation as the paper's: people rank the responses of SFT, RLHF and RLAIF, and Kendall's W says how far they
agree (appendix I).

The table writes the rows of a queue for the studio. Once files of people's rankings lie beside them, it measures each
session.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from preceptor.core.hashing import content_hash
from preceptor.evaluation.intervals import Estimate, rate_by_prompt
from preceptor.methods.paper.data import needed
from preceptor.methods.paper.numbers import KENDALL_W, WIN_RATES, Task
from preceptor.methods.paper.policies.answers import Answer
from preceptor.methods.paper.policies.comparing import compared_answers
from preceptor.methods.paper.policies.ways import RLAIF, RLHF, SFT, policy_task, win_rate_tasks
from preceptor.methods.paper.table import Judged, PaperTable, Setup, Work
from preceptor.methods.paper.win_rates import WinRates
from preceptor.results.reproduction import Findings, PaperRow
from preceptor.store.files import content_of, read_json, write_json, write_rows
from preceptor.store.rows import Malformed, Row, read_raw_rows
from preceptor.store.selection import Selection
from preceptor.tasks.agreement import agreement

RANKED = (SFT, RLHF, RLAIF)
PEOPLE = "people"
"""The folder, in that of the reproduction, with the rows of queues and the rankings that people gave."""
_ENDING = ".rankings.jsonl"
_READ = "sessions.json"
_PAIRS = ((RLAIF, SFT), (RLHF, SFT), (RLAIF, RLHF))


class HumanEvaluation(PaperTable):
    """How far people agree, and which policy they prefer."""

    name = "human_evaluation"
    title = "Human evaluation: rankings of SFT, RLHF and RLAIF"
    source = "Appendix I and Table 1"
    columns = ("session", "measure")

    def lacks(self, setup: Setup) -> str | None:
        """What win rates need."""
        return None if win_rate_tasks(setup) else needed("helpful", "prompts")

    def judged(self, setup: Setup) -> Judged:
        """The same as for win rates."""
        return WinRates().judged(setup)

    def planned(self, setup: Setup) -> tuple[str, ...]:
        """The queues, whose policies are those of the win rates."""
        return tuple(f"{task}: a queue of rankings for people" for task in win_rate_tasks(setup))

    def is_current(self, work: Work) -> bool:
        """Whether no ranking has come since it was run."""
        path = work.folder / _READ
        return path.exists() and read_json(path) == _contents(work)

    def run(self, work: Work) -> Findings:
        """Rows for each session; before the first, one that says that nobody has ranked yet."""
        tasks, folder = win_rate_tasks(work.setup), work.root / PEOPLE
        folder.mkdir(parents=True, exist_ok=True)
        queues: dict[Task, Path] = {task: _queue(work, task, folder) for task in tasks}
        sessions = [(path, _ranked(path)) for path in sorted(folder.glob(f"*{_ENDING}"))]
        rows = [row for path, ranked in sessions for row in _of_session(work, queues, path, ranked)]
        write_json(work.folder / _READ, _contents(work))
        low, high = KENDALL_W
        paper = f"the paper's sessions: {low:g} to {high:g}"
        waiting = f"nobody has ranked yet; {paper}"
        return Findings(
            rows=tuple(rows)
            or tuple(PaperRow(cells=(task, "Kendall's W"), unit="number", remark=waiting) for task in tasks),
            notes=(
                f"Kendall's W in {paper}; three people ranked each of about 2,000 prompts.",
                *map(_how, queues.values()),
            ),
        )


def _how(queue: Path) -> str:
    studio, kept = queue.parent / "studio", queue.with_name(f"NAME{_ENDING}")
    return (
        f"To have people rank: start `preceptor studio --data {studio}`, make a queue of rankings from {queue}, "
        f"save its rankings as {kept}, and start the same work again."
    )


def _queue(work: Work, task: Task, folder: Path) -> Path:
    """Writes the rows that people rank, in the policies' own order: the studio shuffles it for each person."""
    path = folder / f"{task}.jsonl"
    _, by_policy = compared_answers(work, task)
    shown = [name for name in RANKED if name in by_policy]
    by_prompt = {name: {answer.prompt.id: answer for answer in by_policy[name]} for name in shown}
    first = by_policy[shown[0]]
    whole = [[by_prompt[name].get(answer.prompt.id) for name in shown] for answer in first]
    write_rows(path, [_row(shown, [a for a in answers if a]) for answers in whole if all(answers)])
    return path


def _row(policies: Sequence[str], answers: Sequence[Answer]) -> Row:
    prompt = answers[0].prompt
    texts = [answer.formatted for answer in answers]
    return {
        "id": content_hash([prompt.id, *texts])[:16],
        "prompt": [message.wire() for message in prompt.conversation],
        "responses": texts,
        "policies": [*policies],
        "cohort": prompt.cohort,
        **Selection("random").columns,
    }


def _ranked(path: Path) -> list[Row]:
    return [row for _, row in read_raw_rows(path) if not isinstance(row, Malformed)]


def _of_session(work: Work, queues: dict[Task, Path], path: Path, ranked: Sequence[Row]) -> list[PaperRow]:
    name = path.name.removesuffix(_ENDING)
    found = agreement(path).agreement
    known = _ids(ranked)
    tasks: list[Task] = [task for task, queue in queues.items() if known & _ids(_ranked(queue))]
    rates = WIN_RATES.get("summaries" if tasks[:1] == [policy_task(work.setup)] else tasks[0], {}) if tasks else {}
    return [
        PaperRow(
            cells=(name, "Kendall's W"), ours=found.w, unit="number", remark="" if found.w else "nobody ranked twice"
        ),
        PaperRow(cells=(name, "two people agree on two responses"), ours=found.pairwise),
        *(
            PaperRow(
                cells=(name, f"{policy} preferred to {against}"),
                ours=_preferred(ranked, policy, against),
                paper=rates.get((policy, against)),
                chance=0.5,
                remark="" if _preferred(ranked, policy, against) else "nobody ranked both",
            )
            for policy, against in _PAIRS
        ),
    ]


def _ids(rows: Sequence[Row]) -> set[str]:
    return {str(row.get("id")) for row in rows}


def _preferred(rows: Sequence[Row], policy: str, against: str) -> Estimate | None:
    """How often people rank one policy above another, a tie counted half; the interval is over prompts."""
    of_prompt: list[list[float]] = []
    for row in rows:
        policies: Any = row.get("policies") or []
        if policy in policies and against in policies:
            i, j = policies.index(policy), policies.index(against)
            rankings: Any = row["rankings"]
            of_prompt.append([_outcome(ranks[i], ranks[j]) for ranks in rankings if None not in (ranks[i], ranks[j])])
    return rate_by_prompt(of_prompt)


def _outcome(rank: float, other: float) -> float:
    return 1.0 if rank < other else 0.0 if rank > other else 0.5


def _contents(work: Work) -> dict[str, Any]:
    """The files of rankings by their content."""
    return {path.name: content_of(path) for path in sorted((work.root / PEOPLE).glob(f"*{_ENDING}"))}
