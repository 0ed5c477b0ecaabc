"""What a run did and what its parts came to, in sentences for the report."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from preceptor.core.numbers import estimate, number

Summary = dict[str, Any]
_FINE_TUNED = ("sft", "best_of_n")
"""The methods that make one model and choose no checkpoint."""


def chosen_on_validation(summary: Summary) -> bool:
    """Whether the model kept was chosen among checkpoints by looks at validation prompts."""
    earlier = "test" in summary["prompts"] and summary["recipe"]["method"] not in _FINE_TUNED
    return bool(summary.get("chosen_on_validation", earlier))


def looked_at(summary: Summary) -> str:
    """The prompts that the points of a run's curve were measured on."""
    if "test" not in summary["prompts"]:  # a run of an earlier version
        return "held-out prompts"
    return "validation prompts" if chosen_on_validation(summary) else "test prompts"


def without_choice(arms: Sequence[dict[str, Any]]) -> list[str]:
    """The names of those among several runs that chose no checkpoint, since their method makes only one model."""
    return [arm["name"] for arm in arms if not chosen_on_validation(arm["summary"])]


def what_was_done(summary: Summary) -> list[str]:
    """The method, step by step, and how the model was chosen."""
    recipe = summary["recipe"]
    return [*_beginning(summary), *_METHODS[recipe["method"]](summary), *_ending(summary)]


def results_of_stages(summary: Summary) -> dict[str, str]:
    """What the parts of the run before the last one came to, by name."""
    found: dict[str, str] = {}
    for name, title in (("sft", "Fine-tuning on demonstrations"), ("fine_tuning", "Fine-tuning")):
        if (stage := summary[name]) is not None:
            losses = f"loss {number(stage['first_loss'])} at first, {number(stage['last_loss'])} at last"
            found[title] = f"{stage['demonstrations']} demonstrations, {stage['updates']} updates, {losses}"
    if (stage := summary["revision"]) is not None:
        found["Critique and revision"] = (
            f"{stage['revised']} of {stage['prompts']} answers revised, {stage['unchanged']} of them left as they "
            f"were, {stage['failed']} failed"
        )
    if (stage := summary["labels"]) is not None:
        counts = stage["counts"]
        found["Labels"] = (
            f"{counts['preferences']} preferences, {counts['failures']} failures; mean probability of the chosen "
            f"response {number(counts['mean_p_chosen'])}"
        )
    if (stage := summary["preferences"]) is not None:
        sources = ", ".join(f"{count} by {_PEOPLE[source]}" for source, count in stage["by_source"].items())
        left_out = sum(stage["left_out"].values())
        found["Preferences"] = f"{stage['pairs']} pairs: {sources}" + (f"; {left_out} left out" if left_out else "")
    if (stage := summary["reward_model"]) is not None:
        members = f"{stage['members']} members, " if stage["members"] > 1 else ""
        found["Reward model"] = (
            f"{members}trained on {stage['training_pairs']} pairs; on {stage['held_out_pairs']} held-out pairs: "
            f"{stage['in_words']}"
        )
    if (stage := summary["best_of_n"]) is not None:
        found["Best responses"] = (
            f"for {stage['chosen']} of {stage['prompts']} prompts; mean reward {number(stage['mean_reward'])}, of the "
            f"best {number(stage['mean_reward_of_the_best'])}"
        )
    if summary["reward_processing"] is not None:
        found["Rewards"] = summary["reward_processing"]
    return found


def score_title(summary: Summary) -> str | None:
    """What stands over the judge's or the reward model's opinion; None where there is none."""
    title = summary["judge_score_is"]
    return None if title is None else title[0].upper() + title[1:]


def position(summary: Summary) -> str:
    """What the way of judging means for position bias; nothing where there is no judge."""
    judge = summary["recipe"].get("judge")
    if judge is None:
        return ""
    alone = "scored" in judge.get("variant", "scored").split("+") or judge.get("mode") == "score"
    if alone or summary["recipe"]["method"] == "best_of_n":
        return (
            "One response is judged at a time, so no position can be favoured. The choices' probabilities are read at "
            "temperature 1, nothing is sampled."
        )
    return (
        f"Two responses are compared as the variant {judge['variant']} says; unless that is with “single”, in both "
        "orders, and the two are averaged."
    )


def poor_reward_model(summary: Summary) -> str | None:
    """A reason to doubt a reward model that does not order held-out pairs better than chance; None where it does."""
    stage = summary["reward_model"]
    accuracy = stage and stage["accuracy"] and stage["accuracy"]["accuracy"]
    if not accuracy or accuracy["low"] > 0.5:
        return None
    return f"On pairs that it was not trained on, the reward model is not beyond chance: accuracy {estimate(accuracy)}."


_PEOPLE = {"ai": "the judge", "human": "people"}


