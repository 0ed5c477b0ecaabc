"""The judge of the public API: a model, a constitution and a way of asking. The model is opened when first needed."""

import logging
import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from preceptor.backends.base import LanguageModel
from preceptor.backends.connection import Connection
from preceptor.backends.resolve import open_model
from preceptor.core.batching import Batcher
from preceptor.core.errors import UsageError
from preceptor.core.text import printable_line
from preceptor.core.types import Comparison, JudgeFailure, Preference, Prompt, Response, Score, Usage
from preceptor.core.validation import check_dollars, explain, settings_of
from preceptor.judging.constitution import Constitution, load_constitution
from preceptor.judging.ensemble import PreferenceJudge
from preceptor.judging.inputs import PromptLike, ResponseLike, comparison, parts_of, prompt_and_response, with_rubrics
from preceptor.judging.reward import RewardKind, reward_kind, reward_of
from preceptor.judging.rubrics.judge import RUBRIC, RubricJudge
from preceptor.judging.score import ScoreJudge
from preceptor.judging.scored import check_scoring
from preceptor.judging.settings import PairwiseSettings
from preceptor.judging.specs import JudgeSpec, build_judge, check_judges, check_prices, check_single, model_names
from preceptor.store.ledger import NO_CALLS, Ledger, LedgerTotals

_LOG = logging.getLogger("preceptor.judge")


