"""A task of inspect_ai that a judge of preceptor scores. Needs `pip install inspect_ai`.

    inspect eval examples/inspect_task.py --model openai/gpt-4o-mini

`mean` is the mean score from 0 to 1; samples that the judge failed on are unscored.
"""

from inspect_ai import Task, task  # pyright: ignore[reportMissingImports]
from inspect_ai.dataset import Sample  # pyright: ignore[reportMissingImports]
from inspect_ai.solver import generate  # pyright: ignore[reportMissingImports]

from preceptor.integrations.inspect_ai import preceptor_judge

PROMPTS = ["Say something kind to a tired nurse.", "How was your day?"]


@task  # pyright: ignore[reportUntypedFunctionDecorator]
def kindness() -> Task:  # pyright: ignore[reportUnknownParameterType]
    """Two prompts, judged by tone."""
    scorer = preceptor_judge("embedded", constitution="warm_tone")
    return Task(dataset=[Sample(text) for text in PROMPTS], solver=generate(), scorer=scorer)
