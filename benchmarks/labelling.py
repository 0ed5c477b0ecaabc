"""Labelling comparisons and responses: preceptor, a plain transformers loop, model servers, and another library."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.environments import labelling_peer_python, servers_python
from benchmarks.harness import REPETITIONS, ROOT, Contestant, Kind, Result, compete, this_kind
from benchmarks.workers.label_gguf import ensure_gguf
from benchmarks.workers.label_loop import BATCH
from benchmarks.workers.label_prompts import comparisons, requests
from benchmarks.workers.label_server import Server, running
from preceptor.backends.transformers.embedded import ensure_embedded
from preceptor.backends.transformers.loading import default_dtype

PANDALM = ROOT.parent / "shared" / "data" / "human_preferences_pandalm.jsonl"
PACKAGED = ROOT / "src" / "preceptor" / "data" / "human_preferences.jsonl"
MODELS = ROOT / ".venv" / "bench-models"
LOGS = Path(os.environ.get("BENCH_LOGS", "/tmp/preceptor-bench"))  # noqa: S108
"""The folder that also holds the contestants' logs."""
NAME = "embedded"
"""The model's name at the servers."""
WINDOW = 4096
CACHE_GIB = 2
"""vLLM's cache for keys and values."""
LLAMA_SLOTS = 1
"""The faster of 1 and 8: every slot computes the shared prefix itself."""
AT_ONCE = 8
"""preceptor's requests in flight."""
VERDICT_WORKERS = 128
"""Verdict's default; its rate limits are switched off."""

PRECEPTOR, LOOP, VERDICT = "preceptor", "transformers loop", "Verdict on vLLM"
ON_VLLM, ON_LLAMA = "preceptor on vLLM", "preceptor on llama.cpp"


@dataclass(frozen=True)
class Variant:
    """One way of judging, and how many comparisons each contestant labels."""

    name: str
    judge: str
    """The value of `preceptor label --variant`."""
    highest: int
    """The end of Verdict's scale, which begins at 1."""
    comparisons: int
    verdict: int
    """For Verdict, which gives up entirely when its threads interfere with each other: it never finished 400 prompts.
    """
    fewer: int
    """For contestants that are much slower; rates are per label."""


VARIANTS = (
    Variant("no exemplars", "detailed", 2, comparisons=200, verdict=24, fewer=3),
    Variant("4 exemplars", "detailed+4-shot", 2, comparisons=40, verdict=20, fewer=3),
    Variant("scores 1 to 10", "scored", 10, comparisons=20, verdict=10, fewer=2),
)
QUICK = {"no exemplars": (4, 4, 2), "4 exemplars": (4, 4, 2), "scores 1 to 10": (2, 2, 1)}


@dataclass(frozen=True)
class Servers:
    """Each server, or why there is none."""

    vllm: Server | str
    llama: Server | str


@dataclass(frozen=True)
class Portion:
    """Comparisons in a file."""

    file: Path
    comparisons: int
    responses: int
    """Distinct ones."""


def run(quick: bool) -> dict[str, Any]:
    """All contestants label in turn, one variant after the other."""
    repetitions = 2 if quick else REPETITIONS
    rows: list[dict[str, Any]] = []
    setup = _setup(repetitions)
    with tempfile.TemporaryDirectory(prefix="labelling-") as scratch, _servers(Path(scratch)) as servers:
        for variant in VARIANTS:
            counts = QUICK[variant.name] if quick else (variant.comparisons, variant.verdict, variant.fewer)
            portions = portions_of(Path(scratch), variant, counts)
            results = _compete(variant, portions, servers, repetitions)
            rows += [labelled_row(variant, result, results[0]) for result in results]
            setup[variant.name] = _about(variant, portions, results)
    return {"title": "Labelling", "setup": setup, "rows": rows, "headline": _headline(rows)}


