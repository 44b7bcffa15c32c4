"""A whole run as one typed object: the content of recipes/*.yaml and RUN/config.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from autocompress.bounds import Within
from autocompress.data import AugmentConfig, DataConfig
from autocompress.depth import SelectConfig
from autocompress.errors import ConfigError
from autocompress.pipeline.options import MODEL_OPTIONS, RULES, check_model, check_rule
from autocompress.pipeline.sizes import DEEPEST
from autocompress.pipeline.values import as_values, make_config, renewed
from autocompress.training import FitConfig

__all__ = ["ModelConfig", "RunConfig", "settings_of_today"]

_DEPTH = Within(0, DEEPEST, f"0 or more, at most {DEEPEST}")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Settings of the network.

    A model's own options, e.g. ``width`` or ``heads``, are the arguments of its constructor. In
    YAML and on the command line they stand beside the others: ``model: {name: vit, heads: 3}``,
    ``--model.heads 3``. Options that are not given have the model's own default.

    Args:
        name: ``mlp``, ``mixer`` or ``vit``; for texts ``encoder`` or ``decoder``.
        source: Source of a converted network in place of our own models, ``timm:NAME`` or
            ``hf:CLASS``.
        init: Existing weights to start from: a folder of ours (a network, or a run), ``timm:NAME``
            (pretrained), ``hf:FOLDER`` or ``hf:user/name``. The rivals start from them as well.
        arguments: Arguments of the source, for timm.create_model or the transformers config.
        depth: Number of blocks; for a source, the number of its first blocks that are kept.
        connectivity: Rule between the layers during the whole training: ``acn``, ``residual``,
            ``ffn``, ``plane``, ``hacn``, ..., or a mapping with its options such as
            ``{name: hyper, streams: 3}``, on the command line also
            ``--model.connectivity.streams 3``. ``acn`` is the paper's method, and what ``acn
            stream`` takes if it is empty. Elsewhere, if no path is named either, the network is
            then residual, and its full depth teaches the shallower depths in the second half of the
            run (docs/choosing.md). Existing weights (``init``) keep their own connectivity if it is
            empty, and those of a residual network are cut in steps (``stepwise``).
        options: Options of the named model.

    Raises:
        UnknownNameError: There is no such model or connectivity, or it has no such option.
        ConfigError: An option has an invalid value, or options do not fit together.

    Example:
        >>> ModelConfig(name="vit", options={"heads": 2}).having(heads=4, pool="mean").options
        {'heads': 4, 'pool': 'mean'}
    """

    name: str = "mixer"
    source: str | None = None
    init: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    depth: int | None = None
    connectivity: Annotated[str | Mapping[str, Any] | None, RULES] = None
    options: Annotated[Mapping[str, Any], MODEL_OPTIONS] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.init is not None and self.source is not None:
            raise ConfigError("model.source has new weights and model.init its own: give one")
        own = self.init is None and self.source is None
        check_model(self.name, self.options if own else {})
        if not own and self.options:
            raise ConfigError(f"model.{min(self.options)} {self._whose()}")
        if self.connectivity is not None:
            check_rule(self.connectivity)
        if self.depth is not None:
            _DEPTH.check("model.depth", self.depth)

    def unused(self) -> tuple[str, ...]:
        """Return the settings that mean nothing here: the name, of a network from elsewhere."""
        return () if self.init is None and self.source is None else ("name",)

    def _whose(self) -> str:
        if self.init is not None:
            return f"cannot be changed: {self.init} has its own"
        return "is an option of our own models; a source takes its own in model.arguments"

    def having(self, **options: Any) -> ModelConfig:
        """Return these settings with the given options of the model; None removes an option.

        Raises:
            ConfigError, UnknownNameError: As for the constructor.
        """
        changed = {**self.options, **options}
        kept = {name: value for name, value in changed.items() if value is not None}
        return replace(self, options=kept)

    def rule(self) -> dict[str, Any]:
        """Return the connectivity with its options, as :func:`connectivity.make_rule` takes it."""
        named = self.connectivity or "acn"
        return {"name": named} if isinstance(named, str) else dict(named)

    def residual(self, depth: int) -> ModelConfig:
        """Return the rival: the same blocks as an ordinary residual network of ``depth`` layers."""
        return replace(self, connectivity="residual", depth=depth)

    def constructor_arguments(self) -> dict[str, Any]:
        """Return the given arguments of the model's constructor."""
        depth = {} if self.depth is None else {"depth": self.depth}
        return {**depth, **self.options}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Settings of a whole run.

    Empty options are filled in by :func:`autocompress.pipeline.resolve`.

    Args:
        data: Settings of the data set and its splits.
        augment: Augmentation of the training images.
        model: Settings of the network.
        fit: Settings of the training of the network and its rivals.
        select: Rule that chooses the depth to keep.
        control: Settings of the residual rivals' training, so that they can have their own best
            ones; empty trains them with ``fit``.
        rivals: Whether to train the residual baseline, and a residual network of the selected depth
            as well. They are not trained if ``model.init`` is not a residual network and
            ``control_init`` is empty, since no fair comparison is possible.
        control_init: Weights that the rivals start from, in the form of ``model.init``: those of a
            residual network that was pretrained alike. Empty uses ``model.init``.
        heal: Number of epochs for which the cut network is trained further, otherwise with the
            settings of ``fit``; the shallow rival is trained as many epochs longer. At 0 the cut
            network stays as the probe has scored it; if no layer is cut, nothing is healed. Empty
            is half of ``fit.epochs`` if training starts from existing weights (``model.init``),
            otherwise 0 (docs/compression.md).
        stepwise: Whether layers are removed in steps, each followed by ``heal`` epochs, for as long
            as the score comes back to within ``select.tolerance`` of the full network's. Empty does
            so if training starts from a residual network's weights and neither a connectivity, a
            path nor another rule of ``select`` is named (docs/pretrained.md).
        cut_first: Whether the first step whose score does not come back is tried once more in
            another way: the initial weights are cut, evenly spread, and what is left is trained for
            as long as the network and all steps together, taught by the whole trained network.
            Empty does so in a stepwise run from existing weights (docs/pretrained.md).
        teach: Whether the whole network teaches its outputs to the cut one while that is healed
            (:class:`autocompress.Teacher`, docs/pretrained.md).
        path: Name of a path through the plane of connectivities, e.g. ``anneal``; ``fit.path``
            gives it in detail. Empty takes none: a run that names no connectivity either trains a
            residual network, whose full depth teaches its shallower depths in the second half.

    Raises:
        ConfigError: ``heal`` is negative.
    """

    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    select: SelectConfig = field(default_factory=SelectConfig)
    control: FitConfig | None = None
    rivals: bool = True
    control_init: str | None = None
    heal: int | None = None
    stepwise: bool | None = None
    cut_first: bool | None = None
    teach: bool = False
    path: str | None = None

    def __post_init__(self) -> None:
        if self.heal is not None and self.heal < 0:
            raise ConfigError(f"heal {self.heal} must be a number of epochs, 0 or more")

    def healing(self, epochs: int) -> RunConfig:
        """Return the run that trains the cut network for ``epochs`` more; zeros stay zeros."""
        warmup = min(self.fit.warmup, 0.1 * epochs)
        return replace(
            self,
            path=None,
            model=replace(self.model, connectivity=self.model.rule()),
            fit=replace(self.fit.settled(), epochs=epochs, warmup_epochs=warmup),
        )

    def rival(self, depth: int, more: int = 0) -> RunConfig:
        """Return the run of a residual rival of ``depth`` layers with the same blocks and data.

        Args:
            depth: Number of layers.
            more: Number of epochs in addition to those of ``control`` or ``fit``, if the network
                that it is compared with had them.
        """
        fit = self.fit if self.control is None else self.control
        model = replace(self.model, init=self.control_init or self.model.init)
        return replace(
            self,
            path=None,
            model=model.residual(depth),
            fit=replace(fit.plain().over(more), seed=self.fit.seed),
        )


def settings_of_today(settings: Any) -> Any:
    """Return settings saved as JSON with every model's options in their current form.

    Runs now always name their connectivity, whether they are stepwise and whether a step is tried
    in a second way; before, none meant ``acn``, and no run did either. A model's config used to
    hold the options of all models, null if not given, and the connectivity's options beside its
    name.
    """
    if isinstance(settings, Mapping):
        if set(_SAVED) <= set(settings):
            model = make_config(
                ModelConfig, {"connectivity": "acn", **renewed(ModelConfig, settings)}
            )
            return as_values(model)
        run = {"data", "model", "fit", "heal"} <= set(settings)
        earlier = {"stepwise": False, "cut_first": False} if run else {}
        return {**earlier, **{key: settings_of_today(value) for key, value in settings.items()}}
    return (
        [settings_of_today(each) for each in settings] if isinstance(settings, list) else settings
    )


#: Keys by which the saved config of a model is recognised among other settings.
_SAVED = ("source", "init", "arguments", "depth", "connectivity")
