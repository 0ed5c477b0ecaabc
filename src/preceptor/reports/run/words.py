"""What a run did and what its parts came to, in sentences for the report."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from preceptor.core.numbers import estimate, number
from preceptor.results.run import (
    BestOfNRecord,
    FineTuningRecord,
    LabelRecord,
    PreferenceRecord,
    RevisionRecord,
    RewardModelRecord,
    RunSummary,
)

_FINE_TUNED = ("sft", "best_of_n")
"""The methods that make one model and choose no checkpoint."""


def chosen_on_validation(summary: RunSummary) -> bool:
    """Whether the model kept was chosen among checkpoints by looks at validation prompts."""
    if summary.chosen_on_validation is not None:
        return summary.chosen_on_validation
    return summary.prompts.test is not None and summary.method_name not in _FINE_TUNED


def looked_at(summary: RunSummary) -> str:
    """The prompts that the points of a run's curve were measured on."""
    if summary.prompts.test is None:  # a run of an early version
        return "held-out prompts"
    return "validation prompts" if chosen_on_validation(summary) else "test prompts"


def without_choice(runs: Mapping[str, RunSummary]) -> list[str]:
    """The names of those among several runs that chose no checkpoint, since their method makes only one model."""
    return [name for name, summary in runs.items() if not chosen_on_validation(summary)]


def what_was_done(summary: RunSummary) -> list[str]:
    """The method, step by step, and how the model was chosen."""
    return [*_beginning(summary), *_METHODS[summary.method_name](summary), *_ending(summary)]


def results_of_stages(summary: RunSummary) -> dict[str, str]:
    """What the parts of the run before the last one came to, by name."""
    sentences = {
        "Fine-tuning on demonstrations": _fine_tuned(summary.sft),
        "Fine-tuning": _fine_tuned(summary.fine_tuning),
        "Critique and revision": _revised(summary.revision),
        "Labels": _labelled(summary.labels),
        "Preferences": _gathered(summary.preferences),
        "Reward model": _reward_model(summary.reward_model),
        "Best responses": _best(summary.best_of_n),
        "Rewards": summary.reward_processing,
    }
    return {name: sentence for name, sentence in sentences.items() if sentence is not None}


def _fine_tuned(stage: FineTuningRecord | None) -> str | None:
    if stage is None:
        return None
    losses = f"loss {number(stage.first_loss)} at first, {number(stage.last_loss)} at last"
    return f"{stage.demonstrations} demonstrations, {stage.updates} updates, {losses}"


