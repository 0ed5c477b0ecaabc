"""What a run did, and the results of its stages, in sentences for the report."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from preceptor.core.numbers import estimate, listed, number
from preceptor.results.bias import BiasRecord
from preceptor.results.reward_model_record import RewardModelRecord
from preceptor.results.run import (
    BestOfNRecord,
    FineTuningRecord,
    JudgeRecord,
    LabelRecord,
    PreferenceRecord,
    RevisionRecord,
    RunSummary,
)

_FINE_TUNED = ("sft", "best_of_n")
"""Methods of early versions that chose no checkpoint, and whose summaries do not record this."""


@dataclass(frozen=True)
class Words:
    """A method's description of a run."""

    done: tuple[str, ...] = ()
    """What was done, sentence by sentence."""
    results: Mapping[str, str] = field(default_factory=dict[str, str])
    """The results of its stages, by title."""


def chosen_on_validation(summary: RunSummary) -> bool:
    """Whether the kept model was chosen among checkpoints on validation prompts."""
    if summary.chosen_on_validation is not None:
        return summary.chosen_on_validation
    return summary.prompts.test is not None and summary.method_name not in _FINE_TUNED


def looked_at(summary: RunSummary) -> str:
    """The name of the prompts on which a run's curve was measured."""
    if summary.prompts.test is None:  # a run of an early version
        return "held-out prompts"
    return "validation prompts" if chosen_on_validation(summary) else "test prompts"


def without_choice(runs: Mapping[str, RunSummary]) -> list[str]:
    """The names of the runs that chose no checkpoint, since their method makes only one model."""
    return [name for name, summary in runs.items() if not chosen_on_validation(summary)]


def results_of_stages(summary: RunSummary) -> dict[str, str]:
    """The results of a run's shipped stages, by title."""
    sentences = {
        "Fine-tuning on demonstrations": _fine_tuned(summary.sft),
        "Fine-tuning": _fine_tuned(summary.fine_tuning),
        "Critique and revision": _revised(summary.revision),
        "Labels": _labelled(summary.labels),
        "Preferences": _gathered(summary.preferences),
        "Reward model": _reward_model(summary.reward_model),
        "Best responses": _best(summary.best_of_n),
        "Rewards": summary.reward_processing,
        "Bias correction": _corrected(summary.bias_correction),
    }
    return {name: sentence for name, sentence in sentences.items() if sentence is not None}


def _corrected(taken: BiasRecord | None) -> str | None:
    if taken is None:
        return None
    each = [f"{number(excess, 2, True)} for {name}" for name, excess in taken.excess.items()]
    if not each:
        return "nothing: no preference of the judge was in excess of people beyond chance"
    return (
        f"taken off the judge's log-odds, for each unit of a feature: {listed(each)}; for a response to a test prompt, "
        f"{number(taken.before)} on average before training and {number(taken.after)} after"
    )


def _fine_tuned(stage: FineTuningRecord | None) -> str | None:
    if stage is None:
        return None
    losses = f"loss {number(stage.first_loss)} at the first update, {number(stage.last_loss)} at the last"
    return f"{stage.demonstrations} demonstrations, {stage.updates} updates, {losses}"


def _revised(stage: RevisionRecord | None) -> str | None:
    return stage and (
        f"{stage.revised} of {stage.prompts} answers revised, {stage.unchanged} of them unchanged, "
        f"{stage.failed} failed"
    )


def _labelled(stage: LabelRecord | None) -> str | None:
    return stage and (
        f"{stage.counts.preferences} preferences, {stage.counts.failures} failures; mean probability of the chosen "
        f"response {number(stage.counts.mean_p_chosen)}"
    )


def _gathered(stage: PreferenceRecord | None) -> str | None:
    if stage is None:
        return None
    sources = ", ".join(f"{count} by {_PEOPLE[source]}" for source, count in stage.by_source.items())
    left_out = sum(stage.left_out.values())
    return f"{stage.pairs} pairs: {sources}" + (f"; {left_out} left out" if left_out else "")


def _reward_model(stage: RewardModelRecord | None) -> str | None:
    if stage is None:
        return None
    members = f"{stage.members} members, " if stage.members > 1 else ""
    members = f"a soup of {members}" if stage.combine == "soup" else members
    pairs = f"trained on {stage.training_pairs} pairs; on {stage.held_out_pairs} held-out pairs"
    taken = stage.length_correlation
    length = "" if taken is None else f"; length taken out of the head (correlation {number(taken, 2, True)} before)"
    return f"{members}{pairs}: {stage.in_words}{length}"


def _best(stage: BestOfNRecord | None) -> str | None:
    return stage and (
        f"for {stage.chosen} of {stage.prompts} prompts; mean reward {number(stage.mean_reward)}, mean of the best "
        f"{number(stage.mean_reward_of_the_best)}"
    )


def score_title(summary: RunSummary) -> str | None:
    """The title for the judge's or the reward model's score; None if there is none."""
    title = summary.judge_score_is
    return None if title is None else title[0].upper() + title[1:]


def feedback_is_used(summary: RunSummary) -> bool:
    """Whether the judge's or the reward model's score was part of the reward, and not reward functions alone."""
    rewards = summary.recipe.get("rewards")
    return not isinstance(rewards, dict) or rewards.get("feedback_weight") != 0


def position(summary: RunSummary) -> str:
    """What the way of judging means for position bias; empty if there is no judge."""
    judge = summary.recipe.get("judge")
    if judge is None:
        return ""
    asked = JudgeRecord.model_validate(judge)
    if "scored" in asked.variant.split("+") or asked.mode == "score":
        return (
            "One response is judged at a time, so no position can be favoured. The probabilities of the choices are "
            "read at temperature 1; nothing is sampled."
        )
    if asked.design == "listwise":
        return (
            "All responses to a prompt are shown at once, in several orders: rotations of one order, and the reverse "
            "of each. The strengths are averaged over the orders."
        )
    return (
        f"Two responses are compared with the variant {asked.variant}. Unless it includes “single”, they are "
        "compared in both orders and the two judgements are averaged."
    )


def poor_reward_model(summary: RunSummary) -> str | None:
    """A reason to doubt a reward model that does not order held-out pairs better than chance; None if it does."""
    measured = summary.reward_model and summary.reward_model.accuracy
    accuracy = measured and measured.accuracy
    if accuracy is None or (accuracy.low is not None and accuracy.low > 0.5):
        return None
    return f"On held-out pairs, the reward model is not better than chance: accuracy {estimate(accuracy)}."


_PEOPLE = {"ai": "the judge", "human": "people"}


def how_the_model_was_chosen(summary: RunSummary) -> Iterator[str]:
    """How the checkpoint that was kept was chosen, and on which prompts, in sentences."""
    prompts = summary.prompts
    early = summary.stopped_early
    ended = f"training ended early ({early})" if early else "training was complete"
    kept = "the last one" if summary.heldout_score_is is None else "the one with the highest held-out score"
    who = (
        "The training judge gave this score, so it made the choice."
        if summary.heldout_judge_trained
        else "No judge or reward model of training influenced this choice."
    )
    yield f"After {summary.steps} steps {ended}. Of all checkpoints within bounds, {kept} was kept. {who}"
    if prompts.test is not None:
        yield (
            f"The choice was made on {prompts.validation} validation prompts; the results come from {prompts.test} "
            "test prompts, which were used neither for training nor for the choice."
        )
