"""A model folder of a stranger: it runs nothing, fetches nothing, and costs nothing to refuse."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import autocompress as ac
from autocompress.cli import main
from autocompress.errors import AutoCompressError, CheckpointError, ConfigError, UnknownNameError
from folders import as_format_1, edit, forge, rewrite
from hosts import host
from models_table import make

POISON = """
from pathlib import Path
Path({marker!r}).touch()
from transformers import BertConfig, BertModel
class XConfig(BertConfig): pass
class XModel(BertModel): pass
"""


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "bert"
    ac.save(ac.cut(ac.convert(host("hf-bert"), "acn"), 2), folder)
    return folder


@pytest.fixture(scope="module")
def image_net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "vit"
    options = {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 3, "num_heads": 2}
    ac.save(ac.convert("timm:vit_tiny_patch16_224", "acn", arguments=options), folder)
    return folder


@pytest.fixture
def stranger(converted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(converted, tmp_path / "stranger"))


def poisoned(folder: Path, marker: Path, **more: Any) -> Path:
    """A checkpoint whose own modelling code leaves a marker, and weights that are a pickle."""
    folder.mkdir()
    (folder / "modeling_x.py").write_text(POISON.format(marker=str(marker)))
    auto = {
        name: f"modeling_x.{cls}"
        for name, cls in (
            ("AutoConfig", "XConfig"),
            ("AutoModel", "XModel"),
            ("AutoModelForSequenceClassification", "XModel"),
            ("AutoModelForMaskedLM", "XModel"),
        )
    }
    config = {"model_type": "x-bert", "auto_map": auto, "architectures": ["XModel"], **more}
    (folder / "config.json").write_text(json.dumps(config))
    save_file({"a": torch.zeros(1)}, folder / "model.safetensors")
    return folder


def trust(folder: Path, checkpoint: Path, **arguments: Any) -> None:
    """What config.json must say for transformers to run the checkpoint's code."""
    forge(folder, source=f"hf:{checkpoint}", arguments={"trust_remote_code": True, **arguments})


# -- code ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["load", "from_pretrained", "measure", "cut", "probe", "predict"])
def test_a_folder_that_names_code_runs_none(
    verb: str, stranger: Path, tmp_path: Path, no_network: list[Any]
) -> None:
    marker = tmp_path / "it ran"
    trust(stranger, poisoned(tmp_path / "code", marker))
    if verb in ("load", "from_pretrained"):
        read = ac.load if verb == "load" else ac.Network.from_pretrained
        with pytest.raises(AutoCompressError, match="not a class of an installed library"):
            read(stranger)
    else:
        more = {"cut": ["--depth", "1", "--output", str(tmp_path / "out")], "predict": ["x.png"]}
        assert main([verb, str(stranger), *more.get(verb, [])]) == 2
    assert not marker.exists()
    assert no_network == []


def test_the_poison_works(tmp_path: Path) -> None:
    """With transformers' own option the same folder does run its code: the tests can fail."""
    from transformers import AutoConfig

    marker = tmp_path / "it ran"
    folder = poisoned(tmp_path / "code", marker)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_MODULES_CACHE", str(tmp_path / "cache"))
        patch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "cache"))
        AutoConfig.from_pretrained(folder, trust_remote_code=True)
    assert marker.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        {"trust_remote_code": True},
        {"auto_map": {"AutoModel": "modeling_x.XModel"}},
        {"code_revision": "main"},
        {"quantization_config": {"quant_method": "bitsandbytes"}},
        {"attn_implementation": "kernels-community/flash-attn"},
        {"_attn_implementation": "somebody/kernel:attention"},
        {"experts_implementation": "somebody/kernel"},
        {"rope_parameters": {"trust_remote_code": True}},
        {"backbone": "resnet50", "use_pretrained_backbone": True},
        {"use_kernels": True},
        {"hidden_act": "../../etc/passwd"},
        {"hidden_act": "somebody/activation"},
        {"no_such_value": 3},
        ["trust_remote_code"],
    ],
    ids=lambda value: next(iter(value)),
)
@pytest.mark.parametrize("form", [1, 2])
def test_arguments_are_data_for_the_class(
    form: int, arguments: Any, stranger: Path, no_network: list[Any]
) -> None:
    said = json.loads((stranger / "config.json").read_text())["arguments"]
    forge(stranger, arguments={**said, **arguments} if isinstance(arguments, dict) else arguments)
    if form == 1:
        as_format_1(stranger)
    with pytest.raises((CheckpointError, UnknownNameError)):
        ac.load(stranger)
    assert no_network == []


