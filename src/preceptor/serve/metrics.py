"""Numbers for Prometheus."""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from preceptor.core.types import JudgeFailure
from preceptor.serve.desk import Desk
from preceptor.serve.judges import ServedJudge
from preceptor.store.ledger import Ledger

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    """What the service counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("preceptor_requests", "Requests answered.", ("path", "status"), registry=self.registry)
        self.seconds = Histogram(
            "preceptor_request_seconds",
            "Time from a request to its answer.",
            ("path",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.outcomes = Counter(
            "preceptor_outcomes",
            "Comparisons and scores, by outcome: answered, or the reason of the failure.",
            ("judge", "outcome"),
            registry=self.registry,
        )

    def count(self, judge: str, outcome: object) -> None:
        """Counts a comparison or a score."""
        kind = outcome.reason if isinstance(outcome, JudgeFailure) else "answered"
        self.outcomes.labels(judge, kind).inc()

    def text(self) -> bytes:
        """All numbers in the text format of Prometheus."""
        return generate_latest(self.registry)


class State(Collector):
    """Numbers that are read when they are asked for: the queues, the calls, the money."""

    def __init__(self, judges: Mapping[str, ServedJudge], desks: Mapping[str, Desk], ledger: Ledger) -> None:
        self._judges = judges
        self._desks = desks
        self._ledger = ledger

    def collect(self) -> Iterator[Metric]:
        """The numbers at this moment."""
        waiting = GaugeMetricFamily("preceptor_waiting", "Items that wait in the queue.", labels=["model"])
        judging = GaugeMetricFamily("preceptor_judging", "Items that are with the judge.", labels=["model"])
        for model, desk in self._desks.items():
            waiting.add_metric([model], desk.waiting)
            judging.add_metric([model], desk.busy)
        asked = CounterMetricFamily("preceptor_calls", "Calls sent to the model.", labels=["judge"])
        hits = CounterMetricFamily(
            "preceptor_calls_saved", "Calls answered from the ledger or by an equal call.", labels=["judge"]
        )
        for name, judge in self._judges.items():
            asked.add_metric([name], judge.asked)
            hits.add_metric([name], judge.hits)
        yield from (waiting, judging, asked, hits)
        yield GaugeMetricFamily("preceptor_spent_dollars", "Cost of all recorded calls.", value=self._ledger.spent)
        if self._ledger.budget is not None:
            yield GaugeMetricFamily("preceptor_budget_dollars", "Most they may cost.", value=self._ledger.budget)
