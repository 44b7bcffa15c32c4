"""A whole run as one typed object: what recipes/*.yaml hold and RUN/config.yaml keeps."""

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
from autocompress.pipeline.values import as_values, build, renewed
from autocompress.training import FitConfig

__all__ = ["ModelConfig", "RunConfig", "settings_of_today"]

_DEPTH = Within(0, DEEPEST, f"0 or more, at most {DEEPEST}")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which network.

    A model's own options, e.g. ``width`` or ``heads``, are what its constructor takes. In YAML and
    on the command line they stand beside the others: ``model: {name: vit, heads: 3}``,
    ``--model.heads 3``. Those that are left out keep the model's own default.

    Args:
        name: ``mlp``, ``mixer``, ``vit``; of texts ``encoder`` or ``decoder``.
        source: Instead of our own models a converted one, ``timm:NAME`` or ``hf:CLASS``.
        init: Start from weights that exist: a folder of ours (a network, or a run), ``timm:NAME``
            (pretrained), ``hf:FOLDER`` or ``hf:user/name``. The rivals start from them as well.
        arguments: Of the source: what timm.create_model or the transformers config takes.
        depth: Number of blocks; of a source, the blocks that are kept of it from the start.
        connectivity: ``acn``, ``residual``, ``ffn``, ``plane``, ``hacn``, ... from the first step
            to the last, or a mapping with its options: ``{name: hyper, streams: 3}``, on the
            command line also ``--model.connectivity.streams 3``. ``acn`` is the paper's way. Empty
            is the way that served best (docs/compression.md): residual at first, annealed to an
            ACN within the run. Weights of ``init`` that are no residual network's are then trained
            as an ACN throughout.
        options: Those of the named model, by option.

    Raises:
        UnknownNameError: No such model or connectivity, or an option that it does not have.
        ConfigError: A value that an option does not take, or options that do not go together.

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

    def _whose(self) -> str:
        if self.init is not None:
            return f"cannot be changed: {self.init} has its own"
        return "is an option of our own models; a source takes its own in model.arguments"

    def having(self, **options: Any) -> ModelConfig:
        """Return the same with these options of the model set; None removes an option.

        Raises:
            Errors as for the constructor.
        """
        changed = {**self.options, **options}
        kept = {name: value for name, value in changed.items() if value is not None}
        return replace(self, options=kept)

    def rule(self) -> dict[str, Any]:
        """Return the connectivity with its options, as :func:`connectivity.resolve` takes it."""
        named = self.connectivity or "acn"
        return {"name": named} if isinstance(named, str) else dict(named)

    def residual(self, depth: int) -> ModelConfig:
        """Return the same blocks as an ordinary residual network of ``depth`` layers: the rival."""
        return replace(self, connectivity="residual", depth=depth)

    def constructor_arguments(self) -> dict[str, Any]:
        """Return what was said of the arguments of the model's constructor."""
        depth = {} if self.depth is None else {"depth": self.depth}
        return {**depth, **self.options}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A whole run, as it is written; :func:`autocompress.pipeline.resolve` settles what is empty.

    Args:
        data: Which data set, and how it is split.
        augment: Augmentation of the training images.
        model: Which network.
        fit: How it and its rivals are trained.
        select: Which depth is kept.
        control: How the residual rivals are trained, so that they can have their own best settings;
            empty trains them as ``fit`` says.
        rivals: Also train the residual control, and a residual network of the selected depth; not
            done where ``model.init`` is no residual network and ``control_init`` is empty, as
            nothing fair could be compared.
        control_init: Weights that the rivals start from, as ``model.init``: those of a residual
            network that was pretrained alike. Empty takes ``model.init``.
        heal: Epochs of further training of the cut network, otherwise as ``fit`` says; the shallow
            rival is trained for as many more. At 0 the first layers stay as the probe has scored
            them, and where no layer goes nothing is to be healed. Empty is half of ``fit.epochs``
            where training starts from weights that exist (``model.init``), else 0
            (docs/compression.md).
        path: Name of a path through the plane of connectivities, e.g. ``anneal``; ``fit.path``
            says it in detail. Empty is ``anneal`` where no connectivity is named.
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
    path: str | None = None

    def __post_init__(self) -> None:
        if self.heal is not None and self.heal < 0:
            raise ConfigError(f"heal {self.heal} must be a number of epochs, 0 or more")

    def healing(self, epochs: int) -> RunConfig:
        """The run that trains the cut network for ``epochs`` more; its zeros stay zeros."""
        warmup = min(self.fit.warmup_epochs, 0.1 * epochs)
        prune = None if self.fit.prune is None else replace(self.fit.prune, share=0.0)
        return replace(
            self,
            path=None,
            model=replace(self.model, connectivity=self.model.rule()),
            fit=replace(self.fit.plain(), epochs=epochs, warmup_epochs=warmup, prune=prune),
        )

    def rival(self, depth: int, more: int = 0) -> RunConfig:
        """The run of a residual network of ``depth`` layers: same blocks, data, plain training.

        Args:
            depth: Its layers.
            more: Epochs beside those of ``control`` or ``fit``, where the network that it is
                compared with had them.
        """
        fit = self.fit if self.control is None else self.control
        if fit.prune is not None:
            fit = replace(fit, prune=fit.prune.over(fit.epochs, more))
        model = replace(self.model, init=self.control_init or self.model.init)
        return replace(
            self,
            path=None,
            model=model.residual(depth),
            fit=replace(fit.plain(), seed=self.fit.seed, epochs=fit.epochs + more),
        )


def settings_of_today(settings: Any) -> Any:
    """Return settings that were saved as JSON with every model's options in their form of today.

    They are those of runs, which now name their connectivity; none meant ``acn``. A model's config
    held the options of all models, null where nobody named them, and those of the connectivity
    beside its name.
    """
    if isinstance(settings, Mapping):
        if set(_SAVED) <= set(settings):
            model = build(ModelConfig, {"connectivity": "acn", **renewed(ModelConfig, settings)})
            return as_values(model)
        return {key: settings_of_today(value) for key, value in settings.items()}
    return (
        [settings_of_today(each) for each in settings] if isinstance(settings, list) else settings
    )


#: Keys by which the saved config of a model is known among other settings.
_SAVED = ("name", "source", "init", "arguments", "depth", "connectivity")
