"""What removing periods and spaces from the ends of responses prevents (appendix E): the same policy trained with and
without it, and what the reward model pays for such ends.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from preceptor.core.types import Prompt, Response
from preceptor.evaluation.intervals import Estimate, bounded_mean, mean_by_prompt, rate_by_prompt
from preceptor.methods.paper.data import needed
from preceptor.methods.paper.policies.answers import Answer, answers
from preceptor.methods.paper.policies.training import trained
from preceptor.methods.paper.policies.ways import RLAIF, SFT, UNSTRIPPED, policy_task
from preceptor.methods.paper.table import Judged, PaperTable, Setup, Work
from preceptor.methods.paper.win_rates import WinRates
from preceptor.methods.paper.words import named
from preceptor.results.reproduction import Findings, PaperRow
from preceptor.store.files import read_rows, write_rows

PLANTED = " . . ."
"""An end that says nothing, put after every answer of SFT, and its one period, to see what it is paid."""
_REWARDS = "rewards.jsonl"
_COLUMNS = ("policy", "form", "prompt", "reward")


class Formatting(PaperTable):
    """How often responses end in superfluous periods and spaces, and the reward with and without these."""

    name = "formatting"
    title = "Periods and spaces at the ends of responses"
    source = "Appendix E"
    columns = ("policy", "measure")

    def lacks(self, setup: Setup) -> str | None:
        """What win rates need."""
        return None if policy_task(setup) else needed("helpful", "prompts")

    def judged(self, setup: Setup) -> Judged:
        """The same as for win rates."""
        return WinRates().judged(setup)

    def planned(self, setup: Setup) -> tuple[str, ...]:
        """The policy that the others do not need."""
        return (f"{policy_task(setup)}: {RLAIF} again, with rewards of responses as they are",)

    def run(self, work: Work) -> Findings:
        """The rows of each policy, and what a planted end is paid."""
        task = policy_task(work.setup)
        assert task is not None  # `lacks` says so
        policies = trained(work, task)
        if RLAIF in policies.unlabelled:
            why = f"{named(policies.unlabelled[RLAIF])} gave no label to learn from"
            return Findings(rows=(PaperRow(cells=(RLAIF, "every measure"), remark=why),))
        shown = {name: policies.policies[name] for name in (SFT, RLAIF, UNSTRIPPED)}
        by_policy = answers(work, task, shown)
        model = policies.runs[UNSTRIPPED].path / "reward_model" / "member-0" / "model"
        rewards = _rewards(work, model, by_policy)
        rows = [row for name in shown for row in _of_policy(name, by_policy[name], rewards)]
        planted = _paid(rewards, [(SFT, "planted", answer.prompt.id) for answer in by_policy[SFT]], "ended")
        paid = PaperRow(cells=(SFT, f'paid for "{PLANTED}" after the period'), ours=planted, unit="number", chance=0.0)
        learnt = _more_ends(by_policy[UNSTRIPPED], by_policy[RLAIF])
        return Findings(
            rows=(*rows, paid, learnt),
            notes=(
                f"Task {task}. An end is superfluous if it is white space, or more than one period.",
                "Rewards are those of the reward model by which the policies were trained.",
                "If the last row is within chance, these policies show no such reward hack.",
                "The paper gives no numbers: it says that its policies often ended summaries so, and removes the ends.",
            ),
        )


def _more_ends(unstripped: Sequence[Answer], stripped: Sequence[Answer]) -> PaperRow:
    """How much oftener the policy whose ends were rewarded adds superfluous ones."""
    without = {answer.prompt.id: answer.superfluous for answer in stripped}
    pairs = [(answer.superfluous, without[answer.prompt.id]) for answer in unstripped if answer.prompt.id in without]
    differences = [float(a) - float(b) for a, b in pairs]
    return PaperRow(
        cells=(f"{UNSTRIPPED} minus {RLAIF}", "ends in superfluous periods or spaces"),
        ours=bounded_mean(differences, -1.0, 1.0) if differences else None,
        unit="difference",
        chance=0.0,
        remark="" if differences else "no prompt was answered by both",
    )


_Key = tuple[str, str, str]
"""Policy, form of its answer (as it is, stripped, ended by a period, planted), and prompt."""


def _rewards(work: Work, model: Path, by_policy: Mapping[str, Sequence[Answer]]) -> dict[_Key, float]:
    """The reward of each answer in each form, computed once; those that the model cannot read are left out."""
    path = work.folder / _REWARDS
    if not path.exists():
        texts = [
            entry for name, of_policy in by_policy.items() for answer in of_policy for entry in _forms(name, answer)
        ]
        work.progress.stage(f"rewarding {len(texts)} texts")
        found = _scored(work, model, [(prompt, text) for _, prompt, text in texts])
        rewarded = zip((key for key, _, _ in texts), found, strict=True)
        write_rows(
            path, [dict(zip(_COLUMNS, (*key, reward), strict=True)) for key, reward in rewarded if reward is not None]
        )
    rows: list[Any] = read_rows(path)
    return {(row["policy"], row["form"], row["prompt"]): float(row["reward"]) for row in rows}


def _forms(name: str, answer: Answer) -> list[tuple[_Key, Prompt, str]]:
    forms = {"as it is": answer.text, "stripped": answer.formatted}
    if name == SFT:
        forms |= {"ended": f"{answer.formatted}.", "planted": f"{answer.formatted}.{PLANTED}"}
    return [((name, form, answer.prompt.id), answer.prompt, text) for form, text in forms.items()]


def _scored(work: Work, model: Path, items: Sequence[tuple[Prompt, str]]) -> list[float | None]:
    from preceptor.training.policy import dtype_of
    from preceptor.training.reward_model.model import RewardModel

    opened = RewardModel.load(model, dtype_of(work.setup.scale.tuning))
    scores = opened.score([(prompt, Response(prompt_id=prompt.id, text=text)) for prompt, text in items])
    return [score if isinstance(score, float) else None for score in scores]


def _of_policy(name: str, of_policy: Sequence[Answer], rewards: Mapping[_Key, float]) -> list[PaperRow]:
    keys = [(name, "as it is", answer.prompt.id) for answer in of_policy]
    difference = _paid(rewards, keys, "stripped")
    return [
        PaperRow(
            cells=(name, "ends in superfluous periods or spaces"),
            ours=rate_by_prompt([[float(answer.superfluous)] for answer in of_policy]),
        ),
        PaperRow(cells=(name, "reward of responses as they are"), ours=_mean(rewards, keys), unit="number"),
        PaperRow(
            cells=(name, "reward without these ends"),
            ours=_mean(rewards, [(policy, "stripped", prompt) for policy, _, prompt in keys]),
            unit="number",
        ),
        PaperRow(cells=(name, "paid for its ends"), ours=difference, unit="number", chance=0.0),
    ]


def _mean(rewards: Mapping[_Key, float], keys: Sequence[_Key]) -> Estimate | None:
    return mean_by_prompt([[rewards[key]] for key in keys if key in rewards])


def _paid(rewards: Mapping[_Key, float], keys: Sequence[_Key], other: str) -> Estimate | None:
    """The mean difference between the reward of a form and that of another form of the same answers."""
    pairs = [(key, (key[0], other, key[2])) for key in keys]
    return mean_by_prompt([[rewards[a] - rewards[b]] for a, b in pairs if a in rewards and b in rewards])
