"""A whole run as one typed object: what recipes/*.yaml hold and RUN/config.yaml keeps."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from autocompress.connectivity import list_connectivities
from autocompress.data import AugmentConfig, DataConfig, Splits
from autocompress.errors import AutoCompressError, ConfigError, UnknownNameError
from autocompress.network import Network, list_models
from autocompress.pipeline.building import build_network, load_for, starts_residual
from autocompress.training import FitConfig, find_path

__all__ = ["ModelConfig", "RunConfig", "SelectConfig"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which network. Options that stay empty keep the model's own default.

    Args:
        name: ``mlp``, ``mixer``, ``vit``; of texts ``encoder`` or ``decoder``.
        source: instead of our own models a converted one, ``timm:NAME`` or ``hf:CLASS``.
        init: start from weights that exist: a folder of ours (a network, or a run), ``timm:NAME``
            (pretrained), ``hf:FOLDER`` or ``hf:user/name``. The rivals start from them as well.
        arguments: of the source: what timm.create_model or the transformers config takes.
        depth: number of blocks; of a source, the blocks that are kept of it from the start.
        width: size of a token (or of the MLP's vector).
        connectivity: ``acn``, ``residual``, ``ffn``, ``plane``, ``hacn``, ... from the first step
            to the last; ``acn`` is the paper's way. Empty is the way that served best
            (docs/compression.md): residual at first, annealed to an ACN within the run. Weights
            of ``init`` that are no residual network's are then trained as an ACN throughout.
        inner: skip strength of all but the last branch of a layer; empty follows the short one.
        short: strength s of the short connections, for ``plane``.
        long: strength g of the long connections, for ``plane``.
        gates: ``fixed``, ``scheduled``, ``learned`` or ``tied``, for ``plane``.
        channels: size of the last dimension, for learned gates that are one per channel.
        patch_size: side of a patch.
        token_width: Mixer: hidden size of token mixing.
        channel_width: Mixer: hidden size of channel mixing.
        heads: attention heads, where there is attention.
        mlp_width: hidden size of the MLP, where there is attention.
        pool: read the ``mean`` of the tokens or a ``class`` token.
        norm: ``pre`` or ``post``.
        dropout: share of each branch's outputs dropped in training.
        end_stage: Mixer: the authors' LN(ReLU(W h + x)) after each block.
        dirac: ViT: the authors' identity beside both maps of the MLP.
        late_scale: ViT: the authors' scale after the softmax.
        out_norm: ViT: the authors' norm after the attention's projection.
        embedding_std: ViT: deviation of class token and positions at the start.
        tied: Encoder: the masked head's matrix is that of the embeddings.
        weight_std: Encoder: deviation of the linear maps' weights at the start.
    """

    name: str = "mixer"
    source: str | None = None
    init: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    depth: int | None = None
    width: int | None = None
    connectivity: str | None = None
    inner: float | None = None
    short: float | None = None
    long: float | None = None
    gates: str | None = None
    channels: int | None = None
    patch_size: int | None = None
    token_width: int | None = None
    channel_width: int | None = None
    heads: int | None = None
    mlp_width: int | None = None
    pool: Literal["mean", "class"] | None = None
    norm: Literal["pre", "post"] | None = None
    dropout: float | None = None
    end_stage: bool | None = None
    dirac: bool | None = None
    late_scale: bool | None = None
    out_norm: bool | None = None
    embedding_std: float | None = None
    tied: bool | None = None
    weight_std: float | None = None

    _RULE = ("inner", "short", "long", "gates", "channels")
    _SIZES = ("patch_size", "token_width", "channel_width", "heads", "mlp_width")

    def __post_init__(self) -> None:
        if self.name not in list_models():
            raise UnknownNameError("model", self.name, list_models())
        if self.connectivity is not None and self.connectivity not in list_connectivities():
            raise UnknownNameError("connectivity", self.connectivity, list_connectivities())
        for name in ("depth", "width", "channels", *self._SIZES):
            least, value = int(name != "depth"), getattr(self, name)
            if value is not None and not least <= value <= 2**20:
                raise ConfigError(f"model.{name} {value} must be {least} or more, at most {2**20}")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise ConfigError(f"model.dropout {self.dropout} must be a share in [0, 1)")
        for name in ("embedding_std", "weight_std"):
            if getattr(self, name) is not None and getattr(self, name) < 0:
                raise ConfigError(f"model.{name} {getattr(self, name)} must not be negative")
        if self.init is not None and self.source is not None:
            raise ConfigError("model.source has new weights and model.init its own: give one")

    def rule(self) -> dict[str, Any]:
        """The connectivity with its options, as :func:`connectivity.resolve` takes it."""
        options = {k: getattr(self, k) for k in self._RULE if getattr(self, k) is not None}
        return {"name": self.connectivity or "acn", **options}

    @property
    def takes_default_way(self) -> bool:
        """Whether nothing was said of the connectivity."""
        return self.connectivity is None and all(getattr(self, k) is None for k in self._RULE)

    def residual(self, depth: int) -> ModelConfig:
        """The same blocks as an ordinary residual network of ``depth`` layers: the rival."""
        empty: dict[str, Any] = dict.fromkeys(self._RULE)
        return replace(self, connectivity="residual", depth=depth, **empty)

    def build(self, data: Splits, seed: int) -> Network:
        """The network for these data, its weights drawn from ``seed``.

        Raises:
            UnknownNameError: an option that this model does not take. ConfigError: a model that is
                not for these data, or weights that do not fit them.
        """
        return build_network(self, data, seed)

    def options(self) -> dict[str, Any]:
        """What was said of our own models' constructor arguments."""
        no_option = ("name", "source", "init", "arguments", "connectivity", *self._RULE)
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in no_option}
        return {key: value for key, value in own.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class SelectConfig:
    """Which depth to keep, by one rule on validation data.

    Args:
        tolerance: the shallowest depth within this fraction of the full depth's score; 0.005 is
            half a point, and the rule when none is named.
        confidence: with the tolerance: it must hold with this confidence, e.g. 0.95, by paired
            bootstrap of the validation examples.
        nats: the shallowest depth whose mean loss is at most this much above the full depth's, for
            language models.
        parameters: a budget; of the depths that keep it and score within one standard error of
            the best of them, the deepest.
        flops: the same with FLOPs per example.
        milliseconds: the same with the time of a batch of 256.
        knee: the depth farthest above the straight line from depth 0 to full depth.
        layers: this many, whatever they score.
    """

    tolerance: float | None = None
    confidence: float | None = None
    nats: float | None = None
    parameters: float | None = None
    flops: float | None = None
    milliseconds: float | None = None
    knee: bool = False
    layers: int | None = None

    def __post_init__(self) -> None:
        budgets = (self.parameters, self.flops, self.milliseconds)
        rules = (self.tolerance, self.nats, *budgets, self.layers)
        if sum(rule is not None for rule in rules) + self.knee > 1:
            raise ConfigError("select takes one rule, and several are given")
        if self.tolerance is not None and not 0 <= self.tolerance < 1:
            raise ConfigError(f"select.tolerance {self.tolerance} must be a fraction in [0, 1)")
        if self.nats is not None and not self.nats >= 0:
            raise ConfigError(f"select.nats {self.nats} must be at least 0")
        if self.confidence is not None and not 0.5 <= self.confidence < 1:
            raise ConfigError(f"select.confidence {self.confidence} must be in [0.5, 1)")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """A whole run.

    Args:
        data: which data set, and how it is split.
        augment: augmentation of the training images.
        model: which network.
        fit: how it and its rivals are trained.
        select: which depth is kept.
        control: how the residual rivals are trained, so that they can have their own best settings;
            empty trains them as ``fit`` says.
        rivals: also train the residual control, and a residual network of the selected depth; not
            done where ``model.init`` is no residual network and ``control_init`` is empty, as
            nothing fair could be compared.
        control_init: weights that the rivals start from, as ``model.init``: those of a residual
            network that was pretrained alike. Empty takes ``model.init``.
        heal: epochs of further training of the cut network, otherwise as ``fit`` says; the shallow
            rival is trained for as many more. At 0 the first layers stay as the probe has scored
            them, and where no layer goes nothing is to be healed. Empty is half of ``fit.epochs``
            where training starts from weights that exist (``model.init``), else 0
            (docs/compression.md).
        path: name of a path through the plane of connectivities, e.g. ``anneal``; ``fit.path``
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
        if self.heal is None:
            object.__setattr__(self, "heal", self._default_heal())
        if self.heal_epochs < 0:
            raise ConfigError(f"heal {self.heal} must be a number of epochs, 0 or more")
        if self.fit.path is None:
            object.__setattr__(self, "fit", replace(self.fit, path=find_path(self._path_name())))

    def _default_heal(self) -> int:
        return 0 if self.model.init is None else max(1, self.fit.epochs // 2)

    @property
    def heal_epochs(self) -> int:
        """``heal``, which is never empty once the run is made."""
        return self.heal or 0

    def _path_name(self) -> str | None:
        if self.path is None and self.model.takes_default_way and self._begins_residual():
            return "anneal"
        return self.path

    def _begins_residual(self) -> bool:
        """Whether the network's weights are new, or those of a residual network."""
        if self.model.init is None:
            return True
        with suppress(AutoCompressError, OSError):  # what is wrong with it, building will say
            return starts_residual(self.model.init)
        return False

    def load(self) -> Splits:
        """The data. Errors as :func:`load_for`."""
        return load_for(self.data, self.augment, self.model.init)

    def build(self, data: Splits) -> Network:
        """The network, its weights drawn from the seed. Errors as :meth:`ModelConfig.build`."""
        return self.model.build(data, self.fit.seed)

    @property
    def rivals_are_fair(self) -> bool:
        """Whether there are weights that a residual network can start from."""
        start = self.control_init or self.model.init
        return start is None or starts_residual(start)

    def healing(self, epochs: int) -> RunConfig:
        """The run that trains the cut network for ``epochs`` more; its zeros stay zeros."""
        warmup = min(self.fit.warmup_epochs, 0.1 * epochs)
        prune = None if self.fit.prune is None else replace(self.fit.prune, share=0.0)
        return replace(
            self,
            path=None,
            model=replace(self.model, connectivity=self.model.rule()["name"]),
            fit=replace(self.fit.plain(), epochs=epochs, warmup_epochs=warmup, prune=prune),
        )

    def rival(self, depth: int, more: int = 0) -> RunConfig:
        """The run of a residual network of ``depth`` layers: same blocks, data, plain training.

        Args:
            depth: its layers.
            more: epochs beside those of ``control`` or ``fit``, where the network that it is
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
