"""The run's config: rivals, options that stay empty, the road to YAML and back."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

import autocompress as ac
from autocompress.errors import AutoCompressError, ConfigError, UnknownNameError
from autocompress.pipeline import (
    ModelConfig,
    RunConfig,
    SelectConfig,
    build_network,
    make_config,
    read_config,
    resolve,
    to_yaml,
    train_network,
)
from autocompress.pipeline.sizes import count_parameters


@pytest.fixture(scope="module")
def data() -> object:
    return ac.load_data(ac.DataConfig())


def test_empty_options_keep_the_models_defaults(data) -> None:  # type: ignore[no-untyped-def]
    net = build_network(
        ModelConfig(name="vit", depth=2, options={"width": 16, "heads": 2}), data, seed=0
    )
    assert net.config["heads"] == 2
    assert net.config["embedding_std"] == 0.02
    assert net.config["classes"] == 10
    assert net.preprocess == data.preprocess


def test_options_of_another_model_are_refused(data) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UnknownNameError, match="heads"):
        build_network(ModelConfig(name="mixer", depth=2, options={"heads": 2}), data, seed=0)


def test_a_seed_decides_the_weights(data) -> None:  # type: ignore[no-untyped-def]
    model = ModelConfig(name="mlp", depth=2, options={"width": 8})
    first, same, other = (build_network(model, data, seed=s).stem.embed.weight for s in (0, 0, 1))
    assert (first == same).all()
    assert (first != other).any()


def test_a_rival_is_an_ordinary_residual_network_with_the_same_blocks() -> None:
    config = RunConfig(
        model=ModelConfig(
            depth=12, connectivity={"name": "plane", "inner": 1.0, "short": 0.5, "gates": "learned"}
        ),
        fit=ac.FitConfig(path=ac.PathConfig(), mediated=0.0, lr=0.01, seed=3),
    )
    rival = config.rival(5)
    assert rival.model.rule() == {"name": "residual"}
    assert rival.model.depth == 5
    assert rival.fit.path is None
    assert rival.fit.mediated == 1
    assert rival.fit.lr == 0.01
    own = replace(config, control=ac.FitConfig(lr=0.001)).rival(5)
    assert own.fit.lr == 0.001
    assert own.fit.seed == 3


@pytest.mark.parametrize(
    "config",
    [
        RunConfig(),
        RunConfig(
            fit=ac.FitConfig(path=ac.PathConfig(start=0.1), clip_norm=None, betas=(0.8, 0.9)),
            control=ac.FitConfig(epochs=3),
            select=SelectConfig(knee=True),
            augment=ac.AugmentConfig(flip=True),
            data=ac.DataConfig(name="a/b", train_limit=100),
        ),
    ],
)
def test_yaml_and_back(config: RunConfig, tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "config.yaml"
    for saved in (config, resolve(config)):
        path.write_text(to_yaml(saved))
        assert read_config(path) == saved
    assert resolve(read_config(path)) == resolve(config)


def test_two_rules_at_once() -> None:
    with pytest.raises(ConfigError, match="one rule"):
        SelectConfig(tolerance=0.1, flops=3)


def test_the_default_way_and_the_papers() -> None:
    """Taught by full depth where no connectivity is named; one flag is the paper's method."""
    default = resolve(RunConfig())
    assert default.model.rule() == {"name": "residual"}
    assert default.fit.path is None
    taught = default.fit.distil
    assert taught is not None
    assert [taught.depths(4, step) for step in range(3)] == [[1, 4], [3, 4], [2, 4]]
    assert (taught.start, taught.temperature, taught.weight) == (0.5, 1.0, 1.0)
    assert default.rival(3).fit.distil is None
    assert default.healing(2).fit.distil is None
    compiled = resolve(RunConfig(fit=ac.FitConfig(compile="default"))).fit.distil
    assert compiled is not None
    assert {tuple(compiled.depths(4, step)) for step in range(9)} == {(1, 2, 3, 4)}  # one graph
    own = ac.FitConfig(distil=ac.DistilConfig(teacher="labels"))
    assert resolve(RunConfig(fit=own)).fit == own
    for said in (
        {"connectivity": "acn"},
        {"connectivity": "residual"},
        {"connectivity": {"name": "acn", "inner": 1.0}},
    ):
        assert resolve(RunConfig(model=ModelConfig(**said))).fit.path is None
    fit = ac.FitConfig(path=ac.PathConfig(order="top"))
    assert resolve(RunConfig(fit=fit)).fit == fit
    assert resolve(RunConfig(path="bottom")).fit.path == ac.PathConfig(order="bottom")


def test_the_default_way_from_weights_that_exist(tmp_path: Path) -> None:
    for rule in ("residual", "acn"):
        ac.save(ac.models.MLP(depth=1, width=4, connectivity=rule), tmp_path / rule)
    starts = {
        rule: resolve(RunConfig(model=ModelConfig(init=str(tmp_path / rule))))
        for rule in ("residual", "acn")
    }
    for start in starts.values():
        assert start.fit.path is None  # annealing would give up what the weights know
    assert starts["residual"].model.connectivity == "residual"
    assert starts["residual"].stepwise
    assert starts["residual"].cut_first
    assert not starts["acn"].stepwise
    assert not starts["acn"].cut_first
    asked = resolve(RunConfig(model=ModelConfig(init=str(tmp_path / "acn")), stepwise=True))
    assert asked.stepwise
    assert asked.model.connectivity == "acn"  # as a residual network its weights know nothing
    timm = ModelConfig(init="timm:vit_tiny_patch16_224")
    assert resolve(RunConfig(model=timm)).stepwise
    for said in (
        {"path": "anneal"},
        {"heal": 0},
        {"select": SelectConfig(layers=3)},
        {"fit": ac.FitConfig(path=ac.PathConfig())},
        {"model": replace(timm, connectivity="residual")},
        {"stepwise": False},
    ):
        assert not resolve(RunConfig(**{"model": timm, **said})).stepwise  # type: ignore[arg-type]
    fresh = resolve(RunConfig(stepwise=True))
    assert not fresh.cut_first
    assert (fresh.model.connectivity, fresh.fit.path, fresh.heal) == ("residual", None, 10)


