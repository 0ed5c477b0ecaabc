"""Best of n: the policy learns the best of its own responses (Nakano et al. 2021; RAFT, Dong et al. 2023)."""

from collections.abc import Sequence
from functools import partial
from statistics import fmean
from typing import Any

from preceptor.core.seeds import derive_seed
from preceptor.core.types import Prompt
from preceptor.methods.base import Method
from preceptor.methods.parts.comparing import score_rewards, sibling_rewards
from preceptor.methods.parts.fine_tuning import end_fine_tuned, fine_tune, fine_tuned_first, measure_before
from preceptor.recipes.best_of_n import BestOfNRecipe
from preceptor.results.run import BestOfNRecord, RunSummary
from preceptor.runs.inputs import Split
from preceptor.runs.judge import RunJudge, judging
from preceptor.runs.measure import Grader, JudgeGrader, RewardModelGrader
from preceptor.runs.session import Session
from preceptor.store.best_of_n_rows import FILE, AnsweredPrompt, BestOfNLine, BestResponse
from preceptor.store.demonstrations import Demonstration
from preceptor.store.files import append_line, read_rows, write_rows
from preceptor.training.best_of_n import choose_best
from preceptor.training.policy import Policy, dtype_of
from preceptor.training.reward_model.model import RewardModel
from preceptor.training.reward_model.reward import RewardModelReward
from preceptor.training.rl.reward_settings import RewardProcessing
from preceptor.training.rl.rewards import PostProcessed, RewardSource, RubricReward


class BestOfN(Method[BestOfNRecipe]):
    """The policy learns the best of its own responses to each prompt."""

    schema = BestOfNRecipe

    def run(self, session: Session, recipe: BestOfNRecipe) -> RunSummary:
        """Samples several responses to each prompt, lets the judge or a reward model choose the best, and fine-tunes
        the policy on these.
        """
        prompts = session.split()
        base = fine_tuned_first(session)
        session.progress.stage("loading the models")
        policy = session.open_policy(base)
        with judging(session) as judge:
            rewards, grader = _chooser(session, recipe, judge) if session.processes.is_main else (None, None)
            before = measure_before(session, policy, prompts, grader)
            best = _best(session, recipe, policy, prompts, rewards)
            fine_tune(session, "fine_tuning", base, best, recipe.fine_tuning)
            return end_fine_tuned(session, "fine_tuning", base, before, prompts, judge, grader)


def _chooser(session: Session, recipe: BestOfNRecipe, judge: RunJudge | None) -> tuple[RewardSource, Grader | None]:
    """The rewards that choose the best response, of which those with an unfinished thought are not judged; and a
    grader. In the main process only.
    """
    rewards, grader = _judged(session, recipe, judge)
    return PostProcessed(rewards, RewardProcessing(), recipe.thinking) if recipe.thinking else rewards, grader


def _judged(session: Session, recipe: BestOfNRecipe, judge: RunJudge | None) -> tuple[RewardSource, Grader | None]:
    """The rewards of responses, and a grader that uses the same unless they come from comparisons."""
    if judge is not None:
        if recipe.judge.compares:
            design, asked = recipe.judge.design, recipe.judge.variant
            return sibling_rewards(judge, design, asked), judge.grader
        if judge.by_rubric:
            return RubricReward(judge.rubric_judge), judge.grader
        return score_rewards(judge), JudgeGrader(judge.scorer, judge.reward_kind)
    assert recipe.best_of_n.reward_model is not None  # without a judge there is a reward model
    model = RewardModel.load(recipe.best_of_n.reward_model, dtype_of(recipe.tuning))
    session.directory.pin_inputs({"reward model": model.identity})
    return RewardModelReward(model), RewardModelGrader(model)


def _best(
    session: Session, recipe: BestOfNRecipe, policy: Policy, prompts: Split, rewards: RewardSource | None
) -> list[Demonstration]:
    """The best response to each training prompt that has one. Saved every few prompts."""
    path, at_once = session.directory.path / FILE, recipe.best_of_n.prompts_at_once
    chunks = [prompts.training[i : i + at_once] for i in range(0, len(prompts.training), at_once)]

    def begun() -> int:
        rows = read_rows(path)
        write_rows(path, rows)  # drops the line that a killed process was writing
        return len(rows)

    def work() -> BestOfNRecord:
        for place in range(session.processes.on_main(begun), len(chunks)):
            row = _best_of_some(session, recipe, policy, chunks[place], rewards)
            session.processes.on_main(partial(append_line, path, row))
            session.progress.advance(place + 1, len(chunks))
        return _counts(session.processes.on_main(lambda: read_rows(path)))

    words = f"choosing the best of {recipe.best_of_n.samples}"
    session.stage("best_of_n", words, BestOfNRecord, work, together=True)
    rows: list[dict[str, Any]] = session.processes.on_main(lambda: read_rows(path))
    best = [response for row in rows for response in row["best"]]
    return [
        Demonstration(prompt, response["text"], finished=response["finished"], thought=response.get("thought"))
        for prompt, response in zip(prompts.training, best, strict=True)
        if response is not None
    ]


def _best_of_some(
    session: Session,
    recipe: BestOfNRecipe,
    policy: Policy,
    prompts: Sequence[Prompt],
    rewards: RewardSource | None,
) -> dict[str, Any]:
    """The best response to each of these prompts, and all rewards. Each process samples for some of the prompts."""
    settings, processes = recipe.best_of_n, session.processes
    mine = processes.part(prompts)
    seeds = [derive_seed(recipe.seed, "best of n", prompt.id) for prompt in mine]
    groups = processes.gather(
        policy.sample(mine, settings.samples, settings.max_new_tokens, settings.temperature, seeds)
    )

    def choose() -> dict[str, Any]:
        assert rewards is not None
        rewards_PG = rewards(groups)
        chosen, _ = choose_best(groups, rewards_PG)
        best = [
            None
            if response is None
            else BestResponse(text=response.answer, finished=response.finished, thought=response.thought)
            for response in chosen
        ]
        return BestOfNLine(
            best=tuple(best),
            rewards=tuple(tuple(rewards_G) for rewards_G in rewards_PG),
            prompts=tuple(AnsweredPrompt.of(prompt) for prompt in prompts),
        ).wire()

    return processes.on_main(choose)


def _counts(rows: Sequence[dict[str, Any]]) -> BestOfNRecord:
    best = [response for row in rows for response in row["best"]]
    rewards_PG = [[r for r in rewards_G if r is not None] for row in rows for rewards_G in row["rewards"]]
    known = [rewards_G for rewards_G in rewards_PG if rewards_G]
    return BestOfNRecord(
        prompts=len(best),
        chosen=sum(response is not None for response in best),
        mean_reward=fmean(r for rewards_G in known for r in rewards_G) if known else None,
        mean_reward_of_the_best=fmean(max(rewards_G) for rewards_G in known) if known else None,
    )
