"""What a recipe may ask of the TRL engine, and what it is told at load."""

import inspect
import re
from typing import Any

import pytest
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_config import RLOOConfig

from preceptor.core.errors import UsageError
from preceptor.recipes.load import dump_recipe, load_recipe
from preceptor.training.rl.settings import RLSettings
from preceptor.training.trl.checks import GRPO_LOSSES, RL_OWNED, objective_on_trl
from preceptor.training.trl.fields import config_fields
from preceptor.training.trl.settings import EngineSettings

TRL = "engine.name=trl"
GRPO = ("rl.algorithm=grpo", "rl.kl_in=loss")


def checked(*overrides: str) -> None:
    load_recipe("direct_rlaif", overrides).check()


def test_a_recipe_without_an_engine_is_written_as_before() -> None:
    assert "engine" not in dump_recipe(load_recipe("direct_rlaif"))
    assert "engine" not in dump_recipe(load_recipe("direct_rlaif", ["engine.name=native"]))
    assert 'name = "trl"' in dump_recipe(load_recipe("direct_rlaif", [TRL]))


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        GRPO,
        (*GRPO, "engine.loss_type=dapo"),
        (*GRPO, "engine.importance_sampling=sequence"),
        (*GRPO, "rl.length_unbiased=true"),
        ("engine.trl.top_p=0.9", "engine.trl.top_k=20", "engine.trl.mask_truncated_completions=true"),
        (*GRPO, "engine.loss_type=cispo", "engine.trl.epsilon_high=5.0", "engine.trl.entropy_coef=0.1"),
        (*GRPO, "rl.loss=dapo", "rl.clip_range_high=0.28", "rl.minibatches=2", "rl.entropy_coefficient=0.01"),
        (*GRPO, "rl.loss=gspo", "rl.minibatches=2", "rl.kl_coefficient=0"),
        ("rl.clip_range_high=0.28", "rl.minibatches=2"),
    ],
)
def test_what_trl_can_do_is_accepted(overrides: tuple[str, ...]) -> None:
    checked(TRL, *overrides)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["engine.loss_type=dapo"], r"engine\.loss_type.*engine\.name"),
        ([TRL, "rl.algorithm=ppo"], "native engine only"),
        ([TRL, "rl.algorithm=reinforce"], "native engine only"),
        ([TRL, "rl.kl_target=6.0"], r"rl\.kl_target.*native"),
        ([TRL, "rl.dynamic_sampling=2"], r"rl\.dynamic_sampling.*native"),
        ([TRL, "rl.algorithm=grpo"], 'set rl.kl_in = "loss"'),
        ([TRL, "rl.kl_in=loss"], 'set rl.kl_in = "reward"'),
        ([TRL, "engine.loss_type=dapo"], 'engine.loss_type is for rl.algorithm = "grpo"'),
        ([TRL, "engine.importance_sampling=sequence"], "engine.importance_sampling is for"),
        ([TRL, *GRPO, "engine.loss_type=dapoo"], 'did you mean "dapo"'),
        ([TRL, *GRPO, "engine.loss_type=luspo"], 'importance_sampling = "sequence"'),
        ([TRL, *GRPO, "engine.loss_type=bnpo", "rl.length_unbiased=true"], "leave one out"),
        ([TRL, "rl.minibatches=3", "rl.gradient_accumulation_steps=1"], "128 responses.*3 equal parts"),
        ([TRL, "rl.loss=cispo"], r"rl\.loss: .*grpo"),
        ([TRL, "rl.entropy_coefficient=0.1"], r"rl\.entropy_coefficient: .*grpo"),
        ([TRL, *GRPO, "rl.loss=cispo", "engine.loss_type=dapo"], "engine.loss_type both.*leave one out"),
        ([TRL, *GRPO, "rl.loss=dapo", "engine.importance_sampling=sequence"], "engine.importance_sampling both"),
        ([TRL, *GRPO, "rl.loss=gspo", "rl.minibatches=2"], r"set rl\.kl_coefficient = 0"),
        ([TRL, *GRPO, "rl.truncated_importance=2.0"], r"set engine\.vllm"),
        ([TRL, *GRPO, "rl.minibatches=2", "rl.clip_range_high=0.3", "engine.loss_type=cispo"], "does not clip"),
        (
            [TRL, *GRPO, "rl.minibatches=2", "rl.clip_range_high=0.3", "engine.trl.epsilon_high=0.3"],
            r"engine\.trl\.epsilon_high is settled by rl\.clip_range_high",
        ),
        (
            [TRL, *GRPO, "rl.entropy_coefficient=0.1", "engine.trl.use_adaptive_entropy=true"],
            r"use_adaptive_entropy is settled by rl\.entropy_coefficient",
        ),
        ([TRL, "engine.trl.top_pp=0.5"], 'did you mean "top_p"'),
        ([TRL, 'engine.trl.top_p="most"'], r"engine\.trl\.top_p = 'most': TRL expects float"),
        ([TRL, "engine.trl.top_k=true"], r"engine\.trl\.top_k = True: TRL expects int"),
        ([TRL, "engine.trl.generation_kwargs.temperature=0.1"], r"set rl\.temperature"),
        ([TRL, "engine.trl.beta=0.1"], r"set rl\.kl_coefficient"),
        ([TRL, "engine.trl.learning_rate=0.1"], r"set rl\.learning_rate"),
        ([TRL, "engine.vllm=server"], r"set engine\.vllm_server"),
        ([TRL, "engine.vllm_server=http://localhost:8000"], r'engine\.vllm = "server"'),
        ([TRL, "engine.quantisation=4bit", "tuning.method=full"], r'tuning\.method = "lora"'),
    ],
)
def test_what_it_cannot_do_is_refused_with_what_to_set(overrides: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        checked(*overrides)


def test_the_loss_of_a_recipe_is_said_in_trl_s_words() -> None:
    def said(**settings: Any) -> dict[str, Any]:
        known: dict[str, Any] = {"algorithm": "grpo", "minibatches": 2}
        arguments = objective_on_trl(EngineSettings(name="trl"), RLSettings(**(known | settings)))
        assert arguments.keys() <= inspect.signature(GRPOConfig).parameters.keys()
        return arguments

    plain = {"loss_type": "grpo", "importance_sampling_level": "token", "scale_rewards": "group"}
    assert said() == plain
    assert said(loss="dapo", clip_range_high=0.28) == plain | {"loss_type": "dapo", "epsilon_high": 0.28}
    assert said(loss="cispo") == plain | {"loss_type": "cispo", "epsilon_high": 1.2}
    assert said(loss="cispo", clip_range_high=4.0)["epsilon_high"] == 5.0
    assert said(entropy_coefficient=0.01) == plain | {"entropy_coef": 0.01}
    assert said(loss="gspo", truncated_importance=2.0) == plain | {
        "importance_sampling_level": "sequence",
        "vllm_importance_sampling_correction": True,
        "vllm_importance_sampling_mode": "sequence_truncate",
        "vllm_importance_sampling_clip_max": 2.0,
    }
    assert said(truncated_importance=2.0)["vllm_importance_sampling_mode"] == "token_truncate"


def test_the_settings_of_trl_are_read_from_its_source_as_its_classes_have_them() -> None:
    for name, config in (("rloo", RLOOConfig), ("grpo", GRPOConfig)):
        assert set(config_fields(name)) == set(inspect.signature(config).parameters)
    known = set(config_fields("rloo")) | set(config_fields("grpo"))
    assert set(RL_OWNED) - known == {"warmup_ratio"} - known


def test_the_losses_are_those_that_the_installed_trl_knows() -> None:
    source = inspect.getsource(GRPOTrainer._compute_loss)  # pyright: ignore[reportPrivateUsage]
    compared = re.findall(r"self\.loss_type (?:==|in) (\[[^\]]*\]|\"\w+\")", source)
    assert {name for group in compared for name in re.findall(r"\"(\w+)\"", group)} == set(GRPO_LOSSES)
