"""Rows of our own in the shapes in which benchmarks of judges are published."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from preceptor.store.benchmarks.read import BenchmarkName

Row = dict[str, Any]

REWARDBENCH: list[Row] = [
    {
        "id": number,
        "prompt": f"Say {number}",
        "chosen": f"number {number}",
        "chosen_model": "good",
        "rejected": f"NUMBER {number}",
        "rejected_model": "bad",
        "subset": ("alpacaeval-easy", "math-prm", "hep-go")[number % 3],
    }
    for number in range(6)
]


def _best_of_4(name: str, subset: str) -> Row:
    return {
        "id": name,
        "prompt": f"Question {name}",
        "chosen": [f"right {name}"],
        "rejected": [f"wrong {name} {i}" for i in range(3)],
        "num_correct": 1,
        "num_incorrect": 3,
        "total_completions": 4,
        "models": ["m"] * 4,
        "subset": subset,
    }


REWARDBENCH2: list[Row] = [
    _best_of_4("1", "Factuality"),
    _best_of_4("2", "Focus"),
    _best_of_4("ref:7", "Ties") | {"prompt": "Name the colour of the sky"},
    {
        "id": "tied:7",
        "prompt": "Name a colour",
        "chosen": ["red", "blue", "green"],
        "rejected": ["seven", "Tuesday"],
        "num_correct": 3,
        "num_incorrect": 2,
        "total_completions": 5,
        "subset": "Ties",
    },
]
JUDGEBENCH: list[Row] = [
    {
        "pair_id": f"pair-{i}",
        "original_id": str(i),
        "source": source,
        "question": f"Question {i}",
        "response_model": "m",
        "response_A": f"Answer A {i}",
        "response_B": f"Answer B {i}",
        "label": "A>B" if i % 2 else "B>A",
    }
    for i, source in enumerate(("mmlu-pro-law", "livebench-reasoning", "livebench-math", "livecodebench"))
]
RM_BENCH: list[Row] = [
    {
        "id": 10 + i,
        "prompt": f"Question {i}",
        "chosen": [f"right {i}", f"right {i}, at length", f"**right {i}**, at length"],
        "rejected": [f"wrong {i}", f"wrong {i}, at length", f"**wrong {i}**, at length"],
        "domain": domain,
    }
    for i, domain in enumerate(("chat", "safety-refuse", "safety-response"))
]
LLMBAR: list[Row] = [
    {"input": f"Instruction {i}", "output_1": f"One {i}", "output_2": f"Two {i}", "label": 1 + i % 2} for i in range(3)
]


def _mt_vote(judge: str, winner: str, *, turn: int = 1, swapped: bool = False, question: int = 81) -> Row:
    def conversation(model: str) -> list[Row]:
        said = [("user", "Hello?"), ("assistant", f"{model} one"), ("user", "And?"), ("assistant", f"{model} two")]
        return [{"role": role, "content": content} for role, content in said]

    first, second = ("vicuna", "alpaca") if swapped else ("alpaca", "vicuna")
    return {
        "question_id": question,
        "model_a": first,
        "model_b": second,
        "winner": winner,
        "judge": judge,
        "conversation_a": conversation(first),
        "conversation_b": conversation(second),
        "turn": turn,
    }


MT_BENCH: list[Row] = [
    _mt_vote("expert_1", "model_a"),
    _mt_vote("expert_2", "model_a", swapped=True),
    _mt_vote("author_1", "tie"),
    _mt_vote("expert_1", "model_b", turn=2, question=111),
    _mt_vote("expert_1", "tie (inconsistent)", turn=2, question=111),
]
HH_RLHF: list[Row] = [
    {
        "chosen": f"\n\nHuman: Hi {i}\n\nAssistant: Hello.\n\nHuman: Why?\n\nAssistant: Because.",
        "rejected": f"\n\nHuman: Hi {i}\n\nAssistant: Hello.\n\nHuman: Why?\n\nAssistant: No.",
    }
    for i in range(2)
]
PANDALM: list[Row] = [
    {
        "idx": i,
        "motivation_app": "Grammarly",
        "cmp_key": "bloom-7b_llama-7b",
        "instruction": f"Shorten {i}",
        "input": "A long text." if i else float("nan"),  # as published
        "response1": f"Short {i}",
        "response2": f"Text {i}" if i else True,  # as published
        "annotator1": opinions[0],
        "annotator2": opinions[1],
        "annotator3": opinions[2],
    }
    for i, opinions in enumerate(((1, 1, 2), (2, 0, 1), (0, 0, 0)))
]
ALPACA_EVAL: list[Row] = [
    {
        "instruction": f"Do {i}",
        "output_1": f"Done {i}",
        "generator_1": "x",
        "output_2": f"Did {i}",
        "generator_2": "y",
        "preference": preference,
        "annotator_index": annotator,
        "dataset": "koala",
    }
    for i in range(2)
    for annotator, preference in ((3, 1), (5, 1), (8, 2), (9, 2 - i))
]
HELPSTEER: list[Row] = [
    {
        "domain": "code",
        "language": "python",
        "context": [{"role": "user", "content": f"Write {i}"}],
        "response1": f"First {i}",
        "response2": f"Second {i}",
        "overall_preference": preference,
        "individual_preference": [{"score": preference, "reasoning": "r", "feedback1": "f", "feedback2": "g"}],
    }
    for i, preference in enumerate((-2, 0, 3))
]
HELPSTEER2: list[Row] = [
    {
        "prompt": f"Explain {pair}",
        "response": f"Response {pair} {helpfulness}",
        "helpfulness": helpfulness,
        "correctness": 3,
        "coherence": 4,
        "complexity": 1,
        "verbosity": 1,
    }
    for pair in range(2)
    for helpfulness in (1, 4)
]
ULTRAFEEDBACK: list[Row] = [
    {
        "source": "sharegpt",
        "instruction": f"Tell {i}",
        "models": ["m1", "m2", "m3"],
        "completions": [
            {"model": f"m{score}", "response": f"Told {i} {place}", "overall_score": float(score)}
            for place, score in enumerate((3, 7, 7))
        ],
    }
    for i in range(2)
]
ULTRAFEEDBACK_BINARIZED: list[Row] = [
    {
        "prompt": "Tell",
        "prompt_id": "p",
        "chosen": [{"role": "user", "content": "Tell"}, {"role": "assistant", "content": "Told."}],
        "rejected": [{"role": "user", "content": "Tell"}, {"role": "assistant", "content": "No."}],
        "messages": [{"role": "user", "content": "Tell"}, {"role": "assistant", "content": "Told."}],
        "score_chosen": 8.0,
        "score_rejected": 5.0,
    }
]
PROCESSBENCH: list[Row] = [
    {
        "id": name,
        "generator": "m",
        "problem": f"Problem {name}",
        "steps": steps,
        "final_answer_correct": label == -1,
        "label": label,
    }
    for name, steps, label in (
        ("gsm8k-0", ["Add 1 and 1.", "That is 3.", "Answer: 3."], 1),
        ("gsm8k-1", ["Add 2 and 2.", "That is 4."], -1),
        ("math-0", ["Guess 9."], 0),
    )
]


def _rated(text: str, rating: int) -> Row:
    return {"text": text, "rating": rating, "flagged": None}


def _labelled(steps: list[Row], finish_reason: str) -> Row:
    return {
        "labeler": "l",
        "question": {"problem": "What is the greatest factor?", "ground_truth_answer": "8"},
        "label": {"steps": steps, "total_time": 1, "finish_reason": finish_reason},
    }


PRM800K: list[Row] = [
    _labelled(
        [
            {"completions": [_rated("Factor it.", 0)], "human_completion": None, "chosen_completion": 0},
            {
                "completions": [_rated("So it is 7.", -1), _rated("So it is 8.", 1)],
                "human_completion": None,
                "chosen_completion": None,
            },
        ],
        "found_error",
    ),
    _labelled(
        [
            {
                "completions": [_rated("First try.", -1), _rated("Second try.", 1)],
                "human_completion": None,
                "chosen_completion": 1,
            },
            {"completions": [], "human_completion": {"text": "By hand."}, "chosen_completion": None},
        ],
        "solution",
    ),
    _labelled([], "give_up"),
]


def write_lines(path: Path, rows: Sequence[Row]) -> Path:
    """JSON lines, compressed if the name ends with .gz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def write_list(path: Path, rows: Sequence[Row]) -> Path:
    """A JSON list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=1))
    return path


def write_all(folder: Path) -> dict[BenchmarkName, Path]:
    """A file of each format, of the kind that its authors publish."""
    write_list(folder / "LLMBar" / "Natural" / "dataset.json", LLMBAR)
    write_list(folder / "LLMBar" / "Adversarial" / "Manual" / "dataset.json", LLMBAR[:2])
    write_lines(folder / "hh" / "harmless-base" / "test.jsonl.gz", HH_RLHF)
    return {
        "rewardbench": write_lines(folder / "filtered.jsonl", REWARDBENCH),
        "rewardbench2": write_lines(folder / "rb2.jsonl", REWARDBENCH2),
        "judgebench": write_lines(folder / "dataset=judgebench,response_model=m.jsonl", JUDGEBENCH),
        "rm-bench": write_list(folder / "total_dataset.json", RM_BENCH),
        "llmbar": folder / "LLMBar",
        "mt-bench": write_lines(folder / "human.jsonl", MT_BENCH),
        "hh-rlhf": folder / "hh",
        "pandalm": write_list(folder / "testset-v1.json", PANDALM),
        "alpaca-eval": write_list(folder / "alpaca_farm_human_crossannotations.json", ALPACA_EVAL),
        "helpsteer": write_lines(folder / "helpsteer" / "validation.jsonl", HELPSTEER),
        "ultrafeedback": write_lines(folder / "ultrafeedback.jsonl", ULTRAFEEDBACK),
    }