def _revised(stage: RevisionRecord | None) -> str | None:
    return stage and (
        f"{stage.revised} of {stage.prompts} answers revised, {stage.unchanged} of them left as they were, "
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
    pairs = f"trained on {stage.training_pairs} pairs; on {stage.held_out_pairs} held-out pairs"
    return f"{members}{pairs}: {stage.in_words}"


def _best(stage: BestOfNRecord | None) -> str | None:
    return stage and (
        f"for {stage.chosen} of {stage.prompts} prompts; mean reward {number(stage.mean_reward)}, of the best "
        f"{number(stage.mean_reward_of_the_best)}"
    )


def score_title(summary: RunSummary) -> str | None:
    """What stands over the judge's or the reward model's opinion; None where there is none."""
    title = summary.judge_score_is
    return None if title is None else title[0].upper() + title[1:]


def position(summary: RunSummary) -> str:
    """What the way of judging means for position bias; nothing where there is no judge."""
    judge = summary.recipe.get("judge")
    if judge is None:
        return ""
    alone = "scored" in judge.get("variant", "scored").split("+") or judge.get("mode") == "score"
    if alone or summary.method_name == "best_of_n":
        return (
            "One response is judged at a time, so no position can be favoured. The choices' probabilities are read at "
            "temperature 1, nothing is sampled."
        )
    return (
        f"Two responses are compared as the variant {judge['variant']} says; unless that is with “single”, in both "
        "orders, and the two are averaged."
    )


def poor_reward_model(summary: RunSummary) -> str | None:
    """A reason to doubt a reward model that does not order held-out pairs better than chance; None where it does."""
    measured = summary.reward_model and summary.reward_model.accuracy
    accuracy = measured and measured.accuracy
    if accuracy is None or (accuracy.low is not None and accuracy.low > 0.5):
        return None
    return f"On pairs that it was not trained on, the reward model is not beyond chance: accuracy {estimate(accuracy)}."


_PEOPLE = {"ai": "the judge", "human": "people"}


def _beginning(summary: RunSummary) -> Iterator[str]:
    if summary.sft is not None and summary.method_name != "sft":
        yield "The policy was first fine-tuned on demonstrations; its result is the reference of everything below."


def _sft(summary: RunSummary) -> Iterator[str]:
    yield "The policy was fine-tuned on demonstrations. The KL is to what it was before."


def _direct(summary: RunSummary) -> Iterator[str]:
    recipe = summary.recipe
    judge, rl = recipe["judge"], recipe["rl"]
    yield f"The policy answered {rl['prompts_per_step']} prompts {rl['group_size']} times each in every step."
    kind = (summary.reward_kind or judge["reward"]).replace("_", "-")
    yield {
        "score": f"A judge read each answer and was asked for one of its choices; the {kind} of their probabilities "
        "was the reward.",
        "siblings": f"A judge compared the answers to each prompt with each other; the {kind} of its preferences was "
        "the reward.",
        "reference": f"A judge compared each answer with one of the reference policy; the {kind} of its preference "
        "was the reward.",
    }[judge["mode"]]
    yield from _summed(recipe, "the judge's")
    yield _rl(summary)


def _rlaif(summary: RunSummary) -> Iterator[str]:
    yield from _preferences(summary)
    rl = summary.recipe["rl"]
    yield "A reward model learnt these preferences."
    yield (
        f"Then the policy answered {rl['prompts_per_step']} prompts {rl['group_size']} times each in every step, and "
        "the reward model's score was the reward."
    )
    yield from _summed(summary.recipe, "the reward model's")
    yield _rl(summary)


def _summed(recipe: dict[str, Any], feedback: str) -> Iterator[str]:
    """What the reward is the sum of, where there is more than AI feedback."""
    if functions := recipe["rewards"]["functions"]:
        weights = recipe["rewards"]["weights"] or [1.0] * len(functions)
        parts = [f"{weight:g} × {name}" for name, weight in zip(functions, weights, strict=True)]
        if recipe["rewards"]["feedback_weight"]:
            parts = [f"{recipe['rewards']['feedback_weight']:g} × {feedback}", *parts]
        yield f"The reward of training was the sum of {', '.join(parts)}."


def _constitutional(summary: RunSummary) -> Iterator[str]:
    revision = summary.recipe["revision"]
    yield (
        f"The policy criticised and rewrote its own answers by the principles of {revision['constitution']}, in "
        f"{revision['rounds']} rounds, and was fine-tuned on the result, which is the reference of what follows."
    )
    yield from _rlaif(summary)


def _dpo(summary: RunSummary) -> Iterator[str]:
    yield from _preferences(summary)
    dpo = summary.recipe["dpo"]
    how = f"with β = {dpo['beta']} and {dpo['labels']} labels, in batches of {dpo['batch_size']}"
    yield f"The policy learnt them by DPO {how}."


def _best_of_n(summary: RunSummary) -> Iterator[str]:
    settings = summary.recipe["best_of_n"]
    who = "a reward model" if settings["reward_model"] else "the judge"
    yield f"The policy answered each training prompt {settings['samples']} times; {who} chose the best answer."
    yield "The policy was fine-tuned on these. The KL is to what it was before."


_METHODS: dict[str, Callable[[RunSummary], Iterator[str]]] = {
    "sft": _sft,
    "direct_rlaif": _direct,
    "rlaif": _rlaif,
    "constitutional": _constitutional,
    "dpo": _dpo,
    "best_of_n": _best_of_n,
}


def _preferences(summary: RunSummary) -> Iterator[str]:
    settings = summary.recipe["preferences"]
    if settings["ai"]:
        yield (
            f"The policy answered each training prompt {settings['samples_per_prompt']} times and a judge compared the "
            "answers."
        )
    if settings["human"]:
        yield f"{'People' if not settings['ai'] else 'People, too,'} had compared responses."


def _rl(summary: RunSummary) -> str:
    recipe = summary.recipe
    rl, tuning = recipe["rl"], recipe["tuning"]
    what = "LoRA adapters" if tuning["method"] == "lora" else "all weights"
    name = rl["algorithm"].replace("_", " ").upper()
    if rl["algorithm"] == "online_dpo":
        held = f"with β = {rl['kl_coefficient']} in its loss"
    else:
        place = "taken off the reward" if rl["kl_in"] == "reward" else "added to the loss"
        held = f"with {rl['kl_coefficient']} for every nat of KL to the reference {place}"
    return f"{name} turned rewards into updates of {what}, {held}."


def _ending(summary: RunSummary) -> Iterator[str]:
    prompts = summary.prompts
    if summary.method_name in _FINE_TUNED:
        yield f"The model after all {summary.steps} updates was kept."
        return
    early = summary.stopped_early
    ended = f"training ended early ({early})" if early else "training was complete"
    kept = "the last one" if summary.heldout_score_is is None else "the one with the highest held-out score"
    who = (
        "That score is the training judge's, so the training judge made that choice."
        if summary.heldout_judge_trained
        else "No judge or reward model of training had a say in that choice."
    )
    yield f"After {summary.steps} steps {ended}; among all checkpoints within bounds, {kept} was kept. {who}"
    if prompts.test is not None:
        yield (
            f"The choice was made on {prompts.validation} validation prompts; the results come from {prompts.test} "
            "test prompts, which trained nothing and chose nothing."
        )
