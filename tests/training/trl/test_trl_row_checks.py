"""What recipes that learn rows may ask of the TRL engine, said when a recipe is loaded."""

import pytest
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.kto_config import KTOConfig
from trl.trainer.sft_config import SFTConfig

from preceptor.core.errors import UsageError
from preceptor.recipes.load import load_recipe
from preceptor.training.trl.row_checks import DPO_LOSSES, KTO_LOSSES, SFT_LOSSES

TRL = "engine.name=trl"
HARD = "dpo.labels=hard"


def refused(recipe: str, *overrides: str) -> str:
    with pytest.raises(UsageError) as error:
        load_recipe(recipe, [TRL, *overrides]).check()
    return str(error.value)


@pytest.mark.parametrize(
    ("recipe", "overrides"),
    [
        ("dpo", []),
        ("dpo", [HARD, "engine.loss_type=ipo"]),
        ("dpo", [HARD, "engine.loss_type=kto", "engine.trl.desirable_weight=1.2"]),
        ("dpo", [HARD, "engine.loss_type=exo_pair", "engine.trl.label_smoothing=0.001"]),
        ("dpo", [HARD, "engine.loss_type=sigmoid", "engine.trl.ld_alpha=0.5"]),
        ("dpo", ["engine.quantisation=none", "engine.trl.dataloader_num_workers=1"]),
        ("dpo", ["dpo.kind=ipo"]),
        ("dpo", ["dpo.kind=simpo", "dpo.beta=2"]),
        ("dpo", [HARD, "dpo.kind=kto", "dpo.undesirable_weight=1.2"]),
        ("sft", ["engine.loss_type=dft"]),
        ("best_of_n", ["engine.trl.dataloader_num_workers=1"]),
    ],
)
def test_what_runs(recipe: str, overrides: list[str]) -> None:
    load_recipe(recipe, [TRL, *overrides]).check()


@pytest.mark.parametrize(
    ("recipe", "overrides", "words"),
    [
        ("dpo", ["engine.loss_type=ipo"], "dpo.labels"),
        ("dpo", ["engine.loss_type=kto"], "dpo.labels"),
        ("dpo", ["engine.loss_type=ippo", HARD], '"ipo"'),
        ("dpo", ["engine.loss_type=ipo", HARD, "dpo.kind=robust", "dpo.label_smoothing=0.1"], "dpo.kind"),
        ("dpo", ["engine.loss_type=exo_pair", HARD], "label_smoothing"),
        ("dpo", ["engine.trl.ld_alpha=0.5"], "engine.loss_type"),
        ("dpo", ["engine.trl.label_smoothing=0.1"], "dpo.label_smoothing"),
        ("dpo", ["engine.trl.beta=0.1"], "dpo.beta"),
        ("dpo", ["engine.trl.max_length=5"], "dpo.max_length"),
        ("dpo", ["engine.trl.num_train_epochs=5"], "dpo.epochs"),
        ("dpo", ["engine.trl.desirable_weight=1.2"], "no such setting"),
        ("dpo", ["engine.importance_sampling=sequence"], "grpo"),
        ("dpo", ["dpo.kind=kto"], "dpo.labels"),
        ("dpo", [HARD, "dpo.kind=kto", "engine.loss_type=kto"], "dpo.kind"),
        ("dpo", [HARD, "dpo.kind=kto", "engine.trl.desirable_weight=1.2"], "dpo.desirable_weight"),
        ("dpo", ["dpo.kind=simpo", "dpo.beta=2", "engine.trl.ld_alpha=0.5"], "engine.loss_type"),
        ("sft", ["engine.loss_type=kto"], "SFT"),
        ("sft", ["engine.trl.packing=true"], "native"),
        ("sft", ["engine.trl.save_steps=5"], "sft.checkpoint_every"),
        ("best_of_n", ["engine.trl.learning_rate=0.1"], "fine_tuning.learning_rate"),
    ],
)
def test_what_does_not(recipe: str, overrides: list[str], words: str) -> None:
    assert words in refused(recipe, *overrides)


def test_weights_of_sources_are_not_for_trls_losses() -> None:
    both = [HARD, 'preferences.human=["package:reference_answers"]', "preferences.human_weight=2.0"]
    load_recipe("dpo", [TRL, *both]).check()
    assert "preferences.ai_weight" in refused("dpo", *both, "engine.loss_type=ipo")
    load_recipe("dpo", [TRL, *both, "engine.loss_type=ipo", "preferences.ai=false"]).check()
    load_recipe("dpo", [TRL, *both, "dpo.kind=ipo"]).check()
    assert "preferences.ai_weight" in refused("dpo", *both, "dpo.kind=kto")


def test_labels_of_earlier_rounds_that_weigh_less_are_refused_before_the_first_round() -> None:
    less, whole = ["rounds.count=2", "rounds.earlier_labels=0.5"], ["rounds.count=2", "rounds.earlier_labels=1.0"]
    for own in (["dpo.kind=kto"], ["engine.loss_type=ipo"]):
        assert "rounds.earlier_labels" in refused("dpo", HARD, *own, *less)
        load_recipe("dpo", [TRL, HARD, *own, *whole]).check()
    load_recipe("dpo", [TRL, HARD, *less]).check()


def test_the_losses_are_those_of_the_installed_trl() -> None:
    """TRL lists the losses of DPO and SFT in its help alone."""
    help_of = {
        config: str(config.__dataclass_fields__["loss_type"].metadata) for config in (DPOConfig, KTOConfig, SFTConfig)
    }
    for config, losses in ((DPOConfig, DPO_LOSSES), (KTOConfig, KTO_LOSSES), (SFTConfig, SFT_LOSSES)):
        assert all(f"'{loss}'" in help_of[config] for loss in losses), config