class Judge:
    """A language model that compares and scores responses by a constitution.

    Nothing is opened until the judge is asked. Every answer is recorded in a ledger, so the same question is never paid
    for twice. A judge may be used by several threads and inside a running event loop, and can be pickled: the copy
    opens its own model when it is asked.

    Examples:
        >>> judge = Judge("scripted:random", constitution="helpful")
        >>> preference = judge.compare("Why is the sky blue?", a="Rayleigh scattering.", b="Because.")
        >>> 0.0 <= preference.p_a <= 1.0
        True

    Args:
        model: a model string, such as `embedded`, `hf:ORG/NAME`, `openai:NAME` or a folder.
        constitution: name of a shipped constitution, or path of a .toml file.
        variant: how responses are compared, such as `detailed+cot`; `detailed` by default, or `scored` where the
            constitution judges claims. With `rubric`, responses are compared and scored by the rubrics of their
            prompts, and no constitution is shown.
        settings: all settings of the comparison, in place of a variant.
        calibration: file that an audit wrote for this judge with `save_calibration`; applied to comparisons.
        bias: file that an audit wrote for this judge with `save_bias`: what it prefers in excess of people is taken off
            its comparisons.
        cascade: file that an audit wrote with `save_cascade`, whose first judge is this one: comparisons of which it is
            unsure go to the next judges. Scores are not asked for.
        weight: weight of this judge in an ensemble.
        connection: settings of the connection to a model server: a `Connection`, or a dict.
        ledger: file of recorded answers. By default they are kept in memory, which grows with every new question.
        budget: most dollars that all calls in the ledger may cost. A task that is given the judge has a ledger of its
            own, and this budget where it is given no other.

    Raises: UsageError for an unknown name, a missing file or a wrong setting.
    """

    def __init__(
        self,
        model: str = "embedded",
        constitution: str | Path = "helpful",
        variant: str | None = None,
        *,
        settings: PairwiseSettings | Mapping[str, Any] | None = None,
        calibration: str | Path | None = None,
        bias: str | Path | None = None,
        cascade: str | Path | None = None,
        weight: float = 1.0,
        connection: Connection | Mapping[str, Any] | None = None,
        ledger: str | Path | None = None,
        budget: float | None = None,
    ) -> None:
        fields = {
            "model": model,
            "constitution": str(constitution) if isinstance(constitution, Path) else constitution,
            "variant": variant,
            "settings": settings,
            "weight": weight,
            "calibration": None if calibration is None else str(calibration),
            "bias": None if bias is None else str(bias),
            "cascade": None if cascade is None else str(cascade),
        }
        try:
            spec = JudgeSpec.model_validate({name: value for name, value in fields.items() if value is not None})
        except ValidationError as error:
            raise UsageError(f"Judge: {explain(error, JudgeSpec)}") from error
        check_judges([spec])
        check_dollars("budget", budget)
        reached = settings_of("connection", Connection, connection)
        self._begin(spec, reached, None if ledger is None else Path(ledger), budget)

    def _begin(self, spec: JudgeSpec, connection: Connection | None, ledger: Path | None, budget: float | None) -> None:
        self.spec = spec
        """Everything that identifies the judge."""
        self.connection = connection
        self._ledger_path = ledger
        self._budget = budget
        self._lock = threading.Lock()
        self._open: _OpenJudge | None = None
        self._comparing = Batcher(self._compare_batch, self._lock)
        self._scoring = Batcher(self._score_batch, self._lock)
        self._reward: TrlReward | None = None

    # -- asking ---------------------------------------------------------------------------------------------------

    def compare(self, prompt: PromptLike, a: ResponseLike, b: ResponseLike) -> Preference | JudgeFailure:
        """The probability that response a is the better one, or the reason why the judge failed.

        Raises: UsageError for a malformed prompt or response; PreceptorError when the model cannot be asked at all or
            the budget is spent.
        """
        [outcome] = self._comparing.ask([comparison(prompt, a, b)])
        return outcome

    def compare_many(
        self, pairs: Iterable[Comparison | tuple[PromptLike, ResponseLike, ResponseLike]]
    ) -> list[Preference | JudgeFailure]:
        """Compares many pairs, in batches.

        Args:
            pairs: comparisons, or tuples of a prompt and responses a and b.

        Raises: as `compare`.
        """
        items = (
            pair if isinstance(pair, Comparison) else comparison(*parts_of(pair, "prompt, a and b", 3, number))
            for number, pair in enumerate(pairs, start=1)
        )
        outcomes: list[Preference | JudgeFailure] = []
        while batch := list(islice(items, self._at_once)):
            outcomes += self._comparing.ask(batch)
        return outcomes

    def score(self, prompt: PromptLike, response: ResponseLike) -> Score | JudgeFailure:
        """The score of a response on the constitution's scale, or the reason why the judge failed. With the variant
        `rubric`, its score from 0 to 1 by the rubric of the prompt, a `RubricScore` that has each item's judgement.

        Raises: as `compare`.
        """
        [outcome] = self._scoring.ask([prompt_and_response(prompt, response)])
        return outcome

    def score_many(self, items: Iterable[tuple[PromptLike, ResponseLike]]) -> list[Score | JudgeFailure]:
        """Scores many responses, each given with its prompt, in batches.

        Raises: as `compare`.
        """
        pairs = (
            prompt_and_response(*parts_of(item, "prompt and response", 2, number))
            for number, item in enumerate(items, start=1)
        )
        outcomes: list[Score | JudgeFailure] = []
        while batch := list(islice(pairs, self._at_once)):
            outcomes += self._scoring.ask(batch)
        return outcomes

    async def acompare(self, prompt: PromptLike, a: ResponseLike, b: ResponseLike) -> Preference | JudgeFailure:
        """`compare` without blocking the event loop. Calls that wait at the same time are answered in one batch."""
        [outcome] = await self._comparing.ask_async([comparison(prompt, a, b)], self._pool)
        return outcome

    async def ascore(self, prompt: PromptLike, response: ResponseLike) -> Score | JudgeFailure:
        """`score` without blocking the event loop. Calls that wait at the same time are answered in one batch."""
        [outcome] = await self._scoring.ask_async([prompt_and_response(prompt, response)], self._pool)
        return outcome

    async def areward(self, prompt: PromptLike, response: ResponseLike) -> float | JudgeFailure:
        """The reward for one response, as `reward` gives it, or the reason why the judge failed. Asks as `ascore` does.

        Raises: as `compare`.
        """
        score = await self.ascore(prompt, response)
        return score if isinstance(score, JudgeFailure) else reward_of(score, self.reward.kind)

    @property
    def reward(self) -> "TrlReward":
        """The judge as a reward function for TRL: `GRPOTrainer(..., reward_funcs=[judge.reward])`."""
        if self._reward is None:
            self._reward = TrlReward(self)
        return self._reward

    # -- identity and cost ----------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Model, constitution and way of asking, as given."""
        return f"{self.spec.model} · {self.spec.constitution} · {self.spec.way}"

    @cached_property
    def constitution(self) -> Constitution:
        """The constitution that the judge applies."""
        return load_constitution(self.spec.constitution)

    @property
    def budget(self) -> float | None:
        """Most dollars that all calls in the ledger may cost; None if there is no limit."""
        return self._budget

    @property
    def identity(self) -> str:
        """The model with the hash of its weights, as labels name it. Opens the model."""
        with self._lock:
            return self._opened().model.identity

    @property
    def usage(self) -> Usage:
        """Tokens of all calls on record in the judge's ledger."""
        totals = self._totals()
        return Usage(
            prompt_tokens=totals.prompt_tokens,
            completion_tokens=totals.completion_tokens,
            estimated=totals.estimated > 0,
            cached_tokens=totals.cached_tokens,
        )

    @property
    def calls(self) -> int:
        """Calls on record in the judge's ledger, those that failed included."""
        return self._totals().calls

    @property
    def cost(self) -> float | None:
        """Dollars for all calls on record; None if the price of some is unknown."""
        totals = self._totals()
        return None if totals.unpriced else totals.cost_usd

    def __repr__(self) -> str:
        spec = self.spec
        parts = [repr(spec.model), f"constitution={spec.constitution!r}"]
        parts.append(f"settings={spec.settings!r}" if spec.settings else f"variant={spec.variant or 'detailed'!r}")
        parts += [f"calibration={spec.calibration!r}"] if spec.calibration else []
        parts += [f"bias={spec.bias!r}"] if spec.bias else []
        parts += [f"cascade={spec.cascade!r}"] if spec.cascade else []
        return f"Judge({', '.join(parts)})"

    # -- opening and closing --------------------------------------------------------------------------------------

    def close(self) -> None:
        """Closes the model and the ledger. A judge that is asked again opens both again; answers recorded in memory are
        lost.
        """
        with self._lock:
            if self._open is not None:
                self._open.close()
                self._open = None
        if "_pool" in self.__dict__:
            self.__dict__.pop("_pool").shutdown(wait=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> tuple[JudgeSpec, Connection | None, Path | None, float | None]:
        """The arguments from which a copy is made, without the open model."""
        return self.spec, self.connection, self._ledger_path, self._budget

    def __setstate__(self, state: tuple[JudgeSpec, Connection | None, Path | None, float | None]) -> None:
        self._begin(*state)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        """A pool of one thread, which answers all waiting items."""
        return ThreadPoolExecutor(max_workers=1, thread_name_prefix="preceptor-judge")

    @property
    def _at_once(self) -> int:
        """Number of items in a batch, as in labelling."""
        with self._lock:
            return 4 * self._opened().model.concurrency

    def _opened(self) -> "_OpenJudge":
        if self._open is None:
            self._open = _OpenJudge(self.spec, self.connection, self._ledger_path, self._budget)
        return self._open

    def _totals(self) -> LedgerTotals:
        with self._lock:
            if self._open is not None:
                return self._open.ledger.totals()
            if self._ledger_path is None or not self._ledger_path.exists():
                return NO_CALLS
            with Ledger(self._ledger_path) as ledger:
                return ledger.totals()

    def _compare_batch(self, items: Sequence[Comparison]) -> list[Preference | JudgeFailure]:
        return self._opened().comparer.compare(items)

    def _score_batch(self, items: Sequence[tuple[Prompt, Response]]) -> list[Score | JudgeFailure]:
        return list(self._opened().scorer.score(items))


class _OpenJudge:
    """The model, the ledger, and the two ways of asking. The caller holds the judge's lock."""

    def __init__(
        self, spec: JudgeSpec, connection: Connection | None, ledger: Path | None, budget: float | None
    ) -> None:
        self.spec = spec
        self.models: dict[str, LanguageModel] = {name: open_model(name, connection) for name in model_names([spec])}
        self.model = self.models[spec.model]
        check_prices(budget, list(self.models.values()))
        if ledger is not None:
            ledger.parent.mkdir(parents=True, exist_ok=True)
        self.ledger = Ledger(Path(":memory:") if ledger is None else ledger, budget)

    @cached_property
    def comparer(self) -> PreferenceJudge:
        return build_judge([self.spec], self.models, self.ledger)

    @cached_property
    def scorer(self) -> ScoreJudge | RubricJudge:
        check_single([self.spec], "scoring")
        constitution, settings = load_constitution(self.spec.constitution), self.spec.resolved()
        if settings.shown == "rubric":
            return RubricJudge(self.model, self.ledger, settings.by_rubric)
        check_scoring(constitution, settings)
        return ScoreJudge(self.model, constitution, self.ledger, settings.scoring)

    def close(self) -> None:
        self.ledger.close()
        for model in self.models.values():
            close: Any = getattr(model, "close", None)
            if close is not None:
                close()


class TrlReward:
    """A judge's scores as rewards, with the signature of TRL's reward functions.

    The reward is the score's log-odds if the constitution offers two choices, and its expectation rescaled to [-1, 1]
    if it offers more.
    """

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.__name__ = reward_name(judge.spec)

    @property
    def kind(self) -> RewardKind:
        """How a score becomes a reward."""
        by_rubric = self.judge.spec.goes_by_rubrics
        return "expectation" if by_rubric else reward_kind(None, self.judge.constitution)

    def __call__(
        self, prompts: Sequence[PromptLike], completions: Sequence[ResponseLike], **columns: Any
    ) -> list[float | None]:
        """One reward for each completion; None where the judge failed, which TRL leaves out of the loss.

        Args:
            prompts: texts, or conversations as lists of messages; one for each completion.
            completions: texts, or lists of messages.
            columns: further columns that TRL passes: `rubric` and `reference` belong to the prompts, with the variant
                `rubric`; others are ignored.

        Raises: UsageError for a prompt that does not end with the user's turn, and where there is not one prompt for
            each completion; PreceptorError when the model cannot be asked at all or the budget is spent.
        """
        if len(prompts) != len(completions):
            raise UsageError(f"{len(prompts)} prompts for {len(completions)} completions; expected one for each")
        if self.judge.spec.goes_by_rubrics:
            prompts = with_rubrics(prompts, columns)
        scores = self.judge.score_many(zip(prompts, completions, strict=True))
        failures = [score for score in scores if isinstance(score, JudgeFailure)]
        if failures:
            reasons = Counter(f"{failure.reason} ({failure.detail[:200]})" for failure in failures).most_common(3)
            listed = "; ".join(f"{count} times {printable_line(reason)}" for reason, count in reasons)
            _LOG.warning("%s: no reward for %d of %d responses: %s", self.__name__, len(failures), len(scores), listed)
        return [reward_of(score, self.kind) for score in scores]

    def __repr__(self) -> str:
        return f"{self.judge!r}.reward"


def reward_name(spec: JudgeSpec) -> str:
    """A name for logs and metrics, of letters, digits, `.`, `_` and `-`: `helpful_by_embedded`."""
    model = re.sub(r"^\w+:", "", spec.model).split("@")[0].rstrip("/")
    by = RUBRIC if spec.goes_by_rubrics else Path(spec.constitution).stem
    parts = (by, "by", Path(model).name)
    return "_".join(re.sub(r"[^\w.-]+", "-", part) for part in parts)