def _beginning(summary: Summary) -> Iterator[str]:
    if summary["sft"] is not None and summary["recipe"]["method"] != "sft":
        yield "The policy was first fine-tuned on demonstrations; its result is the reference of everything below."


def _sft(summary: Summary) -> Iterator[str]:
    yield "The policy was fine-tuned on demonstrations. The KL is to what it was before."


def _direct(summary: Summary) -> Iterator[str]:
    recipe = summary["recipe"]
    judge, rl = recipe["judge"], recipe["rl"]
    yield f"The policy answered {rl['prompts_per_step']} prompts {rl['group_size']} times each in every step."
    kind = (summary.get("reward_kind") or judge["reward"]).replace("_", "-")
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


def _rlaif(summary: Summary) -> Iterator[str]:
    yield from _preferences(summary)
    rl = summary["recipe"]["rl"]
    yield "A reward model learnt these preferences."
    yield (
        f"Then the policy answered {rl['prompts_per_step']} prompts {rl['group_size']} times each in every step, and "
        "the reward model's score was the reward."
    )
    yield from _summed(summary["recipe"], "the reward model's")
    yield _rl(summary)


def _summed(recipe: dict[str, Any], feedback: str) -> Iterator[str]:
    """What the reward is the sum of, where there is more than AI feedback."""
    if functions := recipe["rewards"]["functions"]:
        weights = recipe["rewards"]["weights"] or [1.0] * len(functions)
        parts = [f"{weight:g} × {name}" for name, weight in zip(functions, weights, strict=True)]
        if recipe["rewards"]["feedback_weight"]:
            parts = [f"{recipe['rewards']['feedback_weight']:g} × {feedback}", *parts]
        yield f"The reward of training was the sum of {', '.join(parts)}."


def _constitutional(summary: Summary) -> Iterator[str]:
    revision = summary["recipe"]["revision"]
    yield (
        f"The policy criticised and rewrote its own answers by the principles of {revision['constitution']}, in "
        f"{revision['rounds']} rounds, and was fine-tuned on the result, which is the reference of what follows."
    )
    yield from _rlaif(summary)


def _dpo(summary: Summary) -> Iterator[str]:
    yield from _preferences(summary)
    dpo = summary["recipe"]["dpo"]
    how = f"with β = {dpo['beta']} and {dpo['labels']} labels, in batches of {dpo['batch_size']}"
    yield f"The policy learnt them by DPO {how}."


def _best_of_n(summary: Summary) -> Iterator[str]:
    settings = summary["recipe"]["best_of_n"]
    who = "a reward model" if settings["reward_model"] else "the judge"
    yield f"The policy answered each training prompt {settings['samples']} times; {who} chose the best answer."
    yield "The policy was fine-tuned on these. The KL is to what it was before."


_METHODS: dict[str, Callable[[Summary], Iterator[str]]] = {
    "sft": _sft,
    "direct_rlaif": _direct,
    "rlaif": _rlaif,
    "constitutional": _constitutional,
    "dpo": _dpo,
    "best_of_n": _best_of_n,
}


def _preferences(summary: Summary) -> Iterator[str]:
    settings = summary["recipe"]["preferences"]
    if settings["ai"]:
        yield (
            f"The policy answered each training prompt {settings['samples_per_prompt']} times and a judge compared the "
            "answers."
        )
    if settings["human"]:
        yield f"{'People' if not settings['ai'] else 'People, too,'} had compared responses."


def _rl(summary: Summary) -> str:
    recipe = summary["recipe"]
    rl, tuning = recipe["rl"], recipe["tuning"]
    what = "LoRA adapters" if tuning["method"] == "lora" else "all weights"
    name = rl["algorithm"].replace("_", " ").upper()
    if rl["algorithm"] == "online_dpo":
        held = f"with β = {rl['kl_coefficient']} in its loss"
    else:
        place = "taken off the reward" if rl["kl_in"] == "reward" else "added to the loss"
        held = f"with {rl['kl_coefficient']} for every nat of KL to the reference {place}"
    return f"{name} turned rewards into updates of {what}, {held}."


def _ending(summary: Summary) -> Iterator[str]:
    prompts = summary["prompts"]
    if summary["recipe"]["method"] in _FINE_TUNED:
        yield f"The model after all {summary['steps']} updates was kept."
        return
    early = summary["stopped_early"]
    ended = f"training ended early ({early})" if early else "training was complete"
    kept = "the last one" if summary["heldout_score_is"] is None else "the one with the highest held-out score"
    who = (
        "That score is the training judge's, so the training judge made that choice."
        if summary["heldout_judge_trained"]
        else "No judge or reward model of training had a say in that choice."
    )
    yield f"After {summary['steps']} steps {ended}; among all checkpoints within bounds, {kept} was kept. {who}"
    if "test" in prompts:
        yield (
            f"The choice was made on {prompts['validation']} validation prompts; the results come from "
            f"{prompts['test']} test prompts, which trained nothing and chose nothing."
        )