@pytest.mark.parametrize(
    "source",
    [
        *("hf:user/name", "hf:./here", "hf:/etc", "hf:..", "hf:os", "hf:pipeline", "hf:AutoModel"),
        *("hf:BertConfig", "hf:__class__", "timm:hf_hub:user/name", "timm:hf-hub:user/name"),
        *("timm:local-dir:/tmp", "pickle:x", "hf:", "own", "", "hf:BertModel\n", 3, None),
    ],
)
def test_sources_that_are_no_class(source: Any, stranger: Path, no_network: list[Any]) -> None:
    forge(stranger, source=source if source is not None else [])
    with pytest.raises((CheckpointError, UnknownNameError)):
        ac.load(stranger)
    assert no_network == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"pretrained": True},
        {"checkpoint_path": "/tmp/evil.pth"},
        {"pretrained_cfg_overlay": {"file": "/tmp/evil.pth"}},
    ],
    ids=lambda value: next(iter(value)),
)
def test_weights_come_from_the_folder_alone(
    arguments: dict[str, Any], image_net: Path, tmp_path: Path, no_network: list[Any]
) -> None:
    """Earlier versions wrote ``pretrained`` down; it means nothing when a folder is loaded."""
    folder = Path(shutil.copytree(image_net, tmp_path / "net"))
    said = json.loads((folder / "config.json").read_text())["arguments"]
    x = torch.randn(2, 3, 16, 16)
    expected = ac.load(folder)(x)
    forge(folder, arguments={**said, **arguments})
    assert torch.equal(ac.load(folder)(x), expected)
    as_format_1(folder)
    assert torch.equal(ac.load(folder)(x), expected)
    assert no_network == []


def test_loading_asks_no_network(converted: Path, image_net: Path, no_network: list[Any]) -> None:
    for folder in (converted, image_net):
        ac.load(folder)
    assert no_network == []


# -- checkpoints that a user names -----------------------------------------------------------------


def plain_checkpoint(folder: Path) -> Path:
    host("hf-bert").save_pretrained(folder)  # type: ignore[operator]
    return folder


def test_a_local_checkpoint_is_converted(tmp_path: Path, no_network: list[Any]) -> None:
    folder = plain_checkpoint(tmp_path / "bert")
    net = ac.convert(f"hf:{folder}", "residual").eval()
    ids = torch.randint(3, 40, (2, 7))
    with torch.no_grad():
        assert torch.equal(net(ids), host("hf-bert")(input_ids=ids).logits)
    assert no_network == []


def test_a_checkpoint_without_a_weight_of_its_layers_is_refused(tmp_path: Path) -> None:
    """Which transformers would draw at random; a whole new head is no such thing."""
    folder = plain_checkpoint(tmp_path / "bert")
    weights = load_file(folder / "model.safetensors")
    headless = {name: w for name, w in weights.items() if not name.startswith("classifier")}
    save_file(headless, folder / "model.safetensors", {"format": "pt"})
    ac.convert(f"hf:{folder}", "residual")
    (lost, *_) = (name for name in headless if ".layer.1.output.dense.weight" in name)
    del headless[lost]
    save_file(headless, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=rf"not complete: it has no {lost}, which it has for"):
        ac.convert(f"hf:{folder}", "residual")


