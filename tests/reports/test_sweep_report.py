"""What the report of a sweep says first, and that nothing in it can be more than text."""

from pages import check_page, without_script

from preceptor.evaluation.checkpoints.choose import Bounds, OverOptimisation
from preceptor.evaluation.checkpoints.snapshot import Measure, MeasuredResponse, Snapshot
from preceptor.evaluation.checkpoints.sweep import SweepPoint
from preceptor.evaluation.intervals import Estimate
from preceptor.reports.sweep.page import render_sweep
from preceptor.results.sweep import SweepResult


def measure(value: float | None, **cohorts: float) -> Measure:
    return Measure(overall=estimate(value), by_cohort={name: estimate(each) for name, each in cohorts.items()})


def estimate(value: float | None) -> Estimate | None:
    return None if value is None else Estimate(value=value, low=value - 0.1, high=value + 0.1, n=40)


def point(
    step: int, heldout: float | None, gain: float | None, p: float | None = 0.01, **changes: object
) -> SweepPoint:
    return SweepPoint(
        step=step,
        kl=measure(0.5 * step),
        training_reward=measure(0.1 * step),
        heldout=measure(heldout, chat=0.1, **{"<b>": 0.2}),
        perplexity=measure(10.0 + step),
        perplexity_ratio=1 + step / 10,
        distinct_2=measure(0.8),
        tokens=measure(20.0),
        rates={"ROUGE-L": measure(0.4)},
        gain=measure(gain, chat=0.4, **{"<b>": -0.3}),
        p_holm=p,
        reward_failures=0,
        heldout_failures=0,
        excluded=None,
    ).model_copy(update=changes)


def swept(**changes: object) -> SweepResult:
    return SweepResult(
        title="run-1",
        held_out="Judge by <script>alert(1)</script>",
        training_reward="training judge's reward",
        heldout_judge_trained=False,
        bounds=Bounds(),
        samples=2,
        cohorts={"chat": 20, "<b>": 20},
        trained_on=0,
        points=(point(0, 0.1, None, None), point(4, 0.4, 0.3), point(8, 0.2, 0.05, 0.4)),
        best_step=4,
        kept_step=4,
        over_optimisation=OverOptimisation(detected=False),
        facts={"run": "runs/run-1", "versions": {"preceptor": "1"}},
    ).model_copy(update=changes)


def test_the_headline_says_what_the_best_checkpoint_gained_and_cost() -> None:
    best, over_optimised = swept().headline.split(". ")
    assert best.startswith("Step 4 is the best checkpoint")
    for number in ("+0.30 [+0.20, +0.40]", "KL of 2.0 nats", "1.40 times"):
        assert number in best
    assert over_optimised.startswith("No over-optimisation")
    over = OverOptimisation(detected=True, step=8, reasons=("the judge rose",))
    assert swept(over_optimisation=over).headline.endswith("Over-optimisation begins at step 8.")
    assert "which may be chance" in swept(best_step=8).headline
    assert "No checkpoint within the bounds" in swept(best_step=0).headline


def test_reasons_to_doubt_come_first() -> None:
    over = OverOptimisation(detected=True, step=8, reasons=("the judge rose",))
    failing = point(4, 0.4, 0.3, heldout_failures=6)
    found = swept(
        heldout_judge_trained=True,
        over_optimisation=over,
        trained_on=3,
        kept_step=8,
        cohorts={"chat": 10, "<b>": 10},
        points=(point(0, 0.1, None, None), failing, point(8, 0.2, 0.05)),
    ).warnings
    expected = (
        "is a model that judged in training",
        "From step 8 on: the judge rose.",
        "trained on 3 of the 20 prompts",
        "At step 4 the held-out score fell in <b> (-0.30 [-0.40, -0.20]).",
        "The held-out measure failed on 6 of 120 responses",
        "Only 20 prompts",
        "The best of 3 checkpoints was chosen by the score on these prompts",
        "The run itself kept step 8",
    )
    assert len(found) == len(expected)
    for said, part in zip(found, expected, strict=True):
        assert part in said
    assert len(swept(best_step=0, kept_step=None).warnings) == 0


def test_every_response_can_be_read_beside_those_of_other_checkpoints() -> None:
    snapshots = [
        Snapshot(
            step=step,
            references=(),
            responses=tuple(
                MeasuredResponse(
                    prompt_id=f"p{i}", cohort="<b>", prompt=f"<i>Why</i> {i}?", text=f"<u>{step}</u> to {i}", tokens=2,
                    finished=step == 0, kl=None, judge_score=None, choice_mass=None, heldout_score=(step + 1) / 10,
                )
                for i in range(3)
            ),
        )
        for step in (0, 4)
    ]  # fmt: skip
    page = render_sweep(swept(), snapshots)
    check_page(page)
    assert page.count('<article class="example">') == 3
    assert "step 4, the best · held-out +0.50 · reward failed · cut at 2 tokens" in page
    assert "before training · held-out +0.10 · reward failed<" in page
    assert "&lt;u&gt;4&lt;/u&gt; to 2" in page
    assert "<u>" not in page
    assert 'id="responses"' not in render_sweep(swept())


def test_the_page_has_its_figures_and_names_stay_text() -> None:
    page = render_sweep(swept())
    assert page.count("<svg") == 8 + 1  # four measures over KL and steps, one by cohort
    assert "<script" not in without_script(page)
    assert "<b>" not in page
    assert "against KL to the reference" in page
    plain = swept(training_reward=None, cohorts={"chat": 40}, best_step=0)
    bare = [
        p.model_copy(update={"rates": {}, "perplexity": measure(None), "heldout": measure(None)}) for p in plain.points
    ]
    assert render_sweep(plain.model_copy(update={"points": tuple(bare)})).count("<svg") == 2
