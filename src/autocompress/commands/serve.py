"""``acn serve``: answer pictures or texts over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autocompress import interrupts
from autocompress.commands.common import Answer, Common, model
from autocompress.commands.own import load_own
from autocompress.depth import ExitRecord, ExitRule, cut
from autocompress.errors import ConfigError
from autocompress.extras import import_extra
from autocompress.pipeline.saved import find_model, find_run
from autocompress.predict import Predictor
from autocompress.predict.predictor import model_folder
from autocompress.printing import layer_words
from autocompress.serve import Limits, build_app
from autocompress.serve.waiting import hurried

__all__ = ["Options", "folder_of", "predictor_of", "run"]


@dataclass(frozen=True, kw_only=True)
class Options(Common):
    """Options of ``acn serve``.

    Args:
        host: Address to listen on; 127.0.0.1 is reached from this machine only.
        port: Port to listen on.
        depth: Depth to which the run's whole network is cut; empty serves the network that
            acn predict takes.
        exits: Whether easy inputs leave early, by the exits.json beside the network (acn exit
            writes it) or by exit_below.
        exit_below: Entropy in nats below which an input leaves.
        device: Device to compute on, e.g. cuda.
        batch_size: Inputs that are computed together, at most.
        wait_ms: Milliseconds to wait for a fuller batch.
        max_mb: Largest request in megabytes.
        timeout: Seconds in which a request must have arrived, and again in which it is answered.
        queue: Inputs that may wait; more are refused with status 503.
        import_: Your own class of the network, package.module:Class, or only a module
            that registers its parts.
    """

    model: str = model()
    host: str = "127.0.0.1"
    port: int = 8000
    depth: int | None = None
    exits: bool = True
    exit_below: float | None = None
    device: str | None = None
    batch_size: int = 64
    wait_ms: float = 2.0
    max_mb: float = 16.0
    timeout: float = 30.0
    queue: int = 1024
    import_: str | None = None


def run(args: Options) -> Answer:
    """Serve until Ctrl-C or SIGTERM."""
    uvicorn: Any = import_extra("uvicorn", "serve", "acn serve")
    if not 0 < args.port < 2**16:
        raise ConfigError(f"port {args.port} must be from 1 to 65535, e.g. 8000")
    for name in ("batch_size", "max_mb", "timeout", "queue"):
        if not getattr(args, name) > 0:
            raise ConfigError(f"--{name} {getattr(args, name):g} must be above 0")
    limits = Limits(
        bytes=int(args.max_mb * 2**20),
        seconds=args.timeout,
        queued=args.queue,
        batch=args.batch_size,
        wait_ms=args.wait_ms,
    )
    folder = folder_of(args)
    name = (find_run(folder) or folder).resolve().name
    predictor = predictor_of(args, folder)
    layers = layer_words(predictor.net.depth)
    app = build_app(predictor, limits=limits, name=name)
    if not args.quiet:
        print(
            f"serving {name} ({layers}) at http://{args.host}:{args.port} (Ctrl-C stops)",
            flush=True,
        )
    options: dict[str, Any] = {"host": args.host, "port": args.port, "log_level": "error"}
    options["http"] = hurried(args.timeout)
    server = uvicorn.Server(uvicorn.Config(app, timeout_keep_alive=5, **options))
    try:
        server.run()
    except BaseException as error:
        if server.started and interrupts.is_stop(error):  # it has answered those who waited
            return Answer("stopped", {"model": name})
        if not isinstance(error, SystemExit):
            raise
        # uvicorn's own, after it has told why
        raise ConfigError(
            f"cannot listen on {args.host}:{args.port}: the port is taken or the address is not of "
            "this machine; choose another, --port 8001"
        ) from None
    return Answer("stopped", {"model": name})


def folder_of(args: Options) -> Path:
    """Return the folder of the network to serve: that of ``acn predict``, or what is to be cut."""
    if args.depth is not None:
        return find_model(Path(args.model))
    return model_folder(Path(args.model), args.exits and args.exit_below is None)


def predictor_of(args: Options, folder: Path) -> Predictor:
    """Return the predictor that the options describe."""
    net = load_own(folder, args.import_)
    rule: float | ExitRule | None = args.exit_below
    if args.exits and rule is None and args.depth is None:
        record = ExitRecord.load(folder)
        rule = None if record is None else record.rule
    if args.depth is not None:
        net = cut(net, args.depth)
    return Predictor(net, device=args.device, batch_size=args.batch_size, exit_below=rule)