@pytest.mark.parametrize("verb", ["convert", "plan"])
def test_a_checkpoint_that_wants_code_is_refused(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    marker = tmp_path / "it ran"
    folder = poisoned(tmp_path / "code", marker)
    with pytest.raises(ConfigError, match="transformers cannot load"):
        ac.convert(f"hf:{folder}")
    for arguments in ('{"trust_remote_code": true}', '{"code_revision": "x"}'):
        assert main([verb, f"hf:{folder}", "--arguments", arguments, "--output", "x"][:4]) == 2
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # transformers asks; nobody may answer
    with pytest.raises(ConfigError):
        ac.convert(f"hf:{folder}", arguments={"trust_remote_code": True})
    assert not marker.exists()


def test_known_classes_are_taken_from_the_library_whatever_auto_map_says(tmp_path: Path) -> None:
    folder, marker = plain_checkpoint(tmp_path / "bert"), tmp_path / "it ran"
    (folder / "modeling_x.py").write_text(POISON.format(marker=str(marker)))
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling_x.XModel", "AutoConfig": "modeling_x.XConfig"}
    (folder / "config.json").write_text(json.dumps(config))
    assert type(ac.restore(ac.convert(f"hf:{folder}", "residual"))).__module__ == (
        "transformers.models.bert.modeling_bert"
    )
    assert not marker.exists()


def test_pickles_are_not_read(tmp_path: Path) -> None:
    marker = tmp_path / "it ran"

    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch '{marker}'",)

    folder = plain_checkpoint(tmp_path / "bert")
    (folder / "model.safetensors").unlink()
    torch.save({"a": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"no \.safetensors file"):
        ac.convert(f"hf:{folder}")
    with pytest.raises(ConfigError, match=r"only \.safetensors files are read"):
        ac.convert(
            "timm:vit_tiny_patch16_224",
            arguments={"checkpoint_path": str(folder / "pytorch_model.bin")},
        )
    assert not marker.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"quantization_config": {"quant_method": "fp8"}}, "quantization_config is refused"),
        ({"attn_implementation": "kernels-community/x"}, "downloaded as code"),
        ({"_attn_implementation": "kernels-community/x"}, "downloaded as code"),
    ],
)
def test_checkpoints_that_fetch_code(
    changes: dict[str, Any], words: str, tmp_path: Path, no_network: list[Any]
) -> None:
    folder = plain_checkpoint(tmp_path / "bert")
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=words):
        ac.convert(f"hf:{folder}")
    assert no_network == []


@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 60_000},
        {"hidden_size": 10**7},
        {"num_labels": 10**8},
        {"vocab_size": "many"},
        {"hidden_act": None},
    ],
    ids=str,
)
def test_a_checkpoint_whose_config_is_not_of_its_weights(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    folder = plain_checkpoint(tmp_path / "bert")
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    within_bounds(folder, lambda path: ac.convert(f"hf:{path}"))


def test_an_adapter_is_refused(tmp_path: Path) -> None:
    folder = plain_checkpoint(tmp_path / "bert")
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "user/base"}')
    with pytest.raises(ConfigError, match="holds an adapter"):
        ac.convert(f"hf:{folder}")


# -- sizes -----------------------------------------------------------------------------------------