def _compete(variant: Variant, portions: Sequence[Portion], servers: Servers, repetitions: int) -> list[Result]:
    """The results of all contestants; those that cannot take part come last, with the reason."""
    many, some, few = portions
    taking_part = in_process(variant, many, few, this_kind())
    prompts = some.file.with_suffix(".prompts.json")
    prompts.write_text(json.dumps([_text(request.prompt) for request in requests(some.file, variant.judge)]))
    absent: list[Result] = []
    for name, server, portion in ((ON_VLLM, servers.vllm, many), (ON_LLAMA, servers.llama, few)):
        if isinstance(server, str):
            absent.append(Result(name, (), server))
            continue
        address = f"openai:{NAME}@{server.url}/v1"
        asked = {"model": address, "concurrency": AT_ONCE, "server": server.settings}
        taking_part.append(_contestant(name, "preceptor", {**asked, **_work(variant, portion)}))
    try:
        if isinstance(servers.vllm, str):
            raise RuntimeError(servers.vllm)
        asked = {"name": NAME, "server": servers.vllm.settings, "concurrency": VERDICT_WORKERS}
        judged = {"prompts": str(prompts), "highest": variant.highest, **_work(variant, some)}
        taking_part.append(_contestant(VERDICT, "verdict", {**asked, **judged}, labelling_peer_python()))
    except RuntimeError as error:
        absent.append(Result(VERDICT, (), str(error)))
    return [*compete(taking_part, repetitions), *absent]


def in_process(variant: Variant, many: Portion, few: Portion, kind: Kind) -> list[Contestant]:
    """The contestants with the model in their own process: preceptor and the loop."""
    local = {"model": "embedded", **_work(variant, many)}
    loop = {"folder": str(ensure_embedded()), "dtype": kind.dtype, **_work(variant, few)}
    return [
        _contestant(PRECEPTOR, "preceptor", local, kind=kind.environment),
        _contestant(LOOP, "loop", loop, kind=kind.environment),
    ]


def _contestant(
    name: str,
    worker: str,
    settings: dict[str, Any],
    python: str = sys.executable,
    kind: Mapping[str, str] | None = None,
) -> Contestant:
    environment = {"OMP_NUM_THREADS": str(_threads()), **(kind or {})}
    return Contestant(name, f"benchmarks.workers.label_{worker}", settings, python, environment)


def _work(variant: Variant, portion: Portion) -> dict[str, Any]:
    """The settings of the work. A label is one comparison in both orders, or one response by all criteria."""
    units = portion.responses if variant.judge == "scored" else portion.comparisons
    return {"variant": variant.judge, "data": str(portion.file), "units": units}


def labelled_row(variant: Variant, result: Result, own: Result) -> dict[str, Any]:
    """A row of the table. Contestants label different numbers, so the ratio is that of seconds per label."""
    row = result.row(variant.name, own)
    units, own_units = result.median("units"), own.median("units")
    if row["ratio"] and units and own_units:
        row["ratio"] = [ratio * own_units / units for ratio in row["ratio"]]
    seconds, cpu = row["seconds"], result.median("cpu_seconds")
    return {
        **row,
        "units": units,
        "seconds_per_unit": seconds / units if seconds and units else None,
        "ms_per_label": 1e3 * seconds / units if seconds and units else None,
        "cpu_ms_per_label": 1e3 * cpu / units if cpu and units else None,
        "failures": result.median("failures"),
    }


def _about(variant: Variant, portions: Sequence[Portion], results: Sequence[Result]) -> str:
    """What was labelled, and how close the contestants' answers are."""
    many, some, few = portions
    label = "response by 3 criteria" if variant.judge == "scored" else "comparison in both orders"
    own = next((r.repetitions[0] for r in results if r.name == PRECEPTOR and r.repetitions), {})
    said = [
        f"a label is one {label}; {many.comparisons} comparisons ({_tokens(many, variant):.0f} tokens of prompts for a "
        "label)",
        f"{VERDICT} {some.comparisons} of them ({_tokens(some, variant):.0f})",
        f"{LOOP} and llama.cpp {few.comparisons} of them ({_tokens(few, variant):.0f})",
    ]
    for result in results:
        answers = result.repetitions[0].get("p_a") if result.repetitions else None
        if answers and result.name != PRECEPTOR and own:
            gaps = [abs(p - own["p_a"][name]) for name, p in answers.items() if name in own["p_a"]]
            said.append(
                f"preferences of {result.name} differ by {statistics.mean(gaps):.3f} (mean), {max(gaps):.3f} (most)"
            )
    return "; ".join(said)


