"""The report of a checkpoint sweep: one HTML file that opens offline and needs nothing else."""

from preceptor.core.numbers import estimate, number, percent
from preceptor.evaluation.intervals import Estimate
from preceptor.evaluation.sweep import Sweep, SweepPoint
from preceptor.reports.sweep.figures import by_cohort, curves
from preceptor.reports.templates import page

FEW_PROMPTS = 30
FAILURE_BOUND = 0.02


def render_sweep(sweep: Sweep) -> str:
    """The report as HTML. All text is escaped."""
    return page(
        "sweep/sweep.html.jinja",
        s=sweep,
        headline=headline(sweep),
        warnings=warnings(sweep),
        curves=curves(sweep),
        by_cohort=by_cohort(sweep),
        mark=mark,
    )


def headline(sweep: Sweep) -> str:
    """Which checkpoint is best, what it gained and cost, and where over-optimisation begins."""
    over = sweep.over_optimisation
    begins = f" Over-optimisation begins at step {over.step}." if over.detected else " No over-optimisation was found."
    if sweep.held_out is None:
        return (
            "Nothing independent measured these checkpoints, so none is said to be better than another: name a judge "
            f"that trained nothing by --judge. The last one within the bounds is step {sweep.best_step}."
        )
    if sweep.best_step == 0:
        return f"No checkpoint within the bounds has a higher held-out score than the policy before training.{begins}"
    best, gain = sweep.best, sweep.best.gain.overall
    chance = "" if best.better else ", which may be chance"
    ratio = "" if best.perplexity_ratio is None else f" and {number(best.perplexity_ratio)} times its perplexity"
    on = f" on the {sweep.prompts - sweep.validation} prompts that did not choose it" if sweep.validation else ""
    return (
        f"Step {best.step} is the best checkpoint within the bounds: its held-out score{on} changed by "
        f"{estimate(gain, signed=True)} since before training{chance}, at a KL of {_kl(best)} nats{ratio}.{begins}"
    )


def warnings(sweep: Sweep) -> list[str]:
    """Reasons to doubt the result, the gravest first."""
    found: list[str] = []
    if sweep.heldout_judge_trained:
        found.append(
            f"The held-out judge ({sweep.held_out}) is a model that judged in training: what training taught is to "
            "please it, so its score cannot show over-optimisation. Name another one by --judge."
        )
    if sweep.over_optimisation.detected:
        found.append(f"From step {sweep.over_optimisation.step} on: {'; '.join(sweep.over_optimisation.reasons)}.")
    if sweep.trained_on:
        found.append(f"The run was trained on {sweep.trained_on} of the {sweep.prompts} prompts: these show no more.")
    if sweep.best_step and (fell := _fell(sweep)):
        found.append(f"At step {sweep.best_step} the held-out score fell in {fell}.")
    found += _failures(sweep)
    if sweep.prompts < FEW_PROMPTS:
        found.append(f"Only {sweep.prompts} prompts: little can be said about prompts that were not asked.")
    if sweep.best_step and len(sweep.points) > 2 and not sweep.validation and sweep.held_out is not None:
        found.append(
            f"The best of {len(sweep.points)} checkpoints was chosen by the score on these prompts, so part of its "
            "lead is luck: measure it anew on others before relying on the number."
        )
    if sweep.kept_step is not None and sweep.kept_step != sweep.best_step:
        found.append(f"The run itself kept step {sweep.kept_step}, by its own measure on its own validation prompts.")
    return found


def mark(point: SweepPoint) -> str:
    """What there is to say of a checkpoint beside its numbers."""
    if point.excluded is not None:
        return f"out of bounds: {point.excluded}"
    return "better" if point.better else "worse" if point.worse else ""


def _kl(point: SweepPoint) -> str:
    return number(None if point.kl.overall is None else point.kl.overall.value, 1)


def _fell(sweep: Sweep) -> str:
    """The cohorts in which the best checkpoint is worse than before training, with by how much."""
    gains = sweep.best.gain.by_cohort
    fallen = [f"{cohort} ({estimate(gain, signed=True)})" for cohort, gain in gains.items() if gain and _below(gain)]
    return ", ".join(fallen)


def _below(gain: Estimate) -> bool:
    return gain.high is not None and gain.high < 0


def _failures(sweep: Sweep) -> list[str]:
    asked = sweep.prompts * sweep.samples * len(sweep.points)
    counts = {"held-out measure": sum(point.heldout_failures for point in sweep.points)}
    if sweep.training_reward is not None:
        counts["training reward"] = sum(point.reward_failures for point in sweep.points)
    return [
        f"The {what} failed on {count} of {asked} responses ({percent(count / asked, 1)})."
        for what, count in counts.items()
        if count > FAILURE_BOUND * asked
    ]