def within_bounds(folder: Path, read: Callable[[Path], object] = ac.load) -> str:
    """What is said when ``folder`` is refused: within 10 seconds of a core and 1 GiB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    with pytest.raises(AutoCompressError) as caught:
        read(folder)
    assert time.process_time() - start < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB
    return str(caught.value)


HUGE = [
    ("mixer", {"depth": 10**9}),
    ("mixer", {"depth": 200}),
    ("mixer", {"width": 10**7}),
    ("mixer", {"classes": 10**12}),
    ("mixer", {"image_size": 10**6}),
    ("mixer", {"image_size": 60_000, "patch_size": 1}),
    ("mixer", {"token_width": 50_000, "channel_width": 60_000}),
    ("mixer", {"depth": -1}),
    ("mixer", {"depth": 2.5}),
    ("mixer", {"width": True}),
    ("mixer", {"width": "8"}),
    ("mixer", {"width": None}),
    ("mixer", {"connectivity": {"name": "hyper", "streams": 10**9}}),
    ("mixer", {"connectivity": {"name": "hyper", "streams": 60_000}}),
    ("mixer", {"connectivity": {"name": "dense", "channels": 10**6}}),
    ("mixer", {"connectivity": {"name": "hacn", "channels": 10**8}}),
    ("mixer", {"connectivity": {"name": "plane", "short": [0.1] * 5, "long": 1}}),
    ("mixer", {"connectivity": {"name": {}}}),
    ("encoder", {"vocabulary": 10**10}),
    ("encoder", {"length": 10**9}),
    ("encoder", {"tied": False, "vocabulary": 10**6, "width": 10**4}),
    ("decoder", {"vocabulary": 10**6, "heads": 10**6}),
    ("branched", {"branches": list(range(1, 60_000)), "depth": 59_999}),
    ("branched", {"arguments": {"width": 10**9, "classes": 3}}),
    ("branched", {"base": "branched", "arguments": {"base": "branched"}}),
]


@pytest.mark.parametrize(("model", "changes"), HUGE, ids=str)
def test_numbers_that_the_weights_do_not_bear_out(
    model: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    ac.save(make(model, "acn"), tmp_path / "net")
    config = json.loads((tmp_path / "net" / "config.json").read_text())
    config |= changes
    forge(tmp_path / "net", **{key: config[key] for key in changes})
    assert "net" in within_bounds(tmp_path / "net")


HOST_HUGE = [
    {"num_hidden_layers": 10**9},
    {"num_hidden_layers": 65_000},
    {"hidden_size": 10**7},
    {"hidden_size": 60_000, "intermediate_size": 60_000},
    {"vocab_size": 10**9},
    {"max_position_embeddings": 10**12},
    {"max_position_embeddings": 10**10, "type_vocab_size": 1},
    {"type_vocab_size": 10**8},
    {"num_labels": 10**9},
    {"num_labels": 10**7},
    {"id2label": {str(index): "x" for index in range(50_000)}},
    {"num_attention_heads": 0},
    {"layer_norm_eps": "x" * 60},
    {"hidden_size": [[[[]]]]},
    {"depth": 0, "num_hidden_layers": 60_000},
]


@pytest.mark.parametrize("changes", HOST_HUGE, ids=lambda value: str(value)[:60])
def test_a_host_that_the_weights_do_not_bear_out(changes: dict[str, Any], stranger: Path) -> None:
    changes = dict(changes)
    said = json.loads((stranger / "config.json").read_text())["arguments"]
    if {"num_labels"} & set(changes):
        said = {key: value for key, value in said.items() if "label" not in key}
    depth = changes.pop("depth", None)
    more = {} if depth is None else {"depth": depth}
    forge(stranger, arguments={**said, **changes}, **more)
    within_bounds(stranger)


@pytest.mark.parametrize(
    "changes",
    [
        {"depth": 10**9},
        {"depth": 60_000},
        {"embed_dim": 10**7},
        {"img_size": 10**9},
        {"img_size": 60_000, "patch_size": 1},
        {"num_classes": 10**8},
        {"mlp_ratio": 1e30},
        {"num_heads": 0},
        {"patch_size": 0},
        {"norm_layer": "nothing"},
        {"block_fn": "nothing"},
    ],
    ids=str,
)
def test_a_timm_host_that_the_weights_do_not_bear_out(
    changes: dict[str, Any], image_net: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(image_net, tmp_path / "net"))
    said = json.loads((folder / "config.json").read_text())["arguments"]
    forge(folder, arguments={**said, **changes})
    within_bounds(folder)


# -- files that are none ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "zero", "folder", "loop", "socket", "huge"])
def test_files_that_are_none(kind: str, name: str, tmp_path: Path) -> None:
    net = make("encoder", "acn")
    net.tokenizer = "{}"
    ac.save(net, tmp_path / "net")
    path = tmp_path / "net" / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind in ("device", "zero"):
        path.symlink_to("/dev/random" if kind == "device" else "/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "socket":
        here = os.getcwd()
        os.chdir(path.parent)  # their names are short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(name)
        os.chdir(here)
    else:
        with path.open("wb") as file:
            file.truncate(1 << 42)
    said = within_bounds(tmp_path / "net")
    assert name in said
    assert main(["measure", str(tmp_path / "net")]) == 2


DEEP = '{"a": ' * 10_000 + "1" + "}" * 10_000


@pytest.mark.parametrize(
    "text",
    [
        DEEP,
        "[" * 100_000,
        '{"model": "mlp", "format": 2, "a": ' + "[" * 100 + "]" * 100 + "}",
        '{"model": "mlp", "model": "mixer"}',
        '{"model": NaN}',
        '{"model": "mlp", "format": ' + "9" * 5000 + "}",
        '{"model": "\\ud800", "format": 2}',
        "[" + "0," * (5 << 20) + "0]",
    ],
    ids=["deep", "open", "nested", "twice", "nan", "digits", "surrogate", "large"],
)
def test_json_that_is_hard_to_read(text: str, tmp_path: Path) -> None:
    ac.save(make("mlp", "acn"), tmp_path / "net")
    (tmp_path / "net" / "config.json").write_text(text)
    assert "config.json" in within_bounds(tmp_path / "net")
    with pytest.raises(AutoCompressError):
        ac.Network.from_pretrained(tmp_path / "net")
    assert main(["cut", str(tmp_path / "net"), "--depth", "1", "--output", "x"]) == 2


def test_a_header_that_lies(tmp_path: Path) -> None:
    ac.save(make("mlp", "acn"), tmp_path / "net")
    path = tmp_path / "net" / "model.safetensors"
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    name = next(name for name in header if name != "__metadata__")

    def write(text: str, body: bytes = whole[8 + length :], said: int | None = None) -> None:
        data = text.encode()
        size = len(data) if said is None else said
        path.write_bytes(size.to_bytes(8, "little") + data + body)

    def lie(**changes: Any) -> str:
        return json.dumps({**header, name: {**header[name], **changes}})

    lies = [
        (lie(shape=[10**6, 10**6]),),
        (lie(shape=[-1]),),
        (lie(dtype="F64"),),
        (lie(dtype="PY"),),
        (lie(data_offsets=[0, 10**15]),),
        (lie(data_offsets=[8, 0]),),
        (
            json.dumps(
                {**header, "more": {"dtype": "F32", "shape": [0, 10**18], "data_offsets": [0, 0]}}
            ),
        ),
        (
            json.dumps(header).replace(
                '"__metadata__"', f'"{name}": {json.dumps(header[name])}, "__metadata__"'
            ),
        ),
        (json.dumps({**header, "__metadata__": {"a": 3}}),),
        ("[" * 50_000,),
        ("", whole[8 + length :], 2**63),
        ("", whole[8 + length :], 10**9),
        (json.dumps(header)[:-3],),
    ]
    for one in lies:
        write(*one)
        assert "model.safetensors" in within_bounds(tmp_path / "net"), one[0][:80]


def test_names_of_shared_tensors_that_lie(tmp_path: Path) -> None:
    """The metadata maps names to tensors; it cannot put one tensor in the place of another."""
    folder = tmp_path / "net"
    ac.save(make("mlp", "acn"), folder)
    as_format_1(folder)
    expected = ac.load(folder).state_dict()
    rewrite(folder, {"head.0.weight": "head.0.bias"})
    edit(folder, sha256=hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest())
    found = ac.load(folder).state_dict()
    assert not torch.equal(found["head.0.weight"], found["head.0.bias"])
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("key", ["image_size", "channels", "width", "classes"])
def test_a_number_whose_sign_the_weights_do_not_tell(key: str, tmp_path: Path) -> None:
    ac.save(make("mlp", "acn"), tmp_path / "net")
    config = json.loads((tmp_path / "net" / "config.json").read_text())
    forge(tmp_path / "net", **{key: -config[key]})
    with pytest.raises(CheckpointError, match="net"):
        ac.load(tmp_path / "net")
    assert main(["measure", str(tmp_path / "net")]) == 2


def test_a_network_that_downloads_a_kernel_as_it_is_built_is_not_loaded(
    stranger: Path, monkeypatch: pytest.MonkeyPatch, no_network: list[Any]
) -> None:
    from importlib.util import find_spec

    def found(name: str, *more: Any) -> Any:
        return find_spec("json" if name == "kernels" else name, *more)

    forge(stranger, source="hf:RwkvModel", arguments={})
    monkeypatch.setattr("importlib.util.find_spec", found)
    with pytest.raises(CheckpointError, match="RwkvModel downloads a compiled kernel"):
        ac.load(stranger)
    assert no_network == []


@pytest.mark.parametrize("key", ["mean", "scale", "crop"])
@pytest.mark.parametrize("number", [10**400, -(10**400)], ids=["large", "small"])
def test_a_number_that_no_float_can_hold_is_refused(
    key: str, number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = ac.models.MLP(depth=1, width=4, classes=2, image_size=2, channels=1)
    net.preprocess = ac.data.ImageInput(size=(2, 2), channels=1).to_json()
    ac.save(net, tmp_path / "net")
    changed = {**net.preprocess, key: [number] if key == "mean" else number}
    forge(tmp_path / "net", preprocess=changed)
    with pytest.raises(CheckpointError, match="damaged: a number of 40. digits"):
        ac.load(tmp_path / "net")
    assert main(["predict", str(tmp_path / "net"), "x.png"]) == 2
    assert "digits" in capsys.readouterr().err