def _tokens(portion: Portion, variant: Variant) -> float:
    """Tokens of the prompts for one label, without sharing."""
    from transformers import AutoTokenizer

    from preceptor.backends.transformers.chat import encode_prompt

    tokenizer: Any = AutoTokenizer.from_pretrained(ensure_embedded())
    asked = requests(portion.file, variant.judge)
    return sum(len(encode_prompt(tokenizer, r.prompt, r.prefill)) for r in asked) / _work(variant, portion)["units"]


def _headline(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """A line for each variant."""
    lines: list[dict[str, str]] = []
    for own in (row for row in rows if row["contestant"] == PRECEPTOR and not row["failed"]):
        others = [row for row in rows if row["variant"] == own["variant"] and row is not own and row["ratio"]]
        against = [f"{row['contestant']} takes {_times(row['ratio'])} times as long" for row in others]
        value = f"{own['ms_per_label']:.0f} ms a label"
        lines.append({"figure": f"Labelling, {own['variant']}", "value": value, "against": "; ".join(against)})
    return lines


def _times(ratio: Sequence[float]) -> str:
    median, low, high = (f"{value:.2f}" if value < 10 else f"{value:.1f}" for value in ratio)
    return f"{median} [{low}-{high}]"


def _text(prompt: Any) -> str:
    """The text of a conversation with one message."""
    (message,) = prompt
    return message.content


def portions_of(folder: Path, variant: Variant, counts: Sequence[int]) -> list[Portion]:
    """Files with the comparisons of a variant, one for each count."""
    rows = list(_pandalm()) if PANDALM.is_file() else [json.loads(line) for line in PACKAGED.read_text().splitlines()]
    portions: list[Portion] = []
    for count in counts:
        rows = _like_all(rows, count)
        file = folder / f"{variant.judge}-{count}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        items = comparisons(file)
        responses = {(c.prompt.id, response.text) for c in items for response in (c.a, c.b)}
        portions.append(Portion(file, len(items), len(responses)))
    return portions


def _pandalm() -> Iterator[dict[str, str]]:
    """PandaLM's comparisons as preceptor reads them, without those with an empty text or two identical responses."""
    for line in PANDALM.read_text(encoding="utf-8").splitlines():
        row: dict[str, Any] = json.loads(line)
        texts = [row["instruction"], row["response_1"], row["response_2"]]
        if all(isinstance(text, str) and text.strip() for text in texts) and texts[1] != texts[2]:
            asked = f"{texts[0]}\n\n{row['input']}" if row["input"] else texts[0]
            yield {"id": str(row["id"]), "prompt": asked, "response_a": texts[1], "response_b": texts[2]}


def _like_all(rows: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """This many rows, in their order, with lengths like those of all rows: ranked by length and cut into equal groups,
    the row of each group that is nearest to the group's mean length.
    """

    def length(index: int) -> int:
        return sum(len(rows[index][name]) for name in ("prompt", "response_a", "response_b"))

    ranked, count = sorted(range(len(rows)), key=length), min(count, len(rows))
    groups = [ranked[i * len(ranked) // count : (i + 1) * len(ranked) // count] for i in range(count)]
    means = [statistics.mean(map(length, group)) for group in groups]
    taken = [min(g, key=lambda index: abs(length(index) - mean)) for g, mean in zip(groups, means, strict=True)]
    return [rows[index] for index in sorted(taken)]


@contextmanager
def _servers(scratch: Path) -> Generator[Servers]:
    """Starts both servers; they are idle until they get requests."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        started: list[Server | str] = []
        for start in (_vllm(), _llama(scratch)):
            try:
                started.append(stack.enter_context(start))
            except RuntimeError as error:
                started.append(str(error))
        yield Servers(*started)


@contextmanager
def _vllm() -> Generator[Server]:
    command = [servers_python(), "-m", "vllm.entrypoints.openai.api_server", "--model", str(ensure_embedded())]
    command += ["--served-model-name", NAME, "--dtype", _dtype(), "--max-model-len", str(WINDOW)]
    command += ["--enable-prefix-caching", "--host", "127.0.0.1", "--port", "{port}"]
    environment = {
        "VLLM_CPU_KVCACHE_SPACE": str(CACHE_GIB),
        "VLLM_CPU_OMP_THREADS_BIND": ",".join(map(str, sorted(os.sched_getaffinity(0)))),
        "VLLM_SERVER_DEV_MODE": "1",  # adds the endpoint that resets the prefix cache
        "VLLM_NO_USAGE_STATS": "1",
    }
    with running(command, environment, LOGS / "server.vllm.log", ("/reset_prefix_cache",)) as server:
        yield server


@contextmanager
def _llama(scratch: Path) -> Generator[Server]:
    command = [servers_python(), "-m", "benchmarks.workers.label_llama", str(ensure_gguf(MODELS)), NAME, "{port}"]
    command += [str(_threads()), str(LLAMA_SLOTS), str(WINDOW), f"{scratch}/"]
    forget = tuple(f"/slots/{slot}?action=erase" for slot in range(LLAMA_SLOTS))
    with running(command, {"OMP_NUM_THREADS": str(_threads())}, LOGS / "server.llama.log", forget) as server:
        yield server


def _setup(repetitions: int) -> dict[str, Any]:
    data = "PandaLM's test set" if PANDALM.is_file() else "the package's human_preferences.jsonl"
    return {
        "model": f"embedded (SmolLM2-135M-Instruct), {_dtype()}, the same weights for all but llama.cpp",
        "data": f"{data}, chosen by length to be like all of it; few of the prompts occur twice",
        "judge": "constitution helpful, no chain of thought",
        "threads": f"{_threads()} for everyone, servers included",
        "repetitions": f"{repetitions} after a warm-up, in turn; weights loaded, servers started and asked for their "
        "abilities before",
        PRECEPTOR: "reading, rendering, tokenising, ledger, rows of labels and Parquet are in the time; the ledger and "
        "all caches begin empty",
        LOOP: f"token ids ready beforehand; batches of {BATCH} in the order of the input, padded on the right, "
        "logits of all tokens; 10 is read exactly; nothing is written",
        "servers": f"caches of prompts are emptied before each repetition; {AT_ONCE} requests at once; "
        "memory is the sum of the peaks of client and server processes",
        ON_VLLM: f"vLLM {_version('vllm-cpu')}, prefix caching, {CACHE_GIB} GiB for keys and values, window {WINDOW}",
        ON_LLAMA: f"llama.cpp in xllamacpp {_version('xllamacpp')}, {LLAMA_SLOTS} slot; Q8_0, the "
        "fastest of BF16, Q8_0 and the wheel's Q4_1 there; a portable build without AVX-512",
        VERDICT: f"Verdict {_version('verdict')}: preceptor's prompts with its own request for an answer behind them, "
        f"{VERDICT_WORKERS} workers, no rate limit, one token, probabilities of 20; of 10 it reads the first token",
        "tokens": "run through the model, padding included; of a server, sent to it",
    }


def _version(package: str) -> str:
    """The version of a peer's package; unknown if its environment cannot be made."""
    try:
        python = labelling_peer_python() if package == "verdict" else servers_python()
    except RuntimeError:
        return "(not installed)"
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "of unknown version"


def _dtype() -> str:
    return str(default_dtype()).removeprefix("torch.")


def _threads() -> int:
    return len(os.sched_getaffinity(0))