def test_rivals_and_healing_train_plainly() -> None:
    """None of the ways to fewer layers is left in them, layer dropout neither."""
    ways = {"distil": ac.DistilConfig.layerskip(), "layer_drop": 0.1, "mediated": 0.5}
    run = RunConfig(fit=ac.FitConfig(epochs=7, live=ac.LiveConfig(), **ways))  # type: ignore[arg-type]
    assert run.rival(3).fit == ac.FitConfig(epochs=7)
    assert run.rival(3, more=2).fit == ac.FitConfig(epochs=9)
    assert run.healing(2).fit == ac.FitConfig(epochs=2, warmup_epochs=0.2)


def test_healing_is_the_default_where_weights_existed() -> None:
    started, fit = ModelConfig(init="timm:vit_tiny_patch16_224"), ac.FitConfig(epochs=5)
    assert resolve(RunConfig(model=started, fit=fit)).heal == 2
    assert resolve(RunConfig(model=started, fit=replace(fit, epochs=1))).heal == 1
    assert resolve(RunConfig(model=started, fit=fit, heal=0)).heal == 0
    assert resolve(RunConfig(fit=fit)).heal == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depth": 10**9}, "at most"),
        ({"depth": 5000}, "at most 4096"),
        ({"width": 0}, r"model\.width 0"),
        ({"name": "vit", "heads": -2}, r"model\.heads -2"),
        ({"patch_size": 2**40}, r"model\.patch_size"),
        ({"dropout": -0.5}, r"model\.dropout"),
        ({"name": "vit", "embedding_std": -1.0}, "negative"),
        ({"name": "mlp", "depth": 100, "width": 2**20}, "GiB, and the machine has"),
        ({"name": "mlp", "width": 2**20}, "GiB, and the machine has"),
        ({"name": "mixer", "depth": 4000, "width": 50_000}, "choose a smaller"),
        ({"name": "vit", "depth": 2, "width": 2**20, "heads": 2}, "parameters, which take"),
    ],
)
def test_networks_that_fit_into_no_memory(data, options, said) -> None:  # type: ignore[no-untyped-def]
    start = time.process_time()
    with pytest.raises(ConfigError, match=said):
        build_network(make_config(ModelConfig, options), data, seed=0)
    assert time.process_time() - start < 5


def test_the_size_that_is_refused_is_the_size_that_would_be_built(data) -> None:  # type: ignore[no-untyped-def]
    """What two shallow networks say of a deep one, against the deep one."""
    for name in ("mlp", "mixer", "vit"):
        net = build_network(ModelConfig(name=name, depth=7, options={"width": 16}), data, seed=0)
        own = {**data.arguments, "width": 16, "depth": 7}
        assert count_parameters(name, own) == sum(p.numel() for p in net.parameters())


def test_optimizers_take_no_averages_beyond_one() -> None:
    for wrong in ({"betas": (0.9, 1.0)}, {"betas": (-0.1, 0.9)}, {"momentum": 1.5}):
        with pytest.raises(ConfigError, match="shares"):
            ac.FitConfig(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"data\.seed"):
        ac.DataConfig(seed=2**32)


def test_a_config_is_data(tmp_path: Path) -> None:
    """Made without a look at the disk; what cannot be read is an error where it is settled."""
    run = RunConfig(model=ModelConfig(init=str(tmp_path / "nowhere")))
    assert run.heal is None
    assert run.fit.path is None
    with pytest.raises(AutoCompressError, match="nowhere"):
        resolve(run)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "config.json").write_text("{")
    with pytest.raises(AutoCompressError, match="damaged"):
        resolve(RunConfig(model=ModelConfig(init=str(tmp_path / "damaged"))))


def test_what_is_settled_needs_no_disk(tmp_path: Path) -> None:
    """config.yaml of a run says it all: settled once more it is the same, its start gone or not."""
    for rule, rivals in (("residual", True), ("acn", False)):
        folder = tmp_path / rule
        ac.save(ac.models.MLP(depth=1, width=4, connectivity=rule), folder)
        run = resolve(RunConfig(model=ModelConfig(init=str(folder))))
        assert (run.model.connectivity, run.heal, run.rivals) == (rule, 10, rivals)
        assert (run.fit.path, run.stepwise) == (None, rivals)
        assert resolve(run) == run
        assert resolve(replace(run, rivals=False)).rivals is False


def test_runs_that_are_not_settled_do_not_train(data, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match="resolve"):
        train_network(RunConfig(), data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("start", [{"source": "timm:vit_tiny_patch16_224"}, {"init": "hf:a/b"}])
def test_a_network_from_elsewhere_has_no_name_of_ours(
    start: dict[str, str], tmp_path: Path
) -> None:
    run = resolve(RunConfig(model=ModelConfig(**start)))
    text = to_yaml(run)
    assert "name: mixer" not in text
    assert "name: mixer" in to_yaml(resolve(RunConfig()))
    (tmp_path / "config.yaml").write_text(text)
    assert read_config(tmp_path / "config.yaml") == run
